"""The clock is set: every time in the store moves with it, and what is due beyond any wait comes near."""

from __future__ import annotations

import orjson
import pytest

from store.model import Ack, Change, Dead, Record, Replay, Retry, Unreadable
from store.rows import record_row
from store.scores import ScoreRow
from store.store import Store
from tests.store.outbox_steps import Outbox

NOW = 1_795_435_200_000
HOUR = 3_600_000


async def filled(outbox: Outbox) -> Store:
    """An entry that waits ten minutes, a dead letter, a score write that waits a minute, a position, a sweep."""
    store = outbox.store
    changes = [Change("Account", name, fields={"Name": name}, whole=True, commit_ms=1) for name in ("001A", "001B")]
    await store.take(changes, Replay("/data", 7, 1, NOW), NOW)
    first, second = await store.claim("Account", "upsert", most=9, now_ms=NOW, linger_ms=0)
    dead = Dead(second.entry.entry_id, second.entry.key, "1003", "cause", "cure")
    await store.finish([Retry(first.entry.entry_id, first.entry.key, NOW + 600_000), dead], NOW)
    leads = [record_row(Record("Lead", name, state="synced")) for name in ("00QA", "00QB")]
    await store.submit(lambda tx: tx.run_many("put_record", leads))
    await store.remember_scores([ScoreRow(("Lead", "00QA"), due_ms=NOW + 60_000), ScoreRow(("Lead", "00QB"))])
    await store.put_notes(lambda: {"sweep": {"after": "9", "began": NOW / 1000}, "swept_until": NOW / 1000 - 9.5})
    return store


@pytest.mark.parametrize("jump", [-72 * HOUR, -HOUR, HOUR, 72 * HOUR])
async def test_every_time_moves_with_the_clock(outbox: Outbox, jump: int) -> None:
    store = await filled(outbox)
    await store.shift_times(jump, "clock", {"at": 1})
    now = NOW + jump
    assert await store.next_due() == now + 600_000
    assert await store.claim("Account", "upsert", most=9, now_ms=now + 599_999, linger_ms=0) == []
    assert len(await store.claim("Account", "upsert", most=9, now_ms=now + 600_000, linger_ms=0)) == 1
    (letter,) = await store.dead_letters()
    assert letter.since == now / 1000
    rows = await store.last_written([("Lead", "00QA"), ("Lead", "00QB")])
    assert sorted(row.due_ms for row in rows.values()) == [0, now + 60_000]
    replay = await store.replay("/data")
    assert replay is not None
    assert (replay.commit_ms, replay.stored_ms) == (1, now)
    assert await store.note("sweep") == {"after": "9", "began": now / 1000}
    assert await store.note("swept_until") == now / 1000 - 9.5
    assert await store.note("clock") == {"at": 1}


async def test_nothing_moves_unless_it_is_written_down_that_it_did(outbox: Outbox) -> None:
    store = await filled(outbox)
    with pytest.raises(orjson.JSONEncodeError):
        await store.shift_times(HOUR, "clock", object())
    assert await store.next_due() == NOW + 600_000


async def test_what_is_due_beyond_any_wait_is_brought_near(outbox: Outbox) -> None:
    store = await filled(outbox)
    assert await store.bring_near(NOW + 600_000, NOW + 1) == 0
    assert await store.bring_near(NOW + 599_999, NOW + 1) == 1
    assert await store.next_due() == NOW + 1
    assert await store.bring_near(NOW + 60_000 - HOUR - 1, NOW + 2) == 2
    rows = await store.last_written([("Lead", "00QA")])
    assert rows["Lead", "00QA"].due_ms == NOW + 2


async def test_the_oldest_change_is_as_old_as_its_commit_and_else_as_its_place_in_the_queue(outbox: Outbox) -> None:
    store = outbox.store
    await store.take([Change("Account", "001A", fields={"Name": "A"}, whole=True, commit_ms=NOW - 5)], None, NOW)
    await store.take([], None, NOW - HOUR, unreadable=[Unreadable("/data", 8, "{ no JSON", "cause")])
    assert [row[0] for row in await outbox.rows("oldest_commit")] == [NOW - 5], "dead letters are not delivered any more"
    await store.take([Change("Account", "001B", fields={"Name": "B"}, whole=True)], None, NOW - 9)
    assert [row[0] for row in await outbox.rows("oldest_commit")] == [NOW - 9]
    await store.shift_times(-100, "clock", {"at": 1})
    assert [row[0] for row in await outbox.rows("oldest_commit")] == [NOW - 109], "our clock moved"
    claimed = await store.claim("Account", "upsert", most=9, now_ms=NOW, linger_ms=0)
    await store.finish([Ack(each.entry.entry_id, each.entry.key) for each in claimed if each.record.record_id == "001B"], NOW)
    assert [row[0] for row in await outbox.rows("oldest_commit")] == [NOW - 5], "and not Salesforce's"
