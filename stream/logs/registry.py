"""What an event of the log is: its name, its level, its keys, what it means and what to do about it.

The tables (`flow_events.py`, `delivery_events.py`, `daemon_events.py`) are joined in `events.py`; `docs/logs.md` is made of them.
A test walks the code and refuses a line that is not registered like this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
Kind = Literal["text", "count", "number", "list", "map"]

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Key:
    """What a key holds, whichever event it stands in. Its unit is the end of its name; a `count` has none."""

    kind: Kind
    meaning: str
    may_be_null: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Two lines of it are the same where the keys in `same` are equal (None: no two ever are); repeats are counted.

    `first`: so many of the same are said before. `summed`: what adds up where one line stands for several. `ends`: the conditions
    that are over with it, if the keys in `by` are equal. `gap_seconds_most`: counted for no longer.
    """

    name: str
    levels: tuple[Level, ...]
    keys: tuple[str, ...]
    optional: tuple[str, ...]
    same: tuple[str, ...] | None
    meaning: str
    cure: str
    first: int = 1
    summed: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    gap_seconds_most: float = math.inf


EACH = "*"


def event(
    level: str,
    name: str,
    keys: str,
    meaning: str,
    cure: str = NOTHING,
    *,
    same: str,
    first: int = 1,
    summed: str = "",
    ends: str = "",
    by: str = "",
    gap_seconds_most: float = math.inf,
) -> Event:
    """An event, written for people: names stand in one text, `key?` may be missing, `same="*"` is never counted."""
    levels: tuple[Level, ...] = tuple(_level(each) for each in level.split())
    return Event(
        name=name,
        levels=levels,
        keys=tuple(key for key in keys.split() if not key.endswith("?")),
        optional=tuple(key[:-1] for key in keys.split() if key.endswith("?")),
        same=None if same == EACH else tuple(same.split()),
        meaning=meaning,
        cure=cure,
        first=first,
        summed=tuple(summed.split()),
        ends=tuple(ends.split()),
        by=tuple(by.split()),
        gap_seconds_most=gap_seconds_most,
    )


def _level(text: str) -> Level:
    match text:
        case "debug" | "info" | "warning" | "error":
            return text
    raise ValueError(f"{text} is no level")
