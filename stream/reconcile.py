"""The reconciling loop: queries by SystemModstamp feed the outbox what the stream does not bring.

    polled objects, every poll_interval_seconds ─┐
    re-reads that somebody asked for ────────────┴─▶ queryAll … ORDER BY SystemModstamp ──page──▶ outbox + cursor

The cursor moves in the transaction that stores its page, so a daemon killed half way goes on where it was. Each query begins a
quarter of an hour before the cursor, because a transaction commits later than it stamps; rows already known change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from store.model import OBJECTS, Change, ObjectName
from store.store import Store
from stream.catalog import Catalog
from stream.changes import snapshot
from stream.clock import Clock, wait_for_event
from stream.config_model import ObjectModes
from stream.errors import BudgetSpent, SalesforceError, StreamError
from stream.model import DecodeError
from stream.retry import Backoff
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.soql import datetime_literal, select

log = structlog.get_logger(__name__)

OVERLAP_S = 900
RETENTION_S = 72 * 3600  # a polled object begins where a stream subscribed at -2 would
LOOK_SECONDS = 5.0


def poll_note(obj: ObjectName) -> str:
    """The note that holds a polled object's cursor."""
    return f"poll:{obj}"


@dataclass(slots=True)
class Reconcile:
    """The loop. `polled_at` (wall clock) tells when each polled object was last read to the end."""

    store: Store
    salesforce: SalesforceClient
    catalog: Catalog
    clock: Clock
    modes: ObjectModes
    poll_interval_seconds: float
    backoff: Backoff
    error: str = ""
    polled_at: dict[ObjectName, float] = field(default_factory=dict)
    _failures: int = 0
    _next: float = 0.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Poll and re-read until cancelled."""
        self._wake = self.store.listen()
        while True:
            self._wake.clear()
            if self.clock.monotonic() >= self._next:
                await self._turn()
            await wait_for_event(self._wake, self.clock, min(max(self._next - self.clock.monotonic(), 0.01), LOOK_SECONDS))

    async def _turn(self) -> None:
        try:
            for obj in self.modes.set_to("poll"):
                await self._poll(obj)
            for obj in OBJECTS:
                await self._reread(obj)
        except StreamError as error:
            self._next = self.clock.monotonic() + self._failed(error)
            return
        if self.error:
            log.info("poll_resumed")
        self.error, self._failures = "", 0
        self._next = self.clock.monotonic() + self.poll_interval_seconds

    def _failed(self, error: StreamError) -> float:
        """Say so once, and return how long to wait, in seconds."""
        self._failures += 1
        if isinstance(error, SalesforceError) and error.code == "INVALID_FIELD":
            for obj in OBJECTS:
                self.catalog.forget_salesforce(obj)
        wait_seconds = (
            min(error.resets_in_seconds, 900.0) if isinstance(error, BudgetSpent) else self.backoff.wait_seconds(self._failures)
        )
        if self.error != error.message:
            log.warning("poll_failed", error=error.message, hint=error.hint, retry_seconds=round(wait_seconds, 1))
        self.error = error.message
        return wait_seconds

    async def _poll(self, obj: ObjectName) -> None:
        began = self.clock.now()
        held = await self.store.note(poll_note(obj))
        since_s = int(held["since_s"]) if held else int(self.clock.now()) - RETENTION_S
        await self._query(obj, poll_note(obj), max(since_s - OVERLAP_S, 0), {"since_s": since_s})
        self.polled_at[obj] = began

    async def _reread(self, obj: ObjectName) -> None:
        """Do what was asked for. The request becomes a cursor first, so that another request meanwhile is one of its own."""
        running = f"rereading:{obj}"
        held = await self.store.begin_reread(obj, running)
        if held is None:
            return
        log.info("reread_started", object=obj, why=held["why"])
        rows = await self._query(obj, running, int(held["since_s"]), held)
        await self.store.take_rows([], running, None, self._now_ms())
        log.info("reread_finished", object=obj, rows=rows)

    async def _query(self, obj: ObjectName, note: str, since_s: int, cursor: Mapping[str, Any]) -> int:
        """All rows modified since then, deleted ones too, a page a transaction; the cursor follows the newest stamp."""
        fields = sorted({*await self.catalog.readable(obj), "IsDeleted"} if obj != "User" else await self.catalog.readable(obj))
        since = datetime_literal(datetime.fromtimestamp(since_s, UTC))
        asked = select(fields, obj, f"SystemModstamp >= {since}", "SystemModstamp, Id")
        newest, count = int(cursor["since_s"]), 0
        async for page in self.salesforce.query(asked, deleted=True):
            changes = [change for row in page if (change := self._change(obj, row)) is not None]
            newest = max([newest, *(change.read_s or 0 for change in changes)])
            await self.store.take_rows(changes, note, {**cursor, "since_s": newest}, self._now_ms())
            count += len(page)
        return count

    def _change(self, obj: ObjectName, row: Mapping[str, Any]) -> Change | None:
        try:
            return snapshot(obj, row, self.catalog.fields())
        except DecodeError as error:
            log.error("record_unreadable", object=obj, id=str(row.get("Id")), cause=str(error))
            return None

    def _now_ms(self) -> int:
        return int(self.clock.now() * 1000)
