"""The store as `status` and the lists see it: read beside a running daemon, all of it as of one moment, nothing written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from store import admin, waits
from store.coverage import Interval, cut_told, load_note, stream_note
from store.database import beside
from store.holds import Holds, holds
from store.model import OBJECTS, WAITS_FOR_ROOM, DeadLetter, ObjectName, Record, Replay
from store.writer import Transaction


@dataclass(frozen=True, slots=True)
class Blocked:
    """Entries of one object that wait for one record, and how that record's entry stands (`state` "": it has none)."""

    object: ObjectName
    entries: int
    parent_object: ObjectName
    parent_id: str
    state: str
    read: str
    waits: int
    code: str
    cause: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is proven complete. `streamed`: up to where the stream is; `whys`: why it has holes; `loads`: how far each is."""

    intervals: Mapping[ObjectName, Sequence[Interval]] = field(default_factory=dict)
    streamed: Mapping[ObjectName, float] = field(default_factory=dict)
    whys: Mapping[ObjectName, str] = field(default_factory=dict)
    loads: Mapping[ObjectName, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """What the store tells of the flow. `oldest_ms`: when the oldest change still to be delivered was committed.

    `people` is None where they were not counted. `new_people`: the note of the day's count. `waiting_people` wait for another
    day, which begins at `waiting_until_ms`.
    """

    backlog: Mapping[str, int]
    oldest_ms: int | None
    blocked: Sequence[Blocked]
    blocked_entries: int
    dead: int
    replays: Sequence[Replay]
    people: int | None
    heartbeat: Mapping[str, Any] | None
    swept_until: float | None
    holds: Holds = field(default_factory=Holds)
    coverage: Coverage = field(default_factory=Coverage)
    new_people: Mapping[str, Any] | None = None
    waiting_people: int = 0
    waiting_until_ms: int | None = None


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[Transaction]:
    """Named queries on the store as it stands at one moment. Raises StoreError where there is no store of ours."""
    async with beside(path) as connection:
        yield Transaction(connection)


async def view(path: Path, *, blocked_most: int, channel: str, now_ms: int, people: bool = True) -> View:
    """Everything `status` needs, with the commonest of what waits; counting `people` reads something of each of them."""
    async with reading(path) as tx:
        waiting = (await tx.rows("waiting_people", now_ms, WAITS_FOR_ROOM))[0]
        return View(
            backlog={row["object"]: row["entries"] for row in await tx.rows("backlog")},
            oldest_ms=await tx.value("oldest_commit"),
            blocked=[_blocked(row) for row in await tx.rows("blocked", blocked_most)],
            blocked_entries=await tx.value("count_blocked"),
            dead=await tx.value("count_dead"),
            replays=await replays_in(tx),
            people=await tx.value("count_people") if people else None,
            heartbeat=await _note(tx, "heartbeat"),
            swept_until=await _note(tx, "swept_until"),
            holds=await holds(tx),
            coverage=await _coverage(tx, channel),
            new_people=await _note(tx, "new_people"),
            waiting_people=waiting["entries"],
            waiting_until_ms=waiting["due_ms"],
        )


async def coverage(path: Path, channel: str) -> Coverage:
    """What is proven complete."""
    async with reading(path) as tx:
        return await _coverage(tx, channel)


async def _coverage(tx: Transaction, channel: str) -> Coverage:
    intervals: dict[ObjectName, list[Interval]] = {}
    for row in await tx.rows("all_coverage"):
        intervals.setdefault(row["object"], []).append((row["from_s"], row["to_s"], row["how"]))
    stream = await _note(tx, stream_note(channel)) or {"objects": [], "until_s": 0.0}
    loads = {obj: await _note(tx, load_note(obj)) for obj in OBJECTS}
    return Coverage(
        intervals,
        dict.fromkeys(stream["objects"], stream["until_s"]),
        {obj: (await cut_told(tx, obj))[1] for obj in OBJECTS},
        {obj: told for obj, told in loads.items() if told is not None},
    )


async def heartbeat(path: Path) -> Mapping[str, Any] | None:
    """The daemon's last heartbeat."""
    async with reading(path) as tx:
        found: Mapping[str, Any] | None = await _note(tx, "heartbeat")
        return found


async def replays(path: Path) -> list[Replay]:
    """The stored positions of all channels."""
    async with reading(path) as tx:
        return await replays_in(tx)


async def dead_letters(path: Path) -> list[DeadLetter]:
    """All dead letters, oldest first."""
    async with reading(path) as tx:
        return await admin.dead_letters(tx)


async def contents(path: Path, entries: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What the dead letters with these numbers hold: personal data, for the operator's eyes only."""
    async with reading(path) as tx:
        return {entry: await admin.content(tx, entry) for entry in entries}


async def replays_in(tx: Transaction) -> list[Replay]:
    """The stored positions, as of this transaction."""
    return [Replay(*row) for row in await tx.rows("all_replays")]


async def budgets(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """What the daemon wrote down last of the calls of the day: for each budget its `day` and `used`."""
    async with reading(path) as tx:
        found: Mapping[str, Mapping[str, Any]] = await _note(tx, "budgets") or {}
        return found


async def in_flight(path: Path) -> list[tuple[Record, int]]:
    """The records that are under way to Marketo, or were when the daemon died, each with the time (ms) its entry was queued."""
    async with reading(path) as tx:
        queued = {(row["object"], row["record_id"]): row["queued_ms"] for row in await tx.rows("in_flight") if not row["read"]}
        return [(record, queued[key]) for key, record in (await waits.records(tx, queued)).items()]


def _blocked(row: Any) -> Blocked:
    return Blocked(
        object=row["child"],
        entries=row["entries"],
        parent_object=row["parent_object"],
        parent_id=row["parent_id"],
        state=row["state"],
        read=row["read"],
        waits=row["waits"],
        code=row["code"],
        cause=row["cause"],
    )


async def _note(tx: Transaction, name: str) -> Any:
    value = await tx.value("get_note", name)
    return orjson.loads(value) if value is not None else None
