"""Each record's story: one line for what happened, written with it; names only, bounded, and never another record's."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from store import history
from store.history import LINES_MOST, WHOLE, Line
from store.model import Change, HandOver, Key, Retry
from store.view import reading
from tests.store.outbox_steps import ACCOUNT, CONTACT, LEAD, NOON, OWNER, SECOND, Outbox, event, gone, owned_by, row, whole

DAY = 86_400 * SECOND


async def told(outbox: Outbox, key: Key) -> list[Line]:
    """The record's story, as another process reads it."""
    async with reading(outbox.path) as tx:
        return await history.story(tx, key)


async def whats(outbox: Outbox, key: Key) -> list[str]:
    return [line.what for line in await told(outbox, key)]


async def test_a_change_and_its_sending_are_one_line_each_with_names_and_no_values(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Secretive"}, source="CREATE", transaction="txn-1"))
    claimed = await outbox.claim("Account")
    await outbox.ack(claimed, did="created", sent=WHOLE, together=17)
    await outbox.take(event("Account", ACCOUNT, {"Phone": "4711", "Site": "HQ"}, commit_ms=NOON + 1, source="UPDATE"))
    created, sent, updated = await told(outbox, ("Account", ACCOUNT))
    assert (created.what, created.source, created.fields, created.transaction) == ("arrived", "CREATE", WHOLE, "txn-1")
    assert (sent.what, sent.fields, sent.together, sent.at_ms) == ("created", WHOLE, 17, outbox.now_ms)
    assert (updated.source, updated.fields) == ("UPDATE", "Phone,Site")
    with closing(sqlite3.connect(outbox.path)) as database:
        held = b"".join(told for (told,) in database.execute("SELECT told FROM history"))
    assert b"CREATE" in held
    assert b"Secretive" not in held
    assert b"4711" not in held


async def test_a_parent_that_is_asked_for_says_by_whom_and_a_read_says_why(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}, refs=owned_by()))
    assert [(line.what, line.cause) for line in await told(outbox, ("User", OWNER))] == [("asked", "parent of Account")]
    await outbox.read(row("User", OWNER, NOON // SECOND, {"IsActive": True}))
    assert await whats(outbox, ("User", OWNER)) == ["asked", "read"]


async def test_the_same_reason_to_wait_is_told_once_and_each_refusal_of_the_record_again(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    for code, counted in [("unreachable", False), ("unreachable", False), ("611", True), ("611", True)]:
        claimed = await outbox.claim("Account")
        retry = Retry(claimed.entry.entry_id, claimed.entry.key, outbox.now_ms, counted=counted, code=code, cause="its cause")
        await outbox.store.finish([retry], outbox.now_ms)
    await outbox.bury(await outbox.claim("Account"))
    lines = (await told(outbox, ("Account", ACCOUNT)))[1:]
    assert [(line.what, line.code) for line in lines] == [
        ("retry", "unreachable"),
        ("retry", "611"),
        ("retry", "611"),
        ("dead", "1003"),
    ]


async def test_the_operators_decisions_are_told(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    await outbox.bury(await outbox.claim("Account"))
    await outbox.store.retry_dead(await outbox.store.dead_letters(), outbox.now_ms)
    await outbox.bury(await outbox.claim("Account"))
    await outbox.store.drop_dead(await outbox.store.dead_letters(), outbox.now_ms)
    assert await whats(outbox, ("Account", ACCOUNT)) == ["arrived", "dead", "put_back", "dead", "dropped"]


async def test_a_person_that_changes_hands_is_told_on_the_one_who_has_it_now(outbox: Outbox) -> None:
    await outbox.synced("Lead", LEAD, {"LastName": "Ito"}, marketo_id="77")
    await outbox.take(event("Lead", LEAD, {"IsConverted": True}, commit_ms=NOON + 1))
    claimed = await outbox.claim("Lead")
    handover = HandOver(claimed.entry.key, ("Contact", CONTACT), "77", frozenset(), "converted from a lead")
    await outbox.store.finish([], outbox.now_ms, handovers=[handover])
    lines = await told(outbox, ("Contact", CONTACT))
    assert [(line.what, line.marketo_id) for line in lines] == [("moved", "77"), ("asked", None)]
    assert LEAD in lines[0].cause
    await outbox.store.merge_people("99", ["77"], outbox.now_ms)
    assert ("moved", "99") in [(line.what, line.marketo_id) for line in await told(outbox, ("Contact", CONTACT))]


async def test_what_was_in_flight_when_the_daemon_ended_is_told(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    await outbox.claim("Account")
    await outbox.close()
    await outbox.open()
    await outbox.store.recover(outbox.now_ms, 0)
    assert await whats(outbox, ("Account", ACCOUNT)) == ["arrived", "interrupted"]


async def test_an_old_event_is_told_as_passed_over_and_a_second_delivery_not_at_all(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme"}, transaction="first")
    await outbox.take(row("Account", ACCOUNT, NOON // SECOND + 60, {"Name": "Acme Ltd"}))
    await outbox.ack(await outbox.claim("Account"))
    before = len(await told(outbox, ("Account", ACCOUNT)))
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}, transaction="first"))
    assert len(await told(outbox, ("Account", ACCOUNT))) == before
    await outbox.take(event("Account", ACCOUNT, {"Phone": "1"}, commit_ms=NOON + 2, source="UPDATE"))
    last = (await told(outbox, ("Account", ACCOUNT)))[-1]
    assert (last.what, last.fields) == ("passed_over", "Phone")


async def test_rows_that_are_known_already_leave_no_line(outbox: Outbox) -> None:
    await outbox.take(row("Account", ACCOUNT, NOON // SECOND, {"Name": "Acme"}, source="poll"))
    await outbox.take(row("Account", ACCOUNT, NOON // SECOND, {"Name": "Acme"}, source="poll"))
    assert [line.source for line in await told(outbox, ("Account", ACCOUNT))] == ["poll"]


async def test_a_work_that_failed_leaves_no_line(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    with pytest.raises(KeyError):
        await outbox.store.finish([Retry(999, ("Account", ACCOUNT), 0, cause="never")], outbox.now_ms)
    assert await whats(outbox, ("Account", ACCOUNT)) == ["arrived"]


async def edits(outbox: Outbox, record_id: str, count: int, since: int = 1) -> None:
    """So many edits of one account, each committed later than the one before."""
    for number in range(since, since + count):
        change = event(
            "Account", record_id, {"Phone": str(number)}, commit_ms=NOON + number, sequence=number, source=f"U{number}"
        )
        await outbox.take(change)


async def test_a_long_story_is_cut_to_its_last_lines_and_the_others_are_left(outbox: Outbox) -> None:
    await outbox.take(whole("Lead", LEAD, {"LastName": "Ito"}))
    looked_to = await outbox.store.prune_history(-1, outbox.now_ms)
    await edits(outbox, ACCOUNT, 3 * LINES_MOST)
    await outbox.store.prune_history(looked_to, outbox.now_ms)
    with closing(sqlite3.connect(outbox.path)) as database:
        (count,) = database.execute("SELECT count(*) FROM history").fetchone()
    assert count <= 1 + LINES_MOST + history.LOOK_EVERY
    lines = await told(outbox, ("Account", ACCOUNT))
    assert [line.source for line in lines] == [f"U{number}" for number in range(2 * LINES_MOST + 1, 3 * LINES_MOST + 1)]
    assert await whats(outbox, ("Lead", LEAD)) == ["arrived"]


async def test_old_lines_go_and_a_story_goes_on_after_it_was_all_forgotten(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}), whole("Lead", LEAD, {"LastName": "Ito"}))
    outbox.now_ms += history.KEPT_MS + DAY
    await outbox.take(gone("Lead", LEAD, commit_ms=NOON + 1))
    await outbox.store.prune_history(-1, outbox.now_ms)
    assert await told(outbox, ("Account", ACCOUNT)) == []
    assert await whats(outbox, ("Lead", LEAD)) == ["arrived"]
    outbox.now_ms += history.KEPT_MS + DAY
    await outbox.store.prune_history(-1, outbox.now_ms)
    await edits(outbox, ACCOUNT, 2, since=5)
    assert [line.source for line in await told(outbox, ("Account", ACCOUNT))] == ["U5", "U6"]
    assert await whats(outbox, ("Lead", LEAD)) == ["arrived"], "the newest line of all stays, so that no number is given twice"


async def test_two_records_of_one_transaction_keep_their_stories_apart(outbox: Outbox) -> None:
    changes = [
        Change("Account", ACCOUNT, fields={"Phone": "1"}, commit_ms=NOON + n, transaction=f"a{n}", source=f"A{n}")
        if n % 2
        else Change("Lead", LEAD, fields={"Phone": "1"}, commit_ms=NOON + n, transaction=f"l{n}", source=f"L{n}")
        for n in range(1, 9)
    ]
    await outbox.take(*changes)
    assert [line.source for line in await told(outbox, ("Account", ACCOUNT))] == ["A1", "A3", "A5", "A7"]
    assert [line.source for line in await told(outbox, ("Lead", LEAD))] == ["L2", "L4", "L6", "L8"]
