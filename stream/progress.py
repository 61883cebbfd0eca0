"""How far a load is: kept in the store with each page, told in the log now and then, and shown by whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from store.coverage import load_note
from store.model import Hole, ObjectName
from store.store import Store
from stream.clock import Clock

log = structlog.get_logger(__name__)

LINE_SECONDS = 10.0


@dataclass(slots=True)
class Progress:
    """One load. `rows` counts over restarts; the rate is of this run. `job` and `locator` say where a bulk job stands.

    `whole`: it began with everything, and not at some moment.
    """

    object: ObjectName
    why: str
    clock: Clock
    total: int
    rows: int = 0
    whole: bool = False
    cuts: int = 0
    job: str = ""
    locator: str = ""
    began: float = 0.0
    _before: int = 0
    _line_at: float = 0.0

    @classmethod
    async def begin(cls, store: Store, clock: Clock, hole: Hole, total: int) -> Progress:
        """Begin the load of a hole, or go on with it."""
        held: Mapping[str, Any] = await store.note(load_note(hole.object)) or {}
        if held.get("cuts") != hole.cuts:
            held = {}  # of another hole
        now, rows = clock.monotonic(), int(held.get("rows", 0))
        progress = cls(
            hole.object,
            hole.why,
            clock,
            total + (rows if hole.from_s else 0),
            rows,
            cuts=hole.cuts,
            began=now,
            _before=rows,
            _line_at=now,
        )
        progress.whole = hole.from_s == 0 or bool(held.get("whole"))
        progress.job, progress.locator = str(held.get("job", "")), str(held.get("locator", ""))
        log.info("load_started", object=hole.object, why=hole.why, total=total, rows_before=rows)
        return progress

    def grown(self, rows: int) -> dict[str, Any]:
        """So many rows more; returns the note to store with them."""
        self.rows += rows
        if self.clock.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = self.clock.monotonic()
            log.info(
                "load_progress",
                object=self.object,
                rows=self.rows,
                total=self.total,
                rows_per_second=round(self.rate, 1),
                left_seconds=round(self.seconds_left),
            )
        return self.noted()

    def noted(self) -> dict[str, Any]:
        """The note as it stands."""
        told = {"why": self.why, "rows": self.rows, "total": self.total, "rows_a_second": self.rate, "at": self.clock.now()}
        place = {"whole": self.whole, "cuts": self.cuts, "job": self.job, "locator": self.locator}
        return {load_note(self.object): {**told, **place}}

    def ended(self) -> dict[str, Any]:
        """All is read; returns what becomes of the note."""
        log.info("load_finished", object=self.object, rows=self.rows, why=self.why)
        return {load_note(self.object): None}

    @property
    def rate(self) -> float:
        """Rows a second in this run."""
        return (self.rows - self._before) / max(self.clock.monotonic() - self.began, 0.001)

    @property
    def seconds_left(self) -> float:
        """At this rate."""
        return max(self.total - self.rows, 0) / max(self.rate, 0.001)
