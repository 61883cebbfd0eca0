"""One person's traces taken out of the store: first the rows, then the file is written anew, so that no free page holds a value.

    ID ──▶ its record, what was merged into it or it into, its contact roles
             ──▶ entries, dead letters, stories, scores, events kept whole that name one of them
    file ──▶ VACUUM ──▶ the write-ahead log emptied

Whoever waits for one of them asks Salesforce for it again, so nobody waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from store import beside, waits
from store.database import open_database
from store.errors import StoreBlocked
from store.faults import translated
from store.model import MERGEABLE, OBJECTS, PEOPLE, Entry, Key, Record
from store.role_keys import forget_all
from store.rows import keys_json, list_json, read_entries, read_records
from store.writer import Transaction

UNFINISHED = "erase_unfinished"
"""Note that the rows of somebody are gone, and the file has not been written anew since."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of it. `keys`: the records concerned; with `held` nothing was erased, because of that record's entry.

    `given_up`: changes that were still to be delivered; `letters`: dead letters; `events`: events that nobody could read, gone
    with it; `events_left`: such events that do not name it; `sharers`: who else stands behind the same Marketo person.
    """

    keys: Sequence[Key]
    held: Held | None = None
    given_up: int = 0
    letters: int = 0
    events: int = 0
    events_left: int = 0
    sharers: Sequence[Key] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """Why nothing was erased: this record's entry is in flight, or still to be delivered."""

    key: Key
    why: Literal["in flight", "open"]


async def erase(tx: Transaction, record_id: str, now_ms: int, *, running: bool, give_up: bool) -> Erased:
    """Erase the rows. `running`: a daemon holds the store, and may be sending; `give_up`: also what is still to be delivered."""
    records = await _family(tx, record_id)
    ids = [record.record_id for record in records]
    keys = [record.key for record in records]
    rows = [row for key in keys for row in await tx.rows("entries_of", *key)]
    numbers = [row["entry_id"] for row in rows]
    living = [entry for entry in await read_entries(tx, "entries_by_key", keys_json(keys)) if entry.state != "dead"]
    for entry in living:
        if entry.state == "in_flight" and running:
            return Erased(keys, held=Held(entry.key, "in flight"))
        if not give_up:
            return Erased(keys, held=Held(entry.key, "open"))
    events = [row[0] for row in await tx.rows("events_naming", list_json(_names([*ids, record_id])))]
    sharers = await beside.sharers(tx, [each.marketo_id for each in records if each.marketo_id and each.object in PEOPLE])
    waiting = [entry for entry in await _waiting_for(tx, keys) if entry.entry_id not in numbers]
    await tx.run("shorten_stories", list_json(ids), 0)
    await waits.end(tx, [*numbers, *events])
    await tx.run("delete_scores", keys_json(keys))
    await tx.run("delete_records", keys_json(keys))
    await forget_all(tx, ids)
    await waits.work_out(tx, waiting, await waits.records(tx, [entry.key for entry in waiting]), now_ms)
    if keys or events:
        await tx.run("put_note", UNFINISHED, "true")
    return Erased(
        keys,
        given_up=len(living),
        letters=sum(row["state"] == "dead" for row in rows),
        events=len(events),
        events_left=await tx.value("count_events"),
        sharers=[other.key for each in sharers.values() for other in each if other.key not in keys],
    )


async def _family(tx: Transaction, record_id: str) -> list[Record]:
    """The record with this id, those it was made one with by merges in Salesforce, and their contact roles."""
    found = await waits.records(tx, [(obj, record_id) for obj in OBJECTS])
    family: dict[Key, Record] = {}
    fresh = list(found.values())
    while fresh:
        family.update((record.key, record) for record in fresh)
        mergeable = [record for record in fresh if record.object in MERGEABLE]
        losers = await read_records(tx, "merged_into_any", list_json(record.record_id for record in mergeable))
        winners = [(record.object, record.merged_into) for record in mergeable if record.merged_into]
        near = [*losers, *(await waits.records(tx, winners)).values()]
        fresh = [record for record in near if record.key not in family]
    contacts = [record.record_id for record in family.values() if record.object == "Contact"]
    roles = await read_records(tx, "roles_naming", list_json(contacts))
    return [*family.values(), *(role for role in roles if role.key not in family)]


def _names(ids: Sequence[str]) -> list[str]:
    """The 15 characters that both forms of an id begin with."""
    return sorted({record_id[:15] for record_id in ids})


async def _waiting_for(tx: Transaction, keys: Sequence[Key]) -> list[Entry]:
    numbers = [row[0] for row in await tx.rows("waiting_for", keys_json(keys))]
    return await read_entries(tx, "entries_by_id", list_json(numbers))


async def unfinished(tx: Transaction) -> bool:
    """Whether rows were erased, and the file has not been written anew since."""
    return await tx.value("get_note", UNFINISHED) is not None


async def rewrite(path: Path) -> None:
    """Write the file anew, without what was deleted, and empty the log; beside a running daemon too, which waits meanwhile.

    Needs free space of up to twice the store's size. Raises StoreBlocked where there is none, or where a reader holds the log.
    """
    connection = await open_database(path, create=False, exclusive=False)
    try:
        with translated(path, opened=True):
            await connection.execute("PRAGMA temp_store = FILE")
            await connection.execute("VACUUM")
            busy = next(iter(await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")))[0]
            if busy:
                raise StoreBlocked(f"a reader holds the log of {path}", hint="end other msi-stream commands and backups first")
            await Transaction(connection).run("delete_note", UNFINISHED)
    finally:
        await connection.close()
