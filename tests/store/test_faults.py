"""Faults under an open store: what passes is waited out, nothing lost and nothing done twice; what does not ends it loudly."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store import writer
from store.errors import StoreBlocked, StoreUnusable
from store.faults import OpenFiles
from store.model import Replay
from store.store import Store
from store.writer import WORKS_MOST, Transaction
from tests.store.faults import PASSING, Patient, full, locked, sides, unwritable
from tests.store.outbox_steps import NOON, sf_id, whole

BIG = "x" * 6000  # more than a page: needs a new one, which a full disk does not give


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An open store."""
    opened = await Store.open(tmp_path / "store.db")
    await opened.put_note("before", BIG)
    yield opened
    await opened.close()


@pytest.fixture
def patient(store: Store) -> Patient:
    """What the store waits with."""
    waiting = Patient()
    store.wait_with(waiting)
    return waiting


def seen(store: Store, name: str) -> Any:
    """What another process sees of a note."""
    with closing(sqlite3.connect(store.writer.path)) as other:
        return next(iter(other.execute("SELECT value FROM note WHERE name = ?", (name,))), (None,))[0]


def seen_from_outside(store: Store, name: str) -> str:
    """The same from a process of its own: in this one SQLite would use the index that may be read-only just now."""
    ask = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(*sys.argv[2:3], sys.argv[3:]).fetchone())"
    asked = [sys.executable, "-c", ask, str(store.writer.path), "SELECT value FROM note WHERE name = ?", name]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def appending(number: int) -> Any:
    """Work that shows how often, and in which order, it was done."""

    async def work(tx: Transaction) -> int:
        held = await tx.value("get_note", "list") or ""
        await tx.run("put_note", "list", f"{held}{number},")
        await tx.run("put_note", f"big {number}", BIG)
        return number

    return work


# ── what passes


@pytest.mark.parametrize("kind", PASSING)
async def test_a_fault_that_passes_costs_nothing_but_time(store: Store, patient: Patient, kind: str) -> None:
    fault, says = PASSING[kind]
    async with fault(store):
        works = [asyncio.ensure_future(store.submit(appending(number))) for number in range(5)]
        await patient.until_failed(1)
        works += [asyncio.ensure_future(store.submit(appending(number))) for number in range(5, 8)]
        patient.again()
        await patient.until_failed(2)
        assert not any(work.done() for work in works)
        assert seen_from_outside(store, "list") == "None"
        assert store.blocked is patient.told[-1]
    patient.again()
    async with asyncio.timeout(20):
        assert await asyncio.gather(*works) == list(range(8))
    assert seen(store, "list") == "0,1,2,3,4,5,6,7,"
    assert [seen(store, f"big {number}") for number in range(8)] == [BIG] * 8
    assert store.blocked is None
    assert patient.ended == 1
    assert patient.failures == [1, 2]
    for error in patient.told:
        assert error.hint
        assert str(store.writer.path) in error.message
        with pytest.raises(StoreBlocked, match=says):
            raise error


async def test_events_and_their_position_stay_together_over_a_full_disk(store: Store, patient: Patient) -> None:
    changes = [whole("Lead", sf_id("Lead", number), {"Description": BIG}) for number in range(5)]
    async with full(store):
        taking = asyncio.ensure_future(store.take(changes, Replay("/data/ChangeEvents", 7, NOON, NOON), NOON))
        await patient.until_failed(1)
        with closing(sqlite3.connect(store.writer.path)) as other:
            counts = [next(other.execute(f"SELECT count(*) FROM {table}"))[0] for table in ("entry", "record", "replay")]  # noqa: S608 - names of tables
        assert (counts, taking.done()) == ([0, 0, 0], False)
    patient.again()
    assert (await taking).applied == 5
    claimed = await store.claim("Lead", "upsert", most=10, now_ms=NOON, linger_ms=0)
    assert [each.entry.record_id for each in claimed] == [change.record_id for change in changes]
    replay = await store.replay("/data/ChangeEvents")
    assert replay is not None
    assert replay.replay_id == 7


async def test_a_caller_that_will_not_wait_is_told_at_once_wherever_its_work_is(store: Store, patient: Patient) -> None:
    async with full(store):
        caught = [asyncio.ensure_future(store.submit(appending(0), waits=number % 2 == 0)) for number in range(WORKS_MOST + 10)]
        await patient.until_failed(1)
        for impatient in caught[1::2]:
            with pytest.raises(StoreBlocked):
                await impatient
        with pytest.raises(StoreBlocked):
            await store.submit(appending(0), waits=False)
        assert not any(waits.done() for waits in caught[::2])
    patient.again()
    assert await asyncio.gather(*caught[::2]) == [0] * len(caught[::2])


async def test_the_work_of_a_caller_that_gave_up_is_done_once_when_the_fault_is_over(store: Store, patient: Patient) -> None:
    async with full(store):
        caller = asyncio.ensure_future(store.submit(appending(1)))
        await patient.until_failed(1)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    patient.again()
    assert await store.note("before") == BIG
    assert seen(store, "list") == "1,"


async def test_work_that_fails_of_itself_is_no_standstill(store: Store, patient: Patient) -> None:
    async def failing(tx: Transaction) -> None:
        await tx.run("put_note", "half", BIG)
        raise LookupError("its own fault")

    async with locked(store):
        works = [asyncio.ensure_future(store.submit(work)) for work in (appending(1), failing, appending(2))]
        await patient.until_failed(1)
    patient.again()
    results = await asyncio.gather(*works, return_exceptions=True)
    assert isinstance(results[1], LookupError)
    assert [seen(store, name) for name in ("list", "half")] == ["1,2,", None]


# ── where nobody waits


async def test_without_patience_a_commit_that_fails_fails_its_works_and_ends_the_committer(store: Store) -> None:
    async with full(store), asyncio.timeout(5):
        works = [store.submit(appending(number)) for number in range(3 * WORKS_MOST)]
        results = await asyncio.gather(*works, return_exceptions=True)
        assert all(isinstance(result, StoreBlocked) for result in results)
        with pytest.raises(StoreBlocked, match="is full"):
            await store.committer
        with pytest.raises(StoreBlocked, match="is full"):
            await store.put_note("late", 1)
    assert [seen(store, name) for name in ("before", "list", "late")] == [f'"{BIG}"', None, None]


async def test_in_a_hurry_a_standstill_ends_and_says_why(store: Store, patient: Patient) -> None:
    async with full(store), asyncio.timeout(5):
        work = asyncio.ensure_future(store.submit(appending(1)))
        await patient.until_failed(1)
        store.hurry()
        with pytest.raises(StoreBlocked, match="is full"):
            await work
        await store.close()


@pytest.mark.parametrize("kind", PASSING)
async def test_closing_does_not_wait_for_a_fault_to_pass(store: Store, patient: Patient, kind: str) -> None:
    async with PASSING[kind][0](store), asyncio.timeout(5):
        work = asyncio.ensure_future(store.submit(appending(1)))
        await patient.until_failed(1)
        await store.close()
        with pytest.raises(StoreBlocked):
            await work
    again = await Store.open(store.writer.path)
    assert [await again.note(name) for name in ("before", "list")] == [BIG, None]
    await again.close()


# ── what does not pass


def overwrite(path: Path, begin: int) -> None:
    """Bytes in the file become others."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(begin)
        file.write(b"\xff" * (size - begin))


@pytest.mark.parametrize("begin", [0, 4096], ids=["header", "pages"])
async def test_damage_found_while_running_ends_it_with_the_cure(tmp_path: Path, begin: int) -> None:
    path = tmp_path / "store.db"
    await (await Store.open(path)).close()
    store = await Store.open(path)
    store.wait_with(Patient())
    overwrite(path, begin)
    with pytest.raises(StoreUnusable, match=r"damaged.*restore the newest backup") as refusal:
        await store.take([whole("Lead", sf_id("Lead", 1))], None, NOON)
    assert not isinstance(refusal.value, StoreBlocked)
    with pytest.raises(StoreUnusable, match="damaged"):
        await store.committer
    await store.close()


def test_what_sqlite_would_not_notice_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for side in sides(path):
        side.touch()
    files = OpenFiles(path)
    files.check()
    for side in sides(path):
        side.rename(tmp_path / "away")
        with pytest.raises(StoreUnusable, match=f"{side.name} was moved, deleted or replaced"):
            files.check()
        side.touch()
        with pytest.raises(StoreUnusable, match=f"{side.name} was moved, deleted or replaced"):
            files.check()
        (tmp_path / "away").rename(side)
        files.check()


async def test_a_deleted_store_takes_nothing_more(store: Store, patient: Patient) -> None:
    """SQLite would go on writing into a file that is gone with the process."""
    for side in sides(store.writer.path):
        side.unlink()
    for _ in range(3):  # and whoever comes after the loss is told why, like the one who met it
        with pytest.raises(StoreUnusable, match="deleted"):
            await store.put_note("lost", 1)
    assert patient.told == []


async def test_a_log_that_was_deleted_is_saved_into_the_file(store: Store, patient: Patient) -> None:
    """All that was acknowledged is in the log that the process still has open: closing puts it where the next start finds it."""
    sides(store.writer.path)[1].unlink()
    with pytest.raises(StoreUnusable, match="deleted"):
        await store.put_note("lost", 1)
    await store.close()
    again = await Store.open(store.writer.path)
    assert [await again.note(name) for name in ("before", "lost")] == [BIG, None]
    await again.close()
    assert patient.told == []


# ── the log


async def test_a_log_that_cannot_be_emptied_is_heard(store: Store, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite empties the log after a commit and keeps quiet where it cannot: the log would grow until the disk is full."""
    monkeypatch.setattr(writer, "COMMITS_A_LOOK", 1)
    monkeypatch.setattr(OpenFiles, "check", lambda _: None)  # which would notice before
    with unwritable(store.writer.path):
        await store.put_note("logged", 1)
        await patient.until_failed(1)
        assert "refuses" in patient.told[0].message
    patient.again()
    await store.put_note("after", 1)
    assert (patient.ended, seen(store, "logged")) == (1, "1")


async def test_a_reader_that_does_not_end_is_told_and_its_log_given_back(
    store: Store, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, told = 256 * 1024, 1024 * 1024
    await store.writer.connection.execute(f"PRAGMA journal_size_limit = {kept}")
    monkeypatch.setattr(writer, "COMMITS_A_LOOK", 1)
    monkeypatch.setattr(writer, "LOG_BYTES_TOLD", told)
    log = sides(store.writer.path)[1]
    with closing(sqlite3.connect(store.writer.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM note").fetchall()
        for _ in range(60):
            await store.put_note("again", os.urandom(40_000).hex())
        assert patient.logs
        assert min(patient.logs) > told
        assert log.stat().st_size > told
    for _ in range(2):
        await store.put_note("the reader", "is gone")
    patient.logs.clear()
    for number in range(3):
        await store.put_note("again", number)
    assert patient.logs == []
    assert log.stat().st_size <= kept
