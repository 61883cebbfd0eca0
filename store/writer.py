"""The one committer: it owns the write connection and every transaction.

    caller ──work──▶ queue ──▶ BEGIN · work · work · … · COMMIT (fsync) ──▶ each caller's result

A caller that is cancelled only stops waiting: its work is finished and committed all the same, so no transaction is ever left
open. Several pieces of work that wait at the same time share one commit, each inside a savepoint of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from store.database import translated
from store.errors import StoreError
from store.sql import QUERIES

T = TypeVar("T")
Work = Callable[["Transaction"], Awaitable[T]]

WORKS_MOST = 64  # pieces of work that share one commit


class Transaction:
    """What a piece of work may do: named statements on the committer's connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, name: str, *parameters: Any) -> list[sqlite3.Row]:
        """All rows of a named query."""
        return list(await self._connection.execute_fetchall(QUERIES[name], parameters))

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

    async def run_many(self, name: str, parameters: Sequence[Iterable[Any]]) -> None:
        """Run a named statement for each row of parameters."""
        if parameters:
            await self._connection.executemany(QUERIES[name], parameters)


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Writer:
    """The committer and its queue. `run()` is its task; `submit()` is what everybody else calls."""

    connection: aiosqlite.Connection
    path: Path
    commits: int = 0
    _queue: asyncio.Queue[_Job | None] = field(default_factory=asyncio.Queue)
    _closed: bool = False

    async def submit(self, work: Work[T]) -> T:
        """Run the work in a transaction and return its result once it is committed and on disk.

        Raises what the work raised (its own changes undone), or StoreError where the commit failed.
        """
        if self._closed:
            raise StoreError("the store is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Job(work, done))
        return await asyncio.shield(done)

    async def run(self) -> None:
        """Commit what is submitted until `close()`; a failed commit fails all that is queued and ends the task loudly."""
        try:
            while jobs := await self._next_jobs():
                await self._commit(jobs)
        except BaseException as error:
            self._closed = True
            while not self._queue.empty():
                job = self._queue.get_nowait()
                if job is not None:
                    _fail(job, error)
            raise

    async def close(self) -> None:
        """Let what is queued be committed, then end `run()`."""
        if not self._closed:
            self._closed = True
            await self._queue.put(None)

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

    async def _commit(self, jobs: list[_Job]) -> None:
        try:
            with translated(self.path):
                await self.connection.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    await self._work(job)
                await self.connection.commit()
                self.commits += 1
        except BaseException as error:
            for job in jobs:
                _fail(job, error)
            await self._undo()
            raise
        for job in jobs:
            if job.error is not None:
                _fail(job, job.error)
            elif not job.done.done():
                job.done.set_result(job.result)

    async def _work(self, job: _Job) -> None:
        await self.connection.execute("SAVEPOINT work")
        try:
            job.result = await job.work(Transaction(self.connection))
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted the work
            job.error = error
            await self.connection.execute("ROLLBACK TO work")
        await self.connection.execute("RELEASE work")

    async def _undo(self) -> None:
        if self.connection.in_transaction:
            await self.connection.rollback()


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error if isinstance(error, Exception) else StoreError("the store was closed"))
        job.done.exception()  # whoever still waits gets it; nobody waiting is no second error
