"""Rows of the database to value types and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import orjson

from store.model import Entry, Key, Pending, Record

_RECORD = (
    *("object", "record_id", "state", "marketo_id", "owner", "account", "opportunity", "contact", "created", "filled"),
    *("sent_key", "merged_into", "joined", "read_s", "known", "commit_ms", "txn", "seq", "story"),
)  # the columns in the order of a Record's fields
_FILLED, _KNOWN = _RECORD.index("filled"), _RECORD.index("known")
LEFT = "left"  # in an entry's column: a delete of what has left its filter


def keys_json(keys: Iterable[Key]) -> str:
    """Keys as the JSON array that the key queries take."""
    return orjson.dumps([list(key) for key in keys]).decode()


def list_json(values: Iterable[Any]) -> str:
    """Values as a JSON array."""
    return orjson.dumps(list(values)).decode()


def records_of(rows: Sequence[sqlite3.Row]) -> list[Record]:
    """Rows of `record`."""
    made = []
    for values in map(list, _columns(rows, _RECORD)):
        values[_FILLED], values[_KNOWN] = frozenset(orjson.loads(values[_FILLED])), orjson.loads(values[_KNOWN])
        made.append(Record(*values))
    return made


def record_of(row: sqlite3.Row) -> Record:
    """A row of `record`."""
    return records_of([row])[0]


def _columns(rows: Sequence[sqlite3.Row], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The named columns of each row. Their places are found once for all rows: by name, each value costs a search of its own."""
    if not rows:
        return iter(())
    found = rows[0].keys()
    return map(itemgetter(*(found.index(name) for name in names)), rows)


def record_row(record: Record) -> tuple[Any, ...]:
    """The parameters of `put_record`."""
    return (
        record.object,
        record.record_id,
        record.state,
        record.marketo_id,
        record.owner,
        record.account,
        record.opportunity,
        record.contact,
        record.created,
        list_json(sorted(record.filled)),
        record.sent_key,
        record.merged_into,
        record.joined,
        record.read_s,
        orjson.dumps(record.known).decode(),
        record.commit_ms,
        record.transaction,
        record.sequence,
        record.story,
    )


def pending_of_blob(blob: bytes) -> Pending:
    """What an entry would send, from its column."""
    kind, fields, whole, read, first, *doubt = orjson.loads(blob)
    pending = Pending(kind=kind, fields=fields, whole=whole, read=read, first_commit_ms=first, doubt=frozenset(doubt))
    return replace(pending, kind="delete", left=True) if kind == LEFT else pending


def pending_blob(pending: Pending) -> bytes:
    """What an entry would send, for its column."""
    values = [LEFT if pending.left else pending.kind, pending.fields, pending.whole, pending.read, pending.first_commit_ms]
    return orjson.dumps([*values, *sorted(pending.doubt)])


def entry_of(row: sqlite3.Row) -> Entry:
    """A row of `entry`."""
    return Entry(
        entry_id=row["entry_id"],
        object=row["object"],
        record_id=row["record_id"],
        pending=pending_of_blob(row["pending"]),
        state=row["state"],
        waits=row["waits"],
        attempts=row["attempts"],
        tries=row["tries"],
        due_ms=row["due_ms"],
        queued_ms=row["queued_ms"],
        rank=row["rank"],
        later=pending_of_blob(row["later"]) if row["later"] is not None else None,
        later_first_ms=row["later_first_ms"],
        code=row["code"],
        cause=row["cause"],
        cure=row["cure"],
    )


def entry_row(entry: Entry, died_ms: int = 0) -> tuple[Any, ...]:
    """The parameters of `put_entry`."""
    return (
        entry.object,
        entry.record_id,
        entry.state,
        entry.pending.kind,
        pending_blob(entry.pending),
        entry.pending.read,
        entry.waits,
        entry.attempts,
        entry.tries,
        entry.due_ms,
        entry.queued_ms,
        entry.rank,
        pending_blob(entry.later) if entry.later is not None else None,
        entry.later_first_ms,
        entry.code,
        entry.cause,
        entry.cure,
        died_ms,
    )
