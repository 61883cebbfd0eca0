"""The delivery loop: ready entries to Marketo, parents before children, deletes the other way round.

outbox ──claim──▶ batch (full, or lingered) ──dispatch──▶ acknowledged · later · dead
          ▲                                                   │
          └── woken by new work, a finished batch, a due time ┘     paused while Marketo cannot take anything,
                                                                    held while the operator wants it, or so much was refused
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog

from store.model import Claimed, Kind, ObjectName
from store.store import Store
from stream.budgets.budget import background
from stream.clock import Clock, wait_for_event
from stream.delivery.dispatch import Dispatch
from stream.delivery.settle import Settled
from stream.mapping import ObjectMapping
from stream.marketo.outcomes import Outcome as Judgement
from stream.marketo.pace import Pace
from stream.retry import Backoff
from stream.watch import pulse

log = structlog.get_logger(__name__)

LEVELS: tuple[ObjectName, ...] = ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
ORDER: tuple[tuple[ObjectName, Kind], ...] = (
    *((obj, "upsert") for obj in LEVELS),
    *((obj, "delete") for obj in reversed(LEVELS)),
)
Due = set[tuple[ObjectName, Kind, int]]
LIVE, LOADED = 0, 1  # live changes, and what a load brought
FIELD_NOT_FOUND = "1006"  # the describe is out of date: unless asked again, every record would follow
FRESHNESS_SECONDS = 300.0
PROBE_SECONDS_MOST = {"probe": 300.0, "reset": 900.0, "": 60.0}
LOOK_SECONDS = 60.0  # whoever puts entries there wakes the loop
GATHER_SECONDS = 0.25
"""So long what becomes ready waits for a call of its kind that is under way and was not full, to go together after it."""


@dataclass(slots=True)
class Pause:
    """Why nothing is sent, since when, and when one batch is sent to find out whether it still is so."""

    code: str = ""
    cause: str = ""
    cure: str = ""
    since: float = 0.0
    until: float = 0.0
    probes: int = 0

    def __bool__(self) -> bool:
        """Whether the flow is paused."""
        return bool(self.code)


@dataclass(slots=True)
class Freshness:
    """Seconds from commit in Salesforce to acceptance by Marketo, over the last five minutes."""

    lags: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=50_000))

    def add(self, commits_ms: Sequence[int], now: float, monotonic: float) -> None:
        """Some changes were accepted just now (`now` by the clock that stamped the commits)."""
        self.lags.extend((monotonic, max(now - commit_ms / 1000, 0.0)) for commit_ms in commits_ms)

    def percentiles(self, now: float) -> dict[str, float | None]:
        """p50 and p99 in seconds; None where nothing was delivered lately. `now` is monotonic."""
        while self.lags and self.lags[0][0] < now - FRESHNESS_SECONDS:
            self.lags.popleft()
        ordered = sorted(lag for _, lag in self.lags)
        if not ordered:
            return {"p50": None, "p99": None}
        return {"p50": ordered[len(ordered) // 2], "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]}


@dataclass(slots=True)
class Deliver:
    """The loop. `loads_wait` tells whether the day's calls are kept for live changes."""

    store: Store
    dispatch: Dispatch
    clock: Clock
    pace: Pace
    linger_seconds: float
    leave_most: int
    load_mappings: Callable[[], Awaitable[Mapping[ObjectName, ObjectMapping]]]
    salesforce_now: Callable[[], float]
    loads_wait: Callable[[], bool] = bool
    pause: Pause = field(default_factory=Pause)
    freshness: Freshness = field(default_factory=Freshness)
    accepted: int = 0
    not_ready: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _calling: set[asyncio.Task[None]] = field(default_factory=set)
    _mappings: Mapping[ObjectName, ObjectMapping] = field(default_factory=dict)
    _draining: bool = False
    _stale_mappings: bool = False
    _turn: int = 0
    _due: Due = field(default_factory=set)
    _gathering: dict[tuple[ObjectName, Kind], float] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Deliver until `drain()`; an unexpected error in a batch ends the loop, and with it the daemon."""
        self._wake = self.store.listen()
        self._mappings = await self.load_mappings()
        self.not_ready = ""
        async with asyncio.TaskGroup() as group:
            while not self._draining:
                self._wake.clear()
                if self._stale_mappings and not self._tasks:
                    self._mappings, self._stale_mappings = await self.load_mappings(), False
                await self._start_batches(group)
                wait_seconds = await self._wait_seconds()
                pulse.attempted(wait_seconds)
                await wait_for_event(self._wake, self.clock, wait_seconds)

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return bool(self._tasks)

    def drain(self) -> None:
        """Start nothing new; `run()` ends when what is in flight is finished."""
        self._draining = True
        self._wake.set()

    def _slots(self) -> int:
        if self._draining or self._stale_mappings or self.dispatch.holds.held("deliver"):
            return 0
        if not self.pause:
            return self.pace.concurrency.value - len(self._calling)
        probing = self.clock.monotonic() >= self.pause.until
        return 1 if probing and not self._tasks else 0

    async def _start_batches(self, group: asyncio.TaskGroup) -> None:
        """As many batches as there are places, each kind in its turn: what is due again and again keeps no place from others."""
        if self._slots() <= 0:
            return
        due, self._due = self._due, set()
        if not (due and await self._start_due(group, due)):
            await self._start_due(group, await self._due_kinds())  # one question instead of one for each kind

    async def _start_due(self, group: asyncio.TaskGroup, due: Due) -> bool:
        """Start batches of these kinds; whether there was one."""
        started = False
        for rank in self._ranks():
            for place in [*range(self._turn, len(ORDER)), *range(self._turn)]:
                obj, kind = ORDER[place]
                while (obj, kind, rank) in due and self._may_go(obj, kind) and (batches := await self._claim(obj, kind, rank)):
                    started = True
                    for claimed in batches:
                        task = group.create_task(self._deliver(obj, claimed, rank), name=f"deliver {obj}")
                        self._tasks.add(task)
                        self._calling.add(task)
                        task.add_done_callback(self._ended)
                        if len(claimed) < self.pace.batch_size.value:
                            self._gather(obj, kind, task)
                    self._turn = (place + 1) % len(ORDER) if self._slots() <= 0 else 0
        return started

    async def _due_kinds(self) -> Due:
        return await self.store.due_kinds(self._now_ms(), self._ranks())

    def _may_go(self, obj: ObjectName, kind: Kind) -> bool:
        """Whether there is a place, and none of the kind is under way that more should wait for."""
        return self._slots() > 0 and self._gathering.get((obj, kind), 0.0) <= self.clock.monotonic()

    def _gather(self, obj: ObjectName, kind: Kind, task: asyncio.Task[None]) -> None:
        """What becomes ready of this kind while a call that is not full is under way goes together after it.

        Without linger each change would go in a call of its own, at a rate at which calls are what there is least of.
        """
        until = self._gathering[obj, kind] = self.clock.monotonic() + GATHER_SECONDS

        def end(_: asyncio.Task[None]) -> None:
            if self._gathering.get((obj, kind)) == until:
                del self._gathering[obj, kind]

        task.add_done_callback(end)

    def _ranks(self) -> tuple[int, ...]:
        """What may go now: where the day's calls are short, a load's records go only in the calls of live ones."""
        return (LIVE,) if self.loads_wait() else (LIVE, LOADED)

    async def _claim(self, obj: ObjectName, kind: Kind, rank: int) -> list[list[Claimed]]:
        """A batch for each place, claimed together: one after the other, each would wait for the disk before the next is asked.

        Where all are full, more is likely to follow at once: what is due then is asked with it.
        """
        most, batches = self.pace.batch_size.value, self._slots()
        self.dispatch.holds.asked |= kind == "delete"  # who left may be held back by it
        claiming = self.store.claim(
            obj,
            kind,
            most=most,
            now_ms=self._now_ms(),
            linger_ms=int(self.linger_seconds * 1000),
            rank=rank,
            leave_most=self.leave_most,
            batches=batches,
        )
        claimed, due = await asyncio.gather(claiming, self._due_kinds())
        self._due = due if len(claimed) == most * batches else set()
        return [claimed[begin : begin + most] for begin in range(0, len(claimed), most)]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._answered(task)

    def _answered(self, task: asyncio.Task[None] | None) -> None:
        """Its place is free: who comes next is claimed while what became of this one is written down."""
        self._calling.discard(task)
        self._wake.set()

    async def _deliver(self, obj: ObjectName, claimed: Sequence[Claimed], rank: int) -> None:
        started = self.clock.monotonic()
        with pulse.batch(obj), background() if rank == LOADED else nullcontext():
            settled = await self.dispatch.deliver(
                obj, claimed, self._mappings[obj], lambda: self._answered(asyncio.current_task())
            )
        self.accepted += settled.accepted
        self.freshness.add(settled.commits_ms, self.salesforce_now(), self.clock.monotonic())
        for dead in settled.dead:
            log.error("dead_letter", object=dead.key[0], id=dead.key[1], code=dead.code, cause=dead.cause, cure=dead.cure)
        if settled.accepted:
            log.info(
                "batch_delivered",
                object=obj,
                records=settled.accepted,
                not_accepted=len(claimed) - settled.accepted,
                took_seconds=round(self.clock.monotonic() - started, 3),
            )
        if any(dead.code == FIELD_NOT_FOUND for dead in settled.dead):
            self._stale_mappings = True
        self._note_pause(settled)

    def _note_pause(self, settled: Settled) -> None:
        if settled.pause is not None:
            self._pause(settled.pause)
        elif (settled.accepted or settled.answered) and self.pause:
            log.info("deliver_resumed", lasted_seconds=round(self.clock.monotonic() - self.pause.since, 1), code=self.pause.code)
            self.pause = Pause()

    def _pause(self, judgement: Judgement) -> None:
        """Hold the flow, and say so; the next batch after the wait is the probe that finds out."""
        now = self.clock.monotonic()
        probes = self.pause.probes + 1
        most = PROBE_SECONDS_MOST[judgement.pause_until or ""]
        wait_seconds = min(judgement.wait_seconds or most, Backoff(1.0, most).wait_seconds(probes))
        log.error("deliver_paused", code=judgement.code, cause=judgement.cause, cure=judgement.cure)
        since = self.pause.since if self.pause else now
        self.pause = Pause(judgement.code, judgement.cause, judgement.cure, since, now + wait_seconds, probes)

    async def _wait_seconds(self) -> float:
        """How long nothing can become due, unless somebody wakes the loop."""
        if self.pause:
            return max(min(self.pause.until - self.clock.monotonic(), LOOK_SECONDS), 0.05) if not self._tasks else LOOK_SECONDS
        if len(self._calling) >= self.pace.concurrency.value or self.dispatch.holds.held("deliver"):
            return LOOK_SECONDS
        due = await self.store.next_due(self._ranks())
        if due is None:
            return LOOK_SECONDS
        wait_seconds = (due - self._now_ms()) / 1000 + self.linger_seconds
        if wait_seconds <= 0:
            now = self.clock.monotonic()
            wait_seconds = min((until - now for until in self._gathering.values() if until > now), default=0.0)
        return max(min(wait_seconds, LOOK_SECONDS), 0.005)

    def _now_ms(self) -> int:
        return int(self.clock.now() * 1000)
