"""A re-read asked for by the operator: history is cut open, the running daemon closes it, and whoever waits sees how far."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from store.coverage import gaps
from store.database import is_held
from store.model import OBJECTS, Hole, ObjectName
from store.store import Store
from store.view import coverage, heartbeat
from stream.clock import Clock
from stream.config.model import Settings

WHY = "asked for by the operator"
LOOK_SECONDS = 0.5
SILENT_SECONDS = 30.0  # a daemon speaks every few seconds
_AGO = re.compile(r"(\d+)([hd])", re.IGNORECASE)
_UNIT_S = {"h": 3600, "d": 86400}

Stage = Literal["waits", "is read", "done"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: these objects, from then (0: from the beginning) until the moment of asking."""

    objects: Sequence[ObjectName]
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one object is."""

    object: ObjectName
    stage: Stage
    rows: int = 0
    total: int = 0
    rows_a_second: float = 0.0


def chosen(names: Sequence[str], settings: Settings) -> list[ObjectName]:
    """The objects named, or all that are not off, parents first. Raises ValueError for one that is off."""
    modes = settings.salesforce.objects
    wanted = [obj for obj in OBJECTS if obj in names] if names else [obj for obj in OBJECTS if modes.of(obj) != "off"]
    if off := [obj for obj in wanted if modes.of(obj) == "off"]:
        raise ValueError(f'{", ".join(off)}: found "off" in [salesforce.objects], expected "stream" or "poll"')
    return wanted


def since_of(text: str | None, now: float) -> float:
    """Seconds since the epoch of a moment (`2026-11-01`, `2026-11-01T12:00Z`, `36h`, `7d`); 0 for None. Raises ValueError."""
    if text is None:
        return 0.0
    if ago := _AGO.fullmatch(text.strip()):
        return now - int(ago[1]) * _UNIT_S[ago[2].lower()]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"found {text[:40]!r}, expected a moment such as 2026-11-01, 2026-11-01T12:00Z, 36h or 7d") from None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if seconds > now:
        raise ValueError(f"found {text[:40]!r}, which is to come, expected a moment that is past")
    return max(seconds, 0.0)


async def ask(path: Path, objects: Sequence[ObjectName], from_s: float, now: float) -> Asked:
    """Write down that these are to be read again; the daemon takes it up within seconds, or at its next start."""
    store = await Store.open(path, create=False, exclusive=False)
    try:
        await store.cut([Hole(obj, from_s, now, WHY) for obj in objects])
    finally:
        await store.close()
    return Asked(objects, from_s, now)


async def standings(path: Path, channel: str, asked: Asked) -> list[Standing]:
    """How far each object is."""
    found = await coverage(path, channel)
    return [_standing(obj, found.loads.get(obj), _left(found.intervals.get(obj, []), asked)) for obj in asked.objects]


def _left(held: Sequence[tuple[float, float, str]], asked: Asked) -> bool:
    return any(end > asked.from_s and start < asked.to_s for start, end in gaps(held, asked.to_s))


def _standing(obj: ObjectName, told: Mapping[str, Any] | None, left: bool) -> Standing:
    if not left:
        rows = int(told["rows"]) if told else 0
        return Standing(obj, "done", rows, rows)
    if told is None:
        return Standing(obj, "waits")
    return Standing(obj, "is read", told["rows"], max(told["total"], told["rows"]), told["rows_a_second"])


async def watch(path: Path, channel: str, asked: Asked, clock: Clock) -> AsyncIterator[list[Standing]]:
    """How it stands, again and again, until all is read, or no daemon runs or speaks (the last standings then still wait)."""
    began = clock.monotonic()
    while True:
        now = await standings(path, channel, asked)
        yield now
        if all(each.stage == "done" for each in now) or not is_held(path):
            return
        if clock.monotonic() - began > SILENT_SECONDS and await _is_silent(path, clock):
            return
        await clock.sleep(LOOK_SECONDS)


async def _is_silent(path: Path, clock: Clock) -> bool:
    """Whether the daemon that holds the store has said nothing for long: it hangs."""
    beat = await heartbeat(path)
    return beat is None or beat["stopped"] or clock.now() - beat["at"] > SILENT_SECONDS
