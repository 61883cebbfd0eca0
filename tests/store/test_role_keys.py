"""Under which keys a contact role perhaps stands in Marketo, above all while the person in them is merged into another."""

from __future__ import annotations

import pytest

from tests.store.outbox_steps import CONTACT, OPPORTUNITY, OWNER, ROLE, Outbox, owned_by, sf_id

SECOND_ROLE = sf_id("OpportunityContactRole", 2)


def key(person: int, name: str = "Buyer") -> str:
    """A role's key in Marketo, as text."""
    return f'["{OPPORTUNITY}",{person},"{name}"]'


async def roles(outbox: Outbox, **sent: int) -> None:
    """Contact roles that were sent under their persons' keys."""
    refs = {"opportunity": OPPORTUNITY, "contact": CONTACT}
    await outbox.synced("User", OWNER)
    await outbox.synced("Opportunity", OPPORTUNITY, refs=owned_by())
    await outbox.synced("Contact", CONTACT, refs=owned_by(), marketo_id="17")
    for role, person in sent.items():
        await outbox.synced("OpportunityContactRole", role, {"Role": "Buyer"}, refs=refs, sent_key=key(person))


async def test_the_key_it_had_is_an_old_one_until_it_is_said_to_be_gone(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17})
    assert await outbox.store.intend_keys({ROLE: key(17)}) == {}
    assert await outbox.store.intend_keys({ROLE: key(17, "User")}) == {ROLE: [key(17)]}
    assert await outbox.store.intend_keys({ROLE: key(18, "User")}) == {ROLE: [key(17), key(17, "User")]}
    await outbox.store.forget_role_keys({ROLE: [key(17)]})
    assert await outbox.store.old_role_keys({ROLE: key(18, "User")}) == {ROLE: [key(17, "User")]}
    await outbox.store.forget_role_keys({ROLE: [key(17, "User")]})
    assert await outbox.store.old_role_keys({ROLE: key(18, "User")}) == {}


async def test_once_more_under_an_old_key_it_is_no_old_one_any_more(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17})
    await outbox.store.intend_keys({ROLE: key(18)})
    assert await outbox.store.intend_keys({ROLE: key(17)}) == {ROLE: [key(18)]}


async def test_what_is_noted_while_old_ones_are_deleted_stays(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17})
    old = await outbox.store.intend_keys({ROLE: key(17, "User")})
    await outbox.store.intend_merge("20", ["17"])
    assert await outbox.store.forget_role_keys(old) == {ROLE: [key(20), key(20, "User")]}
    assert await outbox.store.old_role_keys({ROLE: key(17, "User")}) == {ROLE: [key(20), key(20, "User")]}


@pytest.mark.parametrize("order", ["sent intended merged", "intended sent merged", "intended merged sent"])
async def test_whenever_it_is_sent_the_role_that_a_merge_moves_is_found(outbox: Outbox, order: str) -> None:
    """Sent as User before, while or after its person is merged: it leaves nothing under either person."""
    await roles(outbox, **{ROLE: 17})
    for step in order.split():
        if step == "sent":
            await outbox.store.intend_keys({ROLE: key(17, "User")})
        elif step == "intended":
            await outbox.store.intend_merge("20", ["17"])
        else:
            await outbox.store.merge_people("20", ["17"], outbox.now_ms)
    old = (await outbox.store.intend_keys({ROLE: key(20, "Decider")}))[ROLE]
    could_move = {key(20), key(20, "User")} if order.endswith("merged") else {key(20)}
    assert set(old) == {key(17), key(17, "User")} | could_move


async def test_who_is_merged_away_comes_before_whom_it_is_merged_into(outbox: Outbox) -> None:
    """Deleted the other way round, a role could move from the one to the other in between."""
    await roles(outbox, **{ROLE: 20})
    await outbox.store.intend_keys({ROLE: key(17, "User")})
    await outbox.store.intend_merge("20", ["17"])
    await outbox.store.intend_merge("30", ["20"])
    old = (await outbox.store.intend_keys({ROLE: key(40, "Decider")}))[ROLE]
    people = [int(each.split(",")[1]) for each in old]
    assert people == sorted(people)
    assert {key(person, "User") for person in (17, 20, 30)} | {key(20), key(30)} == set(old)


async def test_intentions_that_contradict_each_other_end(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17})
    await outbox.store.intend_merge("20", ["17"])
    await outbox.store.intend_merge("17", ["20"])
    assert set((await outbox.store.intend_keys({ROLE: key(17, "User")}))[ROLE]) == {key(17), key(20), key(20, "User")}


async def test_roles_of_others_are_left_alone(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17, SECOND_ROLE: 18})
    await outbox.store.intend_merge("20", ["17"])
    await outbox.store.merge_people("20", ["17"], outbox.now_ms)
    assert await outbox.store.old_role_keys({SECOND_ROLE: key(18)}) == {}
    assert await outbox.store.old_role_keys({ROLE: key(20)}) == {ROLE: [key(17)]}


async def test_once_merged_the_intention_is_over(outbox: Outbox) -> None:
    await roles(outbox, **{ROLE: 17})
    await outbox.store.intend_meeting("20", ["17"])
    assert await outbox.store.note("merging:17") is not None
    await outbox.store.meet_people("20", ["17"], outbox.now_ms)
    assert await outbox.store.note("merging:17") is None
