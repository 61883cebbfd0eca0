"""Time, injected: the only place that reads a clock or sleeps.

the machine's clock, which may be set ──▶ SteadyClock, which never jumps by itself ──▶ everything else
                                             ▲ takes over what was set, once the store's times are moved with it
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Protocol

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the rest of the code may know of time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC; may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, of no known origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


class MachineClock(Clock, Protocol):
    """A clock that somebody may set, on a machine that knows for how long it has been running."""

    def uptime(self) -> tuple[str, float]:
        """Which boot of the machine this is ("": not known), and the seconds since; sleep counts, and nobody can set it."""
        ...


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._boot = ""
        if hasattr(time, "CLOCK_BOOTTIME"):
            with contextlib.suppress(OSError):
                self._boot = BOOT_ID.read_text(encoding="ascii").strip()

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - the one place that may

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()  # noqa: TID251 - the one place that may

    def uptime(self) -> tuple[str, float]:
        """The kernel's boot id and its seconds since then."""
        return self._boot, time.clock_gettime(time.CLOCK_BOOTTIME) if self._boot else self.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the one place that may


class SteadyClock:
    """The daemon's time: it goes on evenly however the machine's clock is set, until it takes over what that shows."""

    def __init__(self, machine: MachineClock) -> None:
        self._machine = machine
        self._began = machine.now() - machine.uptime()[1]

    def now(self) -> float:
        """Seconds since the epoch, UTC, by what was taken over so far."""
        return self._began + self._machine.uptime()[1]

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._machine.monotonic()

    def uptime(self) -> tuple[str, float]:
        """The machine's boot, and the seconds since."""
        return self._machine.uptime()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await self._machine.sleep(seconds)

    def ahead_seconds(self) -> float:
        """How far the machine's clock has been set ahead of this one; below zero: back."""
        return self._machine.now() - self.now()

    def take_over(self, seconds: float) -> None:
        """The machine's clock was set by so much: so is this one."""
        self._began += seconds


async def wait_for_event(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait until the event is set or so many seconds have passed; True when it was set. The event is left as it is."""
    if event.is_set():
        return True
    waiter = asyncio.ensure_future(event.wait())
    sleeper = asyncio.ensure_future(clock.sleep(max(seconds, 0.0)))
    try:
        await asyncio.wait((waiter, sleeper), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (waiter, sleeper):
            task.cancel()
        await asyncio.gather(waiter, sleeper, return_exceptions=True)
    return event.is_set()
