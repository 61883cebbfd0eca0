"""Rows of Salesforce's objects into the outbox: a query's pages, each in one transaction with what is complete once it is stored.

Each query begins a quarter of an hour before what is wanted, because a transaction commits later than it stamps; rows already
known change nothing. It has no end: a record that changed in the interval and once more since has only its last stamp.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from store.intake import Taken
from store.model import Change, Covered, ObjectName
from store.store import Store
from stream.catalog import Catalog
from stream.changes import snapshot
from stream.clock import Clock
from stream.model import DecodeError
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.soql import datetime_literal, select

log = structlog.get_logger(__name__)

OVERLAP_S = 900
NEVER_DELETED = frozenset({"User"})


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows as changes. `until_s`: everything stamped before it has come (0: that is not known)."""

    changes: Sequence[Change]
    rows: int
    until_s: float = 0.0


@dataclass(slots=True)
class Rows:
    """Reads rows by SystemModstamp and stores them."""

    store: Store
    salesforce: SalesforceClient
    catalog: Catalog
    clock: Clock

    async def since(
        self, obj: ObjectName, since_s: float, source: str, *, loaded: bool = False, deleted: bool = True
    ) -> AsyncIterator[Page]:
        """The records modified since then in the order of their stamps, deleted ones too; raises what the calls raise.

        `source` says who reads, for the records' stories.
        """
        deleted = deleted and obj not in NEVER_DELETED
        asked = select(await self.fields(obj, deleted=deleted), obj, where(since_s), "SystemModstamp, Id")
        async for page in self.salesforce.query(asked, deleted=deleted):
            changes = self.changes(obj, page, source, loaded=loaded)
            yield Page(changes, len(page), max((change.read_s or 0 for change in changes), default=0))

    async def fields(self, obj: ObjectName, *, deleted: bool) -> list[str]:
        """The fields to ask for."""
        return sorted({*await self.catalog.readable(obj), *({"IsDeleted"} if deleted else ())})

    def changes(self, obj: ObjectName, page: Sequence[Mapping[str, Any]], source: str, *, loaded: bool) -> list[Change]:
        """Rows as changes; one that cannot be understood is said."""
        found: list[Change] = []
        for row in page:
            try:
                found.append(replace(snapshot(obj, row, self.catalog.fields(), source), loaded=loaded))
            except DecodeError as error:
                log.error("record_unreadable", object=obj, id=str(row.get("Id")), cause=str(error))
        return found

    async def take(
        self, page: Page, wanted: Covered, changes: Sequence[Change] | None = None, notes: Mapping[str, Any] | None = None
    ) -> Taken:
        """Store a page (or some of its changes), and what is complete with it of the interval that is wanted."""
        until_s = min(page.until_s, wanted.to_s)
        covered = [replace(wanted, to_s=until_s)] if until_s > wanted.from_s else []
        return await self.store.take_rows(
            page.changes if changes is None else changes, self.now_ms(), covered=covered, notes=notes
        )

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock.now() * 1000)


def where(since_s: float) -> str:
    """The condition for what was modified since then, with its overlap; none where everything is asked for."""
    begin_s = since_s - OVERLAP_S
    return f"SystemModstamp >= {datetime_literal(datetime.fromtimestamp(begin_s, UTC))}" if begin_s > 0 else ""
