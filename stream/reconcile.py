"""The reconciling loop: queries by SystemModstamp bring what the stream does not.

    polled objects, every poll_interval_seconds ─────┐
    streamed objects, every interval_seconds (sweep) ┴─▶ queryAll … ORDER BY SystemModstamp ──▶ outbox + what is complete

A sweep finds what Change Data Capture lost without telling, and says so. Where the stream brought nothing at all of an object
that did change, it is most likely not selected: a stream that looks alive and delivers nothing is the commonest fault there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from store.model import Change, Covered, ObjectName
from stream.budgets.budget import background
from stream.clock import Clock, wait_for_event
from stream.config.model import ObjectModes
from stream.errors import BudgetSpent, SalesforceError, StreamError
from stream.retry import Backoff
from stream.rows import Page, Rows
from stream.server_clock import ServerClock
from stream.watch import pulse

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
GRACE_S = 120.0  # how long an event may take: what was stamped later may still come by itself
SILENT_FROM = 5  # a stream is called silent that missed so many changes of an object and brought none


def swept_note(obj: ObjectName) -> str:
    """The note that says when the last sweep of a streamed object began, by Salesforce's clock."""
    return f"swept:{obj}"


@dataclass(slots=True)
class Reconcile:
    """The loop. `heard` counts the events that the stream brought. `polled_at` (wall clock): when an object was polled last.

    `sweeps_wait` tells whether the day's calls are kept for live changes.
    `silent` are the objects of which the stream brings nothing, with the number of changes that it missed.
    """

    rows: Rows
    clock: Clock
    server_clock: ServerClock
    modes: ObjectModes
    poll_interval_seconds: float
    sweep_interval_seconds: float
    backoff: Backoff
    heard: Mapping[ObjectName, int]
    sweeps_wait: Callable[[], bool] = bool
    error: str = ""
    polled_at: dict[ObjectName, float] = field(default_factory=dict)
    silent: dict[ObjectName, int] = field(default_factory=dict)
    missed: int = 0
    _heard_before: dict[ObjectName, int] = field(default_factory=dict)
    _failures: int = 0
    _next: float = 0.0

    async def run(self) -> None:
        """Poll and sweep until cancelled."""
        wake = self.rows.store.listen()
        while True:
            wake.clear()
            if self.clock.monotonic() >= self._next:
                await self._turn()
            pulse.attempted()
            await wait_for_event(wake, self.clock, min(max(self._next - self.clock.monotonic(), 0.01), LOOK_SECONDS))

    def go_by(self, poll_interval_seconds: float, sweep_interval_seconds: float) -> None:
        """These are the intervals from now on; who waits by longer ones is called back."""
        if (poll_interval_seconds, sweep_interval_seconds) != (self.poll_interval_seconds, self.sweep_interval_seconds):
            self.poll_interval_seconds, self.sweep_interval_seconds = poll_interval_seconds, sweep_interval_seconds
            self._next = self.clock.monotonic()

    async def _turn(self) -> None:
        try:
            for obj in self.modes.set_to("poll"):
                await self._poll(obj)
            for obj in self.modes.set_to("stream"):
                with background():
                    await self._sweep(obj)
        except StreamError as error:
            self._next = self.clock.monotonic() + self._failed(error)
            return
        if self.error:
            log.info("poll_resumed")
        self.error, self._failures = "", 0
        self._next = self.clock.monotonic() + min(self.poll_interval_seconds, self.sweep_interval_seconds)

    def _failed(self, error: StreamError) -> float:
        """Say so, and return how long to wait, in seconds."""
        self._failures += 1
        if isinstance(error, SalesforceError) and error.code == "INVALID_FIELD":
            self.rows.catalog.forget_all_salesforce()
        wait_seconds = (
            min(error.resets_in_seconds, 900.0) if isinstance(error, BudgetSpent) else self.backoff.wait_seconds(self._failures)
        )
        log.warning("poll_failed", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
        self.error = error.message
        return wait_seconds

    async def _poll(self, obj: ObjectName) -> None:
        """From where the object is complete until now; what was never read before is a load's work."""
        began, began_s = self.clock.now(), self.server_clock.now()
        cuts, held = await self.rows.store.cuts(obj), await self.rows.store.intervals(obj)
        if not held:
            return
        wanted = Covered(obj, max(end for _, end, _ in held), began_s, "polled", cuts)
        async for page in self.rows.since(obj, wanted.from_s, "poll"):
            await self.rows.take(page, wanted)
        await self.rows.store.cover([wanted])
        self.polled_at[obj] = began

    async def _sweep(self, obj: ObjectName) -> None:
        """Everything modified since the last sweep: what is new was missed by the stream."""
        began_s = self.server_clock.now()
        held = await self.rows.store.note(swept_note(obj))
        if held is None or held > began_s:
            await self.rows.store.put_note(swept_note(obj), began_s)
            return
        if began_s - held < self.sweep_interval_seconds or self.sweeps_wait():
            return
        wanted = Covered(obj, held, began_s, "read", await self.rows.store.cuts(obj))
        missed = 0
        async for page in self.rows.since(obj, wanted.from_s, "sweep"):
            missed += await self._take_swept(page, wanted)
        await self.rows.store.take_rows([], self.rows.now_ms(), covered=[wanted], notes={swept_note(obj): began_s})
        self.missed += missed
        self._judge(obj, missed)

    async def _take_swept(self, page: Page, wanted: Covered) -> int:
        """Store a page; returns how many changes it brought that the stream ought to have brought before."""
        held = await self.rows.store.intervals(wanted.object)
        streamed = [(start, end - GRACE_S) for start, end, how in held if how == "streamed"]

        def due(change: Change) -> bool:
            return any(start < (change.read_s or 0) < end for start, end in streamed)

        taken = await self.rows.store.take_rows([change for change in page.changes if due(change)], self.rows.now_ms())
        await self.rows.take(page, wanted, [change for change in page.changes if not due(change)])
        return taken.applied - taken.to_read

    def _judge(self, obj: ObjectName, missed: int) -> None:
        """Say what was missed; an object that is missed again and again, and never heard of, is silent."""
        heard = self.heard.get(obj, 0) - self._heard_before.get(obj, 0)
        self._heard_before[obj] = self.heard.get(obj, 0)
        if heard and self.silent.pop(obj, 0):
            log.info("stream_heard_again", object=obj)
        if missed and not heard and missed + self.silent.get(obj, 0) >= SILENT_FROM:
            self.silent[obj] = self.silent.get(obj, 0) + missed
            hint = (
                "select the object for Change Data Capture in Setup, or look at the channel's filter and the user's permissions"
            )
            log.error("stream_silent", object=obj, records=self.silent[obj], cure=hint)
        elif missed:
            log.warning("changes_missed_by_stream", object=obj, records=missed)
