"""The score loop: the seven MSI fields from Marketo back to Lead and Contact.

    activity feed, every interval ─────┐
    sweep over everybody, now and then ┼─▶ Marketo ids ──read 300 a call──▶ compare with what was written last
    writes that failed before ─────────┘                                      └── differences ──200 a call──▶ Salesforce

The feed sees what happened to somebody; the sweep sees the nightly recalculation of stars and flames, which happens to nobody.
The feed also tells who was merged or deleted in Marketo; it is read at once when delivery finds somebody missing.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from store.model import Key, ObjectName
from store.scores import Person, ScoreRow
from store.store import Store
from stream.budgets.budget import DailyBudget, background
from stream.catalog import Catalog
from stream.clock import Clock, wait_for_event
from stream.delivery.exclusion import Exclusion
from stream.errors import BudgetSpent, MarketoError, StreamError
from stream.holds import Holds
from stream.marketo.answers import Activity, Page
from stream.marketo.client import MarketoClient
from stream.retry import Backoff
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.rest_answers import RowResult
from stream.score_diff import ScoreField, current, difference, intended, is_illegible, marketo_names, score_fields
from stream.score_rows import judge_row
from stream.score_sweep import READ_MOST, WRITE_MOST, Sweep, Write
from stream.watch import pulse

log = structlog.get_logger(__name__)

FEED_TYPES = ("New Lead", "Change Score", "Merge Leads", "Delete Lead", "Interesting Moment")
FEED_IDS = {"New Lead": 12, "Change Score": 22, "Merge Leads": 32, "Delete Lead": 37, "Interesting Moment": 46}
OVERLAP_SECONDS = 300.0
FOUND_OUT_SECONDS = 120.0  # after somebody was found missing, the feed is read so long at short intervals
SUSPECTS_SECONDS = 20.0
SEEN_MOST = 50_000  # guids of activities that a look may meet again
TYPES_SECONDS = 86400.0
LOOK_SECONDS = 5.0  # a pause, a changed interval, somebody who woke the loops (dead retry); the store is asked only then
MISSING_MS = 3_600_000  # when a person that Marketo does not have is asked for again
SWEEP_WAITS_SECONDS = 60.0  # until the next look, while the day's calls are kept for live changes
PEOPLE_OBJECTS: tuple[ObjectName, ...] = ("Contact", "Lead")


@dataclass(slots=True)
class Scores:
    """The loop. Intervals are in seconds. `sweep_waits` tells whether calls and writes are kept for what has just happened."""

    store: Store
    salesforce: SalesforceClient
    marketo: MarketoClient
    catalog: Catalog
    clock: Clock
    writes_budget: DailyBudget
    interval_seconds: float
    sweep_interval_seconds: float
    field_prefix: str
    relative_score_field: str
    max_attempts: int
    backoff: Backoff
    holds: Holds
    exclusion: Exclusion
    suspicion: asyncio.Event
    sweep_waits: Callable[[], bool] = bool
    error: str = ""
    written: int = 0
    _fields: dict[ObjectName, list[ScoreField]] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)
    _types: list[int] = field(default_factory=list)
    _types_at: float = -math.inf
    _failures: int = 0
    _next_feed: float = 0.0
    _warned: set[str] = field(default_factory=set)
    _next_sweep: float = 0.0
    _suspects_until: float = -math.inf
    sweep: Sweep = field(init=False)
    _woken: asyncio.Event = field(init=False)
    _next_due: int | None = None

    def __post_init__(self) -> None:
        """The sweep goes by the same interval, reads and writes."""
        self._woken = self.store.listen()
        self._woken.set()
        self.sweep = Sweep(self.store, self.clock, self.sweep_interval_seconds, self._found, self._write)

    @property
    def swept_until(self) -> float | None:
        """When the last whole sweep began, in seconds since the epoch."""
        return self.sweep.swept_until

    async def run(self) -> None:
        """Bring scores back until cancelled."""
        while True:
            if self.holds.held("scores"):
                pulse.attempted()
                await self.clock.sleep(LOOK_SECONDS)
                continue
            if self.suspicion.is_set():
                self.suspicion.clear()
                self._next_feed = self.clock.monotonic()
                self._suspects_until = self._next_feed + FOUND_OUT_SECONDS
            try:
                if self._failures or self._woken.is_set() or self._wait_seconds() <= 0:
                    await self._turn()
                if self.error:
                    log.info("scores_resumed")
                self.error, self._failures = "", 0
                wait_seconds = min(self._wait_seconds(), LOOK_SECONDS)
            except StreamError as error:
                wait_seconds = self._failed(error)
            pulse.attempted(60.0)
            await wait_for_event(self.suspicion, self.clock, max(min(wait_seconds, 60.0), 0.05))

    def go_by(self, interval_seconds: float, sweep_interval_seconds: float) -> None:
        """These are the intervals from now on; who waits by longer ones is called back."""
        if (interval_seconds, sweep_interval_seconds) != (self.interval_seconds, self.sweep_interval_seconds):
            self.interval_seconds, self.sweep_interval_seconds = interval_seconds, sweep_interval_seconds
            self.sweep.interval_seconds = sweep_interval_seconds
            self._next_feed = min(self._next_feed, self.clock.monotonic() + interval_seconds)
            self._next_sweep = self.clock.monotonic()

    def _wait_seconds(self) -> float:
        """How long there is nothing to do, unless somebody wakes the loops."""
        wait_seconds = min(self._next_feed, self._next_sweep) - self.clock.monotonic()
        return (
            wait_seconds
            if self._next_due is None or not self._fields
            else min(wait_seconds, (self._next_due - self._now_ms()) / 1000)
        )

    def _failed(self, error: StreamError) -> float:
        self._failures += 1
        wait_seconds = self.backoff.wait_seconds(self._failures)
        if isinstance(error, BudgetSpent):
            wait_seconds = min(error.resets_in_seconds, 900.0)
        log.warning("scores_failed", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
        self.error = error.message
        return wait_seconds

    async def _turn(self) -> None:
        self._woken.clear()
        await self._attempt()
        self._next_due = await self.store.next_score_due()

    async def _attempt(self) -> None:
        if not self._fields:
            if self.clock.monotonic() < self._next_feed:
                return
            if not await self._find_fields():
                self._next_feed = self._next_sweep = self.clock.monotonic() + 3600.0
                self.catalog.forget_marketo()
                for obj in PEOPLE_OBJECTS:
                    self.catalog.forget_salesforce(obj)
                return
        if self.clock.monotonic() >= self._next_feed:
            await self._feed()
            if self.holds.held("scores"):
                return
            suspects = self.clock.monotonic() < self._suspects_until
            wait_seconds = min(self.interval_seconds, SUSPECTS_SECONDS) if suspects else self.interval_seconds
            self._next_feed = self.clock.monotonic() + wait_seconds
        await self._due()  # after the feed: what stops these writes must not keep merges and deletions from being followed
        if self.clock.monotonic() >= self._next_sweep:
            with background():
                wait_seconds = SWEEP_WAITS_SECONDS if self.sweep_waits() else await self.sweep.step()
            self._next_sweep = self.clock.monotonic() + wait_seconds

    async def _find_fields(self) -> bool:
        """Find the seven fields on both sides; False, said loudly, where there is nothing to bring back."""
        names = marketo_names((await self.catalog.marketo_describe("Lead")).fields, self.relative_score_field)
        found = {}
        for obj in PEOPLE_OBJECTS:
            describe = await self.catalog.salesforce_describe(obj)
            found[obj] = score_fields(names, describe.fields, self.field_prefix)
            if len(found[obj]) < 7:
                log.error("msi_fields_missing", object=obj, found=len(found[obj]), needed=7, prefix=self.field_prefix)
        self._fields = found if any(found.values()) else {}
        return bool(self._fields)

    # ── who

    async def _due(self) -> None:
        await self._refresh(await self.store.ids_due(self._now_ms(), READ_MOST))

    async def _feed(self) -> None:
        """Everybody to whom something happened since the last look.

        Activities can appear late, so each look begins a little before the last one did; what was seen then is known by its guid.
        The moments are Marketo's own: by a clock that runs ahead, everything would have happened before the last look.
        A look that was cut short, by a failure or because the flow was paused, goes on at its own token.
        """
        await self._resolve_types()
        began = self.marketo.server_clock.now()
        held = await self.store.note("activities") or {"since": began}
        held["since"] = min(held["since"], began)
        token = held.get("token") or await self.marketo.paging_token(_moment(held["since"] - OVERLAP_SECONDS))
        while True:
            page = await self._page(token, held["since"])
            fresh = [activity for activity in page.activities if activity.guid not in self._seen]
            await self._follow_merges(fresh)
            await self._follow_deletions(fresh)
            await self._refresh(list(dict.fromkeys(activity.lead_id for activity in fresh)))
            self._seen.update(dict.fromkeys(activity.guid for activity in fresh))
            if not page.more:
                break
            token = page.next_token
            await self.store.put_note("activities", {**held, "token": token})
            if self.holds.held("scores"):
                return
        await self.store.put_note("activities", {"since": began})
        for guid in list(self._seen)[: max(len(self._seen) - SEEN_MOST, 0)]:
            del self._seen[guid]

    async def _follow_merges(self, activities: Sequence[Activity]) -> None:
        """Whoever stood behind a person that was merged away stands behind the winner."""
        merges = FEED_TYPES.index("Merge Leads")
        for activity in activities:
            if activity.type_id == self._types[merges]:
                losers = re.findall(r"\d+", activity.attributes.get("Merge IDs", ""))
                async with self.exclusion.hold(f"id:{marketo_id}" for marketo_id in (activity.lead_id, *losers)):
                    moved = await self.store.merge_people(activity.lead_id, losers, self._now_ms())
                if moved:
                    log.info("people_merged_in_marketo", marketo_id=activity.lead_id, merged=losers, records=moved)

    async def _follow_deletions(self, activities: Sequence[Activity]) -> None:
        """Whoever stood behind a person that somebody deleted has none any more, until Salesforce speaks of the record again."""
        deleted = self._types[FEED_TYPES.index("Delete Lead")]
        gone = sorted({activity.lead_id for activity in activities if activity.type_id == deleted})
        if not gone:
            return
        async with self.exclusion.hold(f"id:{marketo_id}" for marketo_id in gone):
            forgotten = await self.store.forget_people(gone, self._now_ms())
        if forgotten:
            log.info("people_deleted_in_marketo", marketo_ids=gone[:20], records=forgotten)

    async def _page(self, token: str, since: float) -> Page:
        """The next page; where the token is refused (too old), one from a little before its look."""
        try:
            return await self.marketo.activities(token, self._types)
        except MarketoError as error:
            log.warning("paging_token_renewed", code=error.code)
            return await self.marketo.activities(await self.marketo.paging_token(_moment(since - OVERLAP_SECONDS)), self._types)

    async def _resolve_types(self) -> None:
        if self.clock.monotonic() - self._types_at < TYPES_SECONDS:
            return
        names = await self.marketo.activity_types()
        self._types = [names.get(name, FEED_IDS[name]) for name in FEED_TYPES]
        self._types_at = self.clock.monotonic()

    # ── what

    async def _refresh(self, marketo_ids: Sequence[str]) -> None:
        """Read these people in Marketo and write what differs to Salesforce."""
        await self._write(await self._found(marketo_ids))

    async def _found(self, marketo_ids: Sequence[str]) -> list[Write]:
        """Read these people in Marketo; what differs from what was written last."""
        people = await self.store.people(marketo_ids) if marketo_ids else []
        wanted = list(dict.fromkeys(person.marketo_id for person in people))
        names = sorted({score.marketo for fields in self._fields.values() for score in fields})
        leads: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(wanted), READ_MOST):
            chunk = wanted[start : start + READ_MOST]
            leads.update(
                {str(row["id"]): row for row in await self.marketo.find("leads", "id", chunk, ["id", *names]) if "id" in row}
            )
        missing = [marketo_id for marketo_id in wanted if marketo_id not in leads]
        if missing:
            log.warning("people_missing_in_marketo", people=len(missing), marketo_ids=missing[:20])
        still = {person.key: person.marketo_id for person in await self.store.people(wanted)} if wanted else {}
        people = [person for person in people if still.get(person.key) == person.marketo_id]  # others came to another meanwhile
        return await self._differences(people, leads)

    async def _differences(self, people: Sequence[Person], leads: Mapping[str, Mapping[str, Any]]) -> list[Write]:
        rows = await self.store.last_written([person.key for person in people])
        writes: list[Write] = []
        settled: list[ScoreRow] = []
        for person in people:
            row = rows.get(person.key) or ScoreRow(person.key)
            if row.stopped or person.marketo_id not in leads:
                if row.due_ms:
                    settled.append(replace(row, due_ms=0 if row.stopped else self._now_ms() + MISSING_MS))
                continue
            fields = self._fields.get(person.key[0], [])
            now = current(leads[person.marketo_id], fields)
            self._warn(person, leads[person.marketo_id], fields)
            values = difference(now, row.written)
            if values:
                writes.append(Write(row, values, now, person.marketo_id))
            elif row.due_ms:
                settled.append(ScoreRow(row.key, row.written))
        if settled:
            await self.store.remember_scores(settled, list(rows.values()))
        return writes

    def _warn(self, person: Person, lead: Mapping[str, Any], fields: Sequence[ScoreField]) -> None:
        """Say of each field once that Marketo has something in it that Salesforce's cannot hold: it is left as it is there."""
        for score in fields:
            value = lead.get(score.marketo)
            if score.marketo not in self._warned and is_illegible(value, score):
                self._warned.add(score.marketo)
                log.warning("score_illegible", field=score.marketo, marketo_id=person.marketo_id, expected=score.type)

    async def _write(self, writes: Sequence[Write]) -> None:
        for obj in PEOPLE_OBJECTS:
            of_object = [write for write in writes if write.row.key[0] == obj and not self._too_early(write.row)]
            while of_object:
                most = max(min(WRITE_MOST, self.writes_budget.left()), 1)  # with nothing left, taking one tells how long to wait
                await self._write_chunk(obj, of_object[:most])
                of_object = of_object[most:]

    def _too_early(self, row: ScoreRow) -> bool:
        return row.due_ms > self._now_ms()

    async def _write_chunk(self, obj: ObjectName, writes: Sequence[Write]) -> None:
        """One call; the budget is for writes, because each comes back as an event that Salesforce counts.

        Who has come to another Marketo person since these were read is left out: its scores are looked at for themselves.
        """
        behind = await self.store.marketo_ids([write.row.key for write in writes])
        writes = [write for write in writes if behind.get(write.row.key) == write.marketo_id]
        if not writes:
            return
        self.writes_budget.take(len(writes))
        under_way = [_under_way(write, self._now_ms()) for write in writes]
        await self.store.remember_scores(under_way, [write.row for write in writes])  # a lost answer must not hide a value
        results = await self.salesforce.update(obj, [{"Id": write.row.key[1], **write.values} for write in writes])
        rows = [await self._settle(write, result) for write, result in zip(writes, results, strict=True)]
        await self.store.remember_scores(rows, under_way)
        accepted = sum(result.success for result in results)
        self.written += accepted
        log.info("scores_written", object=obj, records=accepted, refused=len(results) - accepted)

    async def _settle(self, write: Write, result: RowResult) -> ScoreRow:
        """What to remember of a row: what was written, when to try again, or why to stop."""
        row = write.row
        if result.success:
            return ScoreRow(row.key, {**(row.written or {}), **write.after})
        judged = judge_row(result.code, attempt=row.attempts + 1, max_attempts=self.max_attempts)
        if judged.action == "stop":
            log.info("score_writes_stopped", object=row.key[0], id=row.key[1], code=result.code, cause=judged.cause)
            return ScoreRow(row.key, row.written, row.attempts, 0, result.code)
        if judged.action == "dead":
            await self._bury(row.key, result, judged.cause, judged.cure, row.attempts + 1)
            return ScoreRow(row.key, row.written, row.attempts + 1, 0, result.code)
        due_ms = self._now_ms() + int(self.backoff.wait_seconds(row.attempts + 1) * 1000)
        return ScoreRow(row.key, row.written, row.attempts + judged.counted, due_ms)

    async def _bury(self, key: Key, result: RowResult, cause: str, cure: str, attempts: int) -> None:
        named = f"{cause} (fields: {', '.join(result.fields)})" if result.fields else cause
        log.error("dead_letter", object=key[0], id=key[1], code=result.code, cause=named, cure=cure)
        await self.store.bury_score(key, code=result.code, cause=named, cure=cure, attempts=attempts, now_ms=self._now_ms())

    def _now_ms(self) -> int:
        return int(self.clock.now() * 1000)


def _under_way(write: Write, now_ms: int) -> ScoreRow:
    """What is known while the call is made; should it fail as a whole, the row is due."""
    return replace(write.row, written=intended(write.values, write.row.written), due_ms=write.row.due_ms or now_ms)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
