"""Rows of the database to value types and back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson

from store.model import Entry, Key, Pending, Record
from store.writer import Transaction

RECORD = (
    *("object", "record_id", "state", "marketo_id", "owner", "account", "opportunity", "contact", "created", "filled"),
    *("sent_key", "merged_into", "joined", "read_s", "known", "commit_ms", "txn", "seq", "story"),
)
"""A record's columns, in the order of a Record's fields."""
ENTRY = (
    *("entry_id", "object", "record_id", "CAST(pending AS TEXT)", "state", "waits", "attempts", "tries", "due_ms", "queued_ms"),
    *("rank", "CAST(later AS TEXT)", "later_first_ms", "code", "cause", "cure"),
)
"""Likewise an entry's."""
_FILLED, _KNOWN = RECORD.index("filled"), RECORD.index("known")
_PENDING, _LATER = ENTRY.index("CAST(pending AS TEXT)"), ENTRY.index("CAST(later AS TEXT)")
LEFT = "left"  # in an entry's column: a delete of what has left its filter


def keys_json(keys: Iterable[Key]) -> str:
    """Keys as the JSON array that the key queries take."""
    return list_json(keys)


def list_json(values: Iterable[Any]) -> str:
    """Values as a JSON array."""
    return orjson.dumps(list(values)).decode()


async def read_records(tx: Transaction, name: str, *parameters: Any) -> list[Record]:
    """The rows of `record` that a query finds."""
    return list(map(record_of, await tx.lists(name, RECORD, *parameters)))


async def read_entries(tx: Transaction, name: str, *parameters: Any) -> list[Entry]:
    """The rows of `entry` that a query finds."""
    return list(map(entry_of, await tx.lists(name, ENTRY, *parameters)))


def record_of(values: list[Any]) -> Record:
    """A record of its columns, which are changed for it."""
    known = values[_KNOWN]
    values[_FILLED], values[_KNOWN] = _names(values[_FILLED]), orjson.loads(known) if known != "{}" else {}
    return Record(*values)


@lru_cache(1024)
def _names(text: str) -> frozenset[str]:
    """A list of names; most records of a batch have the same."""
    return frozenset(orjson.loads(text))


STANDING = (
    *("state", "marketo_id", "owner", "account", "opportunity", "contact", "created", "filled", "sent_key"),
    *("merged_into", "joined", "read_s"),
)
"""All of a record that `place_records` leaves as it is: most changes leave it so, and with it every index."""
standing = attrgetter(*STANDING)


def place_row(record: Record) -> tuple[Any, ...]:
    """One of the rows that `place_records` takes."""
    known = orjson.dumps(record.known).decode() if record.known else "{}"
    return (record.object, record.record_id, known, record.commit_ms, record.transaction, record.sequence, record.story)


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


def pending_of(text: str | bytes) -> Pending:
    """What an entry would send, from its column."""
    kind, fields, whole, read, first, *doubt = orjson.loads(text)
    if kind == LEFT:
        return Pending("delete", fields, whole, read, first, frozenset(doubt), left=True)
    return Pending(kind, fields, whole, read, first, frozenset(doubt))


def pending_blob(pending: Pending) -> bytes:
    """What an entry would send, for its column."""
    values = [LEFT if pending.left else pending.kind, pending.fields, pending.whole, pending.read, pending.first_commit_ms]
    return orjson.dumps([*values, *sorted(pending.doubt)])


def entry_of(values: list[Any]) -> Entry:
    """An entry of its columns, which are changed for it."""
    values[_PENDING] = pending_of(values[_PENDING])
    if values[_LATER] is not None:
        values[_LATER] = pending_of(values[_LATER])
    return Entry(*values)


def new_row(entry: Entry) -> tuple[Any, ...]:
    """One of the rows that `open_entries` takes."""
    pending = entry.pending
    return (
        entry.entry_id,
        entry.object,
        entry.record_id,
        pending.kind,
        pending_blob(pending).decode(),
        pending.read,
        entry.due_ms,
        entry.queued_ms,
        pending.first_commit_ms or entry.queued_ms,
        entry.rank,
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
        entry.pending.first_commit_ms or entry.queued_ms,
        entry.rank,
        pending_blob(entry.later) if entry.later is not None else None,
        entry.later_first_ms,
        entry.code,
        entry.cause,
        entry.cure,
        died_ms,
    )
