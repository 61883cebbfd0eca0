"""Repeats are counted: the same line is said at once, then now and then, with how often it was meanwhile.

    line ──same as before?── no ──▶ said                                        the condition is over ──▶ said, with the count
              └── yes ──▶ counted ── after 1 min, 5 min, 30 min, 2 h, then every 4 h ──▶ said, with the count

A condition that comes and goes is no news either: its end is said only where its beginning was. Nothing is dropped for good: each
line is said, or stands in the count of a later one, at the latest when the daemon ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from stream.logs.events import REGISTRY
from stream.logs.lines import TOLD, Line, same_as
from stream.logs.registry import Event

GAPS_SECONDS = (60.0, 300.0, 1800.0, 7200.0, 14400.0)
SAME_MOST = 20  # so many different ones of an event are told apart; further ones are the same as each other
ENDABLE = frozenset(name for event in REGISTRY.values() for name in event.ends)

log = structlog.get_logger(__name__)

Levelled = tuple[str, Line]


@dataclass(slots=True)
class Same:
    """Lines that are the same as `first`: `said` since the gap began, and `unsaid`, which were counted, `last` the last of them.

    An episode of a condition goes from its first line to its end. `over`: the end of one of which nothing was said.
    """

    event: Event
    first: Line
    began_at: float
    next_at: float
    seen_at: float
    gap: int = 0
    said: int = 1
    unsaid: int = 0
    last: Levelled = ("", {})
    sums: dict[str, float] = field(default_factory=dict)
    open: bool = True
    episode: int = 1
    episode_said: bool = True
    over: Levelled | None = None

    def begin_again(self, now: float) -> None:
        """Another episode."""
        self.open, self.began_at, self.episode, self.episode_said, self.over = True, now, 0, False, None

    def count(self, level: str, line: Line) -> None:
        """One that is not said."""
        self.unsaid += 1
        self.last = (level, dict(line))
        for name in self.event.summed:
            self.sums[name] = round(self.sums.get(name, 0) + line[name], 3)

    def counted(self, now: float) -> Levelled:
        """The line that stands for those that were counted: the last of them, or the end, where that is over."""
        level, line = self.over or self.last
        told = {**line, **({} if self.over else self.sums), "repeated": self.unsaid}
        self.unsaid, self.sums, self.over = 0, {}, None
        self.wait_longer(now)
        return level, told

    def wait_longer(self, now: float) -> None:
        """It has just been said: the next gap is a longer one."""
        self.gap = min(self.gap + 1, len(GAPS_SECONDS) - 1)
        self.next_at, self.said, self.episode_said = now + self.gap_seconds, 1, True

    @property
    def gap_seconds(self) -> float:
        """How long the same is only counted."""
        return min(GAPS_SECONDS[self.gap], self.event.gap_seconds_most)

    def is_forgotten(self, now: float) -> bool:
        """Whether it has been quiet for so long that the next one is news again."""
        may_end = self.open and self.event.name in ENDABLE
        return not (self.unsaid or may_end) and now - self.seen_at >= 2 * self.gap_seconds


@dataclass(slots=True)
class Repeats:
    """A structlog processor. `monotonic` is the clock."""

    monotonic: Callable[[], float]
    _held: dict[tuple[str, ...], Same] = field(default_factory=dict)

    def __call__(self, _: Any, level: str, line: Line) -> Line:
        """The line, if it is said; raises DropEvent where it is counted."""
        event = REGISTRY.get(str(line["event"]))
        if line.pop(TOLD, False) or event is None:
            return line
        said = self._end(event, level, line) if event.ends else event.same is None or self._say(event, level, line)
        if not said:
            raise structlog.DropEvent
        return line

    def due(self, *, everything: bool = False) -> list[Levelled]:
        """What was counted and is to be said now, each with its level."""
        now, found = self.monotonic(), []
        for key, same in list(self._held.items()):
            if same.unsaid and (everything or now >= same.next_at):
                found.append(same.counted(now))
            elif same.is_forgotten(now):
                del self._held[key]
        return found

    def tell(self, *, everything: bool = False) -> None:
        """Say what was counted and is due, or all of it."""
        for level, line in self.due(everything=everything):
            getattr(log, level)(**line, **{TOLD: True})

    def _say(self, event: Event, level: str, line: Line) -> bool:
        """Whether this line is said; if so, it tells how many it stands for."""
        now, same = self.monotonic(), self._same(event, line)
        if same is None:
            return True
        same.seen_at = now
        if not same.open:
            same.begin_again(now)
        same.episode += 1
        if now >= same.next_at and not same.unsaid:
            same.wait_longer(now)
        elif now >= same.next_at:
            same.count(level, line)
            line.update(same.counted(now)[1])
        elif same.said >= event.first or same.unsaid:
            same.count(level, line)
            return False
        else:
            same.said += 1
            same.episode_said = True
        return True

    def _same(self, event: Event, line: Line) -> Same | None:
        """Those that this line is the same as; None where it is the first."""
        key, now = same_as(event, line), self.monotonic()
        if key not in self._held and sum(held[0] == event.name for held in self._held) >= SAME_MOST:
            key = (event.name,)
        if key in self._held:
            return self._held[key]
        self._held[key] = Same(event, dict(line), now, now + min(GAPS_SECONDS[0], event.gap_seconds_most), now)
        return None

    def _end(self, event: Event, level: str, line: Line) -> bool:
        """Whether this end is said: not where it ends only what nobody has heard of."""
        now = self.monotonic()
        ended = [same for same in self._held.values() if same.open and same.event.name in event.ends and _fits(event, same, line)]
        said = [same for same in ended if same.episode_said]
        if said:
            line["repeated"] = sum(same.episode for same in said)
            line.setdefault("lasted_seconds", round(now - min(same.began_at for same in said), 1))
        for same in ended:
            same.open = False
            if same.episode_said:
                same.unsaid, same.sums = 0, {}
            else:
                same.over = (level, dict(line))
        return bool(said) or not ended


def _fits(event: Event, same: Same, line: Line) -> bool:
    """Whether the end is this one's: the keys that must be equal are."""
    return all(same.first.get(key) == line.get(key) for key in event.by)
