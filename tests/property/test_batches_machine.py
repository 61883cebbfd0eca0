"""Which batches the outbox cuts, against a model of a list: what is live goes first, the oldest first, until a time has come.

The records have no parents: only rank, due time, order and size decide, so the model foretells each batch to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from store.model import Ack, Claimed, Dead, Key, Outcome, Retry
from tests.property.depth import steps
from tests.property.machine import StoreMachine
from tests.store.outbox_steps import NOON, Outbox, sf_id, whole

LEADS: tuple[Key, ...] = tuple(("Lead", sf_id("Lead", number)) for number in range(1, 9))
SETTLE_MS = 500
WAITS_MS = st.sampled_from([0, 1, 300, 1000, 5000])
KEYS = st.lists(st.sampled_from(LEADS), min_size=1, max_size=6)
ANSWERS = st.lists(st.sampled_from(["ack", "ack", "retry", "dead"]), min_size=1, max_size=6)
LINGER_MS = st.sampled_from([0, 0, 500])


@dataclass(slots=True)
class Waiting:
    """One entry of the model. `later`: something arrived while it was in flight."""

    number: int
    rank: int
    due_ms: int
    state: str = "open"
    later: bool = False


class BatchMachine(StoreMachine):
    """Changes arrive live or by a load, batches are cut and answered, time passes, the process dies and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(self.path)
        self.model: dict[Key, Waiting] = {}
        self.flying: dict[Key, Claimed] = {}
        self.created: set[Key] = set()
        self.changes = 0
        self._run(self.outbox.open())

    @property
    def now_ms(self) -> int:
        """The clock."""
        return self.outbox.now_ms

    @rule(wait_ms=WAITS_MS)
    def time_passes(self, wait_ms: int) -> None:
        self.outbox.now_ms += wait_ms

    @rule(keys=KEYS, loaded=st.booleans())
    def arrive(self, keys: list[Key], loaded: bool) -> None:
        changes = []
        for key in keys:
            self.changes += 1
            changes.append(whole(*key, {"Title": f"{self.changes}"}, commit_ms=NOON + self.changes, loaded=loaded))
        assert self._run(self.outbox.take(*changes)).applied == len(keys)
        for key in keys:
            entry = self.model.get(key)
            if entry is None:
                number = max((each.number for each in self.model.values()), default=0) + 1
                self.model[key] = Waiting(number, int(loaded), self.now_ms)
                continue
            entry.rank = min(entry.rank, int(loaded))
            entry.later = entry.later or entry.state == "in_flight"
            if entry.state == "dead":
                entry.state, entry.due_ms = "open", self.now_ms

    def _ready(self, rank: int) -> list[Key]:
        """The keys that may go, oldest first."""
        ready = [
            (entry.due_ms, entry.number, key)
            for key, entry in self.model.items()
            if entry.state == "open" and entry.rank == rank and entry.due_ms <= self.now_ms
        ]
        return [key for _, _, key in sorted(ready)]

    def _batch(self, rank: int, most: int, linger_ms: int) -> list[Key]:
        first = self._ready(rank)[:most]
        young = bool(first) and self.model[first[0]].due_ms + linger_ms > self.now_ms
        if not first or (len(first) < most and young):
            return []
        return first + (self._ready(1)[: most - len(first)] if rank == 0 else [])

    def _batches(self, rank: int, most: int, linger_ms: int, batches: int) -> list[Key]:
        """What so many claims would take that follow one another."""
        taken: list[Key] = []
        for _ in range(batches):
            batch = self._batch(rank, most, linger_ms)
            taken += batch
            for key in batch:
                self.model[key].state = "in_flight"
            if len(batch) < most:
                break
        return taken

    @rule(rank=st.sampled_from([0, 0, 1]), most=st.integers(1, 6), linger_ms=LINGER_MS, batches=st.sampled_from([1, 1, 2, 3]))
    def claim(self, rank: int, most: int, linger_ms: int, batches: int) -> None:
        wanted = self._batches(rank, most, linger_ms, batches)
        work = self.outbox.store.claim(
            "Lead", "upsert", most=most, now_ms=self.now_ms, linger_ms=linger_ms, rank=rank, batches=batches
        )
        claimed = self._run(work)
        assert [each.entry.key for each in claimed] == wanted
        for each in claimed:
            assert each.entry.pending.fields["Title"], "nothing to send"
            self.flying[each.entry.key] = each

    @precondition(lambda self: self.flying)
    @rule(answers=ANSWERS, wait_ms=WAITS_MS)
    def answered(self, answers: list[str], wait_ms: int) -> None:
        outcomes: list[Outcome] = []
        for key, answer in zip(list(self.flying), answers, strict=False):
            outcomes.append(self._outcome(key, self.flying.pop(key).entry.entry_id, answer, self.now_ms + wait_ms))
        if outcomes:
            self._run(self.outbox.store.finish(outcomes, self.now_ms))

    def _outcome(self, key: Key, entry_id: int, answer: str, due_ms: int) -> Outcome:
        entry = self.model[key]
        again, entry.later = entry.later, False
        if answer == "retry":
            entry.state, entry.due_ms = "open", due_ms
            return Retry(entry_id, key, due_ms, counted=True, code="1029")
        if again:
            entry.state, entry.due_ms = "open", self.now_ms
        elif answer == "dead":
            entry.state = "dead"
        else:
            del self.model[key]
        if answer == "dead":
            return Dead(entry_id, key, "1003", "refused", "mend it")
        self.created.add(key)
        return Ack(entry_id, key, marketo_id=key[1])

    @rule(rank=st.sampled_from([0, 1]), most=st.integers(1, 6), answers=ANSWERS, keys=KEYS, loaded=st.booleans())
    def a_round(self, rank: int, most: int, answers: list[str], keys: list[Key], loaded: bool) -> None:
        """A batch goes out, some change meanwhile, and it is answered: what rules one by one seldom come to."""
        self.arrive(keys=keys, loaded=loaded)
        self.claim(rank=rank, most=most, linger_ms=0, batches=1)
        if self.flying:
            self.arrive(keys=[*self.flying][::2], loaded=loaded)
            self.answered(answers=answers, wait_ms=0)

    @rule()
    def retry_dead(self) -> None:
        letters = self._run(self.outbox.store.dead_letters())
        self._run(self.outbox.store.retry_dead(letters, self.now_ms))
        for entry in self.model.values():
            if entry.state == "dead":
                entry.state, entry.due_ms = "open", self.now_ms

    @rule()
    def crash(self) -> None:
        """What was in flight goes again; who may just have been created waits until Marketo is surely done with it."""
        self._run(self.outbox.close())
        self._run(self.outbox.open())
        assert self._run(self.outbox.store.recover(self.now_ms, SETTLE_MS)) == len(self.flying)
        for key in self.flying:
            entry = self.model[key]
            entry.state, entry.later = "open", False
            entry.due_ms = self.now_ms + (0 if key in self.created else SETTLE_MS)
        self.flying = {}

    # ── what must hold

    @invariant()
    def it_is_told_as_it_is(self) -> None:
        store, entries = self.outbox.store, self.model.values()
        living = [entry for entry in entries if entry.state != "dead"]
        assert self._run(store.backlog()) == ({"Lead": len(living)} if living else {})
        assert self._run(store.count_loaded()) == sum(entry.rank for entry in living)
        dead = {key for key, entry in self.model.items() if entry.state == "dead"}
        assert {(letter.object, letter.id) for letter in self._run(store.dead_letters())} == dead
        due = [entry.due_ms for entry in entries if entry.state == "open"]
        assert self._run(store.next_due()) == min(due, default=None)
        ranks = {entry.rank for entry in entries if entry.state == "open" and entry.due_ms <= self.now_ms}
        assert self._run(store.due_kinds(self.now_ms)) == {("Lead", "upsert", rank) for rank in ranks}
        assert {key for key, entry in self.model.items() if entry.state == "in_flight"} == self.flying.keys()

    def teardown(self) -> None:
        """Put everything away."""
        self._run(self.outbox.close())
        self.put_away()


BatchMachine.TestCase.settings = steps(usual=20, deep=400, each=40)
TestBatches = BatchMachine.TestCase
