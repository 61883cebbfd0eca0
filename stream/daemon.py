"""The composition root: settings in, the edges, the store and the loops out, in one TaskGroup.

    SIGTERM, SIGINT ──▶ capture, reading, reconcile and scores end · delivery finishes what is in flight · the store closes

A loop that fails unexpectedly ends the process loudly; systemd starts it again, and the store holds everything.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import aiohttp
import structlog

from store.errors import StoreBlocked
from store.model import OBJECTS, ObjectName
from store.store import Store
from stream import connecting
from stream.budgets.budget import CENTRAL, DailyBudget
from stream.budgets.call_memory import CallMemory
from stream.budgets.quota import Stretch
from stream.budgets.quota_watch import QuotaWatch
from stream.capture import Capture
from stream.changes import Echo
from stream.clock import MachineClock, SteadyClock, SystemClock
from stream.config.model import Settings
from stream.deliver import Deliver
from stream.delivery.batch import Proof
from stream.delivery.dispatch import Dispatch
from stream.delivery.exclusion import Exclusion
from stream.delivery.joining import Joining
from stream.delivery.lookups import SalesforcePeople
from stream.delivery.merges import Merges
from stream.delivery.new_people import NOTE as NEW_PEOPLE
from stream.delivery.new_people import NewPeople
from stream.delivery.people import Resolver
from stream.delivery.people_calls import PeopleCalls
from stream.delivery.poison import Poison
from stream.delivery.settle import Waits
from stream.edges import PATIENCE, Patience, calls_path, edges, rules
from stream.errors import BudgetSpent, StreamError
from stream.holds import Holds
from stream.load import Load
from stream.logs.repeats import Repeats
from stream.mapping import ObjectMapping
from stream.operating.status import Status, status
from stream.reading import Reading
from stream.reconcile import Reconcile
from stream.retry import Backoff
from stream.rows import Rows
from stream.salesforce.bulk import BulkQuery
from stream.salesforce.rest import ObjectDescribe
from stream.salesforce.streaming import CometdSource
from stream.score_diff import salesforce_names
from stream.scores import Scores
from stream.source import ALL_RETAINED, NEW_EVENTS
from stream.watch import pulse
from stream.watch.clock_watch import ClockWatch, Daily
from stream.watch.heartbeat import Heartbeat
from stream.watch.notify import Notify
from stream.watch.pulse import Pulses
from stream.watch.standstill import Standstill
from stream.watch.supervision import Supervision
from stream.watch.time_limits import time_limits

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 20.0
NOBODY = Notify()
FILTER_CHANGED = "all its records are judged again: what is outside now follows the delete settings, what is inside is sent"
CALLS_REMEMBERED = 100  # in 20 seconds, Marketo's own limit: so many may be asked for without a restart


class Daemon:
    """The running whole. `ready` is set once every loop has started."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        session: aiohttp.ClientSession,
        clock: MachineClock | None = None,
        patience: Patience = PATIENCE,
        *,
        notify: Notify = NOBODY,
        repeats: Repeats | None = None,
    ) -> None:
        self.clock = SteadyClock(clock or SystemClock())
        self.repeats = repeats or Repeats(self.clock.monotonic)
        self.patience = patience
        self.settings = settings
        self.store = store
        uptime = self.clock.uptime
        slots = max(settings.marketo.calls_per_20s, CALLS_REMEMBERED)
        self.memory = CallMemory.open(calls_path(settings), slots, lambda: uptime()[1])
        self.edges = edges(settings, session, self.clock, patience, self.memory)
        self.ready = asyncio.Event()
        self._stop = asyncio.Event()
        standstill = Standstill(store, self.clock, Backoff(0.5, 30.0))
        store.wait_with(standstill)
        self.pulses = Pulses(self.clock)
        self.supervision = Supervision(notify, self.pulses, self.clock, self._how_it_stands, standstill.goes_on)
        store.listeners.append(self.supervision.stirred)
        self.watch_by_settings()
        self.edges.gate.paced = self._paced
        self._build()

    def watch_by_settings(self) -> None:
        """The time that each loop has follows from the limits of the calls that it makes, and how many go at once."""
        self.time_limits = time_limits(
            self.settings.marketo,
            self.patience.marketo,
            at_once=self.edges.gate.pace.concurrency.value,
            salesforce_seconds=self.patience.salesforce_seconds,
            liveness_seconds=self.patience.liveness_seconds,
        )
        self.pulses.go_by(self.time_limits)

    def _paced(self, cause: str) -> None:
        """Marketo is given less at a time, or more again; whoever waits for a place now waits for more calls, or for fewer."""
        pace = self.edges.gate.pace
        batch_size, concurrency = pace.now
        if cause:
            log.warning("delivery_slows", cause=cause, batch_size=batch_size, concurrency=concurrency)
        elif pace.is_full:
            log.info("delivery_speeds_up", batch_size=batch_size, concurrency=concurrency)
        self.watch_by_settings()
        if cause:
            self.pulses.excuse()
        self.store.wake()

    def _build(self) -> None:
        settings, edge, clock = self.settings, self.edges, self.clock
        server_clock, backoff = edge.salesforce.server_clock, Backoff(1.0, 60.0)
        self.holds = Holds(self.store, clock, Poison(settings.deliver.poison_share))
        self.exclusion, self.suspicion = Exclusion(), asyncio.Event()
        self.score_writes = DailyBudget("score writes", settings.scores.daily_writes, clock.now)
        budgets = {"marketo": edge.marketo_budget, "salesforce": edge.salesforce_budget, "score_writes": self.score_writes}
        self.quota_watch = self._quota_watch(budgets)
        waits = self.quota_watch.waits
        self.capture = Capture(
            source=CometdSource(
                edge.sign_in,
                channel=settings.salesforce.channel,
                api_version=settings.salesforce.api_version,
                clock=clock,
                liveness_seconds=self.patience.liveness_seconds,
                margin_seconds=self.patience.margin_seconds,
                server_clock=server_clock,
            ),
            store=self.store,
            clock=clock,
            channel=settings.salesforce.channel,
            modes=settings.salesforce.objects,
            fields=edge.catalog.fields(),
            echo=Echo(settings.salesforce.client_name, salesforce_names(settings.scores.field_prefix)),
            backoff=backoff,
            server_clock=server_clock,
            first_from=NEW_EVENTS if settings.reconcile.backfill_on_first_start else ALL_RETAINED,
        )
        self.deliver = self._deliver()
        self.reading = Reading(self.store, edge.salesforce, edge.catalog, clock, settings.deliver.linger_seconds, backoff)
        rows = Rows(self.store, edge.salesforce, edge.catalog, clock)
        self.reconcile = Reconcile(
            rows=rows,
            clock=clock,
            server_clock=server_clock,
            modes=settings.salesforce.objects,
            poll_interval_seconds=settings.reconcile.poll_interval_seconds,
            sweep_interval_seconds=settings.reconcile.interval_seconds,
            backoff=backoff,
            heard=self.capture.by_object,
            sweeps_wait=partial(waits, "salesforce"),
        )
        self.load = Load(
            rows=rows,
            bulk=BulkQuery(edge.salesforce, clock, describe=self._salesforce_describe),
            clock=clock,
            server_clock=server_clock,
            channel=settings.salesforce.channel,
            modes=settings.salesforce.objects,
            first_load=settings.reconcile.backfill_on_first_start,
            bulk_above=settings.reconcile.bulk_above,
            backoff=backoff,
            waits=partial(waits, "marketo", "salesforce"),
        )
        self.scores = Scores(
            store=self.store,
            salesforce=edge.salesforce,
            marketo=edge.marketo,
            catalog=edge.catalog,
            clock=clock,
            writes_budget=self.score_writes,
            interval_seconds=settings.scores.interval_seconds,
            sweep_interval_seconds=settings.scores.sweep_interval_seconds,
            field_prefix=settings.scores.field_prefix,
            relative_score_field=settings.scores.relative_score_field,
            max_attempts=settings.deliver.max_attempts,
            backoff=backoff,
            holds=self.holds,
            exclusion=self.exclusion,
            suspicion=self.suspicion,
            sweep_waits=partial(waits, "marketo", "salesforce", "score_writes"),
        )
        daily: list[Daily] = [*budgets.values(), self.dispatch.people_calls.new_people]
        self.clock_watch = ClockWatch(self.store, self.clock, daily, settings.deliver.settle_seconds)
        self.heartbeat = Heartbeat(
            store=self.store,
            clock=clock,
            capture=self.capture,
            deliver=self.deliver,
            reading=self.reading,
            reconcile=self.reconcile,
            load=self.load,
            scores=self.scores,
            holds=self.holds,
            budgets=budgets,
            quota_watch=self.quota_watch,
            repeats=self.repeats,
            look_how=self._how_it_stands,
            stirred=self.supervision.stirred,
        )

    def _quota_watch(self, budgets: Mapping[str, DailyBudget]) -> QuotaWatch:
        """What can wait asks it whether it has to."""
        return QuotaWatch(
            clock=self.clock,
            marketo=self.edges.marketo,
            salesforce=self.edges.salesforce,
            settings=lambda: self.settings,
            budgets=budgets,
            events=lambda: self.capture.events,
            lengthen=self._lengthen,
        )

    def _lengthen(self, marketo: Stretch, salesforce: Stretch) -> None:
        """The nearer a budget comes to its end, the longer batches, reads and polls wait."""
        linger_seconds = self.settings.deliver.linger_seconds
        self.deliver.linger_seconds = marketo.wait_seconds(linger_seconds)
        self.reading.linger_seconds = salesforce.wait_seconds(linger_seconds)
        self.reconcile.poll_interval_seconds = salesforce.wait_seconds(self.settings.reconcile.poll_interval_seconds)

    def _deliver(self) -> Deliver:
        settings, edge = self.settings.deliver, self.edges
        proof, salesforce = Proof(self.clock), SalesforcePeople(edge.salesforce)
        waits = Waits(Backoff(1.0, 900.0), settings.settle_seconds)
        people_calls = PeopleCalls(
            store=self.store,
            marketo=edge.marketo,
            resolver=Resolver(
                edge.marketo, self.store, salesforce, share=settings.shared_email == "share", merge=settings.merge_people
            ),
            exclusion=self.exclusion,
            max_attempts=settings.max_attempts,
            pace=edge.gate.pace,
            partition=settings.partition,
            proof=proof,
            poison=self.holds.poison,
            new_people=NewPeople(settings.max_new_people_a_day),
            joining=Joining(self.store, edge.marketo, self.exclusion, waits, settings.max_attempts, proof, self.holds.poison),
        )
        self.dispatch = Dispatch(
            store=self.store,
            marketo=edge.marketo,
            people_calls=people_calls,
            merges=Merges(self.store, salesforce, edge.marketo, people_calls, self.exclusion, waits, self._now_ms),
            rules=rules(self.settings, edge.filters),
            waits=waits,
            clock=self.clock,
            max_attempts=settings.max_attempts,
            pace=edge.gate.pace,
            proof=proof,
            holds=self.holds,
            suspicion=self.suspicion,
            exclusion=self.exclusion,
        )
        return Deliver(
            store=self.store,
            dispatch=self.dispatch,
            clock=self.clock,
            pace=edge.gate.pace,
            linger_seconds=settings.linger_seconds,
            leave_most=settings.max_leaving_a_day,
            load_mappings=self._mappings,
            salesforce_now=edge.salesforce.server_clock.fine,
            loads_wait=partial(self.quota_watch.waits, "marketo"),
        )

    async def _mappings(self) -> Mapping[ObjectName, ObjectMapping]:
        """Marketo's describes, asked for until they come: meanwhile everything is buffered, and the reason is said."""
        failures, said = 0, ""
        self.edges.catalog.forget_marketo()
        while True:
            try:
                mappings = await self.edges.catalog.mappings()
                self.dispatch.people_calls.external_id_lookup = (
                    "externalPersonId" in (await self.edges.catalog.marketo_describe("Lead")).searchable
                )
                if said:
                    log.info("deliver_ready")
                await self._note_mappings(mappings)
                return mappings
            except StreamError as error:
                failures += 1
                wait_seconds = (
                    min(error.resets_in_seconds, 900.0)
                    if isinstance(error, BudgetSpent)
                    else Backoff(1.0, 60.0).wait_seconds(failures)
                )
                log.error("deliver_not_ready", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
                said = self.deliver.not_ready = error.message
                pulse.attempted(wait_seconds)
                await self.clock.sleep(wait_seconds)

    async def _how_it_stands(self) -> Status:
        return await status(self.settings, self.clock.now(), people=False)

    async def _salesforce_describe(self, obj: str) -> ObjectDescribe:
        return await self.edges.catalog.salesforce_describe(next(each for each in OBJECTS if each == obj))

    async def _note_mappings(self, mappings: Mapping[ObjectName, ObjectMapping]) -> None:
        """Where fields are mapped otherwise than before, everything of that object is read again."""
        targets = {
            obj: {source: target.signature for source, target in mapping.targets.items()} for obj, mapping in mappings.items()
        }
        for obj in await self.store.mapped(targets, self.edges.salesforce.server_clock.now()):
            log.warning("mapping_changed", object=obj, cure="all its records are read again, and sent where they differ")

    async def _note_filters(self) -> None:
        """Where a filter is another than before, everything of that object is read and judged again."""
        filters_now = {obj: self.settings.filters.of(obj) for obj in OBJECTS}
        for obj in await self.store.filtered(filters_now, self.clock.now()):
            log.warning("filter_changed", object=obj, cure=FILTER_CHANGED)

    async def _restore_new_people(self) -> None:
        """People who were created by an earlier run today count."""
        note = await self.store.note(NEW_PEOPLE)
        if note is not None:
            as_called_now = {**note, "day": self.clock_watch.day_now(CENTRAL, note["day"])}
            self.dispatch.people_calls.new_people.restore(as_called_now, self.clock.now())
        await self.release_people()

    async def release_people(self) -> None:
        """Where there is room for more new people today, nobody waits."""
        await self.store.release_people(self._now_ms(), self.dispatch.people_calls.new_people.left(self.clock.now()))

    def stop(self) -> None:
        """End in good order: what is in flight is finished, what is being read goes back, nothing new is begun."""
        self._stop.set()
        if not self.ready.is_set():
            self.store.hurry()  # the start itself may be waiting for a store that cannot be written

    async def run(self) -> None:
        """Run until `stop()` or a signal. Raises what a loop could not survive."""
        try:
            previous = await self.store.note("heartbeat")
            recovered = await self._take_up()
            self.heartbeat.restore_heard(previous)
        except StoreBlocked as error:
            if not self._stop.is_set():
                raise
            self._ended(error)
            return
        if (done := self.store.upgraded) is not None:
            log.info("store_upgraded", schema_before=done.before, schema=done.now, copy=str(done.copy))
        ended = "none" if previous is None else "in good order" if previous["stopped"] else "unexpectedly"
        log.info("daemon_started", channel=self.settings.salesforce.channel, recovered=recovered, previous_run=ended)
        inputs: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "capture": self.capture.run,
            "reading": self.reading.run,
            "reconcile": self.reconcile.run,
            "load": self.load.run,
            "scores": self.scores.run,
        }
        async with asyncio.TaskGroup() as group:

            def watched(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
                return group.create_task(self.pulses.watch(name, self.time_limits[name], run), name=name)

            watch = group.create_task(self._watch_committer(), name="watch committer")
            supervision = group.create_task(self.supervision.run(), name="supervision")
            telling = group.create_task(self.supervision.tell(), name="telling")
            clock = group.create_task(self.clock_watch.run(), name="watch clock")
            beat, looks = watched("heartbeat", self.heartbeat.run), watched("holds", self.holds.run)
            quota = watched("quota", self.quota_watch.run)
            delivery = watched("deliver", self.deliver.run)
            tasks = [*(watched(name, run) for name, run in inputs.items()), telling, quota]
            self.ready.set()
            await self._stop.wait()
            log.info("daemon_stopping")
            self.supervision.stopping()
            for task in tasks:
                task.cancel()
            await self._drain(delivery)
            for task in (beat, looks, clock, watch, supervision):
                task.cancel()
        self.store.hurry()
        self.repeats.tell(everything=True)
        try:
            await self.heartbeat.beat(stopped=True)
        except StoreBlocked as error:
            self._ended(error)
        else:
            log.info("daemon_stopped")

    async def _take_up(self) -> int:
        """Go on from what an earlier run left; returns how many entries it had in flight."""
        await self.clock_watch.begin()
        recovered = await self.store.recover(self._now_ms(), int(self.settings.deliver.settle_seconds * 1000))
        await self.heartbeat.restore_budgets(self.clock_watch.day_now)
        await self._restore_new_people()
        await self._note_filters()
        await self.holds.look()
        return recovered

    def _ended(self, error: StoreBlocked) -> None:
        """What is not stored was not acknowledged either: it comes again with the next start."""
        log.warning("daemon_stopped", cause=error.message, cure=error.hint)

    async def _drain(self, delivery: asyncio.Task[None]) -> None:
        """Let what is in flight be finished; what takes too long, or cannot be stored, is taken up again by the next start."""
        self.deliver.drain()
        if not self.deliver.busy or self.store.blocked is not None:
            delivery.cancel()
        _, unfinished = await asyncio.wait({delivery}, timeout=DRAIN_SECONDS)
        for task in unfinished:
            log.warning("drain_cut_short", deadline_seconds=DRAIN_SECONDS)
            task.cancel()

    async def _watch_committer(self) -> None:
        """A store that cannot commit any more ends the daemon: better loudly than buffering into nothing."""
        await asyncio.shield(self.store.committer)

    def _now_ms(self) -> int:
        return int(self.clock.now() * 1000)


async def run_daemon(
    settings: Settings,
    *,
    beside: Callable[[Daemon], AbstractAsyncContextManager[None]] | None = None,
    notify: Notify = NOBODY,
    repeats: Repeats | None = None,
) -> None:
    """Open the store, take its lock, run until SIGTERM or SIGINT. Raises StoreError, ConfigError, or what a loop died of."""
    store = await Store.open(settings.store.path)
    try:
        async with connecting.session() as session:
            daemon = Daemon(settings, store, session, notify=notify, repeats=repeats)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, daemon.stop)
            async with beside(daemon) if beside is not None else nullcontext():
                await daemon.run()
    finally:
        with suppress(asyncio.CancelledError):
            await store.close()
