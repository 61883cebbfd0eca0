"""The loading loop: holes in what is proven complete are read, and so close; the first load is the hole before everything else.

    holes of each object, parents first ──▶ COUNT ──▶ pages by SystemModstamp, or a bulk job ──▶ outbox + what is complete

A page is stored together with the interval that is complete with it (a bulk job: its locator), while the next one is read: what
is cut short goes on where it was. Live changes go first: what a load brings has a rank of its own in the outbox, and not much
more is read than is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from store.coverage import NEVER_READ
from store.model import OBJECTS, Covered, Hole, ObjectName
from stream.ahead import one_ahead
from stream.budgets.budget import background
from stream.clock import Clock, wait_for_event
from stream.config.model import ObjectModes
from stream.errors import BudgetSpent, BulkJobLost, SalesforceError, StreamError
from stream.progress import Progress
from stream.retry import Backoff
from stream.rows import NEVER_DELETED, Page, Rows, where
from stream.salesforce.bulk import BulkQuery
from stream.salesforce.soql import select
from stream.server_clock import ServerClock
from stream.watch import pulse

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0  # whoever cuts a hole wakes the loop
SOON_SECONDS = 5.0  # what it waits for comes about by itself
ALL_READ = "all"  # in place of a locator: the job's last page is stored
WAITING_MOST = 20_000  # entries of a load that may wait for delivery before more is read
RETAINED_S = 72 * 3600  # where nothing older is asked for, a polled object begins where a stream subscribed at -2 would
PATIENCE_SECONDS = 60.0  # how long a first load waits for the stream, so that nothing is read twice


@dataclass(slots=True)
class Load:
    """The loop. `first_load`: whether everything is read that was there before the daemon; else only what is asked for later.

    `waits` tells whether the day's calls are kept for live changes.
    """

    rows: Rows
    bulk: BulkQuery
    clock: Clock
    server_clock: ServerClock
    channel: str
    modes: ObjectModes
    first_load: bool
    bulk_above: int
    backoff: Backoff
    waits: Callable[[], bool] = bool
    error: str = ""
    now_loading: Progress | None = None
    _failures: int = 0
    _began: float = 0.0
    _loaded: int = WAITING_MOST + 1  # at most so many wait; at a start nobody has counted them
    _by_query: set[ObjectName] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Close holes until cancelled."""
        self._wake, self._began = self.rows.store.listen(), self.clock.monotonic()
        await self._waive()
        while True:
            self._wake.clear()
            wait_seconds = await self._turn()
            pulse.attempted(wait_seconds)
            await wait_for_event(self._wake, self.clock, wait_seconds) if not self._failures else await self.clock.sleep(
                wait_seconds
            )

    async def _turn(self) -> float:
        """Read what is to be read now; returns the seconds until the next look."""
        wait_seconds = LOOK_SECONDS
        try:
            for obj in OBJECTS:
                if self.modes.of(obj) == "off":
                    continue
                holes = await self._holes(obj)
                if holes is None:
                    wait_seconds = SOON_SECONDS
                    break
                for hole in holes:
                    with background():
                        await self._close(hole)
        except StreamError as error:
            return self._failed(error)
        if self.error:
            log.info("load_resumed")
        self.error, self._failures = "", 0
        return wait_seconds

    def _failed(self, error: StreamError) -> float:
        """Say so, and return how long to wait, in seconds."""
        self._failures += 1
        if isinstance(error, SalesforceError) and error.code == "INVALID_FIELD":
            self.rows.catalog.forget_all_salesforce()
        wait_seconds = self.backoff.wait_seconds(self._failures)
        if isinstance(error, BudgetSpent):
            wait_seconds = min(error.resets_in_seconds, 900.0)
        log.warning("load_failed", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
        self.error = error.message
        return wait_seconds

    async def _waive(self) -> None:
        """Where no first load is asked for, polled objects begin with what the stream would still bring."""
        if self.first_load:
            return
        for obj in self.modes.set_to("poll"):
            if not await self.rows.store.intervals(obj) and not await self.rows.store.cuts(obj):
                await self.rows.store.cover([Covered(obj, 0.0, self.server_clock.now() - RETAINED_S, "waived")])

    async def _holes(self, obj: ObjectName) -> Sequence[Hole] | None:
        """What is to be read of an object; None while it is not known yet from where the stream goes on."""
        store = self.rows.store
        stream = await store.stream(self.channel) if self.modes.of(obj) == "stream" else None
        if stream is not None and obj in stream.since_s:
            return await store.holes(obj, stream.until_s)
        if await store.intervals(obj):
            return await store.holes(obj)
        if self.modes.of(obj) == "stream" and self.clock.monotonic() - self._began < PATIENCE_SECONDS:
            return None
        wanted = self.first_load or await store.cuts(obj)
        return await store.holes(obj, self.server_clock.now()) if wanted else []

    async def _close(self, hole: Hole) -> None:
        await self._until_there_is_room()
        wanted = Covered(hole.object, hole.from_s, hole.to_s, "read", hole.cuts)
        total = await self.rows.salesforce.count(hole.object, where(hole.from_s))
        progress = await Progress.begin(self.rows.store, self.clock, hole, total)
        pulse.attempted()  # from here on it may go on for days
        self.now_loading = progress
        by_job = progress.job or (total > self.bulk_above and hole.object not in self._by_query)
        pages = self._by_bulk(hole, progress) if by_job else self._by_pages(hole, progress)
        try:
            async with aclosing(one_ahead(pages, lambda page: page.locator == ALL_READ)) as coming:
                async for page in coming:
                    await self._until_there_is_room()
                    progress.locator = page.locator
                    taken = await self.rows.take(page, wanted, notes=progress.grown(page.rows))
                    self._loaded += taken.applied + len(taken.asked)
        except BulkJobLost as lost:
            await self._forget_job(lost, progress)
            raise
        await self.rows.store.take_rows([], self.rows.now_ms(), covered=[wanted], notes=progress.ended())
        self.now_loading = None

    def _by_pages(self, hole: Hole, progress: Progress) -> AsyncGenerator[Page, None]:
        deleted = _deleted(hole, progress)
        return self.rows.since(hole.object, hole.from_s, _source(progress), loaded=progress.whole, deleted=deleted)

    async def _by_bulk(self, hole: Hole, progress: Progress) -> AsyncGenerator[Page, None]:
        """A job's pages, from where an earlier run of this load had come to."""
        if not progress.job:
            fields = await self.rows.fields(hole.object, deleted=_deleted(hole, progress))
            soql = select(fields, hole.object, where(hole.from_s))
            progress.job = await self.bulk.start(soql, deleted=_deleted(hole, progress))
            await self.rows.store.take_rows([], self.rows.now_ms(), notes=progress.noted())
            log.info("bulk_job_started", object=hole.object, job=progress.job)
        if progress.locator == ALL_READ:
            return
        await self.bulk.wait(progress.job)
        async for rows, locator in self.bulk.pages(progress.job, progress.locator):
            page = self.rows.page(hole.object, rows, _source(progress), loaded=progress.whole)
            yield replace(page, locator=locator or ALL_READ)

    async def _forget_job(self, lost: BulkJobLost, progress: Progress) -> None:
        """A job that is lost is begun anew by the next try, unless another would not help."""
        if not lost.another_helps:
            self._by_query.add(progress.object)
        progress.job = progress.locator = ""
        await self.rows.store.take_rows([], self.rows.now_ms(), notes=progress.noted())

    async def _until_there_is_room(self) -> None:
        """Wait while much of what was loaded before is still to be delivered, or the day's calls are kept for live changes."""
        while self.waits() or await self._is_full():
            pulse.beat()
            self._wake.clear()
            await wait_for_event(self._wake, self.clock, SOON_SECONDS)

    async def _is_full(self) -> bool:
        """Whether too much waits. Nobody but this loop brings anything, so it is counted only where it may be so many."""
        if self._loaded > WAITING_MOST:
            self._loaded = await self.rows.store.count_loaded()
        return self._loaded > WAITING_MOST


def _deleted(hole: Hole, progress: Progress) -> bool:
    """Whether deleted records are asked for too: nothing is known yet of an object that was never read."""
    return hole.object not in NEVER_DELETED and not (progress.whole and hole.why == NEVER_READ)


def _source(progress: Progress) -> str:
    """Who reads, for the records' stories."""
    return "first load" if progress.whole else "re-read"
