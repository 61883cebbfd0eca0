"""What was last written to Salesforce for each person, and which writes are due again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from store.model import Key
from store.rows import keys_json, list_json, read_records
from store.writer import Transaction

UNSURE = ["?"]
"""In place of a value that perhaps is there, and perhaps another: no value equals it, so it is written in any case."""

TOGETHER_MS = 10_000
"""Looks asked for within one such stretch are due at its end, so that they share their calls."""


@dataclass(slots=True)
class ScoreRow:
    """One person's scores as last written (Salesforce field → value; None: never), and how writing to them goes.

    `due_ms` is 0 unless a write has to be tried again; `stopped` says why nothing is written to this record any more.
    """

    key: Key
    written: dict[str, Any] | None = None
    attempts: int = 0
    due_ms: int = 0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A synced Lead or Contact and the Marketo person behind it."""

    key: Key
    marketo_id: str
    primary_order: tuple[int, str, str]
    """Who carries a shared Marketo person: the lowest of these (contact before lead, then older, then lower id)."""


async def last_written(tx: Transaction, keys: Sequence[Key]) -> dict[Key, ScoreRow]:
    """The score rows of the given people; people never written to have none."""
    found = {}
    for row in await tx.rows("scores_by_key", keys_json(keys)):
        key: Key = (row["object"], row["record_id"])
        written = orjson.loads(row["written"]) if row["written"] is not None else None
        found[key] = ScoreRow(key, written, row["attempts"], row["due_ms"], row["stopped"])
    return found


async def remember(tx: Transaction, rows: Sequence[ScoreRow], before: Mapping[Key, ScoreRow]) -> None:
    """Write score rows. `before`: as whoever writes knew them; a look that was asked for since then is not forgotten by this."""
    now = await last_written(tx, [row.key for row in rows])
    rows = [_with_news(row, before.get(row.key), now.get(row.key)) for row in rows]
    await _put(tx, rows)


async def _put(tx: Transaction, rows: Sequence[ScoreRow]) -> None:
    await tx.run_many(
        "put_score",
        [
            (
                *row.key,
                orjson.dumps(row.written).decode() if row.written is not None else None,
                row.attempts,
                row.due_ms,
                row.stopped,
            )
            for row in rows
        ],
    )


def _with_news(row: ScoreRow, before: ScoreRow | None, now: ScoreRow | None) -> ScoreRow:
    """The row, and what was marked in it between `before` and `now`."""
    if now is None or now == before:
        return row
    known = (before.written if before is not None else None) or {}
    marked = [name for name, value in (now.written or {}).items() if value == UNSURE and known.get(name) != UNSURE]
    asked = now.due_ms if now.due_ms != (before.due_ms if before is not None else 0) else 0
    due_ms = min((ms for ms in (row.due_ms, asked) if ms), default=0)
    written = {**(row.written or {}), **dict.fromkeys(marked, UNSURE)} if marked else row.written
    resumed = before is not None and before.stopped and not now.stopped
    attempts, stopped = (now.attempts, now.stopped) if resumed else (row.attempts, row.stopped)
    return ScoreRow(row.key, written, attempts, due_ms, stopped)


async def look(tx: Transaction, people: Sequence[Key], now_ms: int) -> None:
    """These stand behind another Marketo person now: its scores are looked at soon, and then brought to them."""
    await tx.run("look_at_scores", keys_json(people), _soon(now_ms))


async def resume(tx: Transaction, people: Sequence[Key], now_ms: int) -> None:
    """These are alive: where writing to them stopped because they were gone, it goes on."""
    if people:
        await tx.run("resume_scores", keys_json(people), _soon(now_ms))


async def copied(tx: Transaction, successors: Sequence[tuple[Key, Key]], now_ms: int) -> None:
    """Records, and those they live on as: Salesforce may have copied the scores, which perhaps are another person's there."""
    rows = await last_written(tx, [key for both in successors for key in both])
    for old, new in successors:
        row = rows.get(new) or ScoreRow(new)
        names = (rows[old].written or {}) if old in rows else {}
        written = {**(row.written or {}), **dict.fromkeys(names, UNSURE)} if names else row.written
        rows[new] = replace(row, written=written, due_ms=_soon(now_ms))
    await _put(tx, [rows[new] for new in dict.fromkeys(new for _, new in successors)])


def _soon(now_ms: int) -> int:
    return (now_ms // TOGETHER_MS + 1) * TOGETHER_MS


async def people(tx: Transaction, marketo_ids: Sequence[str]) -> list[Person]:
    """The synced Leads and Contacts behind the given Marketo lead ids."""
    rows = await read_records(tx, "people_by_marketo_id", list_json(marketo_ids))
    return [
        Person(record.key, record.marketo_id or "", primary_order(record.object, record.created, record.record_id))
        for record in rows
        if record.state == "synced"
    ]


def primary_order(obj: str, created: str | None, record_id: str) -> tuple[int, str, str]:
    """The order in which records carry a Marketo person they share: contact, then older CreatedDate, then lower id."""
    return (0 if obj == "Contact" else 1, (created or "9999")[:19], record_id)


async def ids_after(tx: Transaction, marketo_id: str, most: int) -> list[str]:
    """The next Marketo lead ids of synced people, in their order as text, for the sweep."""
    return list(dict.fromkeys(row["marketo_id"] for row in await tx.rows("people_after", marketo_id, most)))


async def ids_due(tx: Transaction, now_ms: int, most: int) -> list[str]:
    """The Marketo lead ids of people whose scores have to be written again by now."""
    return list(dict.fromkeys(row["marketo_id"] for row in await tx.rows("scores_due", now_ms, most)))


async def bury(tx: Transaction, key: Key, *, code: str, cause: str, cure: str, attempts: int, now_ms: int) -> None:
    """A score row that Salesforce keeps refusing becomes a dead letter, unless the record was erased meanwhile."""
    if not await tx.rows("records_by_key", keys_json([key])):
        return
    await tx.run("put_dead", *key, b"{}", now_ms, now_ms, attempts, code, cause, cure, now_ms, "scores")
