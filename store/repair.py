"""Differences between the two sides, queued to be mended: read and sent whole, looked for anew, or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from store import waits
from store.intake import append, send_again
from store.model import PEOPLE, Change, Key, Record
from store.outbox import move_people
from store.rows import keys_json, record_row
from store.writer import Transaction

SOURCE = "audit"


@dataclass(frozen=True, slots=True)
class Repair:
    """What is to be mended. `again`: Marketo holds something else; `anew`: Marketo does not have it; `unexpected`: it should not,
    with the id of its Marketo person, if it is one.
    """

    again: Sequence[Key] = ()
    anew: Sequence[Key] = ()
    unexpected: Mapping[Key, str | None] = field(default_factory=dict)


async def queue(tx: Transaction, repair: Repair, now_ms: int) -> int:
    """Queue it, but for records for which something is open by now; returns how many were queued."""
    keys = [*repair.again, *repair.anew, *repair.unexpected]
    busy = {(row["object"], row["record_id"]) for row in await tx.rows("entries_by_key", keys_json(keys))}
    again = [key for key in repair.again if key not in busy]
    await send_again(tx, again, "audit: Marketo holds something else", now_ms)
    anew = await waits.records(tx, [key for key in repair.anew if key not in busy])
    await _look_anew(tx, anew, now_ms)
    unexpected = {key: marketo_id for key, marketo_id in repair.unexpected.items() if key not in busy}
    await _delete(tx, unexpected, now_ms)
    return len(again) + len(anew) + len(unexpected)


async def _look_anew(tx: Transaction, records: Mapping[Key, Record], now_ms: int) -> None:
    """They count as not in Marketo: whoever names them waits for them, and people are looked for before they are created."""
    people = [record for record in records.values() if record.object in PEOPLE]
    await move_people(tx, people, None, now_ms, "audit: Marketo does not have it")
    others = [record for record in records.values() if record.object not in PEOPLE]
    for record in others:
        record.state, record.known = "seen", {}
    await tx.run_many("put_record", [record_row(record) for record in others])
    await append(tx, [Change(*record.key, read="audit: Marketo does not have it", source=SOURCE) for record in others], now_ms)


async def _delete(tx: Transaction, unexpected: Mapping[Key, str | None], now_ms: int) -> None:
    records = await waits.records(tx, unexpected)
    for key, record in records.items():
        record.marketo_id = unexpected[key] or record.marketo_id
    await tx.run_many("put_record", [record_row(record) for record in records.values()])
    await append(tx, [Change(*key, kind="delete", source=SOURCE) for key in records], now_ms)
