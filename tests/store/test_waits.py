"""What waits for what: parents before children, deletes the other way round."""

from __future__ import annotations

from typing import Any

from store import waits
from store.intake import ReadResult
from store.model import Change
from store.rows import keys_json
from tests.store.outbox_steps import (
    ACCOUNT,
    CONTACT,
    NOON,
    OPPORTUNITY,
    OWNER,
    ROLE,
    SECOND,
    Outbox,
    event,
    gone,
    owned_by,
    row,
    sf_id,
    whole,
)

NOON_S = NOON // SECOND


async def company_synced(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.synced("Account", ACCOUNT, refs=owned_by())


def a_contact() -> Change:
    return whole("Contact", CONTACT, {"LastName": "Lee"}, refs=owned_by(account=ACCOUNT))


# ── parents


async def test_a_parent_that_was_taken_off_during_a_read_does_not_come_back_with_it(outbox: Outbox) -> None:
    await company_synced(outbox)
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}, refs=owned_by(account=ACCOUNT)))
    (entry,) = await outbox.reads("Contact")
    off = NOON + 5 * SECOND
    await outbox.take(event("Contact", CONTACT, {"AccountId": None}, refs={"account": None}, commit_ms=off))
    read = row("Contact", CONTACT, NOON_S + 1, {"AccountId": ACCOUNT}, refs=owned_by(account=ACCOUNT))
    await outbox.store.settle_reads({entry.entry_id: ReadResult(read)}, outbox.now_ms)
    assert await outbox.to_read() == {("Contact", CONTACT): "changed while it was read"}


async def test_a_parent_nobody_has_seen_is_read_and_goes_first(outbox: Outbox) -> None:
    taken = await outbox.take(a_contact())
    assert sorted(taken.asked) == [("Account", ACCOUNT), ("User", OWNER)]
    assert await outbox.ready() == []
    assert await outbox.to_read() == {("User", OWNER): "parent of Contact", ("Account", ACCOUNT): "parent of Contact"}
    asked = await outbox.read(row("Account", ACCOUNT, NOON_S, refs=owned_by()))
    assert asked == [], "its owner is asked for already"
    await outbox.read(row("User", OWNER, NOON_S))
    assert await outbox.ready() == [("User", OWNER)]
    await outbox.ack(await outbox.claim("User"))
    assert await outbox.ready() == [("Account", ACCOUNT)]
    await outbox.ack(await outbox.claim("Account"))
    assert await outbox.ready() == [("Contact", CONTACT)]


async def test_the_parents_of_a_parent_are_asked_for_once_it_is_read(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(None, account=ACCOUNT)))
    assert await outbox.read(row("Account", ACCOUNT, NOON_S, refs=owned_by())) == [("User", OWNER)]


async def test_a_child_waits_for_a_parent_in_flight(outbox: Outbox) -> None:
    await outbox.take(whole("User", OWNER))
    flying = await outbox.claim("User")
    taken = await outbox.take(whole("Account", ACCOUNT, refs=owned_by()))
    assert taken.asked == []
    assert await outbox.ready() == []
    await outbox.ack(flying)
    assert await outbox.ready() == [("Account", ACCOUNT)]


async def test_a_synced_parent_with_a_change_on_its_way_holds_nobody(outbox: Outbox) -> None:
    await company_synced(outbox)
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 1), a_contact())
    assert await outbox.ready() == [("Account", ACCOUNT), ("Contact", CONTACT)]


async def test_another_parent_is_waited_for_instead(outbox: Outbox) -> None:
    await company_synced(outbox)
    other = sf_id("Account", 2)
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(account=other)))
    assert await outbox.ready() == []
    await outbox.take(event("Contact", CONTACT, {"AccountId": ACCOUNT}, refs={"account": ACCOUNT}, commit_ms=NOON + 1))
    assert await outbox.ready() == [("Contact", CONTACT)]


async def test_a_user_that_is_no_sales_person_becomes_one_when_it_owns_something(outbox: Outbox) -> None:
    await outbox.take(whole("User", OWNER))
    claimed = await outbox.claim("User")
    assert not claimed.referenced
    await outbox.ack(claimed, state="excluded")
    taken = await outbox.take(whole("Account", ACCOUNT, refs=owned_by()))
    assert taken.asked == [("User", OWNER)]
    await outbox.read(row("User", OWNER, NOON_S))
    claimed = await outbox.claim("User")
    assert claimed.referenced
    await outbox.ack(claimed)
    assert await outbox.ready() == [("Account", ACCOUNT)]


async def test_a_user_that_came_to_own_something_while_it_was_passed_over_is_looked_at_again(outbox: Outbox) -> None:
    await outbox.take(whole("User", OWNER))
    claimed = await outbox.claim("User")
    await outbox.take(whole("Account", ACCOUNT, refs=owned_by()))
    await outbox.ack(claimed, state="excluded")
    assert (await outbox.record("User", OWNER)).state == "seen"
    assert (await outbox.claim("User")).referenced


async def test_an_owner_that_marketo_does_not_know_goes_again_before_its_records(outbox: Outbox) -> None:
    """718 at one opportunity: the owner's other records wait too, or they would be accepted without it, for good."""
    await company_synced(outbox)
    first, second = OPPORTUNITY, sf_id("Opportunity", 2)
    await outbox.take(*(whole("Opportunity", each, refs=owned_by(account=ACCOUNT)) for each in (first, second)))
    claimed = await outbox.store.claim("Opportunity", "upsert", most=1, now_ms=outbox.now_ms, linger_ms=0)
    await outbox.retry(claimed[0], outbox.now_ms, counted=True, code="718", sync_owner=True)
    assert await outbox.claims("Opportunity") == []
    await outbox.read(row("User", OWNER, NOON_S))
    await outbox.ack(await outbox.claim("User"))
    again = await outbox.claims("Opportunity")
    assert [each.parents["owner"].state for each in again] == ["synced", "synced"]


async def test_a_contact_that_lost_its_person_goes_again_before_its_roles(outbox: Outbox) -> None:
    await company_synced(outbox)
    await outbox.synced("Contact", CONTACT, refs=owned_by(account=ACCOUNT), marketo_id="7")
    await outbox.synced("Opportunity", OPPORTUNITY, refs=owned_by(account=ACCOUNT))
    await outbox.take(whole("OpportunityContactRole", ROLE, refs={"opportunity": OPPORTUNITY, "contact": CONTACT}))
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}, commit_ms=NOON + 1))
    await outbox.retry(await outbox.claim("Contact"), outbox.now_ms, forget_marketo_id=True, read="its person is gone")
    assert await outbox.claims("OpportunityContactRole") == []
    await outbox.read(row("Contact", CONTACT, NOON_S + 5, refs=owned_by(account=ACCOUNT)))
    await outbox.ack(await outbox.claim("Contact"), marketo_id="8")
    role = await outbox.claim("OpportunityContactRole")
    assert role.parents["contact"].marketo_id == "8"


async def test_a_parent_back_from_the_recycle_bin_goes_before_its_children(outbox: Outbox) -> None:
    await company_synced(outbox)
    await outbox.synced("Contact", CONTACT, refs=owned_by(account=ACCOUNT), marketo_id="7")
    await outbox.take(gone("Account", ACCOUNT, commit_ms=NOON + 1), gone("Contact", CONTACT, commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Contact", "delete"), state="deleted")
    await outbox.ack(await outbox.claim("Account", "delete"), state="deleted")
    back: dict[str, Any] = {"read": "undeleted", "commit_ms": NOON + 2}
    await outbox.take(event("Account", ACCOUNT, **back), event("Contact", CONTACT, **back))
    await outbox.read(row("Contact", CONTACT, NOON_S + 1, refs=owned_by(account=ACCOUNT)))
    assert await outbox.ready() == []
    await outbox.read(row("Account", ACCOUNT, NOON_S + 1, refs=owned_by()))
    await outbox.ack(await outbox.claim("Account"))
    assert await outbox.ready() == [("Contact", CONTACT)]


async def test_a_parent_that_is_gone_lets_its_children_go(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(None, account=ACCOUNT)))
    entry = (await outbox.reads("Account"))[0]
    await outbox.store.settle_reads({entry.entry_id: ReadResult(gone=True)}, outbox.now_ms)
    claimed = await outbox.claim("Contact")
    assert claimed.parents["account"].state == "deleted"


# ── dead parents


async def test_a_dead_parent_holds_its_children_who_name_it(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(whole("Account", ACCOUNT, refs=owned_by()), a_contact())
    await outbox.bury(await outbox.claim("Account"), code="1003")
    assert await outbox.ready() == []
    assert await outbox.store.count_blocked() == 1
    assert [(each.id, each.holds) for each in await outbox.store.dead_letters()] == [(ACCOUNT, 1)]


async def test_a_child_that_comes_after_the_death_waits_too(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(whole("Account", ACCOUNT, refs=owned_by()))
    await outbox.bury(await outbox.claim("Account"))
    taken = await outbox.take(a_contact())
    assert taken.asked == []
    assert await outbox.ready() == []


async def test_dropping_a_dead_parent_lets_its_children_go(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(whole("Account", ACCOUNT, refs=owned_by()), a_contact())
    await outbox.bury(await outbox.claim("Account"))
    assert await outbox.store.drop_dead(await outbox.store.dead_letters(), outbox.now_ms) == 1
    claimed = await outbox.claim("Contact")
    assert claimed.parents["account"].state == "dropped"


async def test_a_dead_parent_tried_again_takes_its_children_along(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(whole("Account", ACCOUNT, refs=owned_by()), a_contact())
    await outbox.bury(await outbox.claim("Account"))
    await outbox.store.retry_dead(await outbox.store.dead_letters(), outbox.now_ms)
    assert await outbox.ready() == [("Account", ACCOUNT)]
    await outbox.ack(await outbox.claim("Account"))
    assert await outbox.ready() == [("Contact", CONTACT)]


# ── deletes


async def synced_deal(outbox: Outbox) -> None:
    await company_synced(outbox)
    await outbox.synced("Contact", CONTACT, refs=owned_by(account=ACCOUNT), marketo_id="7")
    await outbox.synced("Opportunity", OPPORTUNITY, refs=owned_by(account=ACCOUNT))
    refs = {"opportunity": OPPORTUNITY, "contact": CONTACT}
    await outbox.synced("OpportunityContactRole", ROLE, refs=refs, sent_key='["006", 1, "Buyer"]')


async def test_deletes_go_children_first(outbox: Outbox) -> None:
    await synced_deal(outbox)
    at = NOON + 1
    await outbox.take(
        gone("Account", ACCOUNT, commit_ms=at),
        gone("Opportunity", OPPORTUNITY, commit_ms=at),
        gone("Contact", CONTACT, commit_ms=at),
        gone("OpportunityContactRole", ROLE, commit_ms=at),
    )
    assert await outbox.ready() == [("OpportunityContactRole", ROLE)]
    await outbox.ack(await outbox.claim("OpportunityContactRole", "delete"), state="deleted")
    assert await outbox.ready() == [("Contact", CONTACT), ("Opportunity", OPPORTUNITY)]
    await outbox.ack(await outbox.claim("Contact", "delete"), state="deleted")
    await outbox.ack(await outbox.claim("Opportunity", "delete"), state="deleted")
    assert await outbox.ready() == [("Account", ACCOUNT)]


async def test_a_childs_delete_that_comes_later_is_waited_for_too(outbox: Outbox) -> None:
    await synced_deal(outbox)
    await outbox.take(gone("Opportunity", OPPORTUNITY, commit_ms=NOON + 1))
    await outbox.take(gone("OpportunityContactRole", ROLE, commit_ms=NOON + 2))
    assert await outbox.ready() == [("OpportunityContactRole", ROLE)]


async def test_a_childs_delete_that_died_holds_the_parents(outbox: Outbox) -> None:
    await synced_deal(outbox)
    await outbox.take(
        gone("Opportunity", OPPORTUNITY, commit_ms=NOON + 1), gone("OpportunityContactRole", ROLE, commit_ms=NOON + 1)
    )
    await outbox.bury(await outbox.claim("OpportunityContactRole", "delete"), code="1022")
    assert await outbox.ready() == []
    await outbox.store.drop_dead(await outbox.store.dead_letters(), outbox.now_ms)
    assert await outbox.ready() == [("Opportunity", OPPORTUNITY)]


async def test_a_child_that_comes_back_does_not_hold_the_parents_delete_for_good(outbox: Outbox) -> None:
    """The parent never was in Marketo and is to be deleted; its child is deleted, and undeleted: neither waits for the other."""
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(None, account=ACCOUNT)))
    await outbox.read(row("Account", ACCOUNT, NOON_S, refs=owned_by(None)))
    await outbox.take(
        gone("Account", ACCOUNT, commit_ms=NOON + 9 * SECOND), gone("Contact", CONTACT, commit_ms=NOON + 9 * SECOND)
    )
    await outbox.take(event("Contact", CONTACT, read="undeleted", commit_ms=NOON + 10 * SECOND))
    await outbox.read(row("Contact", CONTACT, NOON_S + 10, refs=owned_by(None, account=ACCOUNT)))
    assert len(await outbox.ready()) == 1


async def test_what_is_done_leaves_nothing_behind_that_it_waited_for(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(account=ACCOUNT)))
    (waiting,) = await outbox.rows("entries_by_key", keys_json([("Contact", CONTACT)]))
    assert [row["blocked"] for row in await outbox.rows("count_blocked")] == [1]
    await outbox.store.submit(lambda tx: waits.end(tx, [waiting["entry_id"]]))
    assert [row["blocked"] for row in await outbox.rows("count_blocked")] == [0]
