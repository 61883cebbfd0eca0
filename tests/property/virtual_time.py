"""An event loop whose time passes only when nobody has anything to do: hours cost nothing, and nothing is left to luck.

SQLite is called in the loop's own thread, so the same steps are taken in the same order each time.
"""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import aiosqlite

EPOCH_S = 1_790_000_000.0


class _NoWire(selectors.SelectSelector):
    """Nothing ever arrives from outside: where the loop would wait, its time passes."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let so much time pass."""
        if timeout is None:
            raise RuntimeError("everybody waits for everybody: a deadlock")
        self.loop.passed += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `passed` are its seconds."""

    def __init__(self) -> None:
        self.passed = 0.0
        selector = _NoWire()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.passed


class VirtualClock:
    """A machine's clock that goes by the loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_S + self._loop.passed

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return self._loop.passed

    def uptime(self) -> tuple[str, float]:
        """One boot, as old as the loop."""
        return "virtual", self._loop.passed

    async def sleep(self, seconds: float) -> None:
        """Let the loop's time pass."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the loop's own seconds


def _await(self: Any) -> Generator[Any, None, Any]:
    return self._connect().__await__()  # type: ignore[no-any-return] # aiosqlite's own coroutine


async def _connect(self: Any) -> Any:
    if self._connection is None:
        self._connection = self._connector()
        self._connection.execute("PRAGMA mmap_size = 0")
    return self


async def _execute(self: Any, function: Any, *args: Any, **named: Any) -> Any:
    if self._connection is None:
        raise ValueError("Connection closed")
    return function(*args, **named)


async def _close(self: Any) -> None:
    connection, self._connection = self._connection, None
    if connection is not None:
        connection.close()


@contextmanager
def sqlite_in_this_thread() -> Iterator[None]:
    """Every call of aiosqlite is made at once, where it stands."""
    steps = {"__await__": _await, "_connect": _connect, "_execute": _execute, "close": _close, "stop": lambda _self: None}
    with ExitStack() as stack:
        for name, step in steps.items():
            stack.enter_context(patch.object(aiosqlite.Connection, name, step))
        yield


def pull_the_plug(connection: aiosqlite.Connection) -> None:
    """The process is dead: what was not committed is gone, and nothing more is written."""
    raw: sqlite3.Connection | None = connection._connection
    connection._connection = None
    if raw is not None:
        raw.close()
