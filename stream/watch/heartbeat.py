"""The heartbeat: what `status` and monitoring need to know of the running daemon, written down within seconds when it changes.

The store keeps the last one, so that `status` can also tell how a stopped daemon stood, and how long Salesforce will remember.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from store.errors import StoreBlocked, StoreError
from store.store import Store
from stream.budgets.budget import DailyBudget
from stream.budgets.quota_watch import QuotaWatch
from stream.capture import Capture
from stream.clock import SteadyClock
from stream.deliver import Deliver
from stream.holds import Holds
from stream.load import Load
from stream.logs.repeats import Repeats
from stream.loss import LossWarning, hours_to_loss
from stream.operating.status import Status
from stream.reading import Reading
from stream.reconcile import Reconcile
from stream.scores import Scores
from stream.watch import pulse
from stream.watch.clock_watch import NOTE, clock_note

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
STILL_SECONDS = 10.0  # where nothing changes: it is written that the daemon is there, which `status` wants to hear every 30 s
LINE_SECONDS = 60.0


@dataclass(slots=True)
class Heartbeat:
    """Writes the daemon's state into the store, and a line into the log every minute. `stirred` is set when it is another."""

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
    quota_watch: QuotaWatch
    repeats: Repeats
    look_how: Callable[[], Awaitable[Status]]
    stirred: asyncio.Event
    _told: tuple[Any, ...] = ()
    _told_at: float = float("-inf")
    _line_at: float = float("-inf")
    _loss: LossWarning = field(default_factory=LossWarning)
    _looked_to: int = -1
    _sure: float | None = None
    _began_at: float = field(init=False)
    _said: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """This run begins."""
        self._began_at = self.clock.monotonic()

    async def restore_budgets(self, day_now: Callable[[ZoneInfo | None, str], str]) -> None:
        """Calls that an earlier run made today count today; `day_now` calls its days as they are called now."""
        held = await self.store.note("budgets") or {}
        for name, budget in self.budgets.items():
            if name in held:
                budget.restore(day_now(budget.zone, held[name]["day"]), held[name]["used"])

    async def run(self) -> None:
        """Beat until cancelled: where nothing has changed, seldom."""
        while True:
            if not self._is_still():
                await self.beat()
            pulse.attempted()
            await self.clock.sleep(BEAT_SECONDS)

    async def beat(self, *, stopped: bool = False) -> None:
        """Write the state down once, and keep the stories short; a line for the log once a minute, and at the end.

        While the store cannot be written the line says that; at the end StoreBlocked is raised.
        """
        blocked = ""
        try:
            await self.capture.prove()
            heard, signs = self.capture.heard, self._signs()
            ended_ms = int(self.clock.now() * 1000) if stopped else None
            await self.store.beat(partial(self._notes, stopped=stopped), ended_ms=ended_ms)
            self._sure = heard if heard is not None else self._sure
            if signs != self._told:
                self.stirred.set()
            self._told, self._told_at = signs, self.clock.monotonic()
            self._looked_to = await self.store.prune_history(self._looked_to, int(self.clock.now() * 1000))
        except StoreBlocked as error:
            if stopped:
                raise
            blocked = error.message
        self._loss.look(self._hours_to_loss())
        self.repeats.tell()
        if stopped or self.clock.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = self.clock.monotonic()
            await self._line(blocked)

    def _is_still(self) -> bool:
        """Whether nothing has changed since the last beat, and it is not long ago."""
        now = self.clock.monotonic()
        recent = now - self._told_at < STILL_SECONDS and now - self._line_at < LINE_SECONDS
        return recent and self.capture.heard == self._sure and self._signs() == self._told

    def _signs(self) -> tuple[Any, ...]:
        """What shows, at no cost, that the state is another."""
        capture, deliver = self.capture, self.deliver
        return (
            (capture.state, capture.error, capture.events, capture.pending),
            (deliver.pause.code, deliver.accepted, deliver.pace.now),
            tuple(self.holds.all_held),
            tuple(self._errors().values()),
            tuple(budget.count() for budget in self.budgets.values()),
            (self.scores.swept_until, len(self.reconcile.silent)),
        )

    def _notes(self, *, stopped: bool) -> dict[str, Any]:
        self.quota_watch.sample()
        budgets = {name: {"day": budget.day, "used": budget.count()} for name, budget in self.budgets.items()}
        return {"heartbeat": self.state(stopped=stopped), "budgets": budgets, NOTE: clock_note(self.clock)}

    def restore_heard(self, previous: Mapping[str, Any] | None) -> None:
        """What an earlier run heard last counts until this one hears something: Salesforce forgets all the while."""
        heard_at = previous["stream"]["heard_at"] if previous is not None else None
        if heard_at is not None:
            self._sure = self.clock.monotonic() - max(self.clock.now() - heard_at, 0.0)

    def _heard_at(self) -> float | None:
        """The same, in seconds since the epoch."""
        if self.capture.heard_at is not None or self._sure is None:
            return self.capture.heard_at
        return self.clock.now() - (self.clock.monotonic() - self._sure)

    def _hours_to_loss(self) -> float | None:
        return hours_to_loss(self._sure, self.clock.monotonic())

    def state(self, *, stopped: bool) -> dict[str, Any]:
        """Everything that only the running daemon knows."""
        now = self.clock.now()
        pause, pace = self.deliver.pause, self.deliver.pace
        return {
            "at": now,
            "pid": os.getpid(),
            "stopped": stopped,
            "stream": {"state": self.capture.state, "error": self.capture.error, "heard_at": self._heard_at()},
            "pending": self.capture.pending,
            "paused": {"code": pause.code, "cause": pause.cause, "cure": pause.cure} if pause else None,
            "held": self.holds.all_held,
            "errors": self._errors(),
            "freshness": self.deliver.freshness.percentiles(self.clock.monotonic()),
            "accepted": self.deliver.accepted,
            "pace": {"batch_size": pace.batch_size.told, "concurrency": pace.concurrency.told},
            "calls": {name: self.quota_watch.told(name) for name in self.budgets},
            "swept_until": self.scores.swept_until,
            "polled_at": dict(self.reconcile.polled_at),
            "silent": dict(self.reconcile.silent),
        }

    def _errors(self) -> dict[str, str]:
        """What each loop cannot do just now; "" where it can."""
        return {
            "deliver": self.deliver.not_ready,
            "reading": self.reading.error,
            "reconcile": self.reconcile.error,
            "load": self.load.error,
            "scores": self.scores.error,
        }

    async def _line(self, blocked: str) -> None:
        """How it stands, for monitoring. What was heard while nothing could be stored is not sure: it may come again.

        Where the store cannot even be read, what it would tell is null.
        """
        try:
            how = await self.look_how()
        except StoreError as error:
            how, blocked = None, blocked or error.message
        facts = how.facts if how is not None else {}
        lately = self.deliver.freshness.percentiles(self.clock.monotonic())
        errors = self._errors()
        poisoned = self.holds.poison.diagnosis
        log.info(
            "heartbeat",
            state=how.state if how is not None else "failing",
            stream=self.capture.state,
            failing=[name for name, error in errors.items() if error],
            paused=self.deliver.pause.code,
            poisoned=poisoned.code if poisoned is not None else "",
            held=self.holds.all_held,
            store=blocked,
            freshness_p50_seconds=_rounded(lately["p50"]),
            freshness_p99_seconds=_rounded(lately["p99"]),
            freshness_oldest_seconds=facts["freshness_seconds"]["oldest"] if facts else None,
            backlog=facts.get("backlog"),
            blocked=facts.get("blocked_entries"),
            dead=facts.get("dead"),
            waiting_people=facts["new_people"]["waiting"] if facts else None,
            pending=self.capture.pending,
            events=self._since_the_last("events", self.capture.events),
            accepted=self._since_the_last("accepted", self.deliver.accepted),
            calls=facts.get("calls"),
            hours_to_loss=self._hours_to_loss(),
            holes=_holes(facts["coverage"]) if facts else None,
            silent=sorted(self.reconcile.silent),
            missed=self._since_the_last("missed", self.reconcile.missed),
            memory_mb=_memory_mb(),
            uptime_seconds=round(self.clock.monotonic() - self._began_at),
        )

    def _since_the_last(self, name: str, count: int) -> int:
        before, self._said[name] = self._said.get(name, 0), count
        return count - before


def _holes(coverage: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    return [obj for obj, rows in coverage.items() if any("hole" in row for row in rows)]


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value is not None else None


def _memory_mb() -> float:
    """Resident memory, from the kernel."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo file
            return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except OSError:
        return 0.0
