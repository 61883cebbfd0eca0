"""The store as commands look at it beside a running daemon: records, what is open for them, who shares them; only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from store import waits
from store.model import PEOPLE, Entry, Key, ObjectName, Record, RecordState
from store.rows import keys_json, list_json, read_entries, read_records
from store.view import reading
from store.writer import Transaction

PAGE = 4500  # three reads of Salesforce, fifteen of Marketo


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of some records, as of one moment. `sharers`: the living people behind each Marketo person."""

    records: Mapping[Key, Record]
    entries: Mapping[Key, Entry]
    sharers: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    referenced: frozenset[str] = frozenset()

    def open(self, key: Key) -> bool:
        """Whether something is under way for it."""
        return key in self.entries and self.entries[key].state != "dead"

    def dead(self, key: Key) -> bool:
        """Whether it is a dead letter."""
        return key in self.entries and self.entries[key].state == "dead"


@dataclass(frozen=True, slots=True)
class Beside:
    """Each question sees the store as it is at that moment, and holds nobody up."""

    path: Path

    async def facts(self, keys: Sequence[Key]) -> Facts:
        """All that is known of these records."""
        async with reading(self.path) as tx:
            records = await waits.records(tx, keys)
            entries = await read_entries(tx, "entries_by_key", keys_json(keys))
            people = [record.marketo_id for record in records.values() if record.object in PEOPLE and record.marketo_id]
            users = [record_id for obj, record_id in keys if obj == "User"]
            referenced = await tx.rows("referenced", list_json(users)) if users else []
            return Facts(
                records=records,
                entries={entry.key: entry for entry in entries},
                sharers=await sharers(tx, people),
                referenced=frozenset(row[0] for row in referenced),
            )

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """The known records among the keys."""
        async with reading(self.path) as tx:
            return await waits.records(tx, keys)

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
        """For each Marketo lead id, the living Leads and Contacts that stand behind it."""
        async with reading(self.path) as tx:
            return await sharers(tx, marketo_ids)

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """For each Marketo lead id behind which gone records stand, the Marketo fields that were filled for these."""
        async with reading(self.path) as tx:
            return await kept_people(tx, marketo_ids)

    async def entries(self, obj: ObjectName, most: int) -> AsyncIterator[list[Entry]]:
        """What is to be delivered of an object, dead letters among it, so many at a time."""
        after = ""
        while True:
            async with reading(self.path) as tx:
                page = await read_entries(tx, "entries_after", obj, after, most)
            if not page:
                return
            yield page
            after = page[-1].record_id

    async def backlog(self) -> dict[str, int]:
        """How many entries each object has that are no dead letters."""
        async with reading(self.path) as tx:
            return {row["object"]: row["entries"] for row in await tx.rows("backlog")}

    async def sharing_role(self, sent_key: str, record_id: str) -> int:
        """How many other living contact roles stand behind the same Marketo role."""
        async with reading(self.path) as tx:
            return int(await tx.value("sharing_role", sent_key, record_id))

    async def pages(self, obj: ObjectName, states: Sequence[RecordState]) -> AsyncIterator[list[str]]:
        """The ids of an object's records in these states, some thousands at a time; between them the store may move on."""
        after = ""
        while True:
            async with reading(self.path) as tx:
                page = [row[0] for row in await tx.rows("keys_after", obj, after, list_json(states), PAGE)]
            if not page:
                return
            yield page
            after = page[-1]


async def sharers(tx: Transaction, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
    """For each Marketo lead id, the living Leads and Contacts that stand behind it."""
    found: dict[str, list[Record]] = {}
    for record in await read_records(tx, "people_by_marketo_id", list_json(marketo_ids)) if marketo_ids else []:
        found.setdefault(record.marketo_id or "", []).append(record)
    return found


async def shared(tx: Transaction, persons: Sequence[tuple[str, Key]]) -> dict[str, list[Record]]:
    """As `sharers`, for those of the Marketo lead ids behind which others stand than the record named with each: few do."""
    rows = await tx.rows("shared_people", list_json((marketo_id, *key) for marketo_id, key in persons)) if persons else []
    return await sharers(tx, [row[0] for row in rows])


async def kept_people(tx: Transaction, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """For each Marketo lead id behind which gone records stand, the Marketo fields that were filled for these."""
    filled: dict[str, frozenset[str]] = {}
    for row in await tx.rows("kept_people", list_json(marketo_ids)) if marketo_ids else []:
        filled[row["marketo_id"]] = filled.get(row["marketo_id"], frozenset()) | frozenset(orjson.loads(row["filled"]))
    return filled
