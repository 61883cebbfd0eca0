"""The store as the loops see it: open, ask, write. Times come in as arguments, in milliseconds since the epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import orjson

from store import (
    admin,
    beside,
    coverage,
    history,
    holds,
    intake,
    joins,
    leaving,
    newcomers,
    outbox,
    role_keys,
    scores,
    times,
    waits,
)
from store.database import Lock, open_database
from store.errors import StoreBlocked
from store.model import (
    WAITS_FOR_ROOM,
    Change,
    Claimed,
    Covered,
    DeadLetter,
    Entry,
    HandOver,
    Hole,
    Key,
    Kind,
    ObjectName,
    Outcome,
    Record,
    Replay,
    Stream,
    Unreadable,
)
from store.rows import keys_json, list_json, read_entries
from store.scores import Person, ScoreRow
from store.upgrade import Upgrade, upgrade
from store.writer import Transaction, Waiting, Work, Writer

T = TypeVar("T")


@dataclass(slots=True)
class Store:
    """One SQLite file. `committer` is the task that owns the write connection; when it ends with an error, so must the daemon."""

    writer: Writer
    committer: asyncio.Task[None]
    lock: Lock | None = None
    upgraded: Upgrade | None = None
    listeners: list[asyncio.Event] = field(default_factory=list)

    def listen(self) -> asyncio.Event:
        """An event of the caller's own that is set whenever there may be new work in the outbox."""
        event = asyncio.Event()
        self.listeners.append(event)
        return event

    def wake(self) -> None:
        """Tell every loop that there may be new work."""
        for event in self.listeners:
            event.set()

    @classmethod
    async def open(cls, path: Path, *, create: bool = True, exclusive: bool = True) -> Store:
        """Open the store; `exclusive` takes the daemon's lock first (StoreBusy where another daemon has it).

        With it an older schema is brought up to date, after a copy was put beside it (`upgraded`); without it the schema is left
        as it is: a daemon may be running on it.
        """
        lock = Lock(path) if exclusive else None
        if lock is not None:
            lock.acquire()
        try:
            connection, upgraded = await _open(path, create=create, exclusive=exclusive)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        writer = Writer(connection, path)
        return cls(writer, asyncio.create_task(writer.run(), name="committer"), lock, upgraded=upgraded)

    async def close(self) -> None:
        """Commit what is queued and close the file."""
        await self.writer.close()
        await asyncio.gather(self.committer, return_exceptions=True)
        await self.writer.shut()
        if self.lock is not None:
            self.lock.release()

    async def submit(self, work: Work[T], *, waits: bool = True, in_loop: bool = False) -> T:
        """Run one piece of work in a transaction; `waits=False`: StoreBlocked at once while the file cannot be written.

        `in_loop`: it calls back into what belongs to the event loop.
        """
        return await self.writer.submit(work, waits=waits, in_loop=in_loop)

    def wait_with(self, waiting: Waiting) -> None:
        """From now on wait in this way while the file cannot be written; until then what cannot be written fails."""
        self.writer.waiting = waiting

    def hurry(self) -> None:
        """From now on wait for nothing: what cannot be written fails, and ends the committer."""
        self.writer.hurry()

    @property
    def blocked(self) -> StoreBlocked | None:
        """Why the file cannot be written just now."""
        return self.writer.blocked

    def say(self, line: str) -> None:
        """Let whoever looks at the store know this, even while it cannot be written."""
        if self.lock is not None:
            self.lock.say(line)

    # ── capture

    async def take(
        self,
        changes: Sequence[Change],
        replay: Replay | None,
        now_ms: int,
        *,
        unreadable: Sequence[Unreadable] = (),
        holes: Sequence[Hole] = (),
        stream: Stream | None = None,
    ) -> intake.Taken:
        """What a batch of events said, the position up to which that is everything, and what is proven by it: one transaction."""

        async def work(tx: Transaction) -> tuple[intake.Taken, bool]:
            taken = await intake.append(tx, changes, now_ms)
            await intake.keep_unreadable(tx, unreadable, now_ms)
            left = stream is not None and await coverage.stream_on(tx, stream)
            await coverage.cut(tx, holes)
            if replay is not None:
                await tx.run("put_replay", replay.channel, replay.replay_id, replay.commit_ms, replay.stored_ms)
            return taken, left

        taken, left = await self.submit(work)
        if taken.applied or holes or left:
            self.wake()
        return taken

    async def take_rows(
        self,
        changes: Sequence[Change],
        now_ms: int,
        *,
        unreadable: Sequence[Unreadable] = (),
        covered: Sequence[Covered] = (),
        notes: Mapping[str, Any] | None = None,
    ) -> intake.Taken:
        """Rows that a query brought, what is complete with them, and small facts (None: forget it): one transaction."""
        texts = {name: orjson.dumps(value).decode() if value is not None else None for name, value in (notes or {}).items()}
        new, others = newcomers.prepare(changes)

        async def work(tx: Transaction) -> intake.Taken:
            count, asked, known = await newcomers.write(tx, new, now_ms)
            taken = await intake.append(tx, known + others, now_ms)
            taken.applied, taken.asked = taken.applied + count, asked + taken.asked
            await intake.keep_unreadable(tx, unreadable, now_ms)
            await coverage.cover(tx, covered)
            for name, text in texts.items():
                if text is None:
                    await tx.run("delete_note", name)
                else:
                    await tx.run("put_note", name, text)
            return taken

        taken = await self.submit(work)
        if taken.applied:
            self.wake()
        return taken

    async def cover(self, covered: Sequence[Covered]) -> None:
        """These intervals are complete."""
        await self.submit(lambda tx: coverage.cover(tx, covered))

    async def cut(self, holes: Sequence[Hole]) -> None:
        """These intervals are not complete after all, and are read again."""
        await self.submit(lambda tx: coverage.cut(tx, holes))
        self.wake()

    async def intervals(self, obj: ObjectName) -> list[coverage.Interval]:
        """The intervals of an object that are proven complete, oldest first."""
        return await self.submit(lambda tx: coverage.intervals(tx, obj))

    async def cuts(self, obj: ObjectName) -> int:
        """How often an object's intervals were cut open so far: what was begun before that proves nothing after it."""
        return await self.submit(lambda tx: coverage.cuts_of(tx, obj))

    async def holes(self, obj: ObjectName, until_s: float | None = None) -> list[Hole]:
        """What is to be read of an object, oldest first."""
        return await self.submit(lambda tx: coverage.holes(tx, obj, until_s))

    async def stream(self, channel: str) -> Stream | None:
        """Up to where a channel is known to be complete, and for which objects."""
        return await self.submit(lambda tx: coverage.stream(tx, channel))

    async def stream_on(self, stream: Stream, *, waits: bool = True) -> None:
        """A channel is known to be complete up to there."""
        if await self.submit(lambda tx: coverage.stream_on(tx, stream), waits=waits):
            self.wake()

    async def count_loaded(self) -> int:
        """How many entries that a load brought are still to be delivered."""
        return int(await self.submit(lambda tx: tx.value("count_loaded")))

    async def send_again(self, keys: Sequence[Key], why: str, now_ms: int) -> None:
        """These records are read and sent whole, whatever Marketo was sent before."""
        await self.submit(lambda tx: intake.send_again(tx, keys, why, now_ms))
        self.wake()

    async def mapped(self, targets: Mapping[ObjectName, Mapping[str, str]], until_s: float) -> list[ObjectName]:
        """How fields are mapped now: Salesforce field → Marketo field. Objects mapped otherwise before are read again; those."""
        changed = await self.submit(lambda tx: coverage.mapped(tx, targets, until_s))
        if changed:
            self.wake()
        return changed

    async def filtered(self, filters: Mapping[ObjectName, str], until_s: float) -> list[ObjectName]:
        """By which filters records are synced now. Objects that had another before are read again; those."""
        changed = await self.submit(lambda tx: coverage.filtered(tx, filters, until_s))
        if changed:
            self.wake()
        return changed

    async def replay(self, channel: str) -> Replay | None:
        """The stored position of a channel."""
        rows = await self.submit(lambda tx: tx.rows("get_replay", channel))
        return Replay(*rows[0]) if rows else None

    async def set_replay(self, replay: Replay) -> None:
        """Store a position that does not follow from the one before: what lies between is not covered by the stream."""

        async def work(tx: Transaction) -> None:
            await tx.run("put_replay", replay.channel, replay.replay_id, replay.commit_ms, replay.stored_ms)
            await tx.run("delete_note", coverage.stream_note(replay.channel))

        await self.submit(work)

    # ── reads

    async def claim_reads(self, obj: ObjectName, *, most: int, now_ms: int, linger_ms: int) -> list[Entry]:
        """Entries whose record has to be read from Salesforce, now in flight; none while neither full nor old enough."""
        return await self.submit(lambda tx: outbox.claim_reads(tx, obj, most=most, now_ms=now_ms, linger_ms=linger_ms))

    async def settle_reads(self, results: Mapping[int, intake.ReadResult], now_ms: int) -> list[Key]:
        """What was read goes into the entries; returns the parents that had to be asked for."""
        asked = await self.submit(lambda tx: intake.settle_reads(tx, results, now_ms))
        self.wake()
        return asked

    # ── deliver

    async def claim(
        self,
        obj: ObjectName,
        kind: Kind,
        *,
        most: int,
        now_ms: int,
        linger_ms: int,
        rank: int = 0,
        leave_most: int = outbox.NO_END,
        batches: int = 1,
    ) -> list[Claimed]:
        """So many batches of `most` ready entries of a rank, now in flight; none that is neither full nor old enough.

        `leave_most`: how many of an object may leave their filter in a day; those that are too many stay, and wait for a person.
        """
        return await self.submit(
            lambda tx: outbox.claim(
                tx,
                obj,
                kind,
                most=most,
                now_ms=now_ms,
                linger_ms=linger_ms,
                rank=rank,
                leave_most=leave_most,
                batches=batches,
            )
        )

    async def leaving_taken_back(self, objects: Sequence[ObjectName]) -> None:
        """Of these objects nobody who left its filter waits for a person any more."""
        await self.submit(lambda tx: leaving.taken_back(tx, objects))

    async def due_kinds(self, now_ms: int, ranks: Sequence[int] = (0, 1)) -> set[tuple[ObjectName, Kind, int]]:
        """Of which objects, kinds of work and ranks there is an entry that may be sent by now."""
        rows = await self.submit(lambda tx: tx.rows("ready_kinds", list_json(ranks), now_ms))
        return {(row["object"], row["kind"], row["rank"]) for row in rows}

    async def next_due(self, ranks: Sequence[int] = (0, 1)) -> int | None:
        """When the first ready entry of these ranks is due, in ms, or None."""
        due: int | None = await self.submit(lambda tx: tx.value("next_ready", list_json(ranks)))
        return due

    async def next_read_due(self) -> int | None:
        """When the first record is due to be read from Salesforce, in ms, or None."""
        due: int | None = await self.submit(lambda tx: tx.value("next_to_read"))
        return due

    async def finish(
        self,
        outcomes: Sequence[Outcome],
        now_ms: int,
        *,
        follow_ups: Sequence[Change] = (),
        handovers: Sequence[HandOver] = (),
        left: Sequence[Key] = (),
        successors: Sequence[tuple[Key, Key]] = (),
        notes: Mapping[str, Any] | None = None,
    ) -> list[HandOver]:
        """Write down what became of claimed entries, with what follows from it; returns the handovers that were refused."""

        async def work(tx: Transaction) -> list[HandOver]:
            for name, value in (notes or {}).items():
                await tx.run("put_note", name, orjson.dumps(value).decode())
            return await outbox.finish(
                tx, outcomes, now_ms, follow_ups=follow_ups, handovers=handovers, left=left, successors=successors
            )

        refused = await self.submit(work)
        self.wake()
        return refused

    async def merge_people(self, winner: str, losers: Sequence[str], now_ms: int) -> int:
        """Two or more people became one in Marketo; returns how many records stand behind the winner now who did not before."""
        moved = await self.submit(lambda tx: joins.merged(tx, winner, losers, now_ms))
        if moved:
            self.wake()
        return moved

    async def intend_merge(self, winner: str, losers: Sequence[str]) -> None:
        """These Marketo people are about to be merged, because their records were."""
        await self.submit(lambda tx: role_keys.foresee(tx, winner, losers))

    async def intend_meeting(self, winner: str, losers: Sequence[str]) -> None:
        """These Marketo people are about to be merged, because their records have one email."""
        await self.submit(lambda tx: joins.intend(tx, winner, losers))

    async def meet_people(self, winner: str, losers: Sequence[str], now_ms: int) -> int:
        """They are merged; returns how many records stand behind the winner now who did not before."""
        moved = await self.submit(lambda tx: joins.met(tx, winner, losers, now_ms))
        self.wake()
        return moved

    async def forget_people(self, marketo_ids: Sequence[str], now_ms: int) -> int:
        """People were deleted in Marketo; returns how many records have no person any more."""
        forgotten = await self.submit(lambda tx: outbox.forgotten(tx, marketo_ids, now_ms))
        if forgotten:
            self.wake()
        return forgotten

    async def follow_merges(self, obj: ObjectName, winners: Mapping[str, str], now_ms: int) -> int:
        """Records were merged in Salesforce (loser's id → winner's); returns how many relations follow."""
        moved = await self.submit(lambda tx: outbox.follow_merges(tx, obj, winners, now_ms))
        if moved:
            self.wake()
        return moved

    async def lives_on(self, key: Key) -> Record:
        """What is known of the record, or of the one into which it was merged."""
        return await self.submit(lambda tx: outbox.lives_on(tx, key))

    async def parents_among(self, record_ids: Sequence[str]) -> set[str]:
        """Those of the records that some record names as its account or contact."""
        return {row[0] for row in await self.submit(lambda tx: tx.rows("parents_among", list_json(record_ids)))}

    async def in_doubt(self, keys: Sequence[Key]) -> set[Key]:
        """Those of the records of which something was sent, and nobody knows yet whether Marketo took it."""
        entries = await self.submit(lambda tx: read_entries(tx, "entries_by_key", keys_json(keys)))
        return {entry.key for entry in entries if entry.state != "dead" and entry.pending.doubt}

    async def perhaps_created(self, keys: Sequence[Key]) -> set[Key]:
        """Those of the records without a person for whom one was perhaps created, and who are looked for again soon."""

        async def work(tx: Transaction) -> set[Key]:
            entries = await read_entries(tx, "entries_by_key", keys_json(keys))
            known = await waits.records(tx, [entry.key for entry in entries if entry.pending.doubt and not entry.waits])
            open_ones = {entry.key for entry in entries if entry.state != "dead"}
            return {key for key, record in known.items() if record.marketo_id is None and key in open_ones}

        return await self.submit(work)

    async def recover(self, now_ms: int, settle_ms: int) -> int:
        """Put back what an earlier run had in flight."""
        return await self.submit(lambda tx: outbox.recover(tx, now_ms, settle_ms))

    async def release_people(self, now_ms: int, most: int) -> int:
        """So many who wait for another day, the oldest, wait no longer; returns how many there were."""
        released = await self.submit(lambda tx: tx.run("release_people", now_ms, WAITS_FOR_ROOM, most))
        if released:
            self.wake()
        return released

    async def records(self, keys: Sequence[Key]) -> dict[Key, Record]:
        """The known records among the keys."""
        return await self.submit(lambda tx: waits.records(tx, keys))

    async def marketo_ids(self, keys: Sequence[Key]) -> dict[Key, str | None]:
        """Behind which Marketo person each of these known records stands."""
        columns = ("object", "record_id", "marketo_id")
        rows = await self.submit(lambda tx: tx.lists("records_by_key", columns, keys_json(keys)))
        return {(obj, record_id): marketo_id for obj, record_id, marketo_id in rows}

    async def sharers(self, marketo_ids: Sequence[str]) -> dict[str, list[Record]]:
        """For each Marketo lead id, the living Leads and Contacts that stand behind it."""
        return await self.submit(lambda tx: beside.sharers(tx, marketo_ids))

    async def shared(self, persons: Sequence[tuple[str, Key]]) -> dict[str, list[Record]]:
        """As `sharers`, for those of the Marketo lead ids behind which others stand than the record named with each."""
        return await self.submit(lambda tx: beside.shared(tx, persons))

    async def kept_people(self, marketo_ids: Sequence[str]) -> dict[str, frozenset[str]]:
        """For each Marketo lead id behind which gone records stand, the Marketo fields that were filled for these."""
        return await self.submit(lambda tx: beside.kept_people(tx, marketo_ids))

    async def at_work(self, keys: Sequence[Key]) -> set[Key]:
        """Those of the records that have an entry which is open or in flight."""
        rows = await self.submit(lambda tx: tx.rows("entries_by_key", keys_json(keys)))
        return {(row["object"], row["record_id"]) for row in rows if row["state"] != "dead"}

    async def going(self, keys: Sequence[Key]) -> set[Key]:
        """Those of the records whose deletion in Salesforce has still to be settled."""
        entries = await self.submit(lambda tx: read_entries(tx, "entries_by_key", keys_json(keys)))
        deletes = [entry for entry in entries if entry.state != "dead" and entry.pending.kind == "delete"]
        return {entry.key for entry in deletes if not entry.pending.left}

    async def intend_keys(self, keys: Mapping[str, str]) -> dict[str, list[str]]:
        """Contact roles are about to be sent under these keys (role id → key); returns under which others they perhaps stand."""
        return await self.submit(lambda tx: role_keys.intend(tx, keys))

    async def old_role_keys(self, now: Mapping[str, str]) -> dict[str, list[str]]:
        """Under which other keys than these (role id → key, "" for none) the contact roles perhaps stand in Marketo."""
        return await self.submit(lambda tx: role_keys.old_keys(tx, now))

    async def forget_role_keys(self, gone: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """These contact roles do not stand under these other keys any more (role id → keys); returns those noted meanwhile."""
        return await self.submit(lambda tx: role_keys.forget_old(tx, gone))

    async def sharing_role(self, sent_key: str, record_id: str) -> int:
        """How many other living contact roles stand behind the same Marketo role."""
        return int(await self.submit(lambda tx: tx.value("sharing_role", sent_key, record_id)))

    # ── scores

    async def people(self, marketo_ids: Sequence[str]) -> list[Person]:
        """The synced Leads and Contacts behind the given Marketo ids."""
        return await self.submit(lambda tx: scores.people(tx, marketo_ids))

    async def last_written(self, keys: Sequence[Key]) -> dict[Key, ScoreRow]:
        """What was last written for these people."""
        return await self.submit(lambda tx: scores.last_written(tx, keys))

    async def remember_scores(self, rows: Sequence[ScoreRow], before: Sequence[ScoreRow] = ()) -> None:
        """Write down what was written; `before`: the rows as they were known."""
        known = {row.key: row for row in before}
        await self.submit(lambda tx: scores.remember(tx, rows, known))

    async def ids_after(self, marketo_id: str, most: int) -> list[str]:
        """The next Marketo ids for the sweep."""
        return await self.submit(lambda tx: scores.ids_after(tx, marketo_id, most))

    async def count_people(self) -> int:
        """How many Marketo people carry a synced Lead or Contact."""
        return int(await self.submit(lambda tx: tx.value("count_people")))

    async def ids_due(self, now_ms: int, most: int) -> list[str]:
        """Marketo ids of people whose scores are due to be written again."""
        return await self.submit(lambda tx: scores.ids_due(tx, now_ms, most))

    async def next_score_due(self) -> int | None:
        """When the first score write is due to be tried again, in ms, or None."""
        due: int | None = await self.submit(lambda tx: tx.value("next_score_due"))
        return due

    async def bury_score(self, key: Key, *, code: str, cause: str, cure: str, attempts: int, now_ms: int) -> None:
        """A refused score row becomes a dead letter."""
        await self.submit(lambda tx: scores.bury(tx, key, code=code, cause=cause, cure=cure, attempts=attempts, now_ms=now_ms))

    # ── small facts, and the operator's commands

    async def note(self, name: str) -> Any:
        """A small fact (any JSON value), or None."""
        value = await self.submit(lambda tx: tx.value("get_note", name))
        return orjson.loads(value) if value is not None else None

    async def put_note(self, name: str, value: Any) -> None:
        """Write a small fact."""
        await self.submit(partial(_put_notes, facts=lambda: {name: value}))

    async def put_notes(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Write small facts, all or none, as they are when it is their turn among all other work."""
        await self.submit(partial(_put_notes, facts=facts), in_loop=True)

    async def beat(self, notes: Callable[[], Mapping[str, Any]], *, ended_ms: int | None = None) -> None:
        """Write the heartbeat's notes, as they are when it is their turn among all other work.

        With `ended_ms` it is the last one: nobody reads any more, and what was being read goes back. Raises StoreBlocked while
        the file cannot be written.
        """

        async def work(tx: Transaction) -> None:
            if ended_ms is not None:
                await outbox.give_back_reads(tx, ended_ms)
            await _put_notes(tx, notes)

        await self.submit(work, waits=False, in_loop=True)

    async def shift_times(self, ms: int, note: str, value: Any, then: Callable[[], None] = lambda: None) -> None:
        """The clock was set by so much: every time in the store moves with it, and the note tells up to where.

        `then` is called in between all other work, also where the caller is cancelled meanwhile; again, where a commit had to be
        tried again.
        """

        async def work(tx: Transaction) -> None:
            await times.shift(tx, ms, note, value)
            then()

        await self.submit(work, in_loop=True)
        self.wake()

    async def bring_near(self, latest_ms: int, due_ms: int) -> int:
        """Whatever is due later than any wait could tell becomes due at `due_ms`; returns how many entries and score rows."""
        moved = await self.submit(lambda tx: times.bring_near(tx, latest_ms, due_ms))
        if moved:
            self.wake()
        return moved

    async def holds(self) -> holds.Holds:
        """What makes a flow stand still until a person ends it."""
        return await self.submit(holds.holds)

    async def others_wrote(self) -> bool:
        """Whether another process has written to the store since this was asked before; cheap enough to be asked every second."""
        return await self.writer.others_wrote()

    async def backlog(self) -> dict[str, int]:
        """Open and in-flight entries by object."""
        return {row["object"]: row["entries"] for row in await self.submit(lambda tx: tx.rows("backlog"))}

    async def count_blocked(self) -> int:
        """How many entries wait for another record."""
        return int(await self.submit(lambda tx: tx.value("count_blocked")))

    async def count_dead(self) -> int:
        """How many dead letters there are."""
        return int(await self.submit(lambda tx: tx.value("count_dead")))

    async def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        return await self.submit(admin.dead_letters)

    async def dead_content(self, entry_id: int) -> dict[str, Any]:
        """What one dead letter holds."""
        return await self.submit(lambda tx: admin.content(tx, entry_id))

    async def retry_dead(self, letters: Sequence[DeadLetter], now_ms: int) -> int:
        """Put dead letters back into their flows."""
        return await self.submit(lambda tx: admin.retry(tx, letters, now_ms))

    async def drop_dead(self, letters: Sequence[DeadLetter], now_ms: int) -> int:
        """Give dead letters up."""
        return await self.submit(lambda tx: admin.drop(tx, letters, now_ms))

    async def prune_history(self, looked_to: int, now_ms: int) -> int:
        """One small step of keeping the records' stories short; what it returns begins the next. StoreBlocked: not now."""
        return await self.submit(lambda tx: history.prune(tx, looked_to, now_ms), waits=False)


async def _open(path: Path, *, create: bool, exclusive: bool) -> tuple[aiosqlite.Connection, Upgrade | None]:
    connection = await open_database(path, create=create, exclusive=exclusive)
    try:
        return connection, await upgrade(connection, path) if exclusive else None
    except BaseException:
        await connection.close()
        raise


async def _put_notes(tx: Transaction, facts: Callable[[], Mapping[str, Any]]) -> None:
    await tx.run_many("put_note", [(name, orjson.dumps(value).decode()) for name, value in facts().items()])
