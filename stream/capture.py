"""The capture loop: change events into the outbox, each batch with its replay id in one transaction.

    source ──▶ receive (many at once) ──▶ decode ──▶ echo? off? ──▶ changes + replay id ──▶ store

The connect loop is the source's own task: it never waits for what is done here. After any loss a new attempt begins at the
committed replay id, so an event that was not committed comes again, and one that was is recognised.

What is proven by it: once everything that had arrived is stored, each streamed object is complete up to the last answered
connect. A stream that goes on at its stored position goes on from there; one that cannot leaves a hole, which is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from store.errors import StoreError
from store.intake import Taken
from store.model import OBJECTS, Change, Covered, Hole, ObjectName, Replay, Stream, Unreadable
from store.store import Store
from stream.changes import Echo, asked_of, changes_of
from stream.clock import Clock
from stream.config.model import ObjectModes
from stream.errors import ReplayRefused, StreamError, Unreachable
from stream.json_text import whole_text
from stream.mapping import SourceFields
from stream.model import DecodeError, decode, subject
from stream.retry import Backoff, Resumption
from stream.server_clock import ServerClock
from stream.source import ALL_RETAINED, NEW_EVENTS, ChangeSource, Message, Subscription
from stream.watch import pulse

log = structlog.get_logger(__name__)

BATCH_MOST = 500
RETAINED_S = 71 * 3600  # Salesforce keeps events for 72 hours (CDC Developer Guide); the last of them is left as a margin

NAMED: Mapping[str, ObjectName] = {obj: obj for obj in OBJECTS}

State = Literal["starting", "connected", "lost"]


@dataclass(slots=True)
class _Batch:
    """What one batch of messages says."""

    changes: list[Change] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)
    commit_ms: int = 0
    heard: Counter[ObjectName] = field(default_factory=Counter)
    gaps: Counter[ObjectName] = field(default_factory=Counter)
    echoes: int = 0


@dataclass(slots=True)
class Capture:
    """The loop.

    `first_from` is where a channel begins that was never read: everything retained, or, where a first load follows, new events.
    """

    source: ChangeSource
    store: Store
    clock: Clock
    channel: str
    modes: ObjectModes
    fields: SourceFields
    echo: Echo
    backoff: Backoff
    server_clock: ServerClock
    first_from: int = ALL_RETAINED
    state: State = "starting"
    error: str = ""
    events: int = 0
    echoes: int = 0
    by_object: Counter[ObjectName] = field(default_factory=Counter)
    _heard: float | None = None
    _subscription: Subscription | None = None
    _taking: bool = False
    _stood: bool = False
    _since_s: dict[ObjectName, float] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)
    _pulse: pulse.Pulse | None = None

    async def run(self) -> None:
        """Subscribe, again and again, until cancelled."""
        self._pulse = pulse.mine()
        resumption = Resumption(self.backoff)
        while True:
            began, self._stood = self.clock.monotonic(), False
            replay_from = ALL_RETAINED
            try:
                replay_from = await self._replay_from()
                await self._attempt(replay_from)
            except StreamError as error:
                if isinstance(error, ReplayRefused) and replay_from != ALL_RETAINED:
                    await self._start_over(error)
                    continue
                now_s = self.clock.monotonic()
                wait_seconds = resumption.wait_seconds(
                    now_s=now_s, lasted_seconds=now_s - began, stood=self._stood, passes=isinstance(error, Unreachable)
                )
                self._lost(error, wait_seconds)
                pulse.attempted(wait_seconds)
                await self.clock.sleep(wait_seconds)

    async def _replay_from(self) -> int:
        stored = await self.store.replay(self.channel)
        return stored.replay_id if stored is not None else self.first_from

    async def _attempt(self, replay_from: int) -> None:
        async with self.source.subscribe(replay_from) as subscription:
            self._subscription, self._taking, self.state, self.error = subscription, True, "connected", ""
            self._stood = True
            self._note_heard()
            log.info("stream_subscribed", channel=self.channel, replay_from=replay_from)
            try:
                await self._go_on(replay_from, self.server_clock.at(subscription.heard_at))
                self._taking = False
                pulse.attempted()
                while True:
                    messages = await subscription.receive(BATCH_MOST)
                    self._taking = True
                    await self._take(messages, subscription.pending > 0)
                    self._taking = False
                    pulse.beat()
            finally:
                self._note_heard()
                self._subscription, self._taking, self._since_s = None, False, {}

    async def _go_on(self, replay_from: int, now_s: float) -> None:
        """From where each object is complete once this stream is: from where it was read to, or from now."""
        held = await self.store.stream(self.channel) if replay_from not in {NEW_EVENTS, ALL_RETAINED} else None
        since_s = dict(held.since_s) if held is not None else {}
        streamed = self.modes.set_to("stream")
        if replay_from == ALL_RETAINED and self.first_from == ALL_RETAINED:
            for obj in streamed:
                if not await self.store.intervals(obj) and not await self.store.cuts(obj):  # nothing older was ever asked for
                    since_s[obj] = now_s - RETAINED_S
                    await self.store.cover([Covered(obj, 0.0, since_s[obj], "waived")])
        if replay_from == NEW_EVENTS:
            broken = [obj for obj in streamed if await self.store.intervals(obj)]
            await self.store.cut([Hole(obj, now_s, now_s, "the stream had no position to go on from") for obj in broken])
        self._since_s = {obj: since_s.get(obj, now_s) for obj in streamed}
        await self.store.stream_on(Stream(self.channel, dict(self._since_s), now_s))
        self._note_proven(Stream(self.channel, {}, now_s))
        self.store.wake()  # loads wait for it

    def _proven(self) -> Stream | None:
        """Up to where the streamed objects are complete, where nothing that has arrived is still to be stored."""
        if self._subscription is None or self._subscription.pending or not self._since_s:
            return None
        return Stream(self.channel, dict(self._since_s), self.server_clock.at(self._subscription.heard_at))

    def _note_proven(self, stream: Stream) -> None:
        self._since_s = {obj: max(since_s, stream.until_s) for obj, since_s in self._since_s.items()}

    async def prove(self) -> None:
        """Write down up to where the streamed objects are complete, unless events are being stored: they bring it along.

        Raises StoreBlocked while the store cannot be written.
        """
        stream = self._proven() if not self._taking else None
        if self._subscription is not None and self._pulse is not None and not (self._taking or self.pending):
            self._pulse.beat(at=self._subscription.heard_at)
        if stream is not None and any(since_s < stream.until_s for since_s in stream.since_s.values()):
            await self.store.stream_on(stream, waits=False)
            self._note_proven(stream)

    @property
    def heard_at(self) -> float | None:
        """When Salesforce last proved that nothing is waiting, in seconds since the epoch, which outlive this process."""
        heard = self.heard
        return self.clock.now() - (self.clock.monotonic() - heard) if heard is not None else None

    @property
    def heard(self) -> float | None:
        """The same, monotonic."""
        self._note_heard()
        return self._heard

    def _note_heard(self) -> None:
        if self._subscription is not None:
            self._heard = self._subscription.heard_at

    @property
    def pending(self) -> int:
        """Events received and not yet stored."""
        return self._subscription.pending if self._subscription is not None else 0

    def _lost(self, error: StreamError, wait_seconds: float) -> None:
        log.warning("stream_lost", cause=error.message, cure=error.hint, retry_seconds=round(wait_seconds, 1))
        self.state, self.error = "lost", error.message

    async def _start_over(self, error: ReplayRefused) -> None:
        """The stored replay id is too old: take everything retained. What was not read until then is a hole, and read again."""
        stored = await self.store.replay(self.channel)
        held = await self.store.stream(self.channel)
        until_s = held.until_s if held is not None else 0.0
        log.error("replay_id_refused", channel=self.channel, replay_id=stored.replay_id if stored else None, cure=error.hint)
        streamed = self.modes.set_to("stream")
        await self.store.cut([Hole(obj, until_s, until_s, "the stored replay id had expired") for obj in streamed])
        now_ms = int(self.clock.now() * 1000)
        await self.store.set_replay(Replay(self.channel, ALL_RETAINED, stored.commit_ms if stored else 0, now_ms))

    async def _take(self, messages: Sequence[Message], more: bool) -> None:
        """Store what the messages say; the position goes with it. What cannot be stored is found, and kept as it came."""
        try:
            await self._store(messages, self._read(messages), more)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - no event may stop the daemon; it is kept whole for a person to look at
            if len(messages) > 1:
                for number, message in enumerate(messages, start=1):
                    await self._take([message], more or number < len(messages))
                return
            cause = f"unexpected {type(error).__name__} while storing: a bug, please report"
            await self._store(messages, _Batch(unreadable=[self._whole(messages[0], cause)]), more)

    async def _store(self, messages: Sequence[Message], batch: _Batch, more: bool) -> None:
        now_ms = int(self.clock.now() * 1000)
        replay_id = last_whole_id(messages, more)
        replay = Replay(self.channel, replay_id, batch.commit_ms, now_ms) if replay_id is not None else None
        stream = self._proven() if not more else None
        taken = await self.store.take(
            batch.changes, replay, now_ms, unreadable=batch.unreadable, holes=batch.holes, stream=stream
        )
        if stream is not None:
            self._note_proven(stream)
        self._tell(messages, batch, taken, replay_id)

    def _tell(self, messages: Sequence[Message], batch: _Batch, taken: Taken, replay_id: int | None) -> None:
        self.events += len(messages)
        self.echoes += batch.echoes
        self.by_object.update(batch.heard)
        for each in batch.unreadable:
            log.error("event_unreadable", channel=each.source, replay_id=each.replay_id, cause=each.cause)
        for hole in batch.holes:
            log.warning("reread_asked", object=hole.object, why=hole.why)
        for obj, records in (+batch.gaps).items():
            log.warning("reread_asked", object=obj, why=f"a gap: of {records} records only that they changed")
        log.debug(
            "events_taken",
            replay_id=replay_id,
            events=len(messages),
            applied=taken.applied,
            dropped=taken.dropped,
            pending=self.pending,
        )

    def _read(self, messages: Sequence[Message]) -> _Batch:
        batch = _Batch()
        for message in messages:
            try:
                self._decode(message.data, batch)
            except DecodeError as error:
                self._keep(message, str(error), batch)
            except Exception as error:  # noqa: BLE001 - no event may stop the daemon; it is kept whole for a person to look at
                self._keep(message, f"unexpected {type(error).__name__} while decoding: a bug, please report", batch)
        return batch

    def _decode(self, data: Any, batch: _Batch) -> None:
        event = decode(data)
        obj = self._object_of(event.entity)
        if obj is None:
            return
        if event.is_sweeping:
            batch.holes.append(Hole(obj, 0.0, self.server_clock.now(), f"{event.change_type} without record ids"))
        elif self.echo.is_echo(event):
            batch.echoes += 1
        else:
            changes = changes_of(event, obj, self.fields)
            batch.gaps[obj] += len(changes) if event.is_gap else 0
            batch.changes += changes
        batch.heard[obj] += 1
        batch.commit_ms = max(batch.commit_ms, event.commit_ms)

    def _keep(self, message: Message, cause: str, batch: _Batch) -> None:
        """An event that cannot be understood is kept whole, and the records that it names are read, if they are ours."""
        entity, record_ids = subject(message.data)
        obj = self._object_of(entity) if entity else None
        if entity and obj is None:
            return
        batch.unreadable.append(self._whole(message, cause))
        batch.changes += asked_of(obj, record_ids, "an event of it could not be understood") if obj is not None else []

    def _whole(self, message: Message, cause: str) -> Unreadable:
        return Unreadable(self.channel, message.replay_id, whole_text(message.data), cause)

    def _object_of(self, entity: str) -> ObjectName | None:
        """The event's object, or None where it is not ours to take: said once."""
        obj = NAMED.get(entity)
        if obj is not None and self.modes.of(obj) == "stream":
            return obj
        if entity not in self._warned:
            self._warned.add(entity)
            mode = self.modes.of(obj) if obj is not None else "no object of this daemon"
            log.warning("events_passed_over", object=entity, mode=mode)
        return None


def last_whole_id(messages: Sequence[Message], more: bool) -> int | None:
    """The replay id up to which everything is here. Events may share one: where more has arrived, the last may not be whole."""
    ids = [message.replay_id for message in messages if message.replay_id is not None]
    if not ids:
        return None
    if not more:
        return ids[-1]
    return next((replay_id for replay_id in reversed(ids) if replay_id != ids[-1]), None)
