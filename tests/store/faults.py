"""Real faults under an open store: each comes, is met by SQLite itself, and goes again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from store.errors import StoreBlocked
from store.store import Store

Fault = Callable[[Store], AbstractAsyncContextManager[None]]


class Patient:
    """Waits until it is told to try again, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[StoreBlocked] = []
        self.failures: list[int] = []
        self.ended = 0
        self.logs: list[int] = []
        self.blocked = asyncio.Event()
        self._again = asyncio.Event()

    async def wait(self, error: StoreBlocked, failures: int) -> None:
        """Wait for `again()`."""
        self.told.append(error)
        self.failures.append(failures)
        self.blocked.set()
        await self._again.wait()
        self._again.clear()

    def over(self) -> None:
        """It can be written again."""
        self.ended += 1

    def log_grew(self, log_bytes: int) -> None:
        """A reader holds the log."""
        self.logs.append(log_bytes)

    def again(self) -> None:
        """Let the committer try again."""
        self._again.set()

    async def until_failed(self, times: int) -> None:
        """Wait until so many attempts have failed."""
        async with asyncio.timeout(20):
            while len(self.failures) < times:
                self.blocked.clear()
                await self.blocked.wait()


@asynccontextmanager
async def full(store: Store) -> AsyncIterator[None]:
    """The database may not grow any more: SQLite says what it says on a full disk, when it needs a new page."""
    connection = store.writer.connection
    pages = next(iter(await connection.execute_fetchall("PRAGMA page_count")))[0]
    await connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    if not store.writer.closed:
        await connection.execute("PRAGMA max_page_count = 1073741823")


@asynccontextmanager
async def locked(store: Store) -> AsyncIterator[None]:
    """Another process has begun to write, and does not end."""
    await store.writer.connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(store.writer.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


def _chattr(option: str, paths: Sequence[Path]) -> None:
    done = subprocess.run(["chattr", option, *map(str, paths)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file that nobody may write needs root and chattr: {done.stderr.strip()}")


@contextmanager
def unwritable(*paths: Path) -> Iterator[None]:
    """Files that not even root can write, open or not."""
    if os.geteuid() != 0:
        pytest.skip("a file that nobody may write needs root")
    _chattr("+i", paths)
    try:
        yield
    finally:
        _chattr("-i", paths)


def sides(path: Path) -> list[Path]:
    """The store's file, its log, and the index of the log."""
    return [path.with_name(path.name + side) for side in ("", "-wal", "-shm")]


@asynccontextmanager
async def log_refused(store: Store) -> AsyncIterator[None]:
    """Writing to the log fails."""
    with unwritable(sides(store.writer.path)[1]):
        yield


@asynccontextmanager
async def all_refused(store: Store) -> AsyncIterator[None]:
    """Everything has become read-only, the mapped index of the log too."""
    with unwritable(*sides(store.writer.path)):
        yield


PASSING: dict[str, tuple[Fault, str]] = {
    "disk full": (full, "is full"),
    "locked by another process": (locked, "keeps .* locked"),
    "log refused": (log_refused, "read-only"),
    "all read-only": (all_refused, "read-only"),
}
