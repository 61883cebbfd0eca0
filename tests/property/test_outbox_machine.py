"""The outbox against a model, in every order that Hypothesis can think of: late, double and lost events, crashes in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from store.digests import UNKNOWN, digest
from store.intake import ReadResult
from store.model import OBJECTS, Ack, Change, Claimed, Dead, Entry, Key, Kind, ObjectName, Outcome, Replay, Retry
from store.rows import keys_json
from store.store import Store
from store.waits import parents_of
from stream.changes import changes_of, snapshot
from stream.mapping import REF_FIELD, REFS_OF
from stream.model import decode
from stream.plan import Done, Refuse, Remove, Reread, Upsert, plan
from tests.property.depth import steps
from tests.property.machine import StoreMachine
from tests.property.two_sides import (
    ACCOUNTS,
    CONTACT,
    FIELDS,
    FILTERED,
    MAPPING,
    OPPORTUNITY,
    RECORDS,
    ROLE,
    RULES,
    SOURCE,
    USERS,
    Marketo,
    Salesforce,
    differences,
)

CHANNEL = "/data/ChangeEvents"
VALUES = st.sampled_from(["1", "2", "3", None])
STEPS_MS = st.sampled_from([0, 1, 300, 1000, 5000])
PATIENCE = 200
RANKS = (0, 1)
READY = """
    SELECT rank FROM entry
    WHERE object = ? AND kind = ? AND state = 'open' AND waits = 0 AND read = '' AND due_ms <= ? AND flow = 'deliver'
"""
MISCOUNTED = """
    SELECT object, record_id, waits FROM entry e
    WHERE state = 'open' AND waits <> (SELECT count(*) FROM wait w WHERE w.entry_id = e.entry_id)
"""
BEHIND_A_LOAD = """
    SELECT child.object, child.record_id, parent.object, parent.record_id
    FROM entry child JOIN wait w ON w.entry_id = child.entry_id
    JOIN entry parent ON parent.object = w.parent_object AND parent.record_id = w.parent_id
    WHERE child.rank = 0 AND child.kind = 'upsert' AND parent.rank = 1 AND parent.kind = 'upsert'
"""

Answer = str
ANSWERS = st.sampled_from(["accepted", "accepted", "accepted", "lost after", "lost before", "refused", "dead"])


class OutboxMachine(StoreMachine):
    """Changes happen, events and rows arrive, entries go out and are answered, the process dies and comes back."""

    source = SOURCE

    def __init__(self) -> None:
        super().__init__()
        self.salesforce, self.marketo = Salesforce(filtered=bool(self.source.filters)), Marketo()
        self.taken = 0  # how many of the events have been taken
        self.stored = 0  # the position that was stored last
        self.flying: list[Claimed] = []
        self.reading: list[tuple[Entry, ReadResult]] = []
        self.pages: list[list[Change]] = []
        self.store = self._run(self._opened())

    async def _opened(self) -> Store:
        return await Store.open(self.path)

    @property
    def now_ms(self) -> int:
        """The machine's clock: a while behind Salesforce's newest change, so that all that is due at once is due."""
        return self.salesforce.now_ms + 3_600_000

    # ── Salesforce changes

    @initialize(known=st.integers(1, 6), begin=st.sampled_from(["delivered", "loaded", "heard of"]))
    def some_records(self, known: int, begin: str) -> None:
        for key in (USERS[0], ACCOUNTS[0], CONTACT, OPPORTUNITY, ROLE, ACCOUNTS[1])[:known]:
            self.create(key=key, owner=USERS[0], account=ACCOUNTS[0], values=("1", None))
        if begin == "delivered":
            self.all_is_done(turns=8)
        elif begin == "loaded":  # they were there before the first start
            self.taken = self.stored = len(self.salesforce.events)
            self._run(self.store.take([], Replay(CHANNEL, self.taken, 0, self.now_ms), self.now_ms))
            self.query(loaded=True)
            self.page_arrives()

    @rule(turns=st.sampled_from([1, 2, 8]))
    def all_is_done(self, turns: int) -> None:
        """What there is arrives and is delivered, as on a quiet day."""
        self.events_arrive(most=100)
        for _ in range(turns):
            self._turn()

    @rule(
        edits=st.lists(st.tuples(st.sampled_from(RECORDS), VALUES, st.sampled_from(["full", "full", "gap"])), max_size=5),
        seen=st.booleans(),
        answers=st.lists(ANSWERS, min_size=1, max_size=8),
    )
    def a_busy_moment(self, edits: list[tuple[Key, str | None, str]], seen: bool, answers: list[Answer]) -> None:
        """All goes out that may, some of it changes meanwhile, and it is answered: what rules one by one seldom come to."""
        self.events_arrive(most=100)
        for obj in OBJECTS:
            self.read(obj=obj)
            self.claim(obj=obj, kind="upsert", most=10, rank=0)
            self.claim(obj=obj, kind="delete", most=10, rank=0)
        for key, value, how in edits:
            self.update(key=key, field=("A__c", value), how=how, lost=False, wait_ms=1000)
        if seen:
            self.events_arrive(most=100)
        while self.reading:
            self.read_is_answered(works=True)
        for answer in answers[: len(self.flying)]:
            self.answered(place=0, answer=answer)

    @rule(wait_ms=STEPS_MS)
    def time_passes(self, wait_ms: int) -> None:
        self.salesforce.now_ms += wait_ms

    @rule(
        key=st.sampled_from(RECORDS),
        owner=st.sampled_from([*USERS, None]),
        account=st.sampled_from([*ACCOUNTS, None]),
        values=st.tuples(VALUES, VALUES),
    )
    def create(self, key: Key, owner: Key | None, account: Key | None, values: tuple[str | None, str | None]) -> None:
        if key in self.salesforce.records:
            return
        parents = {"owner": owner, "account": account, "opportunity": OPPORTUNITY, "contact": CONTACT}
        named = {REF_FIELD[ref]: parents[ref] for ref in REFS_OF[key[0]]}
        if all(parent is None or self.salesforce.lives(parent) for parent in named.values()):
            refs = {name: parent[1] for name, parent in named.items() if parent is not None}
            self.salesforce.create(key, {"A__c": values[0], "B__c": values[1], **refs})

    @rule(
        key=st.sampled_from(RECORDS),
        field=st.tuples(st.sampled_from(["A__c", "B__c"]), VALUES),
        how=st.sampled_from(["full", "full", "full", "gap", "diff"]),
        lost=st.sampled_from([False] * 9 + [True]),
        wait_ms=STEPS_MS,
    )
    def update(self, key: Key, field: tuple[str, str | None], how: str, lost: bool, wait_ms: int) -> None:
        name, value = field
        self.salesforce.now_ms += wait_ms
        if self.salesforce.lives(key) and not (how == "diff" and value is None):
            self.salesforce.update(key, {name: value}, how)
            self.salesforce.events[-1].lost = lost

    @rule(key=st.sampled_from([*ACCOUNTS, CONTACT, OPPORTUNITY]), owner=st.sampled_from([*USERS, None]))
    def give_to(self, key: Key, owner: Key | None) -> None:
        if self.salesforce.lives(key) and (owner is None or self.salesforce.lives(owner)):
            self.salesforce.update(key, {"OwnerId": owner[1] if owner else None}, "full")

    @rule(key=st.sampled_from([CONTACT, OPPORTUNITY]), account=st.sampled_from([*ACCOUNTS, None]))
    def move_to(self, key: Key, account: Key | None) -> None:
        if self.salesforce.lives(key) and (account is None or self.salesforce.lives(account)):
            self.salesforce.update(key, {"AccountId": account[1] if account else None}, "full")

    @rule(key=st.sampled_from(USERS), active=st.booleans())
    def set_active(self, key: Key, active: bool) -> None:
        if self.salesforce.lives(key):
            self.salesforce.update(key, {"IsActive": active}, "full")

    @rule(name=st.sampled_from(["Decider", "Buyer", None]))
    def name_role(self, name: str | None) -> None:
        if self.salesforce.lives(ROLE):
            self.salesforce.update(ROLE, {"Role": name}, "full")

    @rule(key=st.sampled_from([*ACCOUNTS, CONTACT, OPPORTUNITY, ROLE, ROLE]))
    def delete(self, key: Key) -> None:
        if self.salesforce.lives(key) and not self.salesforce.has_children(key):
            self.salesforce.delete(key)

    @rule(key=st.sampled_from([*ACCOUNTS, CONTACT, OPPORTUNITY, ROLE]))
    def undelete(self, key: Key) -> None:
        known = key in self.salesforce.records and not self.salesforce.lives(key)
        if known and all(self.salesforce.lives(parent) for parent in self.salesforce.parents(key)):
            self.salesforce.undelete(key)

    # ── events and rows arrive

    @rule(most=st.integers(1, 8))
    def events_arrive(self, most: int) -> None:
        until = min(self.taken + most, len(self.salesforce.events))
        changes = [
            change
            for event in self.salesforce.events[self.taken : until]
            if not event.lost
            for change in self._decoded(event.data)
        ]
        self.taken = self.stored = until
        taken = self._run(self.store.take(changes, Replay(CHANNEL, until, 0, self.now_ms), self.now_ms))
        if not taken.dropped:
            keys = {change.key for change in changes}
            late = [entry for entry in self._entries() if entry["rank"] and (entry["object"], entry["record_id"]) in keys]
            assert late == [], "a live change goes with the loaded ones"

    @rule(back=st.integers(1, 20))
    def begin_again_further_back(self, back: int) -> None:
        self.taken = max(self.taken - back, 0)

    @rule(loaded=st.booleans())
    def query(self, loaded: bool) -> None:
        """All rows are read, by a poll or by a load."""
        self.pages.append([replace(change, loaded=loaded) for obj in OBJECTS for change in self._rows(obj)])

    def _rows(self, obj: ObjectName) -> list[Change]:
        return [snapshot(obj, self.salesforce.row(key), self.source) for key in self.salesforce.records if key[0] == obj]

    @precondition(lambda self: self.pages)
    @rule()
    def page_arrives(self) -> None:
        self._run(self.store.take_rows(self.pages.pop(0), self.now_ms))

    # ── reads

    @rule(obj=st.sampled_from(OBJECTS))
    def read(self, obj: ObjectName) -> None:
        entries = self._run(self.store.claim_reads(obj, most=3, now_ms=self.now_ms, linger_ms=0))
        self.reading += [(entry, self._found(entry.key)) for entry in entries]

    def _found(self, key: Key) -> ReadResult:
        if not self.salesforce.lives(key):
            return ReadResult(gone=True)
        return ReadResult(snapshot(key[0], self.salesforce.row(key), self.source))

    @precondition(lambda self: self.reading)
    @rule(works=st.sampled_from([True, True, True, False]))
    def read_is_answered(self, works: bool) -> None:
        entry, result = self.reading.pop(0)
        if works:
            self._run(self.store.settle_reads({entry.entry_id: result}, self.now_ms))
        else:
            self._run(self.store.finish([Retry(entry.entry_id, entry.key, self.now_ms)], self.now_ms))

    # ── deliver

    @rule(
        obj=st.sampled_from(OBJECTS),
        kind=st.sampled_from(["upsert", "upsert", "delete"]),
        most=st.integers(1, 3),
        rank=st.sampled_from([0, 0, 1]),
    )
    def claim(self, obj: ObjectName, kind: Kind, most: int, rank: int) -> None:
        ready = [row["rank"] for row in self._ask(READY, obj, kind, self.now_ms)]
        claimed = self._run(self.store.claim(obj, kind, most=most, now_ms=self.now_ms, linger_ms=0, rank=rank))
        ranks = [each.entry.rank for each in claimed]
        assert len(ranks) <= most
        assert not claimed or rank in ready, "a batch of nothing but fill"
        assert ranks.count(1 - rank) <= (max(most - ready.count(0), 0) if rank == 0 else 0), f"{ranks} out of {ready}"
        for each in claimed:
            assert each.entry.key not in {other.entry.key for other in self.flying}, "twice in flight"
            if kind == "upsert":
                states = {ref: parent.state for ref, parent in each.parents.items()}
                assert len(states) == len(parents_of(each.record)), "a parent nobody knows"
                assert not any(parent.holds_up for parent in each.parents.values()), (
                    f"{each.entry.key} goes before its parents: {states}"
                )
            self.flying.append(each)

    @precondition(lambda self: self.flying)
    @rule(place=st.integers(0, 5), answer=ANSWERS)
    def answered(self, place: int, answer: Answer) -> None:
        claimed = self.flying.pop(place % len(self.flying))
        self._run(self.store.finish([self._outcome(claimed, answer)], self.now_ms))

    def _outcome(self, claimed: Claimed, answer: Answer) -> Outcome:
        entry_id, key = claimed.entry.entry_id, claimed.entry.key
        planned = plan(claimed, MAPPING, RULES)
        if isinstance(planned, Reread):
            return Retry(entry_id, key, self.now_ms, read=planned.why)
        if isinstance(planned, Done):
            return Ack(entry_id, key, state=planned.state)
        if isinstance(planned, Refuse) or answer == "dead":
            return Dead(entry_id, key, "1003", "refused", "mend it")
        assert isinstance(planned, Upsert | Remove)
        if answer == "refused":
            return Retry(entry_id, key, self.now_ms, counted=True, code="1029")
        if answer == "lost before":
            return Retry(entry_id, key, self.now_ms, code="unreachable")
        accepted = self._send(claimed, planned)
        return Retry(entry_id, key, self.now_ms, code="unreachable") if answer == "lost after" else accepted

    def _send(self, claimed: Claimed, planned: Upsert | Remove) -> Ack:
        entry_id, key = claimed.entry.entry_id, claimed.entry.key
        if isinstance(planned, Remove):
            living = {each for each in self.salesforce.records if self.salesforce.lives(each)}
            self.marketo.remove(key[0], planned, claimed.record.sent_key or "", living)
            return Ack(entry_id, key, state=planned.state, forget_marketo_id=True, removed=True)
        if planned.stale_key:
            self.marketo.roles.pop(planned.stale_key, None)
        if planned.key:
            self._run(self.store.intend_keys({key[1]: planned.key}))
        marketo_id = self.marketo.upsert(key, planned)
        return Ack(
            entry_id,
            key,
            marketo_id=marketo_id,
            filled=planned.filled & planned.fields.keys(),
            emptied=planned.emptied,
            sent_key=planned.key or None,
        )

    @rule()
    def dead_letters_are_tried_again(self) -> None:
        self._run(self.store.retry_dead(self._run(self.store.dead_letters()), self.now_ms))

    # ── the process dies

    @rule(applied=st.booleans())
    def crash(self, applied: bool) -> None:
        """In the middle of everything: what was in flight has reached Marketo or not, and nobody here knows."""
        for claimed in self.flying if applied else []:
            planned = plan(claimed, MAPPING, RULES)
            if isinstance(planned, Upsert | Remove):
                self._send(claimed, planned)
        self.flying, self.reading, self.pages = [], [], []
        self._run(self.store.close())
        self.store = self._run(self._opened())
        self._run(self.store.recover(self.now_ms, 0))
        stored = self._run(self.store.replay(CHANNEL))
        self.taken = stored.replay_id if stored is not None else 0
        assert self.taken == self.stored

    # ── what must hold

    def _ask(self, statement: str, *parameters: Any) -> list[Any]:
        """Look into the tables."""
        return list(self._run(self.store.submit(lambda tx: tx._connection.execute_fetchall(statement, parameters))))

    def _entries(self) -> list[Any]:
        rows: list[Any] = self._run(self.store.submit(lambda tx: tx.rows("entries_by_key", keys_json(RECORDS))))
        return rows

    def _keys_at_work(self) -> set[Key]:
        return {(row["object"], row["record_id"]) for row in self._entries()}

    @invariant()
    def what_is_known_is_so(self) -> None:
        """Of what rests, the digests tell what Marketo has, and whatever has a value there can be cleared."""
        at_work = self._keys_at_work()
        for key, record in self._run(self.store.records(RECORDS)).items():
            if key in at_work or key == ROLE or record.state != "synced":
                continue
            held = self.marketo.of(key)
            assert held is not None, f"{key} is not there"
            for source, name in FIELDS.items():
                there = digest(held[name]) if name in held else None
                assert not record.known or record.known.get(source) in {there, UNKNOWN}, f"{key} {source}"
                assert name not in held or name in record.filled, f"{key} {name} would never be cleared"

    @invariant()
    def who_waits_is_counted_and_not_held_up_by_a_load(self) -> None:
        assert [tuple(row) for row in self._ask(MISCOUNTED)] == []
        assert [tuple(row) for row in self._ask(BEHIND_A_LOAD)] == []

    @invariant()
    def what_is_not_at_work_agrees(self) -> None:
        """Nothing is dropped: whose events have all been taken is in the outbox, or the same on both sides."""
        if self.pages or any(event.lost for event in self.salesforce.events):
            return
        at_work = self._keys_at_work() | {event.key for event in self.salesforce.events[self.taken :]}
        # The same relation may stand in another record's entry: a role is looked at when its contact and opportunity rest.
        for key in self.salesforce.records:
            if key not in at_work and not (set(self.salesforce.parents(key)) & at_work):
                found = differences(self.salesforce, self.marketo, key)
                assert found == [], found

    def teardown(self) -> None:
        """Let everything come to rest, and compare."""
        try:
            self._come_to_rest()
        finally:
            self._run(self.store.close())
            self.put_away()

    def _come_to_rest(self) -> None:
        self.events_arrive(most=1000)
        while self.pages:
            self.page_arrives()
        if any(event.lost for event in self.salesforce.events):
            self.salesforce.now_ms += 2000
            self.query(loaded=True)
            self.page_arrives()
        for _ in range(PATIENCE):
            self.salesforce.now_ms += 1000  # what would cross a parent's delete is held back for a moment
            if not self._turn():
                break
        assert self._keys_at_work() == set(), "something is never done"
        found = [text for key in self.salesforce.records for text in differences(self.salesforce, self.marketo, key)]
        assert found == [], found

    def _turn(self) -> bool:
        """One turn of all loops with everything accepted; False where nothing was left to do."""
        worked = bool(self.reading or self.flying)
        while self.reading:
            self.read_is_answered(works=True)
        while self.flying:
            self.answered(place=0, answer="accepted")
        self.dead_letters_are_tried_again()
        for obj in OBJECTS:
            self.read(obj=obj)
            for kind in ("upsert", "delete"):
                for rank in RANKS:
                    self.claim(obj=obj, kind=kind, most=10, rank=rank)
        return worked or bool(self.reading or self.flying)

    def _decoded(self, data: Any) -> Sequence[Change]:
        event = decode(data)
        return changes_of(event, event.entity, self.source)  # type: ignore[arg-type] # one of OBJECTS


class ReadingMachine(OutboxMachine):
    """The same, and what is read changes meanwhile."""

    @rule(key=st.sampled_from(RECORDS), values=st.tuples(VALUES, VALUES), wait_ms=STEPS_MS)
    def a_change_while_it_is_read(self, key: Key, values: tuple[str | None, str | None], wait_ms: int) -> None:
        """Of the same second, nobody can tell whether the read has it."""
        self.events_arrive(most=100)
        self.update(key=key, field=("A__c", values[0]), how="gap", lost=False, wait_ms=1000)
        self.events_arrive(most=100)
        self.read(obj=key[0])
        self.update(key=key, field=("A__c", values[1]), how="full", lost=False, wait_ms=wait_ms)
        self.events_arrive(most=100)
        while self.reading:
            self.read_is_answered(works=True)


class FilteredMachine(ReadingMachine):
    """The same where records enter and leave their filters."""

    source = FILTERED

    @rule(key=st.sampled_from([*ACCOUNTS, CONTACT, OPPORTUNITY, ROLE]), known=st.booleans())
    def cross(self, key: Key, known: bool) -> None:
        """A record goes to the other side of its filter; `known`: on a quiet day."""
        if self.salesforce.lives(key):
            held = self.salesforce.records[key].fields
            name = "B__c" if key == ROLE else "A__c"
            self.salesforce.update(key, {name: "1" if held.get(name) == "2" else "2"}, "full")
        if known:
            self.all_is_done(turns=8)


ReadingMachine.TestCase.settings = FilteredMachine.TestCase.settings = steps(usual=30, deep=100, each=40)
TestOutbox = ReadingMachine.TestCase
TestFilteredOutbox = FilteredMachine.TestCase
