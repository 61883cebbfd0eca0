"""The one committer: it owns the write connection and every transaction.

    caller ──work──▶ queue ──▶ BEGIN · work · work · … · COMMIT (fsync) ──▶ each caller's result
                                 ▲                          │
                                 └─ the same works again ◀──┴─ the file cannot be written just now: undone, said, waited

A caller that is cancelled only stops waiting: its work is finished and committed all the same, so no transaction is ever left
open. Several pieces of work that wait at the same time share one commit. Where one of them ends with an error, all are undone and
run again, each inside a savepoint of its own: nothing is left of that one, and the others are as if it had not been there. A
piece of work may run more than once before it is committed: it begins from its arguments, which it leaves as they are, and from
the database. It runs from end to end in SQLite's own thread, unless it calls back into the loop, and awaits nothing but its
transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite
import orjson

from store.errors import StoreBlocked, StoreError
from store.faults import OpenFiles, is_of_the_file, translated
from store.sql import QUERIES, gathered

T = TypeVar("T")
Work = Callable[["Transaction"], Awaitable[T]]

WORKS_MOST = 64  # pieces of work that share one commit
COMMITS_A_LOOK = 256  # commits between two looks at the log: SQLite empties it by itself, and keeps quiet where it cannot
LOG_BYTES_TOLD = 256 * 1024 * 1024
PAGE_BYTES = 4096


class Waiting(Protocol):
    """What the committer does while the file cannot be written: whoever has a clock and a log provides it."""

    async def wait(self, error: StoreBlocked, failures: int) -> None:
        """Return when it is time to try again; `failures` counts from 1."""
        ...

    def over(self) -> None:
        """It can be written again."""
        ...

    def log_grew(self, log_bytes: int) -> None:
        """So much lies in the write-ahead log, because somebody goes on reading what it was before."""
        ...


class Transaction:
    """What a piece of work may do: named statements on a connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, name: str, *parameters: Any) -> list[sqlite3.Row]:
        """All rows of a named query."""
        return list(await self._connection.execute_fetchall(QUERIES[name], parameters))

    async def lists(self, name: str, columns: tuple[str, ...], *parameters: Any) -> list[list[Any]]:
        """These columns of all rows of a named query. SQLite hands them over as one text: a row at a time, each would cost this
        process a change of threads.
        """
        rows = await self._connection.execute_fetchall(gathered(name, columns), parameters)
        return orjson.loads(next(iter(rows))[0])  # type: ignore[no-any-return] # a JSON array of arrays

    async def value(self, name: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        rows = await self.rows(name, *parameters)
        return rows[0][0] if rows else None

    async def run(self, name: str, *parameters: Any) -> int:
        """Run a named statement once; returns the number of rows it touched."""
        cursor = await self._connection.execute(QUERIES[name], parameters)
        count = cursor.rowcount
        await cursor.close()
        return count

    async def run_many(self, name: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a named statement for each row of parameters."""
        if parameters:
            await self._connection.executemany(QUERIES[name], parameters)

    async def order(self, statement: str) -> None:
        """What begins and ends transactions and their parts."""
        await self._connection.execute(statement)


class _InPlace(Transaction):
    """The committer's: it is used in SQLite's own thread, so no statement waits for anything."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        super().__init__(connection)
        self._raw: sqlite3.Connection = connection._conn  # noqa: SLF001 - aiosqlite hands out no other way into its thread

    async def rows(self, name: str, *parameters: Any) -> list[sqlite3.Row]:
        return self._raw.execute(QUERIES[name], parameters).fetchall()

    async def lists(self, name: str, columns: tuple[str, ...], *parameters: Any) -> list[list[Any]]:
        found = self._raw.execute(gathered(name, columns), parameters).fetchone()
        return orjson.loads(found[0])  # type: ignore[no-any-return] # as above

    async def run(self, name: str, *parameters: Any) -> int:
        return self._raw.execute(QUERIES[name], parameters).rowcount

    async def run_many(self, name: str, parameters: Sequence[Sequence[Any]]) -> None:
        if parameters:
            self._raw.executemany(QUERIES[name], parameters)

    async def order(self, statement: str) -> None:
        self._raw.execute(statement)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of what awaits nothing but its transaction; whoever awaits something else gets an error there."""
    try:
        work.send(None)
        while True:
            work.throw(StoreError("a piece of work waits for something other than its transaction"))
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return] # what the coroutine returned


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]
    waits: bool = True
    in_loop: bool = False
    result: Any = None
    error: Exception | None = None

    def tell(self) -> None:
        """Give the caller what came of it."""
        if self.error is not None:
            self.fail(self.error)
        elif not self.done.done():
            self.done.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        """Give the caller an error; nobody waiting any more is no second one."""
        if not self.done.done():
            self.done.set_exception(_told(error))
            self.done.exception()


def _told(error: BaseException) -> Exception:
    """What a caller gets for what ended the committer."""
    return error if isinstance(error, Exception) else StoreError("the store was closed")


async def _all(tx: Transaction, jobs: Sequence[_Job]) -> None:
    """All of these pieces of work, and the commit. Where one of them ends with an error, all are done again, each by itself."""
    await tx.order("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            job.result, job.error = await job.work(tx), None
    except Exception as error:
        if isinstance(error, sqlite3.Error) and is_of_the_file(error):
            raise
        await tx.order("ROLLBACK")
        await tx.order("BEGIN IMMEDIATE")
        for job in jobs:
            await _one(tx, job)
    await tx.order("COMMIT")


async def _one(tx: Transaction, job: _Job) -> None:
    """One piece of work from its beginning to its end; of one that ends with an error nothing is left."""
    job.result = job.error = None
    await tx.order("SAVEPOINT work")
    try:
        job.result = await job.work(tx)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and is_of_the_file(error):
            raise
        job.error = error
        await tx.order("ROLLBACK TO work")
    await tx.order("RELEASE work")


@dataclass(slots=True)
class Writer:
    """The committer and its queue. `run()` is its task; `submit()` is what everybody else calls.

    `waiting` is what to do while the file cannot be written; without it such a commit fails. `blocked` is why it cannot just now.
    `lost` is what ended it.
    """

    connection: aiosqlite.Connection
    path: Path
    waiting: Waiting | None = None
    blocked: StoreBlocked | None = None
    commits: int = 0
    _queue: asyncio.Queue[_Job | None] = field(default_factory=asyncio.Queue)
    closed: bool = False
    lost: Exception | None = None
    _version: int | None = None
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _files: OpenFiles = field(init=False)

    def __post_init__(self) -> None:
        self._files = OpenFiles(self.path)

    async def submit(self, work: Work[T], *, waits: bool = True, in_loop: bool = False) -> T:
        """Run the work in a transaction and return its result once it is committed and on disk. `in_loop`: it calls back into
        what belongs to the event loop, and runs there.

        Raises what the work raised (its own changes undone), or StoreError where the store is at its end: whoever comes after it
        was lost is told why it was. Where the file cannot be written just now, a caller with `waits=False` gets StoreBlocked at
        once; its work may be done later all the same.
        """
        if self.lost is not None:
            raise self.lost
        if self.closed:
            raise StoreError("the store is closed")
        if self.blocked is not None and not waits:
            raise self.blocked
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Job(work, done, waits, in_loop))
        return await asyncio.shield(done)

    async def others_wrote(self) -> bool:
        """Whether another connection has committed something since this was asked before: no transaction, and no lock.

        True too where it cannot be told: whoever looks then waits with all others for the file.
        """
        try:
            version = next(iter(await self.connection.execute_fetchall(QUERIES["data_version"])))[0]
        except sqlite3.Error:
            version = None
        before, self._version = self._version, version
        return version is None or version != before

    async def run(self) -> None:
        """Commit what is submitted until `close()`; what cannot heal fails all that is queued and ends the task loudly."""
        try:
            while jobs := await self._next_jobs():
                await self._commit(jobs)
                if self.commits % COMMITS_A_LOOK == 0:
                    await self._patiently(self._look_at_log, [])
        except BaseException as error:
            self.closed, self.lost = True, _told(error)
            for job in self._queued():
                job.fail(error)
            raise

    def hurry(self) -> None:
        """Wait for nothing any more: what cannot be written now fails."""
        self._hurry.set()

    async def close(self) -> None:
        """Let what is queued be committed, then end `run()`."""
        self.hurry()
        if not self.closed:
            self.closed = True
            await self._queue.put(None)

    async def shut(self) -> None:
        """Close the file; `run()` has ended before."""
        with self._files.closing():
            await self.connection.close()

    async def _next_jobs(self) -> list[_Job]:
        jobs: list[_Job] = []
        job = await self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) >= WORKS_MOST or self._queue.empty():
                return jobs
            job = self._queue.get_nowait()
        if jobs:
            self._queue.put_nowait(None)
        return jobs

    def _queued(self) -> list[_Job]:
        """All that waits in the queue, taken out of it."""
        jobs = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return [job for job in jobs if job is not None]

    async def _commit(self, jobs: list[_Job]) -> None:
        try:
            await self._patiently(lambda: self._transaction(jobs), jobs)
        except BaseException as error:
            for job in jobs:
                job.fail(error)
            raise
        self.commits += 1
        for job in jobs:
            job.tell()

    async def _patiently(self, attempt: Callable[[], Awaitable[None]], jobs: list[_Job]) -> None:
        """Make the attempt until it succeeds or cannot heal; each time that it fails, nothing of it is left."""
        failures = 0
        while True:
            try:
                with translated(self.path, opened=True):
                    try:
                        self._files.check()
                        await attempt()
                        break
                    finally:
                        await self._undo()
            except StoreBlocked as error:
                failures += 1
                await self._stand_still(error, failures, jobs)
        if failures and self.waiting is not None:
            self.blocked = None
            self.waiting.over()

    async def _stand_still(self, error: StoreBlocked, failures: int, jobs: list[_Job]) -> None:
        """Wait until the next attempt; raises the error where nothing is waited for."""
        if self.waiting is None or self._hurry.is_set():
            raise error
        self.blocked = error
        queued = self._queued()
        for job in queued:
            self._queue.put_nowait(job)
        for job in (*jobs, *queued):
            if not job.waits:
                job.fail(error)
        waits = [asyncio.ensure_future(self.waiting.wait(error, failures)), asyncio.ensure_future(self._hurry.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _transaction(self, jobs: list[_Job]) -> None:
        if any(job.in_loop for job in jobs):
            await _all(Transaction(self.connection), jobs)
        else:
            await self._there(_all, jobs)

    async def _work(self, job: _Job) -> None:
        if job.in_loop:
            await _one(Transaction(self.connection), job)
        else:
            await self._there(_one, job)

    async def _there(self, step: Callable[[Transaction, T], Coroutine[Any, Any, None]], argument: T) -> None:
        """Take this step in SQLite's own thread: a change of threads for each statement costs more than most statements do."""
        tx = _InPlace(self.connection)
        await self.connection._execute(lambda: _at_once(step(tx, argument)))  # type: ignore[no-untyped-call] # noqa: SLF001 - as above

    async def _undo(self) -> None:
        if self.connection.in_transaction:
            await self.connection.rollback()

    async def _look_at_log(self) -> None:
        """Empty the log into the file, as far as its readers let it; an error in that is heard here, and nowhere else."""
        rows = await self.connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
        _, pages, emptied = next(iter(rows))
        if (pages - emptied) * PAGE_BYTES > LOG_BYTES_TOLD and self.waiting is not None:
            self.waiting.log_grew((pages - emptied) * PAGE_BYTES)
