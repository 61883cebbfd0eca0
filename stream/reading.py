"""The reading loop: entries whose record has to be read from Salesforce get it, many a call.

outbox ──claim──▶ ids ──read (2,000 a call)──▶ whole records ──▶ outbox
                             └── missing ──queryAll──▶ deleted · not to be seen
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from store.intake import ReadResult
from store.model import OBJECTS, Entry, ObjectName, Retry
from store.store import Store
from stream.catalog import Catalog
from stream.changes import snapshot
from stream.clock import Clock, wait_for_event
from stream.delivery.lookups import in_recycle_bin
from stream.errors import BudgetSpent, SalesforceError, StreamError
from stream.model import DecodeError
from stream.retry import Backoff
from stream.salesforce.rest import SalesforceClient
from stream.watch import pulse

log = structlog.get_logger(__name__)

READ_MOST = 2000
LOOK_SECONDS = 60.0  # whoever asks for a read wakes the loop


@dataclass(slots=True)
class Reading:
    """The loop."""

    store: Store
    salesforce: SalesforceClient
    catalog: Catalog
    clock: Clock
    linger_seconds: float
    backoff: Backoff
    error: str = ""
    records: int = 0
    _failures: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Read until cancelled."""
        self._wake = self.store.listen()
        while True:
            self._wake.clear()
            due = await self.store.next_read_due()
            for obj in OBJECTS if due is not None and due <= self._now_ms() else ():
                await self._read_all(obj)
            wait_seconds = await self._wait_seconds()
            pulse.attempted(wait_seconds)
            await wait_for_event(self._wake, self.clock, wait_seconds)

    async def _wait_seconds(self) -> float:
        due = await self.store.next_read_due()
        if due is None:
            return LOOK_SECONDS
        return max(min((due - self._now_ms()) / 1000 + self.linger_seconds, LOOK_SECONDS), 0.01)

    async def _read_all(self, obj: ObjectName) -> None:
        while entries := await self.store.claim_reads(
            obj, most=READ_MOST, now_ms=self._now_ms(), linger_ms=int(self.linger_seconds * 1000)
        ):
            try:
                results = await self._results(obj, entries)
            except StreamError as error:
                await self._put_back(obj, entries, error)
                return
            asked = await self.store.settle_reads(results, self._now_ms())
            self.records += len(entries)
            if self.error:
                log.info("read_resumed", object=obj)
            self.error, self._failures = "", 0
            log.debug("records_read", object=obj, records=len(entries), parents_asked=len(asked))

    async def _results(self, obj: ObjectName, entries: Sequence[Entry]) -> dict[int, ReadResult]:
        rows = await self.salesforce.read(obj, [entry.record_id for entry in entries], await self.catalog.readable(obj))
        missing = [entry.record_id for entry, row in zip(entries, rows, strict=True) if row is None]
        gone = await in_recycle_bin(self.salesforce, obj, missing)
        results: dict[int, ReadResult] = {}
        for entry, row in zip(entries, rows, strict=True):
            if row is None:
                results[entry.entry_id] = ReadResult(gone=entry.record_id in gone)
                continue
            try:
                results[entry.entry_id] = ReadResult(snapshot=snapshot(obj, row, self.catalog.fields()))
            except DecodeError as error:
                log.error("record_unreadable", object=obj, id=entry.record_id, cause=str(error))
                results[entry.entry_id] = ReadResult(unclear=str(error))
        return results

    async def _put_back(self, obj: ObjectName, entries: Sequence[Entry], error: StreamError) -> None:
        """Nothing was learned: the entries wait, and nothing is counted against them."""
        self._failures += 1
        wait_seconds = self.backoff.wait_seconds(self._failures)
        if isinstance(error, BudgetSpent):
            wait_seconds = min(error.resets_in_seconds, 900.0)
        if isinstance(error, SalesforceError) and error.code == "INVALID_FIELD":
            self.catalog.forget_salesforce(obj)
        log.warning("read_failed", object=obj, records=len(entries), cause=error.message, cure=error.hint)
        self.error = error.message
        due_ms = self._now_ms() + int(wait_seconds * 1000)
        cause = f"it could not be read: {error.message}"
        await self.store.finish([Retry(entry.entry_id, entry.key, due_ms, cause=cause) for entry in entries], self._now_ms())

    def _now_ms(self) -> int:
        return int(self.clock.now() * 1000)
