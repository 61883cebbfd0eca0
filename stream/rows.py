"""Rows of Salesforce's objects into the outbox: a query's pages, each in one transaction with what is complete once it is stored.

Each query begins a quarter of an hour before what is wanted, because a transaction commits later than it stamps; rows already
known change nothing. It has no end: a record that changed in the interval and once more since has only its last stamp.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from store.intake import Taken
from store.model import Change, Covered, ObjectName, Unreadable
from store.store import Store
from stream.catalog import Catalog
from stream.changes import asked_of, snapshot
from stream.clock import Clock
from stream.json_text import whole_text
from stream.model import DecodeError
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.soql import datetime_literal, select

log = structlog.get_logger(__name__)

OVERLAP_S = 900
NEVER_DELETED = frozenset({"User"})


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows as changes. `until_s`: everything stamped before it has come (0: that is not known). `locator`: what
    follows in a bulk job.

    A row that cannot be understood asks for its record to be read; one that names none is in `unreadable`.
    """

    changes: Sequence[Change]
    unreadable: Sequence[Unreadable]
    rows: int
    until_s: float = 0.0
    locator: str = ""


@dataclass(slots=True)
class Rows:
    """Reads rows by SystemModstamp and stores them."""

    store: Store
    salesforce: SalesforceClient
    catalog: Catalog
    clock: Clock

    async def since(
        self, obj: ObjectName, since_s: float, source: str, *, loaded: bool = False, deleted: bool = True
    ) -> AsyncGenerator[Page, None]:
        """The records modified since then in the order of their stamps, deleted ones too; raises what the calls raise.

        `source` says who reads, for the records' stories.
        """
        deleted = deleted and obj not in NEVER_DELETED
        asked = select(await self.fields(obj, deleted=deleted), obj, where(since_s), "SystemModstamp, Id")
        async for page in self.salesforce.query(asked, deleted=deleted):
            found = self.page(obj, page, source, loaded=loaded)
            yield replace(found, until_s=max((change.read_s or 0 for change in found.changes), default=0))

    async def fields(self, obj: ObjectName, *, deleted: bool) -> list[str]:
        """The fields to ask for."""
        return sorted({*await self.catalog.readable(obj), *({"IsDeleted"} if deleted else ())})

    def page(self, obj: ObjectName, rows: Sequence[Mapping[str, Any]], source: str, *, loaded: bool) -> Page:
        """Rows as a page; what cannot be understood is said, and not lost."""
        changes: list[Change] = []
        unreadable: list[Unreadable] = []
        fields = self.catalog.fields()
        for row in rows:
            try:
                changes.append(snapshot(obj, row, fields, source, loaded=loaded))
            except DecodeError as error:
                asked = asked_of(obj, [str(row.get("Id"))], "its row could not be understood", source)
                changes += [replace(change, loaded=loaded) for change in asked]
                if not asked:
                    unreadable.append(Unreadable(obj, None, whole_text(row), str(error), "UNREADABLE_ROW"))
                log.error("record_unreadable", object=obj, id=asked[0].record_id if asked else None, cause=str(error))
        return Page(changes, unreadable, len(rows))

    async def take(
        self, page: Page, wanted: Covered, changes: Sequence[Change] | None = None, notes: Mapping[str, Any] | None = None
    ) -> Taken:
        """Store a page (or some of its changes), and what is complete with it of the interval that is wanted."""
        until_s = min(page.until_s, wanted.to_s)
        covered = [replace(wanted, to_s=until_s)] if until_s > wanted.from_s else []
        return await self.store.take_rows(
            page.changes if changes is None else changes,
            self.now_ms(),
            unreadable=page.unreadable,
            covered=covered,
            notes=notes,
        )

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock.now() * 1000)


def where(since_s: float) -> str:
    """The condition for what was modified since then, with its overlap; none where everything is asked for."""
    begin_s = since_s - OVERLAP_S
    return f"SystemModstamp >= {datetime_literal(datetime.fromtimestamp(begin_s, UTC))}" if begin_s > 0 else ""
