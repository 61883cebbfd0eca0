"""Marketo's short-term limits, kept before they are hit: calls in any 20 seconds, and calls at once.

    caller ──▶ turn (first come, first served) ──▶ CallLimits: now, or wait this long ──▶ call ──▶ answer
                                                     ▲                                             │
                                                     └── in flight until the answer, then 20 s more ┘

How many may be under way at once is `Pace`'s to say (`pace.py`), never more than is configured.

Marketo counts a call when it arrives, which is some time between our sending it and its answer. So a call is counted from its
start until 20 seconds after its answer: whatever the latencies are, no 20 seconds see more arrivals than were configured.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from stream.clock import Clock, wait_for_event
from stream.marketo.codes import rule_of
from stream.marketo.pace import Pace

WINDOW_SECONDS = 20.0  # 100 calls in 20 s answer 606, shared with every other integration (Adobe, rate limits)
MARGIN_SECONDS = 0.25  # Marketo's seconds need not be ours
LEAST_WAIT_SECONDS = 0.001  # a wait below the clock's own resolution would spin
RATE_CODE, CONCURRENCY_CODE = "606", "615"
SLOW_CAUSE = "Marketo's answers take much longer than they did"
HOLD_SECONDS = {RATE_CODE: WINDOW_SECONDS, CONCURRENCY_CODE: 2.0}


@dataclass(slots=True)
class CallLimits:
    """The decision alone: time comes in, nothing is waited for. Every `start` is followed by one `end`."""

    calls_per_window: int = 50
    concurrency: int = 5
    window_seconds: float = WINDOW_SECONDS
    margin_seconds: float = MARGIN_SECONDS
    in_flight: int = 0
    held_until: float = -math.inf
    ended: deque[float] = field(default_factory=deque)

    def wait_seconds(self, now: float, others: Sequence[float] = ()) -> float:
        """0: a call may start now. A number: not before so many seconds. Infinity: not before a call in flight has ended.

        `others` are the moments at which calls of other processes ended that count too.
        """
        span = self.window_seconds + self.margin_seconds
        while self.ended and self.ended[0] + span <= now:
            self.ended.popleft()
        if self.in_flight >= min(self.concurrency, self.calls_per_window):
            return math.inf
        wait = self.held_until - now
        ended = sorted([*self.ended, *others]) if others else self.ended
        excess = self.in_flight + len(ended) - self.calls_per_window
        if excess >= 0:
            wait = max(wait, ended[excess] + span - now)
        return max(wait, LEAST_WAIT_SECONDS) if wait > 0 else 0.0

    def start(self) -> None:
        """A call is about to be sent."""
        self.in_flight += 1

    def end(self, now: float) -> None:
        """A call was answered, failed or given up."""
        self.in_flight -= 1
        self.ended.append(now)

    def hold(self, now: float, seconds: float) -> None:
        """Let nothing start for so many seconds; a longer hold that is already there stays."""
        self.held_until = max(self.held_until, now + seconds)


class Memory(Protocol):
    """Knows of the calls of other processes: of this program's earlier runs, and of commands beside it."""

    def note(self) -> None:
        """A call begins now."""
        ...

    def ages(self, span_seconds: float) -> list[float]:
        """How long ago each call of others in the last seconds began, the oldest first."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Look and note as one, before anybody else."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A call under way: since when (monotonic), and how many there were then, itself counted in."""

    began: float
    at_once: int


class Gate:
    """What every call to Marketo passes through: `async with gate.call(): …`; callers go in the order they came.

    `paced` is told whenever `pace` has changed, and why it came down; "" where it went up.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        calls_per_20s: int = 50,
        concurrency: int = 5,
        batch_size: int = 300,
        memory: Memory | None = None,
    ) -> None:
        self._clock = clock
        self._memory = memory
        self._limits = CallLimits(calls_per_window=calls_per_20s, concurrency=concurrency)
        self.pace = Pace.full(batch_size, concurrency)
        self.paced: Callable[[str], None] = lambda _: None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Place]:
        """Wait for a place, hold it while the call lasts, and give it back however the call ends."""
        async with self._turn:
            while (wait := self._take_place()) > 0:
                await self._wait(wait)
        try:
            yield Place(self._clock.monotonic(), self._limits.in_flight)
        finally:
            self._limits.end(self._clock.monotonic())
            self._changed.set()

    def keep_within(self, calls_per_20s: int, concurrency: int, batch_size: int) -> None:
        """These are the limits from now on; calls that are under way stay."""
        self._limits.calls_per_window = calls_per_20s
        self.pace.concurrency.within(concurrency)
        self.pace.batch_size.within(batch_size)
        self._go_by_pace()

    def refused(self, code: str, place: Place | None = None, call: str = "", records: int = 0) -> None:
        """Marketo answered with this code: 606 holds everybody for 20 seconds, 615 for two; other codes hold nobody."""
        now, before = self._clock.monotonic(), self.pace.now
        if code in HOLD_SECONDS:
            self._limits.hold(now, HOLD_SECONDS[code])
        self.pace.refused(code, call, records=records, began=place.began if place is not None else now, now=now)
        if self.pace.now != before:
            self._go_by_pace()
            self.paced(rule_of(code).cause)

    def answered(self, place: Place, call: str, records: int) -> None:
        """Marketo did what was asked; `call` is its kind, `records` how many it was about (0: none)."""
        before = self.pace.now
        slow = self.pace.answered(call, records=records, at_once=place.at_once, began=place.began, now=self._clock.monotonic())
        if self.pace.now != before:
            self._go_by_pace()
            self.paced(SLOW_CAUSE if slow else "")

    def _go_by_pace(self) -> None:
        self._limits.concurrency = self.pace.concurrency.value
        self._changed.set()

    def _take_place(self) -> float:
        """Start a call if one may start now (0); else how long to wait."""
        if self._memory is None:
            wait = self._limits.wait_seconds(self._clock.monotonic())
            if wait <= 0:
                self._limits.start()
            return wait
        with self._memory.turn():
            wait = self._limits.wait_seconds(self._clock.monotonic(), self._ended_by_others(self._memory))
            if wait <= 0:
                self._limits.start()
                self._memory.note()
            return wait

    def _ended_by_others(self, memory: Memory) -> list[float]:
        """When the calls of others ended: each was answered a second after it began, as far as anybody can tell."""
        now = self._clock.monotonic()
        ages = memory.ages(WINDOW_SECONDS + 1.0 + MARGIN_SECONDS)
        return [now - max(age - 1.0, 0.0) for age in ages]

    async def _wait(self, seconds: float) -> None:
        self._changed.clear()
        if math.isinf(seconds):
            await self._changed.wait()
        else:
            await wait_for_event(self._changed, self._clock, seconds)
