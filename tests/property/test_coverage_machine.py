"""What the store remembers beside the outbox, against plain models: coverage second by second, the stream, pauses, what is known.

The process may die between any two steps, and knows afterwards what it knew before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from store.coverage import NEVER_READ
from store.digests import digest
from store.holds import FLOWS, POISONED, Flow, Holds, pause, resume
from store.model import Covered, Hole, How, ObjectName, Replay, Stream
from store.store import Store
from tests.property.depth import steps
from tests.property.machine import StoreMachine
from tests.store.outbox_steps import NOON, Outbox, sf_id

CHANNEL = "/data/ChangeEvents"
SECONDS = 24
COVERED: tuple[ObjectName, ...] = ("Account", "Lead")
RECORD = sf_id("Account", 1)
FIELDS = {"Name": "Acme", "Phone": "1"}
MAPPINGS: tuple[dict[str, str], ...] = (
    {"Name": "company", "Phone": "mainPhone"},
    {"Name": "company"},
    {"Name": "company", "Phone": "phoneTwo"},
    {"Name": "other", "Phone": "mainPhone"},
)
OBJECT = st.sampled_from(COVERED)
SPAN = st.tuples(st.integers(0, SECONDS), st.integers(0, SECONDS))
FLOW_SETS = st.lists(st.sampled_from(FLOWS), unique=True, min_size=1)


@dataclass(slots=True)
class Seconds:
    """One object's history: how each second came to be complete, how often it was cut, and why the last time."""

    how: list[str | None] = field(default_factory=lambda: [None] * SECONDS)
    cuts: int = 0
    cut_until: int = 0
    why: str = NEVER_READ

    def cover(self, start: int, end: int, how: str) -> None:
        """What is complete already stays as it is; but the stream takes the place of what was read."""
        for second in range(start, end):
            replaced = how == "streamed" and self.how[second] != "waived"
            self.how[second] = how if replaced else self.how[second] or how

    def cut(self, start: int, end: int, why: str) -> None:
        """One of no length only says why."""
        self.why = why
        if start < end:
            self.cuts += 1
            self.cut_until = max(self.cut_until, end)
            self.how[start:end] = [None] * (end - start)

    def last(self, how: str | None = None) -> int:
        """Where the last second ends that is complete, in this way if one is named; 0 where none is."""
        return max((second + 1 for second, each in enumerate(self.how) if (each == how if how else each)), default=0)


class MemoryMachine(StoreMachine):
    """Intervals are covered and cut open, a stream goes on, mappings change, flows stand still."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = {obj: Seconds() for obj in COVERED}
        self.stream: Stream | None = None
        self.replay: Replay | None = None
        self.paused: dict[Flow, float] = {}
        self.poisoned: dict[str, Any] | None = None
        self.mapping: dict[str, str] | None = None
        self.known = dict(FIELDS)
        self.begun: dict[ObjectName, int] = {}  # the cuts there were when a reading began
        self.outbox = Outbox(self.path)
        self._run(self.outbox.open())
        self._run(self.outbox.synced("Account", RECORD, FIELDS))

    @property
    def store(self) -> Store:
        """The open store."""
        return self.outbox.store

    # ── coverage

    @initialize(whole=st.booleans())
    def was_read(self, whole: bool) -> None:
        if whole:
            self.cover(obj="Lead", span=(0, SECONDS // 2), how="read")

    @rule(obj=OBJECT, span=SPAN, how=st.sampled_from(get_args(How)))
    def cover(self, obj: ObjectName, span: tuple[int, int], how: How) -> None:
        self._run(self.store.cover([Covered(obj, float(span[0]), float(span[1]), how)]))
        self.objects[obj].cover(*span, how)

    @rule(obj=OBJECT)
    def begin_reading(self, obj: ObjectName) -> None:
        self.begun[obj] = self._run(self.store.cuts(obj))

    @rule(obj=OBJECT, span=SPAN)
    def end_reading(self, obj: ObjectName, span: tuple[int, int]) -> None:
        if (begun := self.begun.pop(obj, None)) is not None:
            self._run(self.store.take_rows([], NOON, covered=[Covered(obj, float(span[0]), float(span[1]), "read", begun)]))
            if begun == self.objects[obj].cuts:
                self.objects[obj].cover(*span, "read")

    @rule(obj=OBJECT, span=SPAN, cut=SPAN)
    def read_across_a_cut(self, obj: ObjectName, span: tuple[int, int], cut: tuple[int, int]) -> None:
        """What was read before an interval was cut open proves nothing of it, wherever the cut lies."""
        self.begin_reading(obj=obj)
        self.cut(obj=obj, span=cut, why="overflow")
        self.end_reading(obj=obj, span=span)

    @rule(obj=OBJECT, span=SPAN, why=st.sampled_from(["overflow", "a gap", "expired"]))
    def cut(self, obj: ObjectName, span: tuple[int, int], why: str) -> None:
        self._run(self.store.cut([Hole(obj, float(span[0]), float(span[1]), why)]))
        self.objects[obj].cut(*span, why)

    # ── the stream

    @rule(objects=st.lists(OBJECT, unique=True, min_size=1), span=SPAN, event=st.booleans())
    def streams_on(self, objects: list[ObjectName], span: tuple[int, int], event: bool) -> None:
        """The stream goes on, from where it was or, where it begins, from there; with an event, or with none."""
        start, until_s = span[0], float(max(span))
        held = self.stream.since_s if self.stream is not None else {}
        since = {obj: held.get(obj, float(start)) for obj in objects}
        read = Stream(CHANNEL, since, until_s)
        if event:
            self.replay = Replay(CHANNEL, (self.replay.replay_id if self.replay else 0) + 1, NOON, NOON)
            self._run(self.store.take([], self.replay, NOON, stream=read))
        else:
            self._run(self.store.stream_on(read))
        for obj, since_s in since.items():
            self.objects[obj].cover(max(int(since_s), self.objects[obj].cut_until), int(until_s), "streamed")
        self.stream = Stream(CHANNEL, dict.fromkeys(objects, until_s), until_s)

    @rule(replay_id=st.sampled_from([-2, -1, 7]))
    def set_position(self, replay_id: int) -> None:
        self._run(self.store.set_replay(Replay(CHANNEL, replay_id, 0, NOON)))
        newest_ms = self.replay.commit_ms if self.replay else 0  # how new the newest event was is still so
        self.replay, self.stream = Replay(CHANNEL, replay_id, newest_ms, NOON), None

    # ── what is known of a record

    @rule(mapping=st.sampled_from(MAPPINGS), until_s=st.integers(0, SECONDS))
    def map_fields(self, mapping: dict[str, str], until_s: int) -> None:
        changed = self._run(self.store.mapped({"Account": mapping}, float(until_s)))
        before = self.mapping if self.mapping is not None else mapping
        moved = {name for name in {*mapping, *before} if mapping.get(name) != before.get(name)}
        again = bool(moved & mapping.keys())
        assert changed == (["Account"] if again else [])
        if again:
            self.known = {name: value for name, value in self.known.items() if name not in moved}
            account = self.objects["Account"]
            account.cut(account.last("waived"), until_s, "fields are mapped otherwise now")
        self.mapping = mapping

    # ── flows that stand still

    @rule(flows=FLOW_SETS, now=st.integers(1, 99))
    def pause(self, flows: list[Flow], now: int) -> None:
        self.paused = {**dict.fromkeys(flows, float(now)), **self.paused}
        held = self._run(self.store.submit(lambda tx: pause(tx, flows, float(now))))
        assert held == Holds(self.paused, self.poisoned)

    @rule(flows=FLOW_SETS)
    def resume(self, flows: list[Flow]) -> None:
        before = Holds(dict(self.paused), self.poisoned)
        assert self._run(self.store.submit(lambda tx: resume(tx, flows, 0))) == before
        self.paused = {flow: since for flow, since in self.paused.items() if flow not in flows}
        self.poisoned = None if "deliver" in flows else self.poisoned

    @rule(refused=st.integers(1, 9))
    def poison(self, refused: int) -> None:
        self.poisoned = {"refused": refused, "judged": 10, "code": "1003", "cause": "refused", "since": 5.0}
        self._run(self.store.put_note(POISONED, self.poisoned))

    # ── the process dies

    @rule()
    def crash(self) -> None:
        self.begun = {}
        self._run(self.outbox.close())
        self._run(self.outbox.open())

    # ── what must hold

    @invariant()
    def coverage_is_as_it_was_told(self) -> None:
        for obj, model in self.objects.items():
            held: list[str | None] = [None] * SECONDS
            for start, end, how in self._run(self.store.intervals(obj)):
                assert 0 <= start < end <= SECONDS
                assert held[int(start) : int(end)] == [None] * int(end - start), "a second in two intervals"
                held[int(start) : int(end)] = [how] * int(end - start)
            assert held == model.how
            assert self._run(self.store.cuts(obj)) == model.cuts
            for until in (None, SECONDS, SECONDS // 2):
                self._holes(obj, model, until)

    def _holes(self, obj: ObjectName, model: Seconds, until: int | None) -> None:
        """What is told as open is open, and all that is open is told."""
        found = self._run(self.store.holes(obj, None if until is None else float(until)))
        told = [second for hole in found for second in range(int(hole.from_s), int(hole.to_s))]
        end = model.last() if until is None else until
        assert told == [second for second in range(end) if model.how[second] is None]
        assert {(hole.object, hole.why, hole.cuts) for hole in found} <= {(obj, model.why, model.cuts)}

    @invariant()
    def the_rest_is_remembered(self) -> None:
        assert self._run(self.store.stream(CHANNEL)) == self.stream
        assert self._run(self.store.replay(CHANNEL)) == self.replay
        assert self._run(self.store.holds()) == Holds(self.paused, self.poisoned)
        known = self._run(self.outbox.record("Account", RECORD)).known
        assert known == {name: digest(value) for name, value in self.known.items()}

    def teardown(self) -> None:
        """Put everything away."""
        self._run(self.outbox.close())
        self.put_away()


MemoryMachine.TestCase.settings = steps(usual=15, deep=250, each=30)
TestMemory = MemoryMachine.TestCase
