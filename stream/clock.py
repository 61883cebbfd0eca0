"""Time, injected: the only place that reads a clock or sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


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


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - the one place that may

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()  # noqa: TID251 - the one place that may

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the one place that may


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
