"""One record as `why` tells it: what is known, what is open for it, what it waits for, and its story. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from store import history, scores, waits
from store.history import Line
from store.holds import Holds, holds
from store.model import OBJECTS, DeadLetter, Entry, Key, Record
from store.rows import keys_json, list_json, read_entries, read_records
from store.scores import ScoreRow
from store.view import reading
from store.writer import Transaction

LINKS_MOST = 20  # records named of those that one entry waits for; a delete may wait for thousands
DEPTH_MOST = 12


@dataclass(frozen=True, slots=True)
class Link:
    """A record that is waited for, and what it waits for itself. `again`: told already further up, so a circle is not walked."""

    key: Key
    record: Record | None
    entry: Entry | None
    waits_for: Sequence[Link] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Tale:
    """All that is known of one record, as of one moment."""

    record: Record
    entry: Entry | None
    waits_for: Sequence[Link]
    lines: Sequence[Line]
    scores: ScoreRow | None
    refused_scores: DeadLetter | None
    sharers: Sequence[Record] = ()
    heartbeat: Mapping[str, Any] | None = None
    holds: Holds = field(default_factory=Holds)


async def tale(path: Path, record_id: str) -> Tale | None:
    """What the store tells of the record with this 18-character id; None where it never heard of it."""
    async with reading(path) as tx:
        known = await waits.records(tx, [(obj, record_id) for obj in OBJECTS])
        if not known:
            return None
        record = next(iter(known.values()))
        rows = await tx.rows("entries_of", *record.key)
        entry = next(iter(await read_entries(tx, "entries_by_key", keys_json([record.key]))), None)
        refused = next((row for row in rows if row["flow"] == "scores" and row["state"] == "dead"), None)
        beat = await tx.value("get_note", "heartbeat")
        return Tale(
            record=record,
            entry=entry,
            waits_for=await _Chain(tx, {record.key}).links(entry, 0),
            lines=await history.story(tx, record.key),
            scores=(await scores.last_written(tx, [record.key])).get(record.key),
            refused_scores=_letter(refused) if refused is not None else None,
            sharers=await _sharers(tx, record),
            heartbeat=orjson.loads(beat) if beat is not None else None,
            holds=await holds(tx),
        )


@dataclass(slots=True)
class _Chain:
    """Walks from what waits to what is waited for, each record once."""

    tx: Transaction
    told: set[Key] = field(default_factory=set)

    async def links(self, entry: Entry | None, depth: int) -> list[Link]:
        if entry is None or not entry.waits or depth >= DEPTH_MOST:
            return []
        rows = await self.tx.rows("waits_of", entry.entry_id, LINKS_MOST)
        return [await self._link((row["parent_object"], row["parent_id"]), depth) for row in rows]

    async def _link(self, key: Key, depth: int) -> Link:
        record = (await waits.records(self.tx, [key])).get(key)
        entry = next(iter(await read_entries(self.tx, "entries_by_key", keys_json([key]))), None)
        if key in self.told:
            return Link(key, record, entry, again=True)
        self.told.add(key)
        return Link(key, record, entry, await self.links(entry, depth + 1))


async def _sharers(tx: Transaction, record: Record) -> list[Record]:
    """The other living people behind the same Marketo person."""
    if record.marketo_id is None or record.object not in {"Contact", "Lead"}:
        return []
    people = await read_records(tx, "people_by_marketo_id", list_json([record.marketo_id]))
    return [other for other in people if other.key != record.key]


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(
        entry=row["entry_id"],
        object=row["object"],
        id=row["record_id"],
        code=row["code"],
        cause=row["cause"],
        cure=row["cure"],
        attempts=row["attempts"],
        since=row["died_ms"] / 1000,
        flow=row["flow"],
        holds=0,
    )
