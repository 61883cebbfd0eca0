"""Proof that the loops go on: each notes when an attempt has ended, well or badly, and its time for the next begins anew.

    loop ──attempted──▶ Pulse ──▶ overdue: whose time is over? ──▶ nobody's: the watchdog is fed
      └── its calls ──beat──┘

Whoever makes a call need not know for which loop: the pulse goes with the task (a context variable), also into tasks that it
starts. Nothing here runs by itself: without an attempt or a call that has ended, a loop's time runs out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from stream.clock import Clock

FRAMES_MOST = 12


@dataclass(slots=True, eq=False)
class Pulse:
    """One loop's, or one batch's. `due_at` (monotonic): by when it must be heard of again. `aside`: it waits for another one."""

    name: str
    limit_seconds: float
    pulses: Pulses = field(repr=False)
    task: asyncio.Task[Any] | None = field(repr=False)
    is_batch: bool = False
    aside: bool = False
    attempts: int = 0
    due_at: float = -math.inf

    def beat(self, wait_seconds: float = 0.0, *, at: float | None = None) -> None:
        """Something has ended, now or `at` (monotonic); before the next thing begins it waits so long by intent."""
        if at is not None:
            self.due_at = max(self.due_at, at + self.limit_seconds)
        else:
            self.due_at = self.pulses.clock.monotonic() + wait_seconds + self.limit_seconds


@dataclass(slots=True)
class Pulses:
    """All that are watched. `tried` is set when one of them has ended its first attempt."""

    clock: Clock
    watched: list[Pulse] = field(default_factory=list)
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, name: str, limit_seconds: float, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop under watch until it ends."""
        with self.begun(name, limit_seconds):
            await run()

    @contextmanager
    def begun(self, name: str, limit_seconds: float, *, is_batch: bool = False) -> Iterator[None]:
        """What this task does in here is watched under this name."""
        pulse = Pulse(name, limit_seconds, self, asyncio.current_task(), is_batch)
        pulse.beat()
        self.watched.append(pulse)
        token = _mine.set(pulse)
        try:
            yield
        finally:
            _mine.reset(token)
            self.watched.remove(pulse)

    def overdue(self) -> list[Pulse]:
        """Whose time is over. Who waits for another batch is excused as long as one is there that does not wait."""
        now = self.clock.monotonic()
        moving = any(pulse.is_batch and not pulse.aside for pulse in self.watched)
        return [pulse for pulse in self.watched if pulse.due_at <= now and not (pulse.aside and moving)]

    def excuse(self) -> None:
        """Nobody can go on just now, and that is known: all have their whole time again."""
        for pulse in self.watched:
            pulse.due_at = max(pulse.due_at, self.clock.monotonic() + pulse.limit_seconds)

    def go_by(self, limits: Mapping[str, float]) -> None:
        """Each loop has so many seconds from its next sign of life on."""
        for pulse in self.watched:
            pulse.limit_seconds = limits.get(pulse.name, pulse.limit_seconds)

    def untried(self, names: tuple[str, ...]) -> list[str]:
        """Those of the loops that have not ended an attempt yet."""
        tried = {pulse.name for pulse in self.watched if pulse.attempts}
        return [name for name in names if name not in tried]


_mine: ContextVar[Pulse | None] = ContextVar("pulse", default=None)


def mine() -> Pulse | None:
    """The pulse of the loop that this task works for, if it is watched."""
    return _mine.get()


def attempted(wait_seconds: float = 0.0) -> None:
    """An attempt of this loop has ended, well or badly; the next one begins after so long."""
    if (pulse := _mine.get()) is not None:
        pulse.attempts += 1
        if pulse.attempts == 1:
            pulse.pulses.tried.set()
        pulse.beat(wait_seconds)


def beat(wait_seconds: float = 0.0) -> None:
    """A call of this loop has ended, well or badly, or it looked in vain for what it waits for."""
    if (pulse := _mine.get()) is not None:
        pulse.beat(wait_seconds)


def leave() -> None:
    """What this task does from here on proves nothing for the loop that started it."""
    _mine.set(None)


@contextmanager
def batch(name: str) -> Iterator[None]:
    """A piece of work that a task of its own does for a loop, watched for itself: others may not cover up that it hangs."""
    pulse = _mine.get()
    with pulse.pulses.begun(f"{pulse.name} {name}", pulse.limit_seconds, is_batch=True) if pulse is not None else nullcontext():
        yield


@contextmanager
def aside() -> Iterator[None]:
    """It waits until another batch is done, however long that takes: that one is watched."""
    pulse = _mine.get()
    if pulse is None:
        yield
        return
    pulse.aside = True
    try:
        yield
    finally:
        pulse.aside = False
        pulse.beat()


def where(task: asyncio.Task[Any] | None) -> list[str]:
    """Where a task stands, outermost first: file and line of every coroutine that waits for the next."""
    found: list[str] = []
    step: Any = task.get_coro() if task is not None else None
    while step is not None and len(found) < FRAMES_MOST:
        frame = getattr(step, "cr_frame", None) or getattr(step, "ag_frame", None) or getattr(step, "gi_frame", None)
        if frame is not None:
            found.append(f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}")
        step = getattr(step, "cr_await", None) or getattr(step, "ag_await", None) or getattr(step, "gi_yieldfrom", None)
    return found
