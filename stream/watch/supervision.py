"""What the service manager hears of the daemon: ready, how it stands, that every loop goes on, and that it ends.

    every loop has tried once ─▶ READY=1      every loop is in time ─▶ WATCHDOG=1      how it stands, when that changed ─▶ STATUS=

Where a loop's time is over, the watchdog is not fed any more, whatever the others do; systemd then ends the process and starts it
again, and the log says which loop it was and where it stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from store.errors import StoreError
from stream.clock import Clock, wait_for_event
from stream.operating.status import Status
from stream.watch.notify import Notify
from stream.watch.pulse import Pulse, Pulses, where
from stream.watch.time_limits import LOOPS

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
FIRST_SECONDS = 10.0  # an attempt that has gone on for so long counts as made: an outage delays no start
STATUS_SECONDS = 5.0
STILL_SECONDS = 60.0  # where nothing stirs, and nothing waits, it stands as it stood
STATUS_SHARE = 20  # no more than one part in so many of the time is spent on looking how it stands
STATUS_LETTERS = 400


@dataclass(slots=True)
class Supervision:
    """The loop. `look_how` tells how the daemon stands, `excused` whether nobody can go on now for a reason that is known."""

    notify: Notify
    pulses: Pulses
    clock: Clock
    look_how: Callable[[], Awaitable[Status]]
    excused: Callable[[], bool]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    _told_at: float = float("-inf")
    _still: bool = False
    _hung: dict[Pulse, float] = field(default_factory=dict)
    _said: str = ""
    _fed_at: float = float("-inf")

    async def run(self) -> None:
        """Look until cancelled."""
        self._say("starting")
        began = self.clock.monotonic()
        while True:
            self._look_for_hung()
            self.pulses.tried.clear()
            if not self.ready.is_set():
                self._look_if_ready(self.clock.monotonic() - began)
            await wait_for_event(self.pulses.tried, self.clock, LOOK_SECONDS)

    async def tell(self) -> None:
        """Tell how it stands until cancelled, once it is ready."""
        await self.ready.wait()
        while True:
            began, still = self.clock.monotonic(), self._still and not self.stirred.is_set()
            if not still or began - self._told_at >= STILL_SECONDS:
                self.stirred.clear()
                self._told_at = began
                how = await self._how()
                if not self._hung:
                    self._say(how)
            await self.clock.sleep(max(STATUS_SECONDS, STATUS_SHARE * (self.clock.monotonic() - began)))

    async def _how(self) -> str:
        self._still = False
        try:
            found = await self.look_how()
        except StoreError as error:
            return f"failing: {error.message}"
        self._still = not sum(found.facts["backlog"].values())
        return line(found)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """In here the configuration is read again."""
        self.notify.tell("RELOADING=1", f"MONOTONIC_USEC={int(self.clock.monotonic() * 1e6)}")
        try:
            yield
        finally:
            if self.ready.is_set():
                self.notify.tell("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self.notify.tell("STOPPING=1")
        self._say("stopping: what is in flight is being finished")

    def _look_for_hung(self) -> None:
        """Feed the watchdog, or say who hangs."""
        if self.excused():
            self.pulses.excuse()
        hung = self.pulses.overdue()
        for pulse in hung:
            if pulse not in self._hung:
                self._hung[pulse] = pulse.due_at - pulse.limit_seconds
                log.error("loop_hangs", loop=pulse.name, limit_seconds=round(pulse.limit_seconds), where=where(pulse.task))
        for pulse in [pulse for pulse in self._hung if pulse not in hung]:
            silent_seconds = self.clock.monotonic() - self._hung.pop(pulse)
            log.warning("loop_goes_on", loop=pulse.name, silent_seconds=round(silent_seconds))
        if hung:
            self._say("hangs: " + ", ".join(f"{pulse.name} (for more than {pulse.limit_seconds:.0f} s)" for pulse in hung))
        else:
            self._feed()

    def _feed(self) -> None:
        often, now = self.notify.watchdog_seconds, self.clock.monotonic()
        if often is not None and now - self._fed_at >= often / 4 and self.notify.tell("WATCHDOG=1"):
            self._fed_at = now

    def _look_if_ready(self, seconds: float) -> None:
        untried = self.pulses.untried(LOOPS)
        if untried and seconds < FIRST_SECONDS:
            self._say(f"starting: {', '.join(untried)} has not tried yet")
        elif self.notify.tell("READY=1"):
            log.info("daemon_ready", after_seconds=round(seconds, 1), still_trying=untried)
            self.ready.set()

    def _say(self, text: str) -> None:
        if text != self._said and self.notify.tell(f"STATUS={text}"):
            self._said = text


def line(status: Status) -> str:
    """How the daemon stands, in one line."""
    waiting = sum(status.facts["backlog"].values())
    lately, oldest = status.facts["freshness_seconds"]["p50"], status.facts["freshness_seconds"]["oldest"]
    told = [f"{waiting:,} waiting, the oldest for {oldest:,.0f} s" if waiting and oldest is not None else f"{waiting:,} waiting"]
    if lately is not None:
        told.append(f"freshness {lately:,.1f} s")
    more = len(status.reasons) - 1
    reasons = [status.reasons[0] + (f" (and {more} more: msi-stream status)" if more else "")] if status.reasons else []
    text = f"{status.state}: {'; '.join([', '.join(told), *reasons])}"
    return text if len(text) <= STATUS_LETTERS else text[: STATUS_LETTERS - 1] + "…"
