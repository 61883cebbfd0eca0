"""Records that enter their filters, leave them, and stay outside: what that makes of the outbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.intake import ReadResult
from store.model import Change, RecordState
from tests.store.outbox_steps import ACCOUNT, CONTACT, NOON, OWNER, SECOND, Outbox, event, owned_by, row, whole

NOON_S = NOON // SECOND


async def state_of(outbox: Outbox) -> RecordState:
    """How the contact stands."""
    return (await outbox.store.records([("Contact", CONTACT)]))["Contact", CONTACT].state


def told(change: Change, side: str) -> Change:
    """The change, and what it says of the filter."""
    return replace(change, side=side)  # type: ignore[arg-type] # one of them


async def test_what_is_outside_asks_for_nobody_and_leaves_nothing_to_do(outbox: Outbox) -> None:
    taken = await outbox.take(told(whole("Contact", CONTACT, refs=owned_by(account=ACCOUNT)), "out"))
    assert (taken.applied, taken.outside, taken.asked) == (0, 1, [])
    assert await outbox.store.backlog() == {}
    await outbox.take(told(event("Contact", CONTACT, {"Title": "x"}, commit_ms=NOON + 1), "same"))
    assert await outbox.store.backlog() == {}
    assert await state_of(outbox) == "excluded"


async def test_what_may_have_entered_is_read_and_goes_whole(outbox: Outbox) -> None:
    await outbox.take(told(whole("Contact", CONTACT), "out"))
    await outbox.take(told(event("Contact", CONTACT, {"Sync__c": True}, commit_ms=NOON + SECOND), "perhaps"))
    await outbox.read(told(row("Contact", CONTACT, NOON_S + 1, {"Sync__c": True}), "in"))
    claimed = await outbox.claim("Contact")
    assert claimed.entry.pending.whole


async def test_a_child_does_not_wait_for_a_parent_that_is_outside(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(whole("Contact", CONTACT, refs=owned_by(account=ACCOUNT)))
    assert await outbox.ready() == []
    await outbox.read(told(row("Account", ACCOUNT, NOON_S, refs=owned_by()), "out"))
    assert await outbox.ready() == [("Contact", CONTACT)]


async def test_a_child_is_sent_again_once_its_parent_enters(outbox: Outbox) -> None:
    await outbox.synced("User", OWNER)
    await outbox.take(told(whole("Account", ACCOUNT, refs=owned_by()), "out"))
    await outbox.synced("Contact", CONTACT, refs=owned_by(account=ACCOUNT))
    await outbox.take(told(row("Account", ACCOUNT, NOON_S + 9, {"Name": "A"}, refs=owned_by()), "in"))
    assert await outbox.to_read() == {("Contact", CONTACT): "its Account entered its filter"}


async def test_what_leaves_before_it_was_sent_is_forgotten_at_once(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT))
    await outbox.take(told(event("Contact", CONTACT, {"Sync__c": False}, commit_ms=NOON + SECOND), "out"))
    assert await outbox.store.backlog() == {}
    assert await state_of(outbox) == "excluded"


async def test_what_leaves_in_flight_goes_out_as_deleted_and_is_excluded_then(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT))
    flying = await outbox.claim("Contact")
    await outbox.take(told(event("Contact", CONTACT, {"Sync__c": False}, commit_ms=NOON + SECOND), "out"))
    await outbox.ack(flying, marketo_id="7")
    claimed = await outbox.claim("Contact", "delete")
    assert claimed.entry.pending.left
    await outbox.ack(claimed, state="excluded", removed=True, forget_marketo_id=True)
    assert await outbox.store.backlog() == {}
    assert await state_of(outbox) == "excluded"


async def test_a_filter_that_was_changed_lets_go_what_is_unchanged(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT)
    await outbox.take(told(row("Contact", CONTACT, NOON_S + 60), "out"))
    assert (await outbox.claim("Contact", "delete")).entry.pending.left


async def test_what_changed_while_it_was_read_outside_is_read_again(outbox: Outbox) -> None:
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}))
    (entry,) = await outbox.reads("Contact")
    await outbox.take(told(event("Contact", CONTACT, {"Sync__c": True}, commit_ms=NOON + SECOND), "perhaps"))
    outside = told(row("Contact", CONTACT, NOON_S), "out")
    await outbox.store.settle_reads({entry.entry_id: ReadResult(outside)}, outbox.now_ms)
    assert await outbox.to_read() == {("Contact", CONTACT): "changed while it was read"}


@pytest.mark.parametrize(("news", "side"), [({"Sync__c": False}, "out"), ({"Title": "new"}, "same")])
@pytest.mark.parametrize("after_ms", [0, SECOND])
async def test_what_is_outside_and_changed_while_it_was_read_inside_is_read_again(
    outbox: Outbox, news: dict[str, object], side: str, after_ms: int
) -> None:
    await outbox.take(told(whole("Contact", CONTACT), "out"))
    await outbox.take(told(event("Contact", CONTACT, commit_ms=NOON + SECOND, read="gap"), "perhaps"))
    (entry,) = await outbox.reads("Contact")
    await outbox.take(told(event("Contact", CONTACT, news, commit_ms=NOON + SECOND + after_ms, transaction="next"), side))
    inside = told(row("Contact", CONTACT, NOON_S + 1, {"Sync__c": True, "Title": "old"}), "in")
    await outbox.store.settle_reads({entry.entry_id: ReadResult(inside)}, outbox.now_ms)
    assert await outbox.ready() == []
    assert await outbox.to_read() == {("Contact", CONTACT): "changed while it was read"}
