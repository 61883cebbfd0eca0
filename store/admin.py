"""Dead letters in the operator's hands: listing, showing, trying again, giving up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from store import waits
from store.history import Lines, What
from store.holds import POISONED
from store.model import DeadLetter, Key, Record
from store.rows import list_json, pending_of, read_entries, record_row
from store.writer import Transaction


async def dead_letters(tx: Transaction) -> list[DeadLetter]:
    """All dead letters, oldest first."""
    return [
        DeadLetter(
            entry=row["entry_id"],
            object=row["object"],
            id=row["record_id"],
            code=row["code"],
            cause=row["cause"],
            cure=row["cure"],
            attempts=row["attempts"],
            since=row["died_ms"] / 1000,
            flow=row["flow"],
            holds=row["holds"],
        )
        for row in await tx.rows("dead_letters")
    ]


async def content(tx: Transaction, entry_id: int) -> dict[str, Any]:
    """What a dead letter holds: the fields that were to be sent, or the event as it came. For the operator's eyes only."""
    row = (await tx.rows("entries_by_id", list_json([entry_id])))[0]
    if row["flow"] != "deliver":
        return {"raw": _shown(row["pending"].decode())} if row["flow"] == "capture" else {}
    pending = pending_of(row["pending"])
    return {"kind": pending.kind, "fields": pending.fields, "whole": pending.whole, "read": pending.read}


def _shown(text: str) -> Any:
    """JSON as values, where they can be written again as they are; else its text."""
    try:
        value = json.loads(text, parse_constant=_refused)
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return text
    return value


def _refused(constant: str) -> None:
    raise ValueError(constant)


async def retry(tx: Transaction, letters: Sequence[DeadLetter], now_ms: int) -> int:
    """Put dead letters back, in the order of what they wait for; returns how many. Events nobody could read stay.

    A flow that stopped because so many were refused tries again with them.
    """
    letters = await _still_dead(tx, letters)
    deliver = [letter.entry for letter in letters if letter.flow == "deliver"]
    await tx.run("set_due", list_json(deliver), now_ms)
    entries = await read_entries(tx, "entries_by_id", list_json(deliver))
    known = await waits.records(tx, [entry.key for entry in entries])
    await _tell(tx, known, "put_back", now_ms)
    await waits.work_out(tx, entries, known, now_ms)
    if deliver:
        await tx.run("delete_note", POISONED)
    scores = [letter for letter in letters if letter.flow == "scores"]
    for letter in scores:
        await tx.run("score_again", letter.object, letter.id, now_ms)
    await waits.end(tx, [letter.entry for letter in scores])
    return len(deliver) + len(scores)


async def _tell(tx: Transaction, known: dict[Key, Record], what: What, now_ms: int) -> None:
    """A line in each record's story."""
    lines = Lines(now_ms)
    for record in known.values():
        lines.add(record, what, source="operator")
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(record) for record in known.values()])


async def drop(tx: Transaction, letters: Sequence[DeadLetter], now_ms: int) -> int:
    """Give dead letters up: what waited for them goes on without that relation; returns how many."""
    letters = await _still_dead(tx, letters)
    deliver = [letter for letter in letters if letter.flow == "deliver"]
    entries = await read_entries(tx, "entries_by_id", list_json(letter.entry for letter in deliver))
    keys: list[Key] = [entry.key for entry in entries]
    known = await waits.records(tx, keys)
    for entry in entries:
        record = known[entry.key]
        if entry.pending.kind == "delete":
            record.state = "deleted"
        elif record.state != "synced":
            record.state = "dropped"
    await _tell(tx, known, "dropped", now_ms)
    await waits.end(tx, [letter.entry for letter in letters])
    await waits.let_go(tx, keys)
    return len(letters)


async def _still_dead(tx: Transaction, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Those of the letters that no change has brought back to life since they were listed."""
    rows = await tx.rows("entries_by_id", list_json(letter.entry for letter in letters))
    dead = {row["entry_id"] for row in rows if row["state"] == "dead"}
    return [letter for letter in letters if letter.entry in dead]
