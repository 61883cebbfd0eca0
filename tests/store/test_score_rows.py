"""What was written to Salesforce for each person is remembered, and found again by Marketo id."""

from __future__ import annotations

from store.model import Key
from store.scores import TOGETHER_MS, ScoreRow
from stream.score_diff import difference, intended
from tests.store.outbox_steps import CONTACT, LEAD, NOON, Outbox, event, gone, sf_id

PERSON: Key = ("Contact", CONTACT)
OTHER: Key = ("Lead", LEAD)


async def two_people(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, marketo_id="7", created="2020-01-01T00:00:00.000Z")
    await outbox.synced("Lead", LEAD, marketo_id="7", created="2019-01-01T00:00:00.000Z")


async def test_what_was_written_is_found_again(outbox: Outbox) -> None:
    await two_people(outbox)
    row = ScoreRow(("Contact", CONTACT), {"Priority__c": 12.0, "Last__c": None}, attempts=2, due_ms=5, stopped="")
    known = (await outbox.store.last_written([PERSON, OTHER])).values()
    await outbox.store.remember_scores([row, ScoreRow(("Lead", LEAD), None)], list(known))
    assert await outbox.store.last_written([("Contact", CONTACT), ("Lead", LEAD), ("Lead", sf_id("Lead", 9))]) == {
        ("Contact", CONTACT): row,
        ("Lead", LEAD): ScoreRow(("Lead", LEAD), None),
    }


async def test_all_who_share_a_person_get_its_scores_the_contact_first(outbox: Outbox) -> None:
    await two_people(outbox)
    people = sorted(await outbox.store.people(["7", "8"]), key=lambda person: person.primary_order)
    assert [(person.key, person.marketo_id) for person in people] == [(PERSON, "7"), (OTHER, "7")]


async def test_who_is_gone_gets_none(outbox: Outbox) -> None:
    await two_people(outbox)
    await outbox.take(gone("Lead", LEAD, commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Lead", "delete"), state="deleted", forget_marketo_id=True)
    assert [person.key for person in await outbox.store.people(["7"])] == [PERSON]


async def test_the_sweep_passes_every_person_once(outbox: Outbox) -> None:
    ids = ["10", "2", "33", "7"]
    for number, marketo_id in enumerate([*ids, "7"], start=1):
        await outbox.synced("Contact", sf_id("Contact", number), marketo_id=marketo_id)
    found: list[str] = []
    while page := await outbox.store.ids_after(found[-1] if found else "", 2):
        found += page
    assert found == sorted(ids)
    assert await outbox.store.count_people() == len(ids)


async def test_a_write_that_is_due_again_comes_when_it_is_due(outbox: Outbox) -> None:
    await two_people(outbox)
    await outbox.store.remember_scores([ScoreRow(("Contact", CONTACT), None, attempts=1, due_ms=NOON)])
    assert await outbox.store.next_score_due() == NOON
    assert await outbox.store.ids_due(NOON - 1, 10) == []
    assert await outbox.store.ids_due(NOON, 10) == ["7"]


async def test_a_refused_write_is_a_dead_letter_of_its_own(outbox: Outbox) -> None:
    """It stands beside the record's delivery, and does not hold it up."""
    await two_people(outbox)
    await outbox.store.bury_score(("Contact", CONTACT), code="X", cause="refused", cure="mend", attempts=8, now_ms=NOON)
    await outbox.store.remember_scores([ScoreRow(("Contact", CONTACT), None, attempts=8, stopped="X")])
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}, commit_ms=NOON + 1))
    assert await outbox.ready() == [PERSON]
    letters = await outbox.store.dead_letters()
    assert [(each.flow, each.id, each.attempts) for each in letters] == [("scores", CONTACT, 8)]
    assert await outbox.store.retry_dead(letters, NOON + 5) == 1
    assert await outbox.store.count_dead() == 0
    assert await outbox.store.last_written([("Contact", CONTACT)]) == {
        ("Contact", CONTACT): ScoreRow(("Contact", CONTACT), None, due_ms=NOON + 5)
    }
    assert await outbox.store.ids_due(NOON + 5, 10) == ["7"]


async def test_who_comes_to_a_person_is_looked_at_and_who_is_new_there_or_was_there_before_is_not(outbox: Outbox) -> None:
    """What Marketo creates, it tells of itself."""
    new, old = sf_id("Contact", 1), sf_id("Contact", 2)
    await outbox.take(event("Contact", new, {"LastName": "A"}, whole=True, commit_ms=NOON))
    await outbox.ack(await outbox.claim("Contact"), marketo_id="5", did="created")
    assert await outbox.store.next_score_due() is None
    await outbox.synced("Contact", old, marketo_id="6")
    due = await outbox.store.next_score_due()
    assert due is not None
    assert outbox.now_ms < due <= outbox.now_ms + TOGETHER_MS
    assert await outbox.store.ids_due(due, 10) == ["6"]
    await outbox.store.remember_scores([ScoreRow(("Contact", old), {})], [ScoreRow(("Contact", old), None, due_ms=due)])
    await outbox.take(event("Contact", old, {"Title": "x"}, commit_ms=NOON + 5))
    await outbox.ack(await outbox.claim("Contact"), marketo_id="6")
    assert await outbox.store.next_score_due() is None


async def test_scores_that_salesforce_copied_in_a_conversion_are_written_over_even_with_nothing(outbox: Outbox) -> None:
    await two_people(outbox)
    await outbox.store.remember_scores([ScoreRow(OTHER, {"Priority__c": 9.0, "Urgency__c": None})])
    await outbox.store.remember_scores([ScoreRow(PERSON, {"Relative__c": 1.0})])
    await outbox.store.finish([], outbox.now_ms, successors=[(OTHER, PERSON)])
    row = (await outbox.store.last_written([PERSON]))[PERSON]
    assert row.due_ms > outbox.now_ms
    now = {"Priority__c": None, "Urgency__c": None, "Relative__c": 1.0}
    assert difference(now, row.written) == {"Priority__c": None, "Urgency__c": None}


async def test_what_was_asked_for_during_a_write_is_not_forgotten_by_its_end(outbox: Outbox) -> None:
    await two_people(outbox)
    await outbox.store.remember_scores([ScoreRow(OTHER, {"Priority__c": 9.0})], [ScoreRow(OTHER, None)])
    before = ScoreRow(PERSON, {"Relative__c": 1.0})
    known = list((await outbox.store.last_written([PERSON])).values())
    await outbox.store.remember_scores([before], known)
    under_way = ScoreRow(PERSON, intended({"Relative__c": 2.0}, before.written))
    await outbox.store.remember_scores([under_way], [before])
    await outbox.store.finish([], outbox.now_ms, successors=[(OTHER, PERSON)])
    await outbox.store.remember_scores([ScoreRow(PERSON, {"Relative__c": 2.0, "Priority__c": None})], [under_way])
    row = (await outbox.store.last_written([PERSON]))[PERSON]
    assert row.due_ms > outbox.now_ms
    assert difference({"Relative__c": 2.0, "Priority__c": None}, row.written) == {"Priority__c": None}


async def test_who_came_back_meanwhile_does_not_stop_again(outbox: Outbox) -> None:
    await two_people(outbox)
    stopped = ScoreRow(PERSON, None, attempts=3, due_ms=1, stopped="ENTITY_IS_DELETED")
    await outbox.store.remember_scores([stopped])
    before = list((await outbox.store.last_written([PERSON])).values())
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}, commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Contact"), marketo_id="7")
    await outbox.store.remember_scores([ScoreRow(PERSON, None, 3, 0, "ENTITY_IS_DELETED")], before)
    row = (await outbox.store.last_written([PERSON]))[PERSON]
    assert (row.stopped, row.attempts) == ("", 0)
    assert row.due_ms > outbox.now_ms
