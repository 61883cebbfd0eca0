"""What the store makes of people who were merged or deleted in Marketo."""

from __future__ import annotations

from store.model import PERSON_GONE, Key, Record
from store.rows import record_row
from tests.store.outbox_steps import CONTACT, LEAD, SECOND, Outbox, event, row, sf_id


async def refused_as_gone(outbox: Outbox, marketo_id: str = "17") -> None:
    """A contact's update was refused because its person is not there; it waits to hear why."""
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id=marketo_id, filled=frozenset({"lastName"}))
    await outbox.take(event("Contact", CONTACT, {"Title": "CEO"}, commit_ms=outbox.now_ms))
    claimed = await outbox.claim("Contact")
    await outbox.retry(claimed, outbox.now_ms + 120 * SECOND, code=PERSON_GONE, counted=True)
    assert await outbox.ready() == []


async def test_who_waits_to_hear_of_a_merge_is_read_and_sent_at_once(outbox: Outbox) -> None:
    await refused_as_gone(outbox)
    assert await outbox.store.merge_people("99", ["17", "18"], outbox.now_ms) == 1
    assert ("Contact", CONTACT) in await outbox.to_read()
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, record.joined, record.state) == ("99", "99", "synced")
    assert record.known == {}, "what the old person had is not what the new one has"


async def test_who_waits_to_hear_of_a_deletion_is_tried_at_once(outbox: Outbox) -> None:
    await refused_as_gone(outbox)
    assert await outbox.store.forget_people(["17"], outbox.now_ms) == 1
    assert await outbox.ready() == [("Contact", CONTACT)]
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, record.state, record.filled) == (None, "seen", frozenset())


async def test_nobody_is_touched_who_stands_behind_another_person(outbox: Outbox) -> None:
    await refused_as_gone(outbox)
    assert await outbox.store.merge_people("98", ["97"], outbox.now_ms) == 0
    assert await outbox.store.forget_people(["98"], outbox.now_ms) == 0
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, record.joined) == ("17", None)


async def test_both_sides_of_a_merge_stay_together_and_a_later_one_moves_them_all(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="17")
    await outbox.synced("Lead", LEAD, {"LastName": "Lee"}, marketo_id="18")
    assert await outbox.store.merge_people("18", ["17"], outbox.now_ms) == 1
    assert [(await outbox.record(*key)).joined for key in (("Contact", CONTACT), ("Lead", LEAD))] == ["18", "18"]
    assert await outbox.store.merge_people("20", ["18"], outbox.now_ms) == 2
    assert [(await outbox.record(*key)).joined for key in (("Contact", CONTACT), ("Lead", LEAD))] == ["20", "20"]


async def test_a_row_that_says_nothing_new_brings_nobody_back(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="17")
    await outbox.store.forget_people(["17"], outbox.now_ms)
    second = outbox.now_ms // SECOND + 5
    assert (await outbox.take(row("Contact", CONTACT, second, {"LastName": "Lee"}))).applied == 0
    assert (await outbox.take(row("Contact", CONTACT, second, {"LastName": "Li"}))).applied == 1


async def test_who_were_merged_by_us_for_one_email_are_not_joined_for_good_even_if_the_feed_tells_first(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="17")
    await outbox.synced("Lead", LEAD, {"LastName": "Lee"}, marketo_id="18")
    await outbox.store.intend_meeting("17", ["18"])
    assert await outbox.store.merge_people("17", ["18"], outbox.now_ms) == 1
    records = [await outbox.record(*key) for key in (("Contact", CONTACT), ("Lead", LEAD))]
    assert [(record.marketo_id, record.joined) for record in records] == [("17", None), ("17", None)]
    assert set(await outbox.to_read()) == {("Contact", CONTACT), ("Lead", LEAD)}  # the contact answers for what the lead had
    assert await outbox.store.note("met:18") is None
    assert await outbox.store.meet_people("17", ["18"], outbox.now_ms) == 0


async def test_an_intention_is_for_its_own_winner_only(outbox: Outbox) -> None:
    await outbox.synced("Lead", LEAD, {"LastName": "Lee"}, marketo_id="18")
    await outbox.store.intend_meeting("17", ["18"])
    assert await outbox.store.merge_people("99", ["18"], outbox.now_ms) == 1
    assert (await outbox.record("Lead", LEAD)).joined == "99"


async def test_who_were_joined_before_stay_so_when_they_meet_a_third(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="16")
    await outbox.synced("Lead", LEAD, {"LastName": "Lee"}, marketo_id="17")
    await outbox.store.merge_people("17", ["16"], outbox.now_ms)
    await outbox.store.meet_people("20", ["17"], outbox.now_ms)
    assert [(await outbox.record(*key)).joined for key in (("Contact", CONTACT), ("Lead", LEAD))] == ["20", "20"]


async def test_who_shares_a_person_is_told_from_who_has_it_alone(outbox: Outbox) -> None:
    contact: Key = ("Contact", CONTACT)
    lead: Key = ("Lead", LEAD)
    other: Key = ("Lead", sf_id("Lead", 9))
    await outbox.synced(*contact, {"LastName": "Lee"}, marketo_id="17")
    await outbox.synced(*lead, {"LastName": "Lee"}, marketo_id="17")
    await outbox.synced(*other, {"LastName": "Ito"}, marketo_id="18")
    shared = outbox.store.shared
    found = await shared([("17", contact), ("17", lead), ("18", other), ("19", other)])
    assert (list(found), sorted(record.key for record in found["17"])) == (["17"], [contact, lead])
    comes = await shared([("18", contact)])
    assert [record.key for record in comes["18"]] == [other], "one alone is somebody else for whoever comes to it"
    await outbox.store.submit(lambda tx: tx.run_many("put_record", [record_row(Record(*lead, state="deleted", marketo_id="17"))]))
    assert await shared([("17", contact)]) == {}, "a gone one shares with nobody"
