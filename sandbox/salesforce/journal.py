"""The event bus of the simulated org: what was published, under which replay id, and how long it is kept.

A place in the log is an absolute position, so that a subscriber's cursor survives the expiry of older events. Replay ids grow by
random strides, and a known id may be published a second time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

RETENTION_SECONDS = 72 * 3600.0


@dataclass(frozen=True, slots=True)
class Published:
    """One event on the bus: `data` is the JSON of Bayeux' `data` (schema, payload, event), `at` its epoch time."""

    replay_id: int
    entity: str
    data: bytes
    at: float


class EventLog:
    """All events that are still retained, in commit order."""

    def __init__(self, now: Callable[[], float], rng: random.Random) -> None:
        self.retention_seconds = RETENTION_SECONDS
        self._now = now
        self._rng = rng
        self._events: list[Published] = []
        self._base = 0
        self._positions: dict[int, int] = {}
        self._last_id = rng.randint(1_000, 9_000_000)
        self._listeners: list[Callable[[], None]] = []

    def on_append(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each published event; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def next_replay_id(self) -> int:
        """A new id, greater than all before, and seldom the very next number."""
        self._last_id += self._rng.choice((1, 1, 2, 3, 7, 40))
        return self._last_id

    def append(self, entity: str, data: dict[str, Any] | bytes, replay_id: int) -> int:
        """Publish one event and wake the subscribers."""
        raw = data if isinstance(data, bytes) else orjson.dumps(data)
        self._positions[replay_id] = self.end
        self._events.append(Published(replay_id, entity, raw, self._now()))
        for listener in self._listeners:
            listener()
        return replay_id

    @property
    def start(self) -> int:
        """The position of the oldest retained event."""
        self._expire()
        return self._base

    @property
    def end(self) -> int:
        """The position the next event will have."""
        return self._base + len(self._events)

    @property
    def last_replay_id(self) -> int:
        """The newest id that was given out."""
        return self._last_id

    def after(self, replay_id: int) -> int | None:
        """The position after a replay id (-1: the end, -2: the oldest retained), or None when the id is no valid one."""
        if replay_id == -1:
            return self.end
        if replay_id == -2:
            return self.start
        self._expire()
        position = self._positions.get(replay_id)
        return None if position is None else position + 1

    def read(self, position: int) -> list[tuple[int, Published]]:
        """All retained events from a position on, each with the position after it."""
        self._expire()
        first = max(position, self._base)
        return [(first + i + 1, event) for i, event in enumerate(self._events[first - self._base :])]

    def at(self, position: int) -> Published | None:
        """The event at one position, or None past the end."""
        index = position - self._base
        return self._events[index] if 0 <= index < len(self._events) else None

    def events(self) -> list[dict[str, Any]]:
        """All retained events as subscribers see them (`schema`, `payload`, `event`), for tests to look at."""
        self._expire()
        return [orjson.loads(event.data) for event in self._events]

    def find(self, replay_id: int) -> Published:
        """The retained event with that id."""
        return self._events[self._positions[replay_id] - self._base]

    def expire_before(self, replay_id: int) -> None:
        """Forget every event with a smaller id, as if 72 hours had passed for them."""
        while self._events and self._events[0].replay_id < replay_id:
            self._drop(1)

    def expire_all(self) -> None:
        """Forget every event: after that only -1 and -2 are valid."""
        self._drop(len(self._events))

    def _expire(self) -> None:
        horizon = self._now() - self.retention_seconds
        old = 0
        while old < len(self._events) and self._events[old].at < horizon:
            old += 1
        if old:
            self._drop(old)

    def _drop(self, count: int) -> None:
        for offset, event in enumerate(self._events[:count]):
            if self._positions.get(event.replay_id) == self._base + offset:
                del self._positions[event.replay_id]
        del self._events[:count]
        self._base += count
