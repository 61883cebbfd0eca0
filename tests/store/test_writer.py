"""The one committer: many pieces of work in one commit, none of them hurting another, none lost with its caller."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator
from pathlib import Path
from threading import Event
from types import coroutine

import pytest

from store.errors import StoreError
from store.model import Replay
from store.store import Store
from store.writer import WORKS_MOST, Transaction
from tests.store.outbox_steps import ACCOUNT, NOON, Outbox, whole


async def test_work_that_waits_together_shares_a_commit(outbox: Outbox) -> None:
    before = outbox.store.writer.commits
    await asyncio.gather(*(outbox.store.put_note(f"n{number}", number) for number in range(WORKS_MOST)))
    assert outbox.store.writer.commits - before <= 2
    assert [await outbox.store.note(f"n{number}") for number in range(WORKS_MOST)] == list(range(WORKS_MOST))


async def test_failing_work_leaves_nothing_and_hurts_nobody(outbox: Outbox) -> None:
    async def failing(tx: Transaction) -> None:
        await tx.run("put_note", "half", "1")
        raise LookupError("half way")

    before = outbox.store.writer.commits
    results = await asyncio.gather(
        outbox.store.put_note("first", 1),
        outbox.store.submit(failing),
        outbox.store.put_note("last", 2),
        return_exceptions=True,
    )
    assert isinstance(results[1], LookupError)
    assert outbox.store.writer.commits == before + 1
    assert [await outbox.store.note(name) for name in ("first", "half", "last")] == [1, None, 2]


async def test_a_value_the_database_refuses_hurts_only_its_own_work(outbox: Outbox) -> None:
    results = await asyncio.gather(
        outbox.store.submit(lambda tx: tx.run("put_note", "bad", None)), outbox.store.put_note("good", 1), return_exceptions=True
    )
    assert isinstance(results[0], sqlite3.IntegrityError)
    assert await outbox.store.note("good") == 1


async def test_events_without_their_position_are_not_stored(outbox: Outbox) -> None:
    """The position is the last statement of the transaction: where it fails, the events go too, and come again."""
    beyond = 2**63
    with pytest.raises(OverflowError):
        await outbox.store.take([whole("Account", ACCOUNT)], Replay("/data/ChangeEvents", beyond, NOON, NOON), outbox.now_ms)
    assert await outbox.ready() == []
    assert await outbox.store.replay("/data/ChangeEvents") is None


async def test_the_work_of_a_cancelled_caller_is_committed_all_the_same(outbox: Outbox) -> None:
    begun, go = Event(), Event()

    async def slow(tx: Transaction) -> None:
        begun.set()
        go.wait()
        await tx.run("put_note", "slow", "1")

    caller = asyncio.create_task(outbox.store.submit(slow))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    assert await outbox.store.note("slow") == 1


async def test_a_cancelled_callers_failure_disturbs_nobody(outbox: Outbox) -> None:
    begun, go = Event(), Event()

    async def failing(_: Transaction) -> None:
        begun.set()
        go.wait()
        raise LookupError("nobody listens")

    caller = asyncio.create_task(outbox.store.submit(failing))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    go.set()
    await asyncio.gather(caller, return_exceptions=True)
    await outbox.store.put_note("after", 1)
    assert await outbox.store.note("after") == 1


async def test_work_that_waits_for_something_else_is_an_error_and_holds_nobody_up(outbox: Outbox) -> None:
    @coroutine
    def turn() -> Generator[None, None, None]:
        yield

    async def waiting(tx: Transaction) -> None:
        await tx.run("put_note", "half", "1")
        await turn()

    with pytest.raises(StoreError, match="other than its transaction"):
        await outbox.store.submit(waiting)
    assert await outbox.store.note("half") is None


async def test_closing_commits_what_is_queued(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await Store.open(path)
    writes = [asyncio.create_task(store.put_note(f"n{number}", number)) for number in range(3 * WORKS_MOST)]
    await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that all are queued
    await store.close()
    await asyncio.gather(*writes)
    with pytest.raises(StoreError, match="closed"):
        await store.put_note("late", 1)
    again = await Store.open(path)
    assert [await again.note(f"n{number}") for number in range(3 * WORKS_MOST)] == list(range(3 * WORKS_MOST))
    await again.close()


async def test_a_statement_that_makes_no_sense_hurts_only_its_own_work(outbox: Outbox) -> None:
    results = await asyncio.gather(
        outbox.store.submit(lambda tx: tx.rows("records_by_key", "no JSON")),
        outbox.store.put_note("good", 1),
        return_exceptions=True,
    )
    assert isinstance(results[0], sqlite3.OperationalError)
    assert await outbox.store.note("good") == 1


async def test_a_torn_transaction_is_gone_after_a_kill(tmp_path: Path) -> None:
    """What was not committed when the process died is not there; what was, is."""
    path = tmp_path / "store.db"
    store = await Store.open(path)
    await store.put_note("kept", 1)
    await store.close()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("INSERT INTO note (name, value) VALUES ('torn', '1')")
    raw.close()
    again = await Store.open(path)
    assert [await again.note(name) for name in ("kept", "torn")] == [1, None]
    await again.close()
