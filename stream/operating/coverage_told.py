"""What is proven complete, for people and for monitoring: the store's intervals in, words and rows out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from store.coverage import gaps
from store.model import ObjectName
from store.view import Coverage
from stream.config.model import Settings

STALE_FROM_SECONDS = 600.0  # how long after the time for it a poll or a sweep may be late before it is said


def rows(coverage: Coverage, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """For each object that is not off, its covered intervals and its holes, oldest first; `from` is null for the beginning."""
    return {obj: _rows(coverage, obj) for obj in _objects(settings)}


def _objects(settings: Settings) -> Sequence[ObjectName]:
    modes = settings.salesforce.objects
    return [*modes.set_to("stream"), *modes.set_to("poll")]


def _rows(coverage: Coverage, obj: ObjectName) -> list[dict[str, Any]]:
    held = coverage.intervals.get(obj, [])
    found = [(start, {"from": _moment(start), "to": _moment(end), "how": how}) for start, end, how in held]
    found += [
        (start, {"from": _moment(start), "to": _moment(end), "hole": coverage.whys[obj]}) for start, end in _holes(coverage, obj)
    ]
    return [row for _, row in sorted(found, key=lambda each: each[0])]


def _holes(coverage: Coverage, obj: ObjectName) -> list[tuple[float, float]]:
    held = coverage.intervals.get(obj, [])
    until_s = max([end for _, end, _ in held] + [coverage.streamed.get(obj, 0.0)], default=0.0)
    return gaps(held, until_s)


def reasons(coverage: Coverage, settings: Settings, now: float) -> list[str]:
    """What is not proven complete while the daemon runs, a sentence an object."""
    found: list[str] = []
    unread = [obj for obj in _objects(settings) if not coverage.intervals.get(obj) and obj not in coverage.loads]
    if unread:
        found.append(f"{', '.join(unread)}: never read yet; that begins by itself")
    for obj in _objects(settings):
        loading = coverage.loads.get(obj)
        holes = _holes(coverage, obj)
        if loading is not None:
            found.append(_loading(obj, loading))
        elif obj in unread:
            continue
        elif holes:
            span = f"between {_moment(holes[0][0]) or 'the beginning'} and {_moment(holes[-1][1])}"
            found.append(f"{obj}: changes {span} may be missing ({coverage.whys[obj]}); they are read again by themselves")
        elif late := _late(coverage, obj, settings, now):
            found.append(late)
    return found


def _loading(obj: ObjectName, told: Mapping[str, Any]) -> str:
    rows_read, total, rate = told["rows"], max(told["total"], told["rows"]), told["rows_a_second"]
    left = f", about {max(total - rows_read, 0) / rate / 60:.0f} minutes left" if rate > 0 else ""
    return f"{obj} is being read, {rows_read:,} of {total:,} records{left} ({told['why']})"


def _late(coverage: Coverage, obj: ObjectName, settings: Settings, now: float) -> str:
    polled = settings.salesforce.objects.of(obj) == "poll"
    interval = settings.reconcile.poll_interval_seconds if polled else settings.reconcile.interval_seconds
    end = max(end for _, end, _ in coverage.intervals[obj])
    if now - end <= 2 * interval + STALE_FROM_SECONDS:
        return ""
    return f"{obj}: nothing proves that changes since {_moment(end)} have come"


def silent(told: Mapping[str, int]) -> list[str]:
    """Objects of which the stream brings nothing although they change."""
    cure = "select it for Change Data Capture in Setup, or set it to poll"
    return [
        f"the stream brings nothing of {obj}, whose {missed:,} changes only a sweep found: {cure}" for obj, missed in told.items()
    ]


def _moment(seconds: float) -> str | None:
    if seconds <= 0:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
