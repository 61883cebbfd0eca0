"""Rows of records that nobody knew yet, all of a page at once: most of what a load brings.

changes ──prepare──▶ candidates: loaded, whole, in their filter ──write──▶ neither known nor waited for: a statement for all
              └────▶ the others, change by change (`store/intake.py`)  ◀──────── known before

Both ways leave the same in the database. What can be worked out without it is, before the transaction begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from store import history, waits
from store.digests import digests
from store.model import REF_OBJECT, REFS, Change, Entry, Key, ObjectName, Pending
from store.rows import list_json, pending_blob
from store.writer import Transaction

Row = tuple[str | int | None, ...]
"""Record id, owner, account, opportunity, contact, created, SystemModstamp, what is known: what a record's row has of it."""


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Changes of one object by one reader, that may be newcomers' ones, and what is to be written for them."""

    changes: Sequence[Change] = ()
    rows: Sequence[Row] = ()
    pending: Sequence[str] = ()

    def without(self, known: set[str]) -> Newcomers:
        """Those of other records."""
        kept = [place for place, change in enumerate(self.changes) if change.record_id not in known]
        changes, rows, pending = self.changes, self.rows, self.pending
        return Newcomers([changes[place] for place in kept], [rows[place] for place in kept], [pending[place] for place in kept])


def prepare(changes: Sequence[Change]) -> tuple[Newcomers, list[Change]]:
    """What may be newcomers, and the others. Only where all are of one object, so that none of them is another's parent."""
    if len({(change.object, change.source) for change in changes}) != 1:
        return Newcomers(), list(changes)
    times = Counter(change.record_id for change in changes)
    whole, others = list[Change](), list[Change]()
    for change in changes:
        (whole if _is_whole(change) and times[change.record_id] == 1 else others).append(change)
    return Newcomers(whole, [_row(change) for change in whole], [_pending(change) for change in whole]), others


def _is_whole(change: Change) -> bool:
    """Whether a load has read the record as it is, inside of its filter, and nothing else has to be asked."""
    if not (change.loaded and change.whole and change.relevant) or change.read or change.commit_ms:
        return False
    return change.kind == "upsert" and change.side != "out" and change.read_s is not None


def _row(change: Change) -> Row:
    known = orjson.dumps(digests(change.fields)).decode()
    return (change.record_id, *map(change.refs.get, REFS), change.created, change.read_s, known)


def _pending(change: Change) -> str:
    return pending_blob(Pending(fields=change.fields, whole=True)).decode()


async def write(tx: Transaction, those: Newcomers, now_ms: int) -> tuple[int, list[Key], list[Change]]:
    """Records, stories and entries of the newcomers among those, and what these wait for.

    Returns how many they were, the parents that were asked for, and the changes of who is known already.
    """
    if not those.changes:
        return 0, [], []
    obj, source = those.changes[0].object, those.changes[0].source
    known = {row[0] for row in await tx.lists("known_among", ("record_id",), obj, list_json(row[0] for row in those.rows))}
    new = those.without(known) if known else those
    if not new.changes:
        return 0, [], list(those.changes)
    newest, told = await tx.value("last_line") or 0, history.told("arrived", source=source, fields=history.WHOLE)
    await tx.run("put_newcomers", obj, list_json(new.rows), newest)
    await tx.run("put_their_lines", list_json(row[0] for row in new.rows), newest, now_ms, told)
    asked = await _put_entries(tx, obj, new, now_ms)
    return len(new.changes), asked, [change for change in those.changes if change.record_id in known] if known else []


async def _put_entries(tx: Transaction, obj: ObjectName, new: Newcomers, now_ms: int) -> list[Key]:
    """Their entries, and what they wait for; returns the parents that were asked for."""
    named: list[list[Key]] = [
        [(REF_OBJECT[ref], parent) for ref, parent in change.refs.items() if parent is not None] for change in new.changes
    ]
    parents = dict.fromkeys(parent for each in named for parent in each)
    records = await waits.records(tx, parents)
    held = {parent for parent in parents if parent not in records or records[parent].holds_up}
    awaited = [[parent for parent in each if parent in held] for each in named] if held else [()] * len(named)
    ids = [change.record_id for change in new.changes]
    entries = list_json(zip(ids, new.pending, map(len, awaited), strict=True))
    await tx.run("put_their_entries", obj, now_ms, entries)
    if not held:
        return []
    waiting = [(record_id, *parent) for record_id, each in zip(ids, awaited, strict=True) for parent in each]
    await tx.run("put_their_waits", obj, list_json(waiting))
    child = Entry(0, obj, ids[0], Pending(), rank=1)  # of them, the parents need to know only the object and the rank
    return await waits.ask_for(tx, dict.fromkeys(filter(held.__contains__, parents), child), records, now_ms)
