"""Both sides compared: records the store knows, as Salesforce has them, as the daemon would send them, and as Marketo has them.

    store ──ids──▶ Salesforce (composite read) ──plan──▶ what Marketo should hold ─┐
      │                                                                            ├─ differences, record by record
      └──ids, keys──▶ Marketo (300 a call) ────────────────────── what it holds ───┘

A record for which something is open is under way, and so is one that changed while it was looked at, or so lately in Salesforce
that its event may still come: those are counted and not judged.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from store import view
from store.beside import Beside, Facts
from store.model import OBJECTS, PEOPLE, REF_OBJECT, REFS, Change, Key, ObjectName, Record, RecordState
from store.scores import primary_order
from stream.changes import snapshot
from stream.comparing.asking import Asking, Calls
from stream.comparing.difference import Difference, Look, Tally, judge
from stream.comparing.expected import as_read, expected, parents_by_ref
from stream.comparing.held import Held, Place
from stream.config.model import Settings
from stream.delivery.lookups import in_recycle_bin
from stream.edges import rules
from stream.mapping import ObjectMapping
from stream.model import DecodeError
from stream.plan import Rules, Upsert

CHUNK = 1500  # one read of Salesforce, five of Marketo
GRACE_S = 120.0  # how long an event may take to come


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are looked at. `counts`: how many of each object; `ids` are None where it is all of them."""

    counts: Mapping[ObjectName, int]
    known: int
    ids: Mapping[ObjectName, Sequence[str]] | None

    @property
    def total(self) -> int:
        """How many records are looked at."""
        return sum(self.counts.values())

    def cost(self) -> Calls:
        """How many calls that takes, if nothing goes wrong."""
        objects = [obj for obj in OBJECTS if self.counts.get(obj)]
        chunks = {obj: -(-self.counts[obj] // CHUNK) for obj in objects}
        reads = sum(-(-self.counts[obj] // 300) for obj in objects)
        described = {"Lead" if obj == "Contact" else obj for obj in objects}
        return Calls(len(objects) + sum(chunks.values()), len(described) + reads)


@dataclass(slots=True)
class Audit:
    """One comparison. `tell` is told how many records have been looked at."""

    settings: Settings
    asking: Asking
    beside: Beside
    grace_s: float = GRACE_S
    tell: Callable[[int], None] = lambda _: None
    tallies: dict[ObjectName, Tally] = field(default_factory=dict)
    looked_at: int = 0
    _rules: Rules = field(init=False)

    def __post_init__(self) -> None:
        """Take the rules by which the daemon sends."""
        self._rules = rules(self.settings, self.asking.edge.filters)

    async def choose(self, sample: int | None) -> Chosen:
        """So many records at random, each as likely as any other, or all (None)."""
        counts: dict[ObjectName, int] = dict.fromkeys(OBJECTS, 0)
        held: list[Key] = []
        known = 0
        for obj in OBJECTS:
            async for page in self.beside.pages(obj, self._states(obj)):
                counts[obj] += len(page)
                for record_id in page if sample is not None else ():
                    known += 1
                    if len(held) < (sample or 0):
                        held.append((obj, record_id))
                    elif (place := random.randrange(known)) < (sample or 0):  # noqa: S311 - a sample, no secret
                        held[place] = (obj, record_id)
        if sample is None:
            return Chosen(counts, sum(counts.values()), None)
        ids = {obj: sorted(record_id for each, record_id in held if each == obj) for obj in OBJECTS}
        return Chosen({obj: len(ids[obj]) for obj in OBJECTS}, sum(counts.values()), ids)

    def _states(self, obj: ObjectName) -> Sequence[RecordState]:
        """Deleted records are looked at where Marketo was to delete or mark them; of a deleted role nothing is known any more."""
        deleted = self._rules.deletes[obj] == "delete" or (obj in PEOPLE and self._rules.deleted_field)
        gone_too = deleted and obj not in {"User", "OpportunityContactRole"}
        return ("synced", "seen", "deleted") if gone_too else ("synced", "seen")

    async def differences(self, chosen: Chosen) -> AsyncIterator[Difference]:
        """Compare what was chosen. Raises what the services and the store answer with; what was compared until then counts."""
        for obj in OBJECTS:
            if not chosen.counts.get(obj):
                continue
            self.tallies[obj] = Tally()
            mapping = await self.asking.patiently(lambda obj=obj: self.asking.edge.catalog.mapping(obj))  # type: ignore[misc] # bound
            async for ids in self._chunks(obj, chosen):
                found = await self._compare(obj, ids, mapping)
                self.looked_at += len(ids)
                self.tell(self.looked_at)
                for difference in found:
                    yield difference

    async def _chunks(self, obj: ObjectName, chosen: Chosen) -> AsyncIterator[Sequence[str]]:
        if chosen.ids is not None:
            ids = chosen.ids[obj]
            for start in range(0, len(ids), CHUNK):
                yield ids[start : start + CHUNK]
            return
        async for page in self.beside.pages(obj, self._states(obj)):
            for start in range(0, len(page), CHUNK):
                yield page[start : start + CHUNK]

    async def _compare(self, obj: ObjectName, ids: Sequence[str], mapping: ObjectMapping) -> list[Difference]:
        tally = self.tallies[obj]
        facts = await self.beside.facts([(obj, record_id) for record_id in ids])
        tally.under_way += sum(facts.open(key) for key in facts.records)
        tally.dead += sum(facts.dead(key) for key in facts.records)
        settled = [record for key, record in facts.records.items() if key not in facts.entries]
        looks = await self._read(obj, settled, facts, mapping)
        held = await Held(self.asking, self._rules.deleted_field).rows(obj, [_place(look) for look in looks], mapping)
        found = [(look, judge(look, held[look.known.record_id], mapping, self._rules)) for look in looks]
        moved = await self._moved(obj, [look for look, difference in found if difference is not None])
        for look, difference in found:
            if look.known.key in moved:
                tally.under_way += 1
            else:
                tally.count(look, difference)
        return [difference for look, difference in found if difference is not None and look.known.key not in moved]

    # ── Salesforce

    async def _read(self, obj: ObjectName, records: Sequence[Record], facts: Facts, mapping: ObjectMapping) -> list[Look]:
        """The records as Salesforce has them now, and what Marketo should hold of each."""
        edge = self.asking.edge
        fields = await self.asking.patiently(lambda: edge.catalog.readable(obj))
        ids = [record.record_id for record in records]
        rows = await self.asking.patiently(lambda: edge.salesforce.read(obj, ids, fields))
        missing = [record_id for record_id, row in zip(ids, rows, strict=True) if row is None]
        gone = await self.asking.patiently(lambda: in_recycle_bin(edge.salesforce, obj, missing)) if missing else {}
        looks: list[Look] = []
        for record, row in zip(records, rows, strict=True):
            if row is None and (record.state == "deleted" or record.record_id in gone):
                looks.append(Look(record, record, None, gone.get(record.record_id, 0)))
            elif row is None or (change := self._snapshot(obj, row)) is None:
                looks.append(Look(record, record, None, 0, unseen=True))
            else:
                looks.append(Look(record, as_read(record, change), change, change.read_s or 0))
        await self._plan(looks, facts, mapping)
        return looks

    def _snapshot(self, obj: ObjectName, row: Mapping[str, Any]) -> Change | None:
        try:
            return snapshot(obj, row, self.asking.edge.catalog.fields())
        except DecodeError:
            return None

    async def _plan(self, looks: Sequence[Look], facts: Facts, mapping: ObjectMapping) -> None:
        named: set[Key] = {(REF_OBJECT[ref], parent) for look in looks for ref in REFS if (parent := look.record.ref(ref))}
        parents = await self.beside.records(list(named)) if named else {}
        for look in looks:
            others = [other for other in facts.sharers.get(look.known.marketo_id or "", []) if other.key != look.known.key]
            gone = look.change is None or look.outside
            look.carried = any(gone or _order(other) < _order(look.known) for other in others)
            if look.change is not None and not look.outside:
                by_ref = parents_by_ref(look.record, parents)
                referenced = look.known.record_id in facts.referenced
                look.plan = expected(look.record, look.change, by_ref, mapping, self._rules, referenced=referenced)

    async def _moved(self, obj: ObjectName, looks: Sequence[Look]) -> set[Key]:
        """Those that are under way after all: something happened to them meanwhile, or their event may still come."""
        if not looks:
            return set()
        now = await self.beside.facts([look.known.key for look in looks])
        sure_s = await self._sure_until(obj)
        moved: set[Key] = set()
        for look in looks:
            key, known = look.known.key, look.known
            record = now.records.get(key)
            changed = record is None or record.story != known.story or key in now.entries
            seen_s = max(known.commit_ms // 1000, known.read_s or 0)
            if changed or (look.stamp_s > seen_s and look.stamp_s > sure_s - self.grace_s):
                moved.add(key)
        return moved

    async def _sure_until(self, obj: ObjectName) -> float:
        """Up to when, by Salesforce's clock, everything of this object has been taken."""
        told = await view.coverage(self.settings.store.path, self.settings.salesforce.channel)
        return max(told.streamed.get(obj, 0.0), *(end for _, end, _ in told.intervals.get(obj, [])), 0.0)


def _place(look: Look) -> Place:
    key = look.plan.key if isinstance(look.plan, Upsert) else ""
    return Place(look.known.record_id, look.known.marketo_id, key, look.carried)


def _order(record: Record) -> tuple[int, str, str]:
    return primary_order(record.object, record.created, record.record_id)
