"""An entry's life: taken, in flight, acknowledged, put back, dead; and nothing lost on the way."""

from __future__ import annotations

from store.digests import digests
from store.intake import ReadResult
from store.model import WAITS_FOR_ROOM, Ack, Change, Covered, Dead, HandOver, Key, Replay, Retry, Unreadable
from store.outbox import recover
from tests.store.outbox_steps import ACCOUNT, CONTACT, LEAD, NOON, SECOND, Outbox, event, gone, row, sf_id, whole

NOON_S = NOON // SECOND


# ── one open entry for each record


async def test_changes_of_a_record_go_out_as_one(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme", "Phone": "1"}))
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 1))
    await outbox.take(event("Account", ACCOUNT, {"Site": "HQ"}, commit_ms=NOON + 2))
    claimed = await outbox.claim("Account")
    assert claimed.entry.pending.fields == {"Name": "Acme", "Phone": "2", "Site": "HQ"}
    assert claimed.entry.pending.first_commit_ms == NOON


async def test_the_same_event_again_changes_nothing(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme"})
    taken = await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    assert (taken.applied, taken.dropped) == (0, 1)
    assert await outbox.ready() == []
    assert await outbox.to_read() == {}


async def test_a_redelivered_day_never_turns_a_field_back(outbox: Outbox) -> None:
    day = [
        whole("Account", ACCOUNT, {"Name": "first"}, commit_ms=NOON, transaction="a"),
        event("Account", ACCOUNT, {"Name": "second"}, commit_ms=NOON, transaction="b"),
        event("Account", ACCOUNT, {"Name": "third"}, commit_ms=NOON, transaction="b", sequence=4),
    ]
    for change in day:
        await outbox.take(change)
    claimed = await outbox.claim("Account")
    await outbox.ack(claimed)
    assert claimed.entry.pending.fields == {"Name": "third"}
    for change in day[1:]:
        await outbox.take(change)
    assert await outbox.ready() == []


async def test_only_what_nobody_maps_needs_no_delivery(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme"})
    await outbox.take(event("Account", ACCOUNT, {}, commit_ms=NOON + 1, relevant=False))
    assert await outbox.ready() == []


async def test_an_unknown_record_is_read_even_if_nothing_mapped_changed(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, {}, relevant=False))
    assert await outbox.to_read() == {("Account", ACCOUNT): "first time in Marketo"}


async def test_a_part_of_an_unknown_record_is_read_first_and_sent_whole(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}))
    assert await outbox.ready() == []
    await outbox.read(row("Account", ACCOUNT, NOON_S + 9, {"Name": "Acme", "Phone": "2"}))
    claimed = await outbox.claim("Account")
    assert (claimed.entry.pending.fields, claimed.entry.pending.whole) == ({"Name": "Acme", "Phone": "2"}, True)


# ── in flight


async def test_a_change_during_the_flight_goes_out_next(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme", "Phone": "1"}))
    flying = await outbox.claim("Account")
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 1))
    assert await outbox.claims("Account") == [], "never twice in flight"
    await outbox.ack(flying)
    assert (await outbox.claim("Account")).entry.pending.fields == {"Phone": "2"}


async def test_what_goes_back_keeps_what_was_sent_and_what_came_meanwhile(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme", "Phone": "1"}))
    flying = await outbox.claim("Account")
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 1))
    due_ms = outbox.now_ms + 30 * SECOND
    await outbox.retry(flying, due_ms)
    assert await outbox.claims("Account") == [], "not before it is due"
    assert await outbox.store.next_due() == due_ms
    assert await outbox.store.due_kinds(due_ms - 1) == set()
    assert await outbox.store.due_kinds(due_ms) == {("Account", "upsert", 0)}
    assert await outbox.store.due_kinds(due_ms, (1,)) == set()
    outbox.now_ms = due_ms
    assert (await outbox.claim("Account")).entry.pending.fields == {"Name": "Acme", "Phone": "2"}


async def test_only_a_refusal_of_the_record_counts_as_an_attempt(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT))
    await outbox.retry(await outbox.claim("Account"), outbox.now_ms, counted=False)
    await outbox.retry(await outbox.claim("Account"), outbox.now_ms, counted=True)
    claimed = await outbox.claim("Account")
    assert (claimed.entry.attempts, claimed.entry.tries) == (1, 2)


async def test_a_refused_record_waits_as_a_dead_letter_until_it_changes(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme", "Phone": "x"}))
    await outbox.bury(await outbox.claim("Account"))
    letter = (await outbox.store.dead_letters())[0]
    assert (letter.object, letter.id, letter.code, letter.attempts) == ("Account", ACCOUNT, "1003", 1)
    assert letter.since == outbox.now_ms / 1000
    assert await outbox.ready() == []
    taken = await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 1))
    assert taken.revived == 1
    claimed = await outbox.claim("Account")
    assert claimed.entry.pending.fields == {"Name": "Acme", "Phone": "1"}
    assert (claimed.entry.attempts, claimed.entry.code) == (0, "")


async def test_a_refused_record_that_changed_meanwhile_is_sent_again_at_once(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme", "Phone": "x"}))
    flying = await outbox.claim("Account")
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 1))
    await outbox.bury(flying)
    assert await outbox.store.count_dead() == 0
    assert (await outbox.claim("Account")).entry.pending.fields == {"Name": "Acme", "Phone": "1"}


async def test_a_batch_waits_to_fill_and_no_longer(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT), whole("Account", sf_id("Account", 2)))
    ask = {"now_ms": outbox.now_ms, "linger_ms": 10 * SECOND}
    assert await outbox.store.claim("Account", "upsert", most=3, **ask) == []
    assert len(await outbox.store.claim("Account", "upsert", most=2, **ask)) == 2


async def test_a_batch_that_lingered_goes_unfilled(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT))
    later = {"now_ms": outbox.now_ms + 10 * SECOND, "linger_ms": 10 * SECOND}
    assert len(await outbox.store.claim("Account", "upsert", most=300, **later)) == 1


# ── deletes


async def test_a_delete_supersedes_what_was_to_be_sent(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(event("Account", ACCOUNT, {"Name": "x"}, commit_ms=NOON + 1), gone("Account", ACCOUNT, commit_ms=NOON + 2))
    assert await outbox.claims("Account") == []
    await outbox.ack(await outbox.claim("Account", "delete"), state="deleted")
    assert (await outbox.record("Account", ACCOUNT)).state == "deleted"


async def test_a_delete_during_the_flight_follows_it(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT))
    flying = await outbox.claim("Account")
    await outbox.take(gone("Account", ACCOUNT, commit_ms=NOON + 1))
    await outbox.ack(flying)
    claimed = await outbox.claim("Account", "delete")
    assert claimed.record.state == "synced"


async def test_a_delete_after_a_send_of_unknown_end_first_makes_sure_of_it(outbox: Outbox) -> None:
    """Marketo may have created what the lost answer was about: without its id nothing could be deleted there."""
    await outbox.take(whole("Contact", CONTACT))
    await outbox.claim("Contact")
    await outbox.take(gone("Contact", CONTACT, commit_ms=NOON + 1))
    await outbox.close()
    await outbox.open()
    await outbox.store.recover(outbox.now_ms, 0)
    again = await outbox.claim("Contact")
    await outbox.ack(again, marketo_id="77")
    deleting = await outbox.claim("Contact", "delete")
    assert deleting.record.marketo_id == "77"


async def test_a_delete_after_a_refusal_sends_nothing_more(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT))
    flying = await outbox.claim("Contact")
    await outbox.take(gone("Contact", CONTACT, commit_ms=NOON + 1))
    await outbox.retry(flying, outbox.now_ms, counted=True, code="1029")
    assert await outbox.claims("Contact") == []
    assert len(await outbox.claims("Contact", "delete")) == 1


async def test_what_came_back_from_the_recycle_bin_is_read_whole(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(gone("Account", ACCOUNT, commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Account", "delete"), state="deleted")
    await outbox.take(event("Account", ACCOUNT, read="undeleted", commit_ms=NOON + 2))
    assert await outbox.to_read() == {("Account", ACCOUNT): "undeleted"}
    await outbox.read(row("Account", ACCOUNT, NOON_S, {"Name": "Acme"}))
    claimed = await outbox.claim("Account")
    assert (claimed.entry.pending.whole, claimed.record.in_marketo) == (True, False)


async def test_deleted_again_before_it_was_back(outbox: Outbox) -> None:
    """Polled objects bring no events: a row that says deleted counts, although the record was deleted once before."""
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(Change("Account", ACCOUNT, kind="delete", read_s=NOON_S + 1))
    await outbox.ack(await outbox.claim("Account", "delete"), state="deleted")
    await outbox.take(row("Account", ACCOUNT, NOON_S + 2, {"Name": "Acme"}))
    await outbox.take(Change("Account", ACCOUNT, kind="delete", read_s=NOON_S + 3))
    assert await outbox.claims("Account") == []


# ── reads


async def test_a_change_while_it_was_read_goes_on_top(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}))
    entry = (await outbox.reads("Account"))[0]
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 9 * SECOND))
    read = row("Account", ACCOUNT, NOON_S, {"Name": "Acme", "Phone": "1"})
    await outbox.store.settle_reads({entry.entry_id: ReadResult(read)}, outbox.now_ms)
    assert (await outbox.claim("Account")).entry.pending.fields == {"Name": "Acme", "Phone": "2"}


async def test_a_change_in_the_second_of_the_read_is_read_again(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}))
    entry = (await outbox.reads("Account"))[0]
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 5))
    await outbox.store.settle_reads({entry.entry_id: ReadResult(row("Account", ACCOUNT, NOON_S))}, outbox.now_ms)
    assert await outbox.claims("Account") == []
    assert await outbox.to_read() == {("Account", ACCOUNT): "changed while it was read"}


async def test_a_value_that_went_and_came_back_in_the_dark_is_seen_by_the_next_sweep(outbox: Outbox) -> None:
    """Read A, then an event said B; the event that said A again was lost. The sweep's row equals what was read, and is news."""
    await outbox.take(event("Account", ACCOUNT, read="gap"))
    entry = (await outbox.reads("Account"))[0]
    await outbox.take(event("Account", ACCOUNT, {"Name": "B"}, commit_ms=NOON + 9 * SECOND))
    await outbox.store.settle_reads({entry.entry_id: ReadResult(row("Account", ACCOUNT, NOON_S, {"Name": "A"}))}, outbox.now_ms)
    await outbox.ack(await outbox.claim("Account"))
    await outbox.take(row("Account", ACCOUNT, NOON_S + 20, {"Name": "A"}))
    assert (await outbox.claim("Account")).entry.pending.fields == {"Name": "A"}


async def test_a_row_queried_before_the_last_event_does_not_turn_a_field_back(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "old"})
    await outbox.take(event("Account", ACCOUNT, {"Name": "new"}, commit_ms=NOON + 9 * SECOND))
    await outbox.ack(await outbox.claim("Account"))
    await outbox.take(row("Account", ACCOUNT, NOON_S, {"Name": "old"}))
    assert await outbox.claims("Account") == []
    assert await outbox.to_read() == {("Account", ACCOUNT): "events out of order"}
    await outbox.read(row("Account", ACCOUNT, NOON_S + 9, {"Name": "new"}))
    assert await outbox.store.backlog() == {}, "Marketo has it already"


async def test_what_is_gone_and_never_was_in_marketo_is_done(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, read="gap"))
    entry = (await outbox.reads("Account"))[0]
    await outbox.store.settle_reads({entry.entry_id: ReadResult(gone=True)}, outbox.now_ms)
    assert await outbox.store.backlog() == {}
    assert (await outbox.record("Account", ACCOUNT)).state == "deleted"


async def test_what_is_gone_from_salesforce_goes_from_marketo(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(event("Account", ACCOUNT, read="gap", commit_ms=NOON + 1))
    entry = (await outbox.reads("Account"))[0]
    await outbox.store.settle_reads({entry.entry_id: ReadResult(gone=True)}, outbox.now_ms)
    assert len(await outbox.claims("Account", "delete")) == 1


async def test_what_cannot_be_seen_says_so_and_can_be_tried_again(outbox: Outbox) -> None:
    await outbox.take(event("Account", ACCOUNT, read="gap"))
    entry = (await outbox.reads("Account"))[0]
    await outbox.store.settle_reads({entry.entry_id: ReadResult()}, outbox.now_ms)
    letters = await outbox.store.dead_letters()
    assert [(each.code, each.id) for each in letters] == [("UNREADABLE_RECORD", ACCOUNT)]
    assert letters[0].since == outbox.now_ms / 1000
    assert await outbox.store.retry_dead(letters, outbox.now_ms) == 1
    assert await outbox.to_read() == {("Account", ACCOUNT): "gap"}


# ── the end of a run


async def test_what_was_in_flight_when_the_process_died_goes_again(outbox: Outbox) -> None:
    other = sf_id("Account", 2)
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}), event("Account", other, read="gap"))
    await outbox.claim("Account")
    await outbox.reads("Account")
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 1))
    await outbox.close()
    await outbox.open()
    assert await outbox.ready() == []
    assert await outbox.store.recover(outbox.now_ms, 5 * SECOND) == 2
    assert (await outbox.claim("Account")).entry.pending.fields == {"Name": "Acme", "Phone": "2"}
    assert await outbox.to_read() == {("Account", other): "gap"}


async def test_a_person_who_may_just_have_been_created_waits_until_marketo_is_done(outbox: Outbox) -> None:
    await outbox.synced("Lead", LEAD, marketo_id="7")
    await outbox.take(whole("Contact", CONTACT), event("Lead", LEAD, {"Title": "x"}, commit_ms=NOON + 1))
    await outbox.claim("Contact")
    await outbox.claim("Lead")
    await outbox.store.recover(outbox.now_ms, 5 * SECOND)
    assert await outbox.ready() == [("Lead", LEAD)]
    outbox.now_ms += 5 * SECOND
    assert await outbox.ready() == [("Contact", CONTACT), ("Lead", LEAD)]


async def test_nothing_of_a_person_that_another_record_carries_is_in_doubt(outbox: Outbox) -> None:
    alone = sf_id("Lead", 2)
    people: tuple[tuple[Key, str], ...] = ((("Contact", CONTACT), "7"), (("Lead", LEAD), "7"), (("Lead", alone), "8"))
    for key, marketo_id in people:
        await outbox.synced(*key, marketo_id=marketo_id)
        await outbox.take(event(*key, {"Title": "x"}, commit_ms=NOON + 1))
    await outbox.claims("Contact")
    await outbox.claims("Lead")
    await outbox.store.recover(outbox.now_ms, 0)
    again = [*await outbox.claims("Contact"), *await outbox.claims("Lead")]
    assert {each.entry.record_id: set(each.entry.pending.doubt) for each in again} == {
        CONTACT: {"Title"},
        LEAD: set(),
        alone: {"Title"},
    }


async def test_recovering_twice_is_recovering_once(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT))
    await outbox.claim("Account")
    assert await outbox.store.recover(outbox.now_ms, 0) == 1
    assert await outbox.store.submit(lambda tx: recover(tx, outbox.now_ms, 0)) == 0


async def test_at_the_end_what_is_being_read_goes_back_with_what_came_meanwhile_and_what_is_sent_does_not(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(Change("Account", ACCOUNT, read="a gap"), whole("Contact", CONTACT))
    (asked,) = await outbox.reads("Account")
    sent = await outbox.claim("Contact")
    await outbox.take(event("Account", ACCOUNT, {"Name": "Later"}, commit_ms=NOON + 1))
    await outbox.store.beat(dict, ended_ms=outbox.now_ms)
    assert await outbox.to_read() == {("Account", ACCOUNT): "a gap"}
    (again,) = await outbox.reads("Account")
    assert (again.entry_id, again.tries, again.pending.fields) == (asked.entry_id, asked.tries, {"Name": "Later"})
    assert [row["record_id"] for row in await outbox.rows("in_flight")] == [ACCOUNT, sent.entry.record_id]


# ── what is remembered


async def test_what_marketo_holds_from_us_is_remembered(outbox: Outbox) -> None:
    await outbox.take(whole("Contact", CONTACT))
    await outbox.ack(await outbox.claim("Contact"), marketo_id="7", filled=frozenset({"phone", "city"}))
    await outbox.take(event("Contact", CONTACT, {"Phone": None}, commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Contact"), filled=frozenset({"title"}), emptied=frozenset({"phone"}))
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, sorted(record.filled)) == ("7", ["city", "title"])


async def test_a_person_gone_from_marketo_is_forgotten_and_read_again(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, marketo_id="7")
    await outbox.take(event("Contact", CONTACT, {"Title": "x"}, commit_ms=NOON + 1))
    await outbox.retry(await outbox.claim("Contact"), outbox.now_ms, forget_marketo_id=True, read="its person is gone")
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, record.state) == (None, "seen")
    assert await outbox.to_read() == {("Contact", CONTACT): "its person is gone"}


async def test_what_arrives_in_flight_of_somebody_new_may_need_no_room_and_does_not_wait_for_another_day(outbox: Outbox) -> None:
    """As where it arrives a moment later, while that one waits already."""
    tomorrow = outbox.now_ms + 86_400 * SECOND
    await outbox.take(whole("Lead", LEAD, {"LastName": "Lee"}))
    await outbox.retry(await outbox.claim("Lead"), tomorrow, code=WAITS_FOR_ROOM, tried=False)
    assert await outbox.ready() == [], "nothing new has arrived"
    await outbox.take(event("Lead", LEAD, {"Title": "CEO"}, commit_ms=NOON + 1))
    claimed = await outbox.claim("Lead")
    await outbox.take(gone("Lead", LEAD, commit_ms=NOON + 2))
    await outbox.retry(claimed, tomorrow, code=WAITS_FOR_ROOM, tried=False)
    assert await outbox.ready() == [("Lead", LEAD)]
    assert (await outbox.claim("Lead", "delete")).entry.code == ""


async def test_a_converted_leads_person_goes_to_the_contact(outbox: Outbox) -> None:
    await outbox.synced("Lead", LEAD, marketo_id="7", filled=frozenset({"city"}))
    await outbox.take(event("Lead", LEAD, {"IsConverted": True}, commit_ms=NOON + 1))
    claimed = await outbox.claim("Lead")
    handover = HandOver(("Lead", LEAD), ("Contact", CONTACT), "7", claimed.record.filled, "converted from a lead")
    ack = Ack(claimed.entry.entry_id, claimed.entry.key, state="converted", forget_marketo_id=True)
    assert await outbox.store.finish([ack], outbox.now_ms, handovers=[handover]) == []
    contact = await outbox.record("Contact", CONTACT)
    assert (contact.marketo_id, sorted(contact.filled)) == ("7", ["city"])
    assert (await outbox.record("Lead", LEAD)).marketo_id is None
    assert await outbox.to_read() == {("Contact", CONTACT): "converted from a lead"}


async def test_a_deleted_contact_answers_for_the_person_that_it_got_while_its_delete_was_in_flight(outbox: Outbox) -> None:
    """Else what it was merged into would not clear what the lead had filled."""
    await outbox.take(whole("Contact", CONTACT), gone("Contact", CONTACT, commit_ms=NOON + 1))
    claimed = await outbox.claim("Contact", "delete")
    handover = HandOver(("Lead", LEAD), ("Contact", CONTACT), "7", frozenset({"phone"}), "converted from a lead")
    await outbox.store.finish([], outbox.now_ms, handovers=[handover])
    await outbox.ack(claimed, state="deleted", why="never was in Marketo")
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, sorted(record.filled)) == ("7", ["phone"])
    assert await outbox.to_read() == {("Contact", CONTACT): "converted from a lead"}


async def test_a_contact_with_a_person_of_its_own_refuses_another(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, marketo_id="8")
    handover = HandOver(("Lead", LEAD), ("Contact", CONTACT), "7", frozenset(), "converted from a lead")
    assert await outbox.store.finish([], outbox.now_ms, handovers=[handover]) == [handover]
    assert (await outbox.record("Contact", CONTACT)).marketo_id == "8"


async def test_a_contact_answers_for_what_its_lead_was_perhaps_created_with(outbox: Outbox) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="7", filled=frozenset({"lastName"}))
    for filled, asked in ((frozenset({"lastName"}), {}), (frozenset({"title"}), {("Contact", CONTACT): "converted from a lead"})):
        handover = HandOver(("Lead", LEAD), ("Contact", CONTACT), None, filled, "converted from a lead")
        assert await outbox.store.finish([], outbox.now_ms, handovers=[handover]) == []
        assert await outbox.to_read() == asked
    record = await outbox.record("Contact", CONTACT)
    assert (record.marketo_id, sorted(record.filled)) == ("7", ["lastName", "title"])


# ── positions, requests, unreadable events


async def test_events_and_position_are_one(outbox: Outbox) -> None:
    await outbox.store.take([whole("Account", ACCOUNT)], Replay("/data/ChangeEvents", 7, NOON, NOON + 1), outbox.now_ms)
    await outbox.store.take([], Replay("/data/ChangeEvents", 9, 0, NOON + 2), outbox.now_ms)
    assert await outbox.store.replay("/data/ChangeEvents") == Replay("/data/ChangeEvents", 9, NOON, NOON + 2)


async def test_rows_and_what_is_complete_with_them_are_one(outbox: Outbox) -> None:
    complete = Covered("Account", 0.0, 7.0, "read")
    await outbox.store.take_rows([row("Account", ACCOUNT, NOON_S)], outbox.now_ms, covered=[complete], notes={"load:Account": 7})
    assert await outbox.store.intervals("Account") == [(0.0, 7.0, "read")]
    assert await outbox.store.note("load:Account") == 7
    await outbox.store.take_rows([], outbox.now_ms, notes={"load:Account": None})
    assert await outbox.store.note("load:Account") is None


async def test_an_event_nobody_understands_is_kept_whole(outbox: Outbox) -> None:
    unreadable = Unreadable("/data/ChangeEvents", 7, '{"payload":1}', "no header")
    for _ in range(2):
        await outbox.store.take([], Replay("/data/ChangeEvents", 7, 0, NOON), outbox.now_ms, unreadable=[unreadable])
    letters = await outbox.store.dead_letters()
    assert [(each.flow, each.code, each.cause) for each in letters] == [("capture", "UNREADABLE_EVENT", "no header")]
    assert await outbox.store.dead_content(letters[0].entry) == {"raw": {"payload": 1}}
    assert await outbox.store.retry_dead(letters, outbox.now_ms) == 0
    assert await outbox.store.drop_dead(letters, outbox.now_ms) == 1
    assert await outbox.store.count_dead() == 0


# ── dead letters in the operator's hands


async def test_a_dead_letter_tried_again_goes_out_as_it_was(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    await outbox.bury(await outbox.claim("Account"))
    letters = await outbox.store.dead_letters()
    assert (await outbox.store.dead_content(letters[0].entry))["fields"] == {"Name": "Acme"}
    assert await outbox.store.retry_dead(letters, outbox.now_ms) == 1
    claimed = await outbox.claim("Account")
    assert (claimed.entry.pending.fields, claimed.entry.attempts) == ({"Name": "Acme"}, 0)


async def test_what_came_to_life_since_the_list_was_shown_is_not_dropped(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    await outbox.bury(await outbox.claim("Account"))
    letters = await outbox.store.dead_letters()
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 1))
    flying = await outbox.claim("Account")
    assert await outbox.store.drop_dead(letters, outbox.now_ms) == 0
    assert await outbox.store.retry_dead(letters, outbox.now_ms) == 0
    await outbox.ack(flying)
    assert (await outbox.record("Account", ACCOUNT)).state == "synced"


async def test_a_dropped_record_that_changes_again_is_taken_up_again(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    await outbox.bury(await outbox.claim("Account"))
    await outbox.store.drop_dead(await outbox.store.dead_letters(), outbox.now_ms)
    assert (await outbox.record("Account", ACCOUNT)).state == "dropped"
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 1))
    assert await outbox.to_read() == {("Account", ACCOUNT): "first time in Marketo"}


async def test_a_dropped_update_of_a_synced_record_leaves_it_synced(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT)
    await outbox.take(event("Account", ACCOUNT, {"Phone": "x"}, commit_ms=NOON + 1))
    await outbox.bury(await outbox.claim("Account"))
    await outbox.store.drop_dead(await outbox.store.dead_letters(), outbox.now_ms)
    assert (await outbox.record("Account", ACCOUNT)).state == "synced"


async def test_outcomes_of_one_batch_stand_side_by_side(outbox: Outbox) -> None:
    ids = [sf_id("Account", number) for number in range(1, 4)]
    await outbox.take(*(whole("Account", each) for each in ids))
    first, second, third = await outbox.claims("Account")
    await outbox.store.finish(
        [
            Ack(first.entry.entry_id, first.entry.key),
            Retry(second.entry.entry_id, second.entry.key, outbox.now_ms),
            Dead(third.entry.entry_id, third.entry.key, "1003", "cause", "cure"),
        ],
        outbox.now_ms,
    )
    assert (await outbox.record("Account", ids[0])).state == "synced"
    assert await outbox.ready() == [("Account", ids[1])]
    assert [each.id for each in await outbox.store.dead_letters()] == [ids[2]]


async def test_what_changed_back_while_it_was_read_is_not_taken_for_known(outbox: Outbox) -> None:
    """The read brings the value in between; the event, or the row, that says what was known before is newer than that."""
    before, between = {"Title": "before"}, {"Title": "between"}
    for number, back in enumerate(("event", "row"), start=1):
        lead = sf_id("Lead", number)
        await outbox.synced("Lead", lead, before, marketo_id=str(number))
        await outbox.take(event("Lead", lead, read="gap", commit_ms=NOON + 10 * SECOND))
        (entry,) = await outbox.reads("Lead")
        if back == "event":
            await outbox.take(event("Lead", lead, before, commit_ms=NOON + 20 * SECOND))
        else:
            await outbox.take(row("Lead", lead, NOON // SECOND + 20, before))
        found = ReadResult(row("Lead", lead, NOON // SECOND + 10, between))
        await outbox.store.settle_reads({entry.entry_id: found}, outbox.now_ms)
        if back == "row":
            await outbox.read(row("Lead", lead, NOON // SECOND + 20, before))
        for claimed in await outbox.claims("Lead"):
            assert claimed.entry.pending.fields == before
            await outbox.ack(claimed)
        assert (await outbox.record("Lead", lead)).known == digests(before)
