"""How many records leave their filters: where more do in a day than may, those that are still here wait for a person.

    leaves ──count──▶ by hour, with the change itself ──claim──▶ no more than may in 24 hours: it goes as its delete setting says
                                                            └──▶ more: held, with all of its object that leave, until `let_go`

A filter that was mistyped makes a mass of records leave; put right, it takes back those that are held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from store.model import OBJECTS, WAITS_TO_LEAVE, Entry, ObjectName
from store.rows import list_json
from store.writer import Transaction

NOTE = "leaving"
HOUR_MS = 3_600_000
HOURS = 24
AGAIN_MS = 900_000  # how often what is held is looked at again, should nobody let it go


@dataclass(slots=True)
class Leaving:
    """The note. `hours`: how many left, by object and hour; `held`: since when (seconds) an object's wait; `free_until_ms`: until
    then whatever leaves may go.
    """

    hours: dict[str, dict[str, int]] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    free_until_ms: int = 0

    def in_a_day(self, obj: ObjectName) -> int:
        """How many of an object have left in the last 24 hours."""
        return sum(self.hours.get(obj, {}).values())

    def forget_before(self, now_ms: int) -> None:
        """What is older than a day counts no more."""
        first = now_ms // HOUR_MS - HOURS
        self.hours = {obj: kept for obj, by in self.hours.items() if (kept := {h: n for h, n in by.items() if int(h) > first})}


async def count(tx: Transaction, left: Iterable[ObjectName], now_ms: int) -> None:
    """These have just left: part of the transaction that takes the change."""
    counts = Counter(left)
    if not counts:
        return
    note = await _read(tx)
    note.forget_before(now_ms)
    hour = str(now_ms // HOUR_MS)
    for obj, number in counts.items():
        by_hour = note.hours.setdefault(obj, {})
        by_hour[hour] = by_hour.get(hour, 0) + number
    await _write(tx, note)


async def hold_back(tx: Transaction, entries: Sequence[Entry], most: int, now_ms: int) -> list[Entry]:
    """The entries without those that leave and must wait; these are put off."""
    going = [entry for entry in entries if entry.pending.kind == "delete" and entry.pending.left]
    if not going:
        return list(entries)
    note = await _read(tx)
    if now_ms < note.free_until_ms:
        return list(entries)
    note.forget_before(now_ms)
    many = {entry.object for entry in going if entry.object not in note.held and note.in_a_day(entry.object) > most}
    if many:
        note.held |= dict.fromkeys(sorted(many), now_ms / 1000)
        await _write(tx, note)
    held = [entry for entry in going if entry.object in note.held]
    cause = f"more than {most} left their filter in a day (deliver.max_leaving_a_day): somebody has to say that they may go"
    await tx.run("hold", list_json(entry.entry_id for entry in held), now_ms + AGAIN_MS, WAITS_TO_LEAVE, cause)
    return [entry for entry in entries if entry not in held]


async def let_go(tx: Transaction, now_ms: int) -> None:
    """A person says that they may go: those that wait, and whatever else leaves within a day."""
    await _write(tx, Leaving(free_until_ms=now_ms + HOURS * HOUR_MS))
    await tx.run("release_leaving", now_ms, WAITS_TO_LEAVE)


async def held(tx: Transaction) -> Mapping[ObjectName, int]:
    """How many of each object wait for a person."""
    note = await _read(tx)
    if not note.held:
        return {}
    waiting = {row["object"]: row["entries"] for row in await tx.rows("waiting_to_leave", WAITS_TO_LEAVE)}
    return {obj: waiting.get(obj, 0) for obj in OBJECTS if obj in note.held}


async def taken_back(tx: Transaction, objects: Iterable[ObjectName]) -> None:
    """Of these nobody waits any more: the filter was put right. What had left before counts no more."""
    note = await _read(tx)
    for obj in objects:
        note.held.pop(obj, None)
        note.hours.pop(obj, None)
    await _write(tx, note)


async def _read(tx: Transaction) -> Leaving:
    text = await tx.value("get_note", NOTE)
    value: dict[str, Any] = orjson.loads(text) if text is not None else {}
    return Leaving(**value)


async def _write(tx: Transaction, note: Leaving) -> None:
    value = {"hours": note.hours, "held": note.held, "free_until_ms": note.free_until_ms}
    await tx.run("put_note", NOTE, orjson.dumps(value).decode())
