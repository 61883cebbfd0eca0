"""Mangled events through the real capture loop into a real store: each is accounted for, and the daemon goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import view
from store.model import OBJECTS, PEOPLE, Ack, Claimed, Entry, Key, ObjectName
from store.rows import keys_json, read_entries
from store.store import Store
from stream.capture import Capture
from stream.changes import Echo
from stream.compound import PARTS
from stream.config.model import ObjectModes
from stream.ids import PREFIX, widen
from stream.json_text import whole_text
from stream.mapping import SourceFields, source_fields, wanted
from stream.operating import dead
from stream.operating.dead import Selection
from stream.plan import Upsert, plan
from stream.retry import Backoff
from stream.salesforce.soql import check_id
from stream.salesforce.streaming import message_of
from stream.score_diff import salesforce_names
from stream.server_clock import ServerClock
from stream.source import Message, is_replay_id
from tests.logged import captured
from tests.property.depth import examples
from tests.property.mangled import GOOD_LEAD, NOON_S, good_event, mangled, real_events
from tests.property.test_decisions import MAPPINGS, RULES

CHANNEL = "/data/ChangeEvents"
MODES = ObjectModes(Opportunity="off", OpportunityContactRole="stream")
SOURCE = SourceFields({obj: source_fields(obj, wanted(obj, {})) for obj in OBJECTS})
GOOD_ID = 2**40
LONG_AFTER_MS = int((NOON_S + 10**7) * 1000)
GOOD: Key = ("Lead", GOOD_LEAD)


class StillClock:
    """A clock that nothing here waits by."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return NOON_S + 7200

    def monotonic(self) -> float:
        """Seconds of no known origin."""
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        """Only a lost stream waits."""
        raise AssertionError(f"the stream was lost, to be tried again after {seconds} s")


class Batches:
    """A stream that brings these batches, and then nothing; `pending` as if there was nothing more after each."""

    heard_at = 999.0
    pending = 0

    def __init__(self, batches: list[list[Message]], mark: Callable[[], Awaitable[None]]) -> None:
        self.left = batches
        self.mark = mark
        self.all_taken = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, replay_from: int) -> AsyncIterator[Batches]:
        """One subscription."""
        assert replay_from == -2 or is_replay_id(replay_from)
        yield self

    async def receive(self, most: int) -> list[Message]:
        """The next batch: whoever asks has stored the last one."""
        await self.mark()
        if not self.left:
            self.all_taken.set()
            await asyncio.Event().wait()
        assert len(self.left[0]) <= most
        return self.left.pop(0)


class Fuzzed:
    """What became of batches of messages in a store of their own."""

    def __init__(self, path: Path, content: bytes = b"") -> None:
        self.path = path
        if content:
            path.write_bytes(content)
        self.lines: list[Any] = []
        self.marks: list[tuple[int, int, dict[str, Entry]]] = []

    async def run(self, batches: Sequence[Sequence[Message]], *first: str, drain: bool = True) -> None:
        """Take the batches with the loop itself; raises what it dies of. `first`: SQL for the committer's connection."""
        store = await Store.open(self.path)
        try:
            for statement in first:
                await store.writer.connection.execute(statement)
            with captured() as self.lines:
                await self._run(store, Batches([list(batch) for batch in batches], lambda: self._mark(store)))
            if drain:
                await self._drain(store)
        finally:
            await store.close()

    async def _run(self, store: Store, source: Batches) -> None:
        clock = StillClock()
        self.capture = Capture(
            source=source,
            store=store,
            clock=clock,
            channel=CHANNEL,
            modes=MODES,
            fields=SOURCE,
            echo=Echo("msi-stream", salesforce_names("mkto_si__")),
            backoff=Backoff(1.0, 60.0),
            server_clock=ServerClock(clock),
        )
        running, waiting = asyncio.create_task(self.capture.run()), asyncio.create_task(source.all_taken.wait())
        await asyncio.wait({running, waiting, store.committer}, return_when=asyncio.FIRST_COMPLETED)
        for loop in (running, store.committer):
            if loop.done():
                await loop
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)

    async def _mark(self, store: Store) -> None:
        entries = await store.submit(lambda tx: read_entries(tx, "entries_by_key", keys_json(real_keys())))
        self.marks.append((len(self.lines), self.capture.echoes, {entry.record_id: entry for entry in entries}))

    def parts(self) -> Iterator[tuple[list[Any], bool, dict[str, Entry]]]:
        """For each batch, what was said, whether there was an echo in it, and the real records' entries after it."""
        for (start, before, _), (end, after, entries) in pairwise(self.marks):
            yield self.lines[start:end], after > before, entries

    async def _drain(self, store: Store) -> None:
        """Everything that is to be sent can be planned and written as JSON, everything to be read can be asked for."""
        self.at_work = await store.at_work([GOOD])
        self.letters = await store.dead_letters()
        self.replay = await store.replay(CHANNEL)
        rows = await store.submit(lambda tx: tx.rows("backlog"))
        self.found = {row["object"]: row["entries"] for row in rows}
        for obj in OBJECTS:
            for entry in await store.claim_reads(obj, most=2000, now_ms=LONG_AFTER_MS, linger_ms=0):
                assert check_id(entry.record_id).startswith(PREFIX[obj])
            for claimed in await claims(store, obj):
                planned = plan(claimed, MAPPINGS[obj], RULES)
                orjson.dumps(planned.fields if isinstance(planned, Upsert) else [])

    def said(self, event: str) -> list[Any]:
        """The log lines of one event."""
        return [line for line in self.lines if line["event"] == event]


async def claims(store: Store, obj: ObjectName) -> list[Claimed]:
    """All that is ready of an object."""
    return [
        each
        for kind in ("upsert", "delete")
        for each in await store.claim(obj, kind, most=300, now_ms=LONG_AFTER_MS, linger_ms=0)
    ]


@cache
def real_keys() -> list[Key]:
    """The records that the real events speak of."""
    headers = [header_of(data) for data in real_events()]
    return [(header["entityName"], each) for header in headers for each in header["recordIds"] if each.isalnum()]


def is_create(data: Any) -> bool:
    """Whether the event tells of a new record."""
    return bool(header_of(data)["changeType"] == "CREATE")


@cache
def lived_in() -> bytes:
    """A store's file whose records were created and delivered: what comes then is news of records that are known."""

    async def live(path: Path) -> None:
        created = itertools.takewhile(is_create, real_events())
        fuzzed = Fuzzed(path)
        await fuzzed.run([messages_of(list(created))], drain=False)
        store = await Store.open(path)
        for obj in OBJECTS:
            person = "7" if obj in PEOPLE else None
            delivered = [Ack(each.entry.entry_id, each.entry.key, marketo_id=person) for each in await claims(store, obj)]
            await store.finish(delivered, LONG_AFTER_MS)
        assert (await store.records([("Lead", header_of(real_events()[4])["recordIds"][0])])).popitem()[1].state == "synced"
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder) / "store.db"))
        return (Path(folder) / "store.db").read_bytes()


def messages_of(data: Sequence[Any]) -> list[Message]:
    """As the adapter passes them on."""
    return [message_of({"channel": CHANNEL, "data": each}) for each in data]


GOOD_MESSAGE = messages_of([good_event(1, GOOD_ID)])[0]


def header_of(data: Any) -> dict[str, Any]:
    """The header, where there is one."""
    payload = data.get("payload") if isinstance(data, dict) else None
    header = payload.get("ChangeEventHeader") if isinstance(payload, dict) else None
    return header if isinstance(header, dict) else {}


def flat_values(data: Any) -> dict[str, Any]:
    """The values of an event's mapped fields by their flat names, whatever form they have."""
    found: dict[str, Any] = {}
    for name, value in data["payload"].items():
        parts = PARTS.get(name, {})
        found |= (
            {parts.get(part, part): inner for part, inner in value.items()}
            if parts and isinstance(value, dict)
            else {name: value}
        )
    return {name: value for name, value in found.items() if name in SOURCE.by_object[header_of(data)["entityName"]]}


@dataclass
class Past:
    """What has come so far: the transactions of each record, and the values of each of its fields."""

    places: set[Any] = field(default_factory=set)
    values: set[Any] = field(default_factory=set)

    def add(self, data: Any) -> None:
        """One more event, whatever it is."""
        self.places |= places_of(data)
        if header_of(data).get("entityName") in OBJECTS:
            self.values |= {(name, whole_text(value)) for name, value in flat_values(data).items()}

    def news_of(self, data: Any) -> set[str]:
        """The mapped fields that an update speaks of with a value that is not known, or without one."""
        header = header_of(data)
        names = [name.rpartition(".") for name in header.get("changedFields") or []]
        flat = {PARTS.get(compound, {}).get(part, part) for compound, _, part in names}
        changed, told = flat & SOURCE.by_object[header["entityName"]], flat_values(data)
        known = {name for name, value in told.items() if value is None or (name, whole_text(value)) in self.values}
        return (changed | told.keys()) - known


def check_accounted(data: Any, lines: Sequence[Any], past: Past, echoed: bool) -> None:
    """One message became a change, a hole or a dead letter, or it was passed over for a reason that is known."""
    said = {line["event"]: line for line in lines}
    taken, entity = said["events_taken"], header_of(data).get("entityName")
    assert said.keys() <= {"events_taken", "event_unreadable", "reread_asked", "events_passed_over"}
    if "event_unreadable" in said or "reread_asked" in said or taken["applied"] or echoed:
        return
    if entity not in OBJECTS or MODES.of(entity) == "off":
        return
    assert taken["dropped"], "an event is lost"
    again, update = places_of(data) & past.places, header_of(data)["changeType"] == "UPDATE"
    assert again or (update and not past.news_of(data)), "news is taken for what is known"


def check_taken(data: Any, lines: Sequence[Any], past: Past, entries: Mapping[str, Entry]) -> None:
    """What an event says of a record is in its entry field by field, or the record is read."""
    said, header = {line["event"]: line for line in lines}, header_of(data)
    if not said["events_taken"]["applied"] or "event_unreadable" in said:
        return
    for entry in [entries[each] for each in map(wide, header["recordIds"]) if each in entries]:
        placed = all(header.get(name) for name in ("commitTimestamp", "transactionKey", "sequenceNumber"))
        assert placed or entry.pending.read, "an event that does not say when it was is taken at its word"
        if entry.pending.kind == "upsert" and not entry.pending.read:
            lacking = past.news_of(data) - entry.pending.fields.keys()
            assert header["changeType"] != "UPDATE" or not lacking, f"{lacking} is passed over"


def wide(text: str) -> str:
    """The id as the store has it."""
    return widen(text) if len(text) == 15 else text


def places_of(data: Any) -> set[Any]:
    """The transactions that an event's records were changed in."""
    header = header_of(data)
    ids, key = header.get("recordIds"), header.get("transactionKey")
    return (
        {(each[:15], key) for each in ids if isinstance(each, str)} if isinstance(ids, list) and isinstance(key, str) else set()
    )


def check_letters(fuzzed: Fuzzed, data: Sequence[Any]) -> None:
    """Each dead letter holds its event whole, can be shown, and can be given up."""
    texts = {whole_text(each) for each in data}
    shown, _ = asyncio.run(dead.shown(fuzzed.path, Selection()))
    unreadable = {letter.id for letter in fuzzed.letters}
    assert {letter["id"] for letter in shown} >= unreadable
    for letter in shown:
        orjson.dumps(letter)
        assert (letter["code"], letter["object"]) == ("UNREADABLE_EVENT", "event")
        raw = letter["content"]["raw"]
        assert raw in texts if isinstance(raw, str) and raw in texts else any(same(raw, each) for each in data), raw
    assert len(asyncio.run(dead.drop(fuzzed.path, Selection(), 0)).letters) == len(shown)
    assert asyncio.run(dead.listed(fuzzed.path, Selection())) == []


def same(shown: Any, data: Any) -> bool:
    """Whether this is what came, to the last digit and type."""
    try:
        return json.dumps(shown, sort_keys=True) == json.dumps(data, sort_keys=True)
    except RecursionError:
        return False


def check_all_is_well(fuzzed: Fuzzed, data: Sequence[Any]) -> None:
    """What holds whatever came in."""
    assert fuzzed.replay is not None
    assert fuzzed.replay.replay_id == GOOD_ID
    assert fuzzed.at_work == {GOOD}
    assert not [line for line in fuzzed.said("event_unreadable") if "bug" in line["cause"]]
    check_letters(fuzzed, data)
    connection = sqlite3.connect(fuzzed.path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    asyncio.run(view.view(fuzzed.path, blocked_most=50, channel=CHANNEL, now_ms=0))


SOME = st.lists(mangled() | st.sampled_from(real_events()), min_size=10, max_size=60)


@examples(30, 10_000)
@given(SOME)
def test_every_event_is_accounted_for_and_the_next_one_is_taken(data: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fuzzed = Fuzzed(Path(folder) / "store.db", lived_in())
        asyncio.run(fuzzed.run([[message] for message in [*messages_of(data), GOOD_MESSAGE]]))
        past = Past()
        for each in itertools.takewhile(is_create, real_events()):
            past.add(each)
        for each, (said, echoed, entries) in zip(data, fuzzed.parts(), strict=False):
            check_accounted(each, said, past, echoed)
            check_taken(each, said, past, entries)
            past.add(each)
        check_all_is_well(fuzzed, data)


@examples(10, 4000)
@given(SOME)
def test_together_or_alone_the_same_becomes_of_them(data: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        alone, together = Fuzzed(Path(folder) / "alone.db", lived_in()), Fuzzed(Path(folder) / "together.db", lived_in())
        messages = [*messages_of(data), GOOD_MESSAGE]
        asyncio.run(alone.run([[message] for message in messages]))
        asyncio.run(together.run([messages]))
        assert [letter.id for letter in together.letters] == [letter.id for letter in alone.letters]
        assert together.found == alone.found
        check_all_is_well(together, data)


REFUSING = """CREATE TEMP TRIGGER refusing BEFORE INSERT ON main.record WHEN new.record_id LIKE '00Q5g00000BAD01%'
BEGIN SELECT RAISE(ABORT, 'not this one'); END"""


@pytest.mark.parametrize("places", [(1,), (0,), (3,), (0, 3), (1, 2)])
def test_what_the_store_cannot_take_is_kept_alone_and_the_others_are_taken(tmp_path: Path, places: tuple[int, ...]) -> None:
    """A fault that nobody has foreseen, in the middle of a batch: it must not come back for ever."""
    data = [good_event(number, number + 1) for number in range(4)]
    for number, each in enumerate(data):
        last = "BAD01" if number in places else f"GOO0{number}"
        each["payload"]["ChangeEventHeader"]["recordIds"] = [f"00Q5g00000{last}"]
    fuzzed = Fuzzed(tmp_path / "store.db")
    asyncio.run(fuzzed.run([messages_of(data), [GOOD_MESSAGE]], REFUSING))
    assert [(letter.code, letter.cause) for letter in fuzzed.letters] == [
        ("UNREADABLE_EVENT", "unexpected IntegrityError while storing: a bug, please report")
    ] * len(places)
    assert fuzzed.found == {"Lead": 5 - len(places), "User": 1}
    assert fuzzed.replay is not None
    assert fuzzed.replay.replay_id == GOOD_ID
