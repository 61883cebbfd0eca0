"""The watch over the machine's clock: when somebody sets it, the store's times and ours move with it, once, and it is said.

    machine's clock ─▶ ahead of ours by seconds? ─▶ one transaction moves every time in the store ─▶ ours takes it over

Without it, an entry that was stored with a due time would sleep through the days that a clock was set back. Between two runs the
kernel's own seconds since the boot tell how much time has really passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from store.store import Store
from stream.budgets.budget import day_in
from stream.clock import SteadyClock

log = structlog.get_logger(__name__)

NOTE = "clock"
LOOK_SECONDS = 1.0
JUMP_SECONDS = 5.0  # less is taken over as it is: no wait is so short that it would matter
AGAIN_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0)  # after a jump: what is under way may still be put off by the time before it
LONGEST_WAIT_SECONDS = 960.0  # the longest that a delivery is put off, settle_seconds aside


def clock_note(clock: SteadyClock) -> dict[str, Any]:
    """What the next run must know to see that the clock was set."""
    boot, uptime = clock.uptime()
    return {"at": clock.now(), "boot": boot, "uptime": uptime}


def once(call: Callable[[], None]) -> Callable[[], None]:
    """The call, made only the first time: a commit that has to be tried again makes it again."""
    calls = [call]
    return lambda: calls.pop()() if calls else None


class Daily(Protocol):
    """An allowance that each day renews."""

    def carry_over(self, then: float, now: float) -> None:
        """The clock was set from then to now: that renews nothing."""
        ...


@dataclass(slots=True)
class ClockWatch:
    """The loop. `_alive` is when an earlier run was last alive, by the clock as it was then and by the clock as it is now."""

    store: Store
    clock: SteadyClock
    daily: Sequence[Daily]
    settle_seconds: float
    _alive: tuple[float, float] = (0.0, 0.0)
    _again: list[float] = field(default_factory=list)

    async def begin(self) -> None:
        """Put right what was set while no daemon ran."""
        held = await self.store.note(NOTE)
        if held is not None:
            boot, uptime = self.clock.uptime()
            now, then = self.clock.now(), float(held["at"])
            passed = max(uptime - held["uptime"], 0.0) if boot and boot == held["boot"] else None
            alive = now - passed if passed is not None else min(then, now)
            if abs(alive - then) >= JUMP_SECONDS:
                self._alive = (then, alive)
                await self._move(alive - then, clock_note(self.clock), once(partial(self._carry_over, then, alive)))
        await self._bring_near()

    def day_now(self, zone: ZoneInfo | None, day: str) -> str:
        """What a day that an earlier run counted for is called by the clock as it is now; "" for one that was over then."""
        then, now = self._alive
        if then == now:
            return day
        return day_in(zone, now)[0] if day >= day_in(zone, then)[0] else ""

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            await self.clock.sleep(LOOK_SECONDS)
            seconds = self.clock.ahead_seconds()
            if abs(seconds) < JUMP_SECONDS:
                self.clock.take_over(seconds)
                await self._look_again()
                continue
            note = clock_note(self.clock)
            await self._move(seconds, {**note, "at": note["at"] + seconds}, once(partial(self._take_over, seconds)))
            self._again = [self.clock.monotonic() + later for later in AGAIN_SECONDS]

    async def _look_again(self) -> None:
        """Some calls last minutes, and what becomes of them may be put off by the time at which they began."""
        due = [at for at in self._again if at <= self.clock.monotonic()]
        if due:
            self._again = self._again[len(due) :]
            await self._bring_near()

    def _take_over(self, seconds: float) -> None:
        then = self.clock.now()
        self.clock.take_over(seconds)
        self._carry_over(then, self.clock.now())

    def _carry_over(self, then: float, now: float) -> None:
        for each in self.daily:
            each.carry_over(then, now)

    async def _move(self, seconds: float, note: dict[str, Any], then: Callable[[], None]) -> None:
        """The clock was set by so many seconds. The store's times, ours, and the note that says so change together."""
        log.warning("clock_jumped", jump_seconds=round(seconds, 1))
        await self.store.shift_times(int(seconds * 1000), NOTE, note, then)

    async def _bring_near(self) -> None:
        now_ms = int(self.clock.now() * 1000)
        settle_ms = int(self.settle_seconds * 1000)
        latest_ms = now_ms + int(LONGEST_WAIT_SECONDS * 1000) + settle_ms
        moved = await self.store.bring_near(latest_ms, now_ms + settle_ms)
        if moved:
            log.warning("due_times_brought_near", entries=moved)
