"""Entries out of the outbox, and what became of them.

open ──claim──▶ in flight ──ack──▶ gone (or open again, with what arrived meanwhile)
                    ├──retry──▶ open, due later
                    └──dead───▶ dead letter ──retry · drop · a new change──▶ open · gone · open
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from store import acks, leaving, role_keys, scores, waits
from store.history import Lines
from store.intake import LEFT_ITS_FILTER, append, perhaps_created, put_entries, renew_children, send_again
from store.merge import merge
from store.model import (
    PEOPLE,
    PERHAPS_THERE,
    PERSON_GONE,
    REF_OBJECT,
    REFS,
    UNSURE,
    WAITS_FOR_ROOM,
    Ack,
    Change,
    Claimed,
    Dead,
    Entry,
    HandOver,
    Key,
    Kind,
    ObjectName,
    Outcome,
    Pending,
    Record,
    Ref,
    Retry,
)
from store.rows import entry_row, keys_json, list_json, read_entries, read_records, record_row
from store.writer import Transaction

NO_END = 2**31
CROSSING_MS = 300  # how long what would cross a delete on its way is held back


async def claim(
    tx: Transaction,
    obj: ObjectName,
    kind: Kind,
    *,
    most: int,
    now_ms: int,
    linger_ms: int,
    rank: int = 0,
    leave_most: int = NO_END,
    batches: int = 1,
) -> list[Claimed]:
    """Take up to `batches` batches of `most` ready entries of a rank, oldest first; one that is not full is taken only when it is
    old enough.

    A batch of live changes that is not full is filled up with what a load brought: the call is made anyway. Where more than
    `leave_most` left their filter in a day, those of them that are still here are not taken.
    """
    entries = await read_entries(tx, "ready", obj, kind, rank, now_ms, most * batches)
    over = len(entries) % most
    if over and entries[-over].due_ms + linger_ms > now_ms:
        del entries[-over:]
    elif over and rank == 0:
        entries += await read_entries(tx, "ready", obj, kind, 1, now_ms, most - over)
    return await _take(tx, entries, leave_most, now_ms) if entries else []


async def claim_reads(tx: Transaction, obj: ObjectName, *, most: int, now_ms: int, linger_ms: int) -> list[Entry]:
    """Take up to `most` entries whose record has to be read from Salesforce, or none while they are few and young."""
    entries = await read_entries(tx, "to_read", obj, now_ms, most)
    if not entries or (len(entries) < most and entries[0].due_ms + linger_ms > now_ms):
        return []
    await tx.run("take", list_json(entry.entry_id for entry in entries))
    return entries


async def _take(tx: Transaction, entries: list[Entry], leave_most: int, now_ms: int) -> list[Claimed]:
    known = await waits.records(tx, [entry.key for entry in entries])
    parents = await waits.records(tx, {key for record in known.values() for key in waits.parents_of(record)})
    early = [entry for entry in entries if entry.pending.kind == "upsert" and _lacks_parent(known[entry.key], parents)]
    if early:
        await waits.work_out(tx, early, known, now_ms)
        entries = [entry for entry in entries if entry not in early]
    entries = await _apart(tx, entries, known, now_ms)
    entries = await leaving.hold_back(tx, entries, leave_most, now_ms)
    await tx.run("take", list_json(entry.entry_id for entry in entries))
    users = [entry.record_id for entry in entries if entry.object == "User"]
    referenced = {row[0] for row in await tx.rows("referenced", list_json(users))} if users else set()
    return [
        Claimed(entry, record, _by_ref(record, parents), referenced=entry.record_id in referenced)
        for entry in entries
        for record in [known[entry.key]]
    ]


async def _apart(tx: Transaction, entries: list[Entry], known: dict[Key, Record], now_ms: int) -> list[Entry]:
    """Without those that would be under way together with the delete of a parent, or with what names them as its parent."""
    deletes = [entry.record_id for entry in entries if entry.pending.kind == "delete"]
    going = {(row["object"], row["record_id"]) for row in await tx.rows("deletes_in_flight")}
    named = {row["record_id"] for row in await tx.rows("parents_in_flight", list_json(deletes))} if deletes else set()
    if not going and not named:
        return entries
    crossing = [
        entry
        for entry in entries
        if entry.record_id in named or (entry.pending.kind == "upsert" and going.intersection(waits.parents_of(known[entry.key])))
    ]
    if crossing:
        await tx.run("postpone", list_json(entry.entry_id for entry in crossing), now_ms + CROSSING_MS)
    return [entry for entry in entries if entry not in crossing]


def _lacks_parent(record: Record, parents: dict[Key, Record]) -> bool:
    """Whether a parent left Marketo, or is to be sent again, since the entry became ready."""
    return any(key not in parents or parents[key].holds_up for key in waits.parents_of(record))


def _by_ref(record: Record, parents: dict[Key, Record]) -> dict[Ref, Record]:
    if not parents:
        return {}
    return {ref: parents[key] for ref in REFS if (parent := record.ref(ref)) and (key := (REF_OBJECT[ref], parent)) in parents}


async def finish(
    tx: Transaction,
    outcomes: Sequence[Outcome],
    now_ms: int,
    *,
    follow_ups: Sequence[Change] = (),
    handovers: Sequence[HandOver] = (),
    left: Sequence[Key] = (),
    successors: Sequence[tuple[Key, Key]] = (),
) -> list[HandOver]:
    """Write down what became of claimed entries, and take the changes that follow from it, in one transaction.

    `left`: people whose Marketo person is somebody else's alone from now on; they are looked for, or created, again.
    `successors`: records that are gone, and those that they live on as.
    Returns the handovers that were refused because the taker has a Marketo person of its own.
    """
    plain, others = await acks.split(tx, outcomes)
    came = acks.Came()
    await acks.write(tx, plain, now_ms, came)
    released = [each.ack.key for each in plain] + (await _one_by_one(tx, others, now_ms, came) if others else [])
    await waits.let_go(tx, released)
    for handover in handovers:
        if handover.merged and handover.marketo_id:
            await role_keys.moved(tx, handover.marketo_id, [handover.merged])
    refused = [handover for handover in handovers if not await _hand_over(tx, handover, now_ms, came)]
    parted = "it shares its Marketo person no longer"
    await move_people(tx, list((await waits.records(tx, left)).values()), None, now_ms, parted)
    removed = [outcome.key[1] for outcome in outcomes if isinstance(outcome, Ack) and outcome.removed]
    if removed:
        await tx.run("forget_roles", list_json(removed))
    people = [outcome.key for outcome in outcomes if isinstance(outcome, Ack) and outcome.state == "synced"]
    await scores.resume(tx, [key for key in people if key[0] in PEOPLE], now_ms)
    gone_out = [outcome.key for outcome in outcomes if isinstance(outcome, Ack) and outcome.state == "excluded"]
    await renew_children(tx, [key for key in gone_out if key[0] != "User"], LEFT_ITS_FILTER, now_ms)
    await _renew_roles(tx, [outcome for outcome in outcomes if isinstance(outcome, Ack)], now_ms)
    if follow_ups:
        await append(tx, follow_ups, now_ms)
    if came.looked_at:
        await scores.look(tx, came.looked_at, now_ms)
    if came.people or handovers:
        answered = [*came.people, *(handover.giver for handover in handovers if handover not in refused)]
        await tx.run("forget_filled", keys_json(answered))
    if successors:
        await scores.copied(tx, successors, now_ms)
    return refused


async def _one_by_one(tx: Transaction, outcomes: Sequence[Outcome], now_ms: int, came: acks.Came) -> list[Key]:
    """Write down what became of each entry; returns the records nobody waits for any more."""
    numbers = list_json(outcome.entry_id for outcome in outcomes)
    entries = {entry.entry_id: entry for entry in await read_entries(tx, "entries_by_id", numbers)}
    known = await waits.records(tx, [outcome.key for outcome in outcomes])
    for ack in outcomes:
        if isinstance(ack, Ack):
            came.note(ack, known[ack.key].state, known[ack.key].marketo_id, entries[ack.entry_id].rank)
    lines = Lines(now_ms)
    done, kept, released = await _sort(tx, outcomes, entries, known, lines)
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(known[outcome.key]) for outcome in outcomes])
    await waits.end(tx, [entry.entry_id for entry in done])
    await put_entries(tx, [entry for entry in kept if entry.state == "open"], known, now_ms)
    await tx.run_many("put_entry", [entry_row(entry, now_ms) for entry in kept if entry.state == "dead"])
    return released


async def move_people(tx: Transaction, people: Sequence[Record], marketo_id: str | None, now_ms: int, why: str) -> None:
    """These records stand behind another Marketo person now (None: behind none); they are read, and sent whole."""
    lines = Lines(now_ms)
    for record in people:
        record.marketo_id, record.known = marketo_id, {}
        if marketo_id is None:
            record.state, record.filled = "seen", frozenset()
        lines.add(record, "moved", cause=why, marketo_id=marketo_id)
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(record) for record in people])
    await append(tx, [Change(*record.key, read="its Marketo person is another now") for record in people], now_ms)


async def _renew_roles(tx: Transaction, acks: Sequence[Ack], now_ms: int) -> None:
    """A contact's roles name its Marketo person: where that is another one now, they are sent anew."""
    role: ObjectName = "OpportunityContactRole"
    people = {ack.key[1] for ack in acks if ack.key[0] == "Contact" and ack.marketo_id is not None}
    roles = {ack.key[1] for ack in acks if ack.key[0] == role and ack.state == "synced"}
    roles |= {row["record_id"] for row in await tx.rows("sent_roles", list_json(people))} if people else set()
    rows = await tx.rows("role_persons", list_json(roles)) if roles else []
    stale: list[Key] = [(role, row["record_id"]) for row in rows if str(orjson.loads(row["sent_key"])[1]) != row["marketo_id"]]
    await send_again(tx, stale, "its contact's Marketo person is another now", now_ms)


async def _hand_over(tx: Transaction, handover: HandOver, now_ms: int, came: acks.Came) -> bool:
    """Give the person to the taker, who is sent whole then; False where the taker has another person already.

    Where the giver knows of none, the taker may have found the one that was perhaps created for it, and answers for that too. A
    taker that is gone itself lives on as what it was merged into, or gets the person to part with it as deletions do.
    """
    taker = await lives_on(tx, handover.taker)
    if taker.marketo_id is not None and handover.marketo_id not in {None, taker.marketo_id}:
        return False
    if taker.marketo_id is not None and handover.marketo_id is None and handover.filled <= taker.filled:
        return True
    if taker.state != "dropped":
        came.looked_at += [taker.key] if handover.marketo_id not in {None, taker.marketo_id} else []
        taker.marketo_id, taker.known = handover.marketo_id or taker.marketo_id, {}
        if taker.state == "excluded":
            taker.state = "seen"  # what it was handed over leaves with it, should it still be outside
        taker.filled |= handover.filled
        lines = Lines(now_ms)
        lines.add(
            taker, "moved", cause=f"{handover.why} ({handover.giver[0]} {handover.giver[1]})", marketo_id=handover.marketo_id
        )
        await lines.write(tx)
        await tx.run("put_record", *record_row(taker))
    await append(tx, [Change(*taker.key, read=handover.why)], now_ms)
    return True


async def lives_on(tx: Transaction, key: Key) -> Record:
    """The record, or the one into which it was merged."""
    seen: set[Key] = set()
    while True:
        record = (await waits.records(tx, [key])).get(key) or Record(object=key[0], record_id=key[1])
        seen.add(key)
        key = (record.object, record.merged_into or "")
        if record.state != "deleted" or record.merged_into is None or key in seen:
            return record


async def _sort(
    tx: Transaction, outcomes: Sequence[Outcome], entries: dict[int, Entry], known: dict[Key, Record], lines: Lines
) -> tuple[list[Entry], list[Entry], list[Key]]:
    """The entries that are done, those that stay, and the records nobody waits for any more."""
    now_ms = lines.now_ms
    done: list[Entry] = []
    kept: list[Entry] = []
    released: list[Key] = []
    excluded = [outcome.key[1] for outcome in outcomes if isinstance(outcome, Ack) and outcome.state == "excluded"]
    wanted = {row[0] for row in await tx.rows("referenced", list_json(excluded))} if excluded else set()
    for outcome in outcomes:
        entry, record = entries[outcome.entry_id], known[outcome.key]
        if isinstance(outcome, Ack) and outcome.state == "excluded" and outcome.key[1] in wanted:
            _put_back(entry, record, now_ms)
            kept.append(entry)
        elif isinstance(outcome, Ack):
            _acknowledge(record, outcome)
            _tell_ack(lines, record, outcome)
            released.append(outcome.key)
            (kept if _reopen(entry, now_ms) else done).append(entry)
        elif isinstance(outcome, Retry):
            _tell_retry(lines, entry, record, outcome)
            await _retry(tx, entry, record, _as_it_stands(entry, outcome, now_ms), known)
            kept.append(entry)
        else:
            again = _reopen(entry, now_ms, keep=True)
            lines.add(record, "retry" if again else "dead", code=outcome.code, cause=outcome.cause, together=outcome.together)
            if not again:
                _bury(entry, outcome)
            kept.append(entry)
    return done, kept, released


def _tell_ack(lines: Lines, record: Record, ack: Ack) -> None:
    marketo_id = ack.marketo_id or record.marketo_id
    lines.add(record, ack.did, fields=ack.sent, cause=ack.why, marketo_id=marketo_id, together=ack.together)


def _tell_retry(lines: Lines, entry: Entry, record: Record, retry: Retry) -> None:
    """A line of what goes back, and why; the same reason to wait is told once."""
    if retry.counted or retry.read or (retry.code, retry.cause) != (entry.code, entry.cause):
        lines.add(record, "retry", code=retry.code, cause=retry.cause or retry.read, together=retry.together)


def _acknowledge(record: Record, ack: Ack) -> None:
    """Remember what became of the record. Changes `record` in place.

    A gone one that keeps a Marketo person (as it is, or handed over while it was in flight) answers for what is filled there;
    so does one that perhaps has one.
    """
    record.state = ack.state
    gone = ack.state == "deleted" or ack.removed
    if ack.marketo_id is not None:
        record.marketo_id = ack.marketo_id
    if ack.forget_marketo_id:
        record.marketo_id = None
    kept = not gone or record.marketo_id is not None or bool(ack.filled)
    record.filled = (record.filled - ack.emptied) | ack.filled if kept else frozenset()
    record.sent_key = None if gone else ack.sent_key or record.sent_key


def _reopen(entry: Entry, now_ms: int, *, keep: bool = False) -> bool:
    """What arrived while the entry was in flight becomes its new content; False where nothing did.

    With `keep`, what was sent stays in it: it was refused, and may be accepted together with the newer change.
    """
    if entry.later is None:
        return False
    entry.pending, entry.later = merge(entry.pending, entry.later) if keep else entry.later, None
    entry.state, entry.attempts, entry.tries, entry.due_ms, entry.queued_ms = "open", 0, 0, now_ms, now_ms
    return True


def _put_back(entry: Entry, record: Record, due_ms: int, *, unsure: bool = False) -> None:
    """Open again, with what arrived meanwhile. `unsure`: nobody knows whether Marketo did what was sent.

    A record that was perhaps created there, and is to be deleted now, is sent once more first: only then is it known by its
    Marketo id, and the delete, which stays in `later`, finds it.
    """
    if unsure:
        entry.pending = _doubted(entry.pending)
        if entry.pending.kind == "delete" and record.state == "synced":
            record.state = "deleted"  # perhaps: should it come back, its children wait until it is sent again
    if entry.later is not None and not (unsure and entry.later.kind == "delete" and perhaps_created(entry, record)):
        entry.pending, entry.later = merge(entry.pending, entry.later), None
    entry.state, entry.due_ms = "open", due_ms


def _doubted(pending: Pending) -> Pending:
    """What was sent, remembered as perhaps taken; of a delete, and of a record without values, that Marketo perhaps has it."""
    if pending.read:
        return pending
    sent = {name for name, value in pending.fields.items() if value is not None} or {PERHAPS_THERE}
    return replace(pending, doubt=pending.doubt | sent)


def _as_it_stands(entry: Entry, retry: Retry, now_ms: int) -> Retry:
    """What arrived meanwhile may need no room: a delete, a conversion, a known email. Then it does not wait for another day."""
    if retry.code == WAITS_FOR_ROOM and entry.later is not None:
        return replace(retry, code="", cause="", due_ms=now_ms)
    return retry


async def _retry(tx: Transaction, entry: Entry, record: Record, retry: Retry, known: dict[Key, Record]) -> None:
    unsure = retry.code in UNSURE
    if unsure and entry.pending.kind == "delete":
        await tx.run("forget_roles", list_json([entry.record_id]))
    _put_back(entry, record, retry.due_ms, unsure=unsure)
    entry.attempts += retry.counted
    entry.tries -= not retry.tried
    entry.code, entry.cause = retry.code, retry.cause
    if retry.forget_marketo_id:
        record.marketo_id, record.state = None, "seen"
    if retry.read and entry.pending.kind == "upsert":
        entry.pending, record.known = replace(entry.pending, read=retry.read), {}
    if retry.sync_owner and record.owner:
        owner = (await waits.records(tx, [("User", record.owner)])).get(("User", record.owner))
        if owner is not None and owner.state == "synced":
            owner.state = "seen"
            known[owner.key] = owner
            await tx.run("put_record", *record_row(owner))


def _bury(entry: Entry, dead: Dead) -> None:
    entry.state, entry.code, entry.cause, entry.cure = "dead", dead.code, dead.cause, dead.cure
    entry.attempts += 1


async def follow_merges(tx: Transaction, obj: ObjectName, winners: Mapping[str, str], now_ms: int) -> int:
    """Records were merged in Salesforce (loser's id → winner's): whoever names a loser as its account or contact names the winner
    now, and is read; returns how many.

    Salesforce's own events of those children may come or not, before or after.
    """
    lines = Lines(now_ms)
    known = await waits.records(tx, [(obj, loser) for loser in winners])
    for (_, loser), record in known.items():
        record.merged_into = winners[loser]
        lines.add(record, "moved", cause=f"merged into {obj} {winners[loser]} in Salesforce", marketo_id=record.marketo_id)
        await tx.run("merged_on", winners[loser], loser)
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(record) for record in known.values()])
    children = await read_records(tx, "children_of", list_json(winners))
    for child in children:
        child.account = winners.get(child.account or "", child.account)
        child.contact = winners.get(child.contact or "", child.contact)
    await tx.run_many("put_record", [record_row(child) for child in children])
    living = [child for child in children if child.state not in {"deleted", "dropped", "converted"}]
    why = f"its {obj.lower()} was merged into another"
    await append(tx, [Change(*child.key, read=why) for child in living], now_ms)
    return len(living)


async def forgotten(tx: Transaction, marketo_ids: Sequence[str], now_ms: int) -> int:
    """People were deleted in Marketo: whoever stood behind them has no person any more; returns how many.

    Nothing is sent for that: the deletion is respected until Salesforce says something of the record, or of a child of it.
    """
    people = await read_records(tx, "people_by_marketo_id", list_json(marketo_ids))
    lines = Lines(now_ms)
    for record in people:
        record.marketo_id, record.state, record.filled = None, "seen", frozenset()
        lines.add(record, "moved", cause="deleted in Marketo")
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(record) for record in people])
    await try_now(tx, people, now_ms)
    return len(people)


async def try_now(tx: Transaction, people: Sequence[Record], now_ms: int) -> None:
    """What was refused because its person is not there need not wait any longer to hear why."""
    rows = await tx.rows("entries_by_key", keys_json(record.key for record in people))
    waiting = [row["entry_id"] for row in rows if row["state"] == "open" and row["code"] == PERSON_GONE]
    await tx.run("postpone", list_json(waiting), now_ms)


async def recover(tx: Transaction, now_ms: int, settle_ms: int) -> int:
    """Put back what an earlier run had in flight; returns how many entries.

    People who may just have been created wait `settle_ms`: Marketo may still be at work on the lost request, and asking it too
    early would create them twice. People whom another record carries were not sent, so nothing of them is in doubt.
    """
    entries = await read_entries(tx, "in_flight")
    known = await waits.records(tx, [entry.key for entry in entries])
    carried = await _carried(tx, known)
    await tx.run("forget_roles", list_json(entry.record_id for entry in entries if entry.pending.kind == "delete"))
    lines = Lines(now_ms)
    for entry in entries:
        record = known[entry.key]
        creating = entry.object in PEOPLE and record.marketo_id is None and not entry.pending.read
        unsure = entry.pending.kind == "delete" or entry.key not in carried
        lines.add(record, "interrupted")
        _put_back(entry, record, now_ms + (settle_ms if creating else 0), unsure=unsure)
    await lines.write(tx)
    await tx.run_many("put_record", [record_row(known[entry.key]) for entry in entries])
    await put_entries(tx, entries, known, now_ms)
    return len(entries)


async def give_back_reads(tx: Transaction, now_ms: int) -> None:
    """Nobody reads any more: what was being read goes back as it was, with what arrived meanwhile."""
    entries = [entry for entry in await read_entries(tx, "in_flight") if entry.pending.read]
    known = await waits.records(tx, [entry.key for entry in entries])
    for entry in entries:
        _put_back(entry, known[entry.key], now_ms)
        entry.tries -= 1
    await put_entries(tx, entries, known, now_ms)


async def _carried(tx: Transaction, known: Mapping[Key, Record]) -> set[Key]:
    """Those whose Marketo person another record carries, now as when they went out: nobody takes one over that is under way."""
    shared = {record.marketo_id for record in known.values() if record.marketo_id and record.object in PEOPLE}
    sharers = await read_records(tx, "people_by_marketo_id", list_json(shared)) if shared else []
    first: dict[str | None, Record] = {}
    for sharer in sharers:
        first[sharer.marketo_id] = min(first.get(sharer.marketo_id, sharer), sharer, key=_order)
    return {
        key for key, record in known.items() if (carrier := first.get(record.marketo_id)) and _order(carrier) < _order(record)
    }


def _order(record: Record) -> tuple[int, str, str]:
    return scores.primary_order(record.object, record.created, record.record_id)
