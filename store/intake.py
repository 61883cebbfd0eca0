"""Changes into the outbox: judged, merged into each record's one entry, and tied to what they wait for, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from store import history, leaving, sides, waits
from store.history import Lines
from store.merge import (
    WHILE_READ,
    Verdict,
    doubt_fields,
    learn,
    merge,
    note,
    pending_of,
    perhaps_older,
    reduced,
    settle_read,
    verdict,
)
from store.model import WAITS_FOR_ROOM, WAITS_TO_LEAVE, Change, Entry, Key, ObjectName, Pending, Record, Unreadable
from store.rows import entry_row, keys_json, list_json, new_row, place_row, read_entries, read_records, record_row, standing
from store.writer import Transaction

LEFT_ITS_FILTER = "left its filter"


@dataclass(slots=True)
class Taken:
    """What became of a number of changes. `asked`: parents nobody had seen, which will be read from Salesforce.

    `outside` are those of the dropped ones that are outside of their filter, `left` those of the applied ones that left it.
    """

    applied: int = 0
    dropped: int = 0
    to_read: int = 0
    revived: int = 0
    outside: int = 0
    left: int = 0
    asked: list[Key] = field(default_factory=list)


async def append(tx: Transaction, changes: Sequence[Change], now_ms: int) -> Taken:
    """Take the changes, in their order. The same change twice, and one older than what is known, changes nothing."""
    taken = Taken()
    if not changes:
        return taken
    keys = list(dict.fromkeys(change.key for change in changes))
    known = await waits.records(tx, keys)
    stood = {key: standing(record) for key, record in known.items()}
    entries = await _entries(tx, keys)
    touched: dict[Key, Entry] = {}
    noted: dict[Key, Record] = {}
    crossed = _Crossed()
    lines = Lines(now_ms)
    for each in changes:
        key = each.key
        record = known.get(key)
        if record is None:
            record = known[key] = Record(*key)
        surely, change, judged = _judged(record, entries.get(key), each)
        if turned := sides.turn(record, change, judged):
            noted[key] = record
            work = _cross(turned, record, change, entries.get(key), crossed=crossed, taken=taken)
            if work is not None:
                lines.add(record, "left", source=change.source)
                gone = replace(change, kind="delete")
                entry = _merge_into(entries.get(key), gone, work, record, now_ms=now_ms, taken=taken)
                entries[key] = touched[key] = entry
            elif turned == "leaves":
                entries.pop(key, None)
                touched.pop(key, None)
            if turned != "enters":
                continue
        news = reduced(surely, change) if judged == "apply" else change
        if judged == "drop" or not _matters(record, entries.get(key), news):
            taken.dropped += 1
            if _pass_over(lines, record, change, news):
                noted[key] = record
            continue
        note(record, change)
        if judged == "apply":
            learn(record, change)
        noted[key] = record
        _tell(lines, record, news, judged)
        pending = pending_of(news, judged)
        entries[key] = touched[key] = _merge_into(entries.get(key), news, pending, record, now_ms=now_ms, taken=taken)
    await lines.write(tx)
    await put_changed(tx, noted, stood)
    await _finish(tx, crossed.finished)
    await leaving.count(tx, crossed.left, now_ms)
    taken.asked = await put_entries(tx, list(touched.values()), known, now_ms)
    await renew_children(tx, crossed.entered, "entered its filter", now_ms)
    return taken


@dataclass(slots=True)
class _Crossed:
    """Who came in, who went out, and the entries of those who did before anything of them was in Marketo."""

    entered: list[Key] = field(default_factory=list)
    left: list[ObjectName] = field(default_factory=list)
    finished: list[Entry] = field(default_factory=list)


def _cross(
    turned: sides.Turn, record: Record, change: Change, entry: Entry | None, *, crossed: _Crossed, taken: Taken
) -> Pending | None:
    """A record enters its filter, or is outside of it. What Marketo has, or perhaps has, of it, goes as a deleted one would:
    that work is returned.
    """
    if turned == "enters":
        sides.admit(record)
        crossed.entered.append(record.key)
        return None
    note(record, change)
    if turned == "leaves" and sides.perhaps_in_marketo(record, entry):
        record.known = {}
        taken.left += 1
        crossed.left += [] if entry is not None and entry.pending.left else [record.object]
        return sides.leaving(change)
    taken.dropped, taken.outside = taken.dropped + 1, taken.outside + 1
    if turned == "leaves":
        sides.exclude(record)
        crossed.finished += [entry] if entry is not None and entry.entry_id else []
    return None


async def put_changed(tx: Transaction, records: Mapping[Key, Record], stood: Mapping[Key, tuple[Any, ...]]) -> None:
    """Write these records; of those that stand as they stood in the database, only what a change moves."""
    placed, moved = list[Record](), list[Record]()
    for key, record in records.items():
        (placed if stood.get(key) == standing(record) else moved).append(record)
    if placed:
        await tx.run("place_records", list_json(map(place_row, placed)))
    await tx.run_many("put_record", list(map(record_row, moved)))


async def _finish(tx: Transaction, entries: Sequence[Entry]) -> None:
    """These entries are done, and nobody waits for their records."""
    if not entries:
        return
    await waits.end(tx, [entry.entry_id for entry in entries])
    await waits.let_go(tx, [entry.key for entry in entries])


async def renew_children(tx: Transaction, parents: Sequence[Key], what: str, now_ms: int) -> None:
    """Who names these records, and is another in Marketo with them than without, is read and sent whole."""
    children = await read_records(tx, "dependants_of", list_json(parent[1] for parent in parents)) if parents else []
    again: dict[Key, str] = {}
    for child in children:
        for parent in set(waits.parents_of(child)).intersection(parents):
            if what != LEFT_ITS_FILTER or sides.depends_on(child, parent):
                again.setdefault(child.key, f"its {parent[0]} {what}")
    for why in dict.fromkeys(again.values()):
        await send_again(tx, [key for key in again if again[key] == why], why, now_ms)


async def send_again(tx: Transaction, keys: Sequence[Key], why: str, now_ms: int) -> None:
    """These records are read and sent whole, whatever Marketo was sent before."""
    records = list((await waits.records(tx, keys)).values()) if keys else []
    for record in records:
        record.known = {}
    await tx.run_many("put_record", [record_row(record) for record in records])
    await append(tx, [Change(*key, read=why) for key in keys], now_ms)


def _judged(record: Record, entry: Entry | None, change: Change) -> tuple[Record, Change, Verdict]:
    """The record as it is surely known, the change as it is to be taken, and the verdict.

    While it is being read nothing is known of its fields: what the read brings may differ, and be older still. Nor is its side:
    the read may bring in, as it was before this change, a record that was outside, so nothing is passed over: it is read again.
    """
    if entry is None or entry.state != "in_flight" or not entry.pending.read:
        return record, change, verdict(record, change)
    surely = replace(record, known={})
    judged = verdict(surely, change)
    if judged != "drop" and change.relevant and sides.turn(record, change, judged) == "stays_out":
        change = replace(change, fields={}, whole=False, read=change.read or WHILE_READ, side="perhaps")
    return surely, change, judged


def _pass_over(lines: Lines, record: Record, change: Change, news: Change) -> bool:
    """Tell of a change that is not taken; whether its record is to be written for it."""
    if change.relevant and not news.relevant:  # nothing is new but its place, which older events are judged by
        note(record, change)
        if change.commit_ms:
            _tell(lines, record, change, "drop", "Marketo has all of it already")
        return True
    if _is_late(record, change):
        _tell(lines, record, change, "drop", "something newer was known")
        return True
    return False


def _is_late(record: Record, change: Change) -> bool:
    """An event that was passed over because something newer had been read, and not because it came twice."""
    return bool(change.commit_ms) and change.relevant and change.transaction != record.transaction


def _tell(lines: Lines, record: Record, change: Change, judged: Verdict, passed_over: str = "") -> None:
    """A line of what came, and why the record is read for it, or it was passed over, if so."""
    what: history.What = "passed_over" if passed_over else "arrived"
    if not (change.commit_ms or change.whole or passed_over):
        what = "gone" if change.kind == "delete" else "asked"
    lines.add(
        record,
        what,
        source=change.source,
        fields=history.WHOLE if change.whole else history.names(change.fields),
        txn=change.transaction,
        cause=passed_over or change.read or ("events out of order" if judged == "read" else ""),
    )


def _matters(record: Record, entry: Entry | None, change: Change) -> bool:
    """A change of unmapped fields alone matters only for a record that nobody has looked at yet."""
    if change.relevant or change.kind == "delete" or change.read:
        return True
    return record.state == "seen" and entry is None


def _merge_into(entry: Entry | None, change: Change, pending: Pending, record: Record, *, now_ms: int, taken: Taken) -> Entry:
    """The record's entry with this change in it."""
    taken.applied += 1
    taken.to_read += bool(pending.read)
    if entry is None:
        if not record.in_marketo:
            pending = _first(pending)
        return Entry(0, change.object, change.record_id, pending, due_ms=now_ms, queued_ms=now_ms, rank=int(change.loaded))
    entry.rank = min(entry.rank, int(change.loaded))
    unsure = entry.state == "open" and change.kind == "delete" and entry.pending.doubt and perhaps_created(entry, record)
    if entry.state == "in_flight" or entry.later is not None or unsure:
        if entry.later is None:
            entry.later, entry.later_first_ms = pending, change.commit_ms
        else:
            entry.later = merge(entry.later, pending)
            entry.later_first_ms = min(entry.later_first_ms, change.commit_ms)
        return entry
    if entry.state == "dead":
        taken.revived += 1
        entry.state, entry.attempts, entry.tries, entry.due_ms = "open", 0, 0, now_ms
        entry.code = entry.cause = entry.cure = ""
    if entry.code in {WAITS_FOR_ROOM, WAITS_TO_LEAVE}:  # what is new may need no room: a delete, a conversion, a known email
        entry.code, entry.cause, entry.due_ms = "", "", now_ms
    entry.pending = merge(entry.pending, pending)
    return entry


def perhaps_created(entry: Entry, record: Record) -> bool:
    """Whether what was sent would have created the record: a delete then waits until it is known by its Marketo id."""
    return entry.pending.kind == "upsert" and not entry.pending.read and not record.in_marketo


def _first(pending: Pending) -> Pending:
    """A record that is not in Marketo goes there whole: a part of it has to be read first."""
    if pending.kind == "upsert" and not pending.whole and not pending.read:
        return Pending(fields=pending.fields, read="first time in Marketo", first_commit_ms=pending.first_commit_ms)
    return pending


async def _entries(tx: Transaction, keys: Sequence[Key]) -> dict[Key, Entry]:
    return {entry.key: entry for entry in await read_entries(tx, "entries_by_key", keys_json(keys))}


async def put_entries(tx: Transaction, entries: Sequence[Entry], known: dict[Key, Record], now_ms: int) -> list[Key]:
    """Write entries and work out what the open ones among them wait for; returns the parents that were asked for."""
    if not entries:
        return []
    known_here = [entry for entry in entries if entry.entry_id]
    await tx.run_many("put_entry", [entry_row(entry, now_ms if entry.state == "dead" else 0) for entry in known_here])
    await _open(tx, [entry for entry in entries if not entry.entry_id])
    return await waits.work_out(tx, [entry for entry in entries if entry.state == "open"], known, now_ms)


async def _open(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Write entries of records that had none, numbered on from the newest."""
    if not entries:
        return
    newest = await tx.value("newest_entry") or 0
    for number, entry in enumerate(entries, newest + 1):
        entry.entry_id = number
    await tx.run("open_entries", list_json(map(new_row, entries)))


async def keep_unreadable(tx: Transaction, events: Sequence[Unreadable], now_ms: int) -> None:
    """What could not be understood becomes a dead letter that holds it whole."""
    cure = "the records that it names are read by themselves, others by the next sweep; look at it with `dead show`, then drop it"
    await tx.run_many(
        "put_dead",
        [
            (
                "event",
                _event_id(event),
                event.raw.encode(),
                now_ms,
                now_ms,
                0,
                event.code,
                event.cause,
                cure,
                now_ms,
                "capture",
            )
            for event in events
        ],
    )


def _event_id(event: Unreadable) -> str:
    place = f"@{event.replay_id}" if event.replay_id is not None else ""
    return f"{event.source}{place}#{hashlib.blake2b(event.raw.encode(), digest_size=6).hexdigest()}"


def _settle_snapshot(entry: Entry, record: Record, snapshot: Change, later: Pending | None) -> None:
    """The read says how the record is; what arrived meanwhile goes on top, where it is surely newer."""
    read_s = snapshot.read_s or 0
    if sides.is_outside(record, snapshot):
        _settle_outside(entry, record, snapshot, later)
        return
    if record.state == "excluded" and record.object != "User":
        sides.admit(record)
    news = reduced(record, snapshot) if entry.pending.kind == "upsert" else snapshot
    before = {ref: record.ref(ref) for ref in snapshot.refs}
    note(record, snapshot)
    if later is not None and later.kind == "upsert" and any(record.ref(ref) != parent for ref, parent in before.items()):
        # which of both tells the parents that count, only another read can say
        later = replace(later, fields={}, whole=False, read=later.read or WHILE_READ)
    learn(record, snapshot)
    entry.pending = settle_read(entry.pending, pending_of(news, "apply"), later, entry.later_first_ms, read_s)
    if later is None or later.kind == "delete":
        return
    if perhaps_older(later, entry.later_first_ms, read_s):
        doubt_fields(record, later)
    else:
        learn(record, Change(*record.key, fields=later.fields, whole=later.whole))


def _settle_outside(entry: Entry, record: Record, snapshot: Change, later: Pending | None) -> None:
    """The read says that it is outside of its filter; where it changed meanwhile, that is asked again."""
    note(record, snapshot)
    record.known = {}
    entry.pending = merge(entry.pending, sides.leaving(Change(*entry.key, commit_ms=entry.pending.first_commit_ms)))
    if later is not None and later.kind == "upsert":
        later = replace(later, fields={}, whole=False, read=later.read or WHILE_READ)
    if later is not None:
        entry.pending = merge(entry.pending, later)


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a read found: the whole record, that it is gone from Salesforce, that it cannot be seen, or cannot be understood."""

    snapshot: Change | None = None
    gone: bool = False
    unclear: str = ""

    @property
    def told(self) -> history.What:
        """The word for it in the record's story."""
        return "read" if self.snapshot else "gone" if self.gone else "unclear" if self.unclear else "unseen"


async def settle_reads(tx: Transaction, results: Mapping[int, ReadResult], now_ms: int) -> list[Key]:
    """Put what was read into the entries it was read for (by entry number); returns the parents that were asked for."""
    entries = await read_entries(tx, "entries_by_id", list_json(results))
    known = await waits.records(tx, [entry.key for entry in entries])
    kept: list[Entry] = []
    finished: list[Entry] = []
    entered: list[Key] = []
    left: list[ObjectName] = []
    lines = Lines(now_ms)
    for entry in entries:
        result, record = results[entry.entry_id], known[entry.key]
        lines.add(record, result.told, cause=result.unclear or entry.pending.read)
        was = record.state
        settle(entry, record, result, now_ms)
        if was == "excluded" and record.state == "seen":
            entered.append(entry.key)
        if entry.pending.left:
            lines.add(record, "left")
        if nothing_to_delete(entry, record):
            record.state = "excluded" if entry.pending.left else "deleted"
            finished.append(entry)
        elif nothing_new(entry, known[entry.key]):
            lines.add(known[entry.key], "nothing", cause="Marketo has all of it already")
            finished.append(entry)
        else:
            kept.append(entry)
            left += [entry.object] if entry.pending.left else []
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(known[entry.key]) for entry in entries])
    await _finish(tx, finished)
    await leaving.count(tx, left, now_ms)
    asked = await put_entries(tx, kept, known, now_ms)
    await renew_children(tx, entered, "entered its filter", now_ms)
    return asked


def nothing_to_delete(entry: Entry, record: Record) -> bool:
    """Gone from Salesforce or from its filter, and never was in Marketo, or has left it already."""
    left = entry.pending.left and record.state == "excluded"
    never_there = record.state != "synced" and (record.marketo_id is None or left) and not entry.pending.doubt
    return entry.state == "open" and entry.pending.kind == "delete" and never_there


def nothing_new(entry: Entry, record: Record) -> bool:
    """The read brought nothing that Marketo does not have."""
    pending = entry.pending
    settled = entry.state == "open" and pending.kind == "upsert" and not pending.read
    return settled and record.in_marketo and bool(record.known) and not (pending.fields or pending.doubt or pending.whole)


def settle(entry: Entry, record: Record, result: ReadResult, now_ms: int) -> None:
    """Put what was read into the entry and its record. Changes both in place."""
    later, entry.later = entry.later, None
    entry.state, entry.tries, entry.due_ms = "open", 0, min(entry.due_ms, now_ms)
    entry.code = entry.cause = ""
    snapshot = result.snapshot
    if snapshot is not None:
        _settle_snapshot(entry, record, snapshot, later)
    elif result.gone:
        gone = Pending(kind="delete", first_commit_ms=entry.pending.first_commit_ms, doubt=entry.pending.doubt)
        entry.pending = merge(gone, later) if later is not None else gone
    else:
        entry.pending = merge(entry.pending, later) if later is not None else entry.pending
        entry.state = "dead"
        entry.code = "UNREADABLE_RECORD"
        entry.cause = f"Salesforce shows the integration user no {entry.object} with this id ({entry.pending.read})"
        entry.cure = "give the integration user access to the record (or drop this entry to go on without it), then retry it"
        if result.unclear:
            entry.cause = f"what Salesforce tells of the record cannot be understood: {result.unclear}"
            entry.cure = (
                "correct it in Salesforce (the change comes by itself) or take the field out of [fields.*], then retry it"
            )
