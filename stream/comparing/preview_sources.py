"""What a plan goes through: all that is open in the outbox, or, for a first load, all of Salesforce; parents first.

Entries whose record has to be read are read here, and settled as the daemon would settle them, on copies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store.beside import Beside, Facts
from store.intake import ReadResult, nothing_new, nothing_to_delete, settle
from store.merge import merge
from store.model import OBJECTS, REF_OBJECT, REFS, Change, Claimed, Entry, Key, ObjectName, Pending
from stream.changes import snapshot
from stream.comparing.asking import Asking, Calls
from stream.comparing.expected import as_read
from stream.comparing.foreseen import Foreseen
from stream.comparing.preview import Planned, Preview
from stream.delivery.lookups import in_recycle_bin
from stream.mapping import ObjectMapping
from stream.model import DecodeError
from stream.salesforce.soql import quote, select

PAGE = 300  # one call to Marketo
ROWS = 2000  # one call to Salesforce
OUTSIDE = "it is outside of its filter, and not in Marketo"
CONVERTED = 400  # contacts asked about in one query


@dataclass(slots=True)
class Source:
    """What both have in common. `seen`: how many records have been looked at."""

    preview: Preview
    asking: Asking
    seen: int = 0

    async def mapping(self, obj: ObjectName) -> ObjectMapping:
        """The object's mapping, as Marketo describes it."""
        return await self.asking.patiently(lambda: self.asking.edge.catalog.mapping(obj))

    async def fields(self, obj: ObjectName) -> list[str]:
        """The fields to ask of Salesforce."""
        return await self.asking.patiently(lambda: self.asking.edge.catalog.readable(obj))

    async def read(self, obj: ObjectName, ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Records by their ids."""
        fields = await self.fields(obj)
        return await self.asking.patiently(lambda: self.asking.edge.salesforce.read(obj, ids, fields))

    def change(self, obj: ObjectName, row: Mapping[str, Any]) -> Change | None:
        """A row as a change, if it can be understood."""
        try:
            return snapshot(obj, row, self.asking.edge.catalog.fields())
        except DecodeError:
            return None


def cost(counts: Mapping[str, int], *, first_load: bool) -> Calls:
    """How many calls so many records take at most, if nothing goes wrong."""
    objects = [obj for obj in OBJECTS if counts.get(obj) or (first_load and obj in counts)]
    calls = {obj: -(-counts[obj] // PAGE) for obj in objects}
    people = calls.get("Contact", 0) + calls.get("Lead", 0)
    reads = sum(counts[obj] // ROWS + 1 for obj in objects) if first_load else sum(calls.values())
    conversions = -(-counts.get("Contact", 0) // (CONVERTED if first_load else PAGE))
    described = {"Lead" if obj == "Contact" else obj for obj in objects}
    return Calls(len(objects) + reads + conversions, len(described) + sum(calls.values()) + 2 * people)


@dataclass(slots=True)
class Outbox(Source):
    """All that is open in the outbox."""

    beside: Beside = field(kw_only=True)

    async def planned(self) -> AsyncIterator[Planned]:
        """What would become of each entry; dead letters hold up what waits for them."""
        backlog = await self.beside.backlog()
        for obj in OBJECTS:
            mapping = await self.mapping(obj) if backlog.get(obj) else None
            async for entries in self.beside.entries(obj, PAGE):
                facts = await self.beside.facts([entry.key for entry in entries])
                self._hold([entry for entry in entries if facts.dead(entry.key)])
                open_entries = [facts.entries[entry.key] for entry in entries if facts.open(entry.key)]
                if open_entries and mapping is not None:
                    settled, claimed = await self._claimed(obj, open_entries, facts)
                    for planned in [*settled, *await self.preview.page(obj, claimed, mapping)]:
                        yield planned
                self.seen += len(open_entries)

    def _hold(self, dead: Sequence[Entry]) -> None:
        self.preview.foreseen.stuck.update(entry.key for entry in dead)

    async def _claimed(self, obj: ObjectName, entries: Sequence[Entry], facts: Facts) -> tuple[list[Planned], list[Claimed]]:
        """Those that need no call, and the others as they would be claimed once they were read."""
        results = await self._results(obj, [entry for entry in entries if entry.pending.read])
        settled: list[Planned] = []
        found: list[tuple[Entry, Any]] = []
        for each in entries:
            entry, record = replace(each), replace(facts.records[each.key])
            if each.key in results:
                settle(entry, record, results[each.key], entry.due_ms)
            elif entry.later is not None:
                entry.pending = merge(entry.pending, entry.later)
            if nothing_to_delete(entry, record) and entry.pending.left:
                self.preview.foreseen.keep_out(entry.key)
            why = self._without(entry, nothing_to_delete(entry, record), nothing_new(entry, record))
            if why is None:
                found.append((entry, record))
            else:
                settled.append(self.preview.count(obj, why))
        parents = await self.preview.foreseen.parents([record for _, record in found])
        claimed = [
            Claimed(entry, record, Foreseen.by_ref(record, parents), referenced=record.record_id in facts.referenced)
            for entry, record in found
        ]
        return settled, claimed

    def _without(self, entry: Entry, never_there: bool, known: bool) -> Planned | None:
        if never_there and entry.pending.left:
            return Planned(entry.key, "nothing", cause=OUTSIDE)
        if never_there:
            return Planned(entry.key, "nothing", cause="it is deleted in Salesforce, and never was in Marketo")
        if known:
            return Planned(entry.key, "nothing", cause="Marketo has all of it already")
        if entry.state == "dead":
            self.preview.foreseen.stuck.add(entry.key)
            return Planned(entry.key, "refused", cause=f"{entry.code}: {entry.cause}")
        if entry.pending.read:
            return Planned(entry.key, "later", cause=entry.pending.read)
        return None

    async def _results(self, obj: ObjectName, entries: Sequence[Entry]) -> dict[Key, ReadResult]:
        """What reading them would bring."""
        if not entries:
            return {}
        ids = [entry.record_id for entry in entries]
        rows = dict(zip(ids, await self.read(obj, ids), strict=True))
        missing = [record_id for record_id, row in rows.items() if row is None]
        edge = self.asking.edge
        gone = await self.asking.patiently(lambda: in_recycle_bin(edge.salesforce, obj, missing)) if missing else {}
        results: dict[Key, ReadResult] = {}
        for record_id, row in rows.items():
            results[obj, record_id] = ReadResult(gone=record_id in gone) if row is None else ReadResult(self.change(obj, row))
        return results


@dataclass(slots=True)
class FirstLoad(Source):
    """All of Salesforce, as if nothing had ever been sent.

    Users who own something, and parents whose object is off, are read when it is known who they are: at the end.
    """

    objects: Sequence[ObjectName] = field(kw_only=True)
    _needed: dict[ObjectName, set[str]] = field(default_factory=dict)
    _users: set[str] = field(default_factory=set)
    _number: int = 0

    async def counts(self) -> dict[ObjectName, int]:
        """How many records each object has."""
        count = self.asking.edge.salesforce.count
        return {obj: await self.asking.patiently(lambda obj=obj: count(obj)) for obj in self.objects}  # type: ignore[misc] # bound

    async def planned(self) -> AsyncIterator[Planned]:
        """What would become of each record."""
        for obj in self.objects:
            mapping = await self.mapping(obj)
            async for rows in self._rows(obj):
                for start in range(0, len(rows), PAGE):
                    inside, outside = self._sides(obj, rows[start : start + PAGE])
                    for planned in outside:
                        yield planned
                    claimed = await self._claimed(obj, inside, referenced=False)
                    for planned in await self.preview.page(obj, self._admitted(claimed), mapping):
                        yield planned
                    self.seen += len(rows[start : start + PAGE])
        for obj in ("Opportunity", "Contact", "Account", "User"):
            async for planned in self._parents(obj):
                yield planned
        for user in sorted(self._users - self._needed.get("User", set())):
            yield self.preview.count("User", Planned(("User", user), "nothing", cause="no sales person, and owner of nothing"))

    def _sides(self, obj: ObjectName, rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Planned]]:
        """The rows that are inside of their filter, and what becomes of the others."""
        inside: list[dict[str, Any]] = []
        outside: list[Planned] = []
        for row in rows:
            change = self.change(obj, row)
            if change is None or change.side != "out":
                inside.append(row)
            else:
                self.preview.foreseen.keep_out(change.key)
                outside.append(self.preview.count(obj, Planned(change.key, "nothing", cause=OUTSIDE)))
        return inside, outside

    async def _rows(self, obj: ObjectName) -> AsyncIterator[list[dict[str, Any]]]:
        """All records in the order of their ids, a query for each page: nothing is held open in between."""
        fields, after = await self.fields(obj), ""
        while True:
            soql = select(fields, obj, f"Id > {quote(after)}" if after else "", "Id", limit=ROWS)
            rows = await self.asking.patiently(lambda soql=soql: self._all(soql))  # type: ignore[misc] # bound
            if rows:
                yield rows
            if len(rows) < ROWS:
                return
            after = str(rows[-1]["Id"])

    async def _all(self, soql: str) -> list[dict[str, Any]]:
        return [row async for page in self.asking.edge.salesforce.query(soql) for row in page]

    async def _claimed(self, obj: ObjectName, rows: Sequence[Mapping[str, Any]], *, referenced: bool) -> list[Claimed]:
        changes = [change for row in rows if (change := self.change(obj, row)) is not None]
        records = [as_read(None, change) for change in changes]
        parents = await self.preview.foreseen.parents(records)
        claimed: list[Claimed] = []
        for change, record in zip(changes, records, strict=True):
            self._number += 1
            for ref in REFS:
                if (parent := record.ref(ref)) and (REF_OBJECT[ref] == "User" or REF_OBJECT[ref] not in self.objects):
                    self._needed.setdefault(REF_OBJECT[ref], set()).add(parent)
            entry = Entry(self._number, obj, record.record_id, Pending(fields=dict(change.fields), whole=True))
            claimed.append(Claimed(entry, record, Foreseen.by_ref(record, parents), referenced=referenced))
        return claimed

    def _admitted(self, claimed: Sequence[Claimed]) -> Sequence[Claimed]:
        """Users who are sales persons by themselves; the others are when they own something."""
        if not claimed or claimed[0].record.object != "User":
            return claimed
        admitted = [each for each in claimed if self.preview.is_sales_person(each)]
        self._users.update(each.record.record_id for each in claimed if each not in admitted)
        self._needed.setdefault("User", set())
        return admitted

    async def _parents(self, obj: ObjectName) -> AsyncIterator[Planned]:
        """Records that are needed and were not planned yet."""
        needed = self._needed.get(obj, set())
        wanted = sorted(needed & self._users if obj == "User" and "User" in self.objects else needed)
        if not wanted:
            return
        mapping = await self.mapping(obj)
        for start in range(0, len(wanted), PAGE):
            found = [row for row in await self.read(obj, wanted[start : start + PAGE]) if row is not None]
            rows, outside = self._sides(obj, found)
            for planned in outside:
                yield planned
            for planned in await self.preview.page(obj, await self._claimed(obj, rows, referenced=True), mapping):
                yield planned
            self.seen += len(rows)
