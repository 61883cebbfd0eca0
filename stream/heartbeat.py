"""The heartbeat: what `status` and monitoring need to know of the running daemon, written down every few seconds.

The store keeps the last one, so that `status` can also tell how a stopped daemon stood, and how long Salesforce will remember.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from store.errors import StoreBlocked
from store.holds import FLOWS
from store.store import Store
from stream import pulse
from stream.budget import DailyBudget
from stream.capture import Capture
from stream.clock import SteadyClock
from stream.clock_watch import NOTE, clock_note
from stream.deliver import Deliver
from stream.holds import Holds
from stream.load import Load
from stream.reading import Reading
from stream.reconcile import Reconcile
from stream.scores import Scores

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
LINE_SECONDS = 60.0
HOUR_SECONDS = 3600.0
LOSS_MARKS_HOURS = (60.0, 48.0, 36.0, 24.0, 12.0, 6.0, 3.0, 1.0, 0.01)
LOUD_BELOW_HOURS = 24.0
RETENTION_SECONDS = 72 * 3600  # how long Salesforce keeps events (CDC Developer Guide)


@dataclass(slots=True)
class LastHour:
    """How many calls were made in the last hour, from samples of a budget's daily count."""

    used: int | None = None
    made: deque[tuple[float, int]] = field(default_factory=deque)

    def count(self, used: int, now: float) -> int:
        """Take a sample (the count falls to nothing at midnight), and return the calls of the hour before `now` (monotonic)."""
        if self.used is not None and used != self.used:
            self.made.append((now, used - self.used if used > self.used else used))
        self.used = used
        while self.made and self.made[0][0] <= now - HOUR_SECONDS:
            self.made.popleft()
        return sum(calls for _, calls in self.made)


@dataclass(slots=True)
class LossWarning:
    """Says, once for each mark that is passed, that Salesforce is about to forget what was not read; louder as it nears."""

    _passed: float = math.inf

    def look(self, hours: float | None) -> None:
        """So many hours are left."""
        if hours is None or hours >= LOSS_MARKS_HOURS[0]:
            self._passed = math.inf
            return
        mark = min(mark for mark in LOSS_MARKS_HOURS if hours < mark)
        if mark >= self._passed:
            return
        self._passed = mark
        say = log.warning if mark > LOUD_BELOW_HOURS else log.error
        hint = "let the daemon reach Salesforce again before then; what is forgotten has to be read again, which takes calls"
        say("loss_nears", hours_to_loss=hours, hint=hint)


@dataclass(slots=True)
class Heartbeat:
    """Writes the daemon's state into the store, and a line into the log every minute."""

    store: Store
    clock: SteadyClock
    capture: Capture
    deliver: Deliver
    reading: Reading
    reconcile: Reconcile
    load: Load
    scores: Scores
    holds: Holds
    budgets: Mapping[str, DailyBudget]
    _line_at: float = float("-inf")
    _loss: LossWarning = field(default_factory=LossWarning)
    _looked_to: int = -1
    _sure: float | None = None
    _last_hour: dict[str, LastHour] = field(default_factory=dict)

    async def restore_budgets(self, day_now: Callable[[ZoneInfo | None, str], str]) -> None:
        """Calls that an earlier run made today count today; `day_now` calls its days as they are called now."""
        held = await self.store.note("budgets") or {}
        for name, budget in self.budgets.items():
            if name in held:
                budget.restore(day_now(budget.zone, held[name]["day"]), held[name]["used"])

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            pulse.attempted()
            await self.clock.sleep(BEAT_SECONDS)

    async def beat(self, *, stopped: bool = False) -> None:
        """Write the state down once, and keep the stories short; a line for the log once a minute, and at the end.

        While the store cannot be written the line says that; at the end StoreBlocked is raised.
        """
        line = stopped or self.clock.monotonic() - self._line_at >= LINE_SECONDS
        if line:
            self._line_at = self.clock.monotonic()
        stored: dict[str, Any] = {}
        try:
            await self.capture.prove()
            heard = self.capture.heard
            counts = await self.store.beat(partial(self._notes, stopped=stopped), count=line)
            self._sure = heard
            self._looked_to = await self.store.prune_history(self._looked_to, int(self.clock.now() * 1000))
            stored = asdict(counts) if counts is not None else {}
        except StoreBlocked as error:
            if stopped:
                raise
            stored = {"store": error.message}
        self._loss.look(self._hours_to_loss())
        if line:
            self._line(self.state(stopped=stopped), stored)

    def _notes(self, *, stopped: bool) -> dict[str, Any]:
        budgets = {name: {"day": budget.day, "used": budget.count()} for name, budget in self.budgets.items()}
        return {"heartbeat": self.state(stopped=stopped), "budgets": budgets, NOTE: clock_note(self.clock)}

    def _hours_to_loss(self) -> float | None:
        return hours_to_loss(self._sure, self.clock.monotonic())

    def state(self, *, stopped: bool) -> dict[str, Any]:
        """Everything that only the running daemon knows."""
        now = self.clock.now()
        pause = self.deliver.pause
        return {
            "at": now,
            "pid": os.getpid(),
            "stopped": stopped,
            "stream": {"state": self.capture.state, "error": self.capture.error, "heard_at": self.capture.heard_at},
            "pending": self.capture.pending,
            "paused": {"code": pause.code, "cause": pause.cause, "cure": pause.cure} if pause else None,
            "held": [flow for flow in FLOWS if self.holds.held(flow)],
            "errors": {
                "deliver": self.deliver.not_ready,
                "reading": self.reading.error,
                "reconcile": self.reconcile.error,
                "load": self.load.error,
                "scores": self.scores.error,
            },
            "freshness": self.deliver.freshness.percentiles(self.clock.monotonic()),
            "accepted": self.deliver.accepted,
            "calls": {name: self._calls(name, budget) for name, budget in self.budgets.items()},
            "swept_until": self.scores.swept_until,
            "polled_at": dict(self.reconcile.polled_at),
            "silent": dict(self.reconcile.silent),
        }

    def _calls(self, name: str, budget: DailyBudget) -> dict[str, Any]:
        used = budget.count()
        last_hour = self._last_hour.setdefault(name, LastHour()).count(used, self.clock.monotonic())
        return {"used": used, "budget": budget.limit, "day": budget.day, "last_hour": last_hour}

    def _line(self, state: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
        """What was heard while nothing could be stored is not sure: Salesforce may have to tell it again."""
        log.info(
            "heartbeat",
            stream=state["stream"]["state"],
            freshness_p50_seconds=_rounded(state["freshness"]["p50"]),
            freshness_p99_seconds=_rounded(state["freshness"]["p99"]),
            pending=state["pending"],
            calls={name: calls["used"] for name, calls in state["calls"].items()},
            hours_to_loss=self._hours_to_loss(),
            memory_mb=_memory_mb(),
            **stored,
        )


def hours_to_loss(heard_at: float | None, now: float) -> float | None:
    """How many hours are left until Salesforce forgets something that was not read; None before the first connect."""
    if heard_at is None:
        return None
    return round(max(RETENTION_SECONDS - max(now - heard_at, 0.0), 0.0) / 3600, 2)


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None


def _memory_mb() -> float:
    """Resident memory, from the kernel."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo file
            return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except OSError:
        return 0.0
