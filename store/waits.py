"""What waits for what. An entry is ready when no row of `wait` names it.

An upsert waits for each parent that Marketo does not have yet; a parent nobody has an entry for gets one, to be read from
Salesforce. A delete waits for the open deletes of its children, and that of an account which was merged into another also for
what is to be sent of that one's children: some were its own. Whoever finishes a record lets go whoever waited for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from store.history import Lines
from store.model import REF_OBJECT, REFS, Entry, Key, ObjectName, Pending, Record
from store.rows import entry_row, keys_json, list_json, read_entries, read_records, record_row
from store.writer import Transaction


async def records(tx: Transaction, keys: Iterable[Key]) -> dict[Key, Record]:
    """The known records among the keys."""
    keys = list(keys)
    if not keys:
        return {}
    return {record.key: record for record in await read_records(tx, "records_by_key", keys_json(keys))}


def parents_of(record: Record) -> list[Key]:
    """The records this one names as its parents."""
    if not (record.owner or record.account or record.opportunity or record.contact):
        return []
    return [(REF_OBJECT[ref], parent) for ref in REFS if (parent := record.ref(ref))]


async def work_out(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record], now_ms: int) -> list[Key]:
    """Work out anew what the given entries wait for; returns the parents that had to be asked for.

    `entries` must carry their entry numbers; `known` holds at least the entries' own records.
    """
    ids = list_json(entry.entry_id for entry in entries)
    await tx.run("delete_waits", ids)
    upserts = [entry for entry in entries if entry.pending.kind == "upsert" and not entry.pending.read]
    asked = await _wait_for_parents(tx, upserts, known, now_ms)
    deletes = [entry for entry in entries if entry.pending.kind == "delete"]
    await _wait_for_child_deletes(tx, deletes)
    await _wait_for_moved_children(tx, deletes, known)
    await tx.run("count_waits", ids)
    await _hold_parent_deletes(tx, deletes, known)
    await _free_parent_deletes(tx, [entry for entry in entries if entry.pending.kind == "upsert"], known, now_ms)
    return asked


async def _wait_for_parents(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record], now_ms: int) -> list[Key]:
    named = {entry.entry_id: parents_of(known[entry.key]) for entry in entries}
    unknown = {parent for parents in named.values() for parent in parents} - known.keys()
    known.update(await records(tx, unknown))
    waits: list[tuple[int, ObjectName, str]] = []
    children: dict[Key, Entry] = {}
    for entry in entries:
        for parent in named[entry.entry_id]:
            record = known.get(parent)
            if record is None or record.holds_up:
                waits.append((entry.entry_id, *parent))
                children[parent] = min(children.get(parent, entry), entry, key=lambda each: each.rank)
    await tx.run_many("put_wait", waits)
    asked = await ask_for(tx, children, known, now_ms)
    if live := {entry.entry_id for entry in children.values() if entry.rank == 0}:
        await tx.run("lift", list_json(live))
    return asked


async def ask_for(tx: Transaction, children: dict[Key, Entry], known: dict[Key, Record], now_ms: int) -> list[Key]:
    """Give every awaited parent without an entry one that reads it from Salesforce."""
    have = {(row["object"], row["record_id"]) for row in await tx.rows("entries_by_key", keys_json(children))}
    missing = [parent for parent in children if parent not in have]
    lines = Lines(now_ms)
    for parent in missing:
        known.setdefault(parent, Record(object=parent[0], record_id=parent[1]))
        lines.add(known[parent], "asked", cause=f"parent of {children[parent].object}")
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(known[parent]) for parent in missing])
    await tx.run_many(
        "put_entry",
        [
            entry_row(
                Entry(
                    entry_id=0,
                    object=parent[0],
                    record_id=parent[1],
                    pending=Pending(read=f"parent of {children[parent].object}"),
                    due_ms=now_ms,
                    queued_ms=now_ms,
                    rank=children[parent].rank,
                )
            )
            for parent in missing
        ],
    )
    return missing


async def _wait_for_child_deletes(tx: Transaction, entries: Sequence[Entry]) -> None:
    parents = {entry.record_id: entry.entry_id for entry in entries}
    if not parents:
        return
    rows = await tx.rows("open_child_deletes", list_json(parents))
    await tx.run_many("put_wait", [(parents[row["parent_id"]], row["object"], row["record_id"]) for row in rows])


async def _wait_for_moved_children(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record]) -> None:
    """The company of an account that was merged away goes only when its contacts and opportunities are with the other one."""
    losers: dict[str, list[int]] = {}
    for entry in entries:
        winner = known[entry.key].merged_into
        if entry.object == "Account" and winner is not None:
            losers.setdefault(winner, []).append(entry.entry_id)
    rows = await tx.rows("open_moved_children", list_json(losers)) if losers else []
    waits = [(loser, row["object"], row["record_id"]) for row in rows for loser in losers[row["parent_id"]]]
    await tx.run_many("put_wait", waits)


async def _hold_parent_deletes(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record]) -> None:
    """Deletes of parents that were there before these deletes of their children wait for them too."""
    children: dict[Key, list[Key]] = {}
    for entry in entries:
        for parent in parents_of(known[entry.key]):
            children.setdefault(parent, []).append(entry.key)
    rows = await tx.rows("entries_by_key", keys_json(children)) if children else []
    held = [row for row in rows if row["state"] == "open" and row["kind"] == "delete"]
    waits = [(row["entry_id"], *child) for row in held for child in children[row["object"], row["record_id"]]]
    await tx.run_many("put_wait", waits)
    await tx.run("count_waits", list_json(row["entry_id"] for row in held))


async def _free_parent_deletes(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record], now_ms: int) -> None:
    """A child that came back is no delete any more that its parents' deletes would wait for."""
    keys = [entry.key for entry in entries if any(parent[0] != "User" for parent in parents_of(known[entry.key]))]
    waiting = [row["entry_id"] for row in await tx.rows("waiting_for", keys_json(keys))] if keys else []
    found = await read_entries(tx, "entries_by_id", list_json(waiting)) if waiting else []
    deletes = [entry for entry in found if entry.pending.kind == "delete" and entry.state == "open"]
    if deletes:
        await work_out(tx, deletes, await records(tx, [entry.key for entry in deletes]), now_ms)


async def end(tx: Transaction, entry_ids: Iterable[int]) -> None:
    """These entries are done: they go, with what they wait for."""
    ids = list_json(entry_ids)
    await tx.run("delete_waits", ids)
    await tx.run("delete_entries", ids)


async def let_go(tx: Transaction, keys: Sequence[Key]) -> None:
    """Nobody waits for these records any more."""
    if not keys:
        return
    waiting = [row["entry_id"] for row in await tx.rows("waiting_for", keys_json(keys))]
    if waiting:
        await tx.run("release_waits", keys_json(keys))
        await tx.run("count_waits", list_json(waiting))
