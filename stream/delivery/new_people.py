"""How many people may be created in Marketo in a day: a wrong filter must not fill a Marketo. Pure: time comes in.

    who is to be created ──take──▶ counted and sent, as long as there is room ──settle──▶ stays counted where it was created
                              └──▶ the others wait for the next day (Marketo's: US Central)

Everybody is counted, and the count is stored, before the request goes out: killed at any moment, the daemon never creates more.
Who was sent and not heard of is in doubt, and is not counted a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.budgets.budget import CENTRAL, day_in

NOTE = "new_people"


@dataclass(slots=True)
class NewPeople:
    """The day's count. `doubtful` are the records that were sent today and not heard of yet.

    `someone_waits`: there may be somebody in the store who waits for another day.
    """

    limit: int
    day: str = ""
    used: int = 0
    doubtful: set[str] = field(default_factory=set)
    said_day: str = ""
    someone_waits: bool = True
    _changed: bool = False

    def left(self, now: float) -> int:
        """How many more may be created today."""
        self._turn_day(now)
        return max(self.limit - self.used, 0)

    def take(self, record_ids: Iterable[str], now: float) -> set[str]:
        """Those who may be created today; they are counted from now on."""
        self._turn_day(now)
        taken: set[str] = set()
        for record_id in record_ids:
            if record_id not in self.doubtful:
                if self.used >= self.limit:
                    continue
                self.used += 1
                self.doubtful.add(record_id)
                self._changed = True
            taken.add(record_id)
        return taken

    def settle(self, record_id: str, *, created: bool) -> None:
        """It is known what became of somebody who was sent."""
        if record_id in self.doubtful:
            self.doubtful.discard(record_id)
            self.used -= not created
            self._changed = True

    def say(self, now: float) -> bool:
        """Whether it has yet to be said that there is no more room today; asking counts as saying."""
        self._turn_day(now)
        said, self.said_day = self.said_day, self.day
        return said != self.day

    def restore(self, note: Mapping[str, Any] | None, now: float) -> None:
        """Take over what an earlier run has counted today."""
        self._turn_day(now)
        if note is not None and note["day"] >= self.day:
            self.used, self.doubtful = note["used"], set(note["doubtful"])

    def carry_over(self, then: float, now: float) -> None:
        """The clock was set from then to now: whatever day it shows, that makes no room."""
        self._turn_day(then)
        self.day, self._changed = day_in(CENTRAL, now)[0], True

    def news(self) -> dict[str, Any]:
        """The note to be stored, by its name; empty where nothing has changed."""
        if not self._changed:
            return {}
        self._changed = False
        return {NOTE: {"day": self.day, "used": self.used, "doubtful": sorted(self.doubtful)}}

    def _turn_day(self, now: float) -> None:
        day, _ = day_in(CENTRAL, now)
        if day > self.day:  # a clock that is set back over midnight makes no room
            self.day, self.used = day, 0
            self.doubtful.clear()


def next_day(now: float) -> float:
    """When Marketo's next day begins, in seconds since the epoch."""
    return now + day_in(CENTRAL, now)[1]
