"""Changes, and steps of an entry through the outbox, in the few words that the store's tests need."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store.intake import ReadResult, Taken
from store.model import (
    OBJECTS,
    Ack,
    Change,
    Claimed,
    Dead,
    Entry,
    Key,
    Kind,
    ObjectName,
    Record,
    Ref,
    Retry,
)
from store.store import Store
from stream.ids import widen

PREFIX: Mapping[ObjectName, str] = {
    "User": "005",
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "Opportunity": "006",
    "OpportunityContactRole": "00K",
}
SECOND = 1000
NOON = 1_790_000_000 * SECOND  # a whole second, in milliseconds


def sf_id(obj: ObjectName, number: int) -> str:
    """A made-up Salesforce id, 18 characters long."""
    return widen(f"{PREFIX[obj]}{number:012d}")


OWNER, ACCOUNT, CONTACT, LEAD = sf_id("User", 1), sf_id("Account", 1), sf_id("Contact", 1), sf_id("Lead", 1)
OPPORTUNITY, ROLE = sf_id("Opportunity", 1), sf_id("OpportunityContactRole", 1)


def event(obj: ObjectName, record_id: str, fields: Mapping[str, Any] | None = None, **also: Any) -> Change:
    """An update event of a few fields, committed at `commit_ms` in a transaction of its own."""
    commit_ms = also.setdefault("commit_ms", NOON)
    also.setdefault("transaction", f"txn-{commit_ms}")
    also.setdefault("sequence", 1)
    return Change(obj, record_id, fields=dict(fields or {}), **also)


def whole(obj: ObjectName, record_id: str, fields: Mapping[str, Any] | None = None, **also: Any) -> Change:
    """A create event with all that the record has."""
    return event(obj, record_id, fields, whole=True, **also)


def row(obj: ObjectName, record_id: str, read_s: int, fields: Mapping[str, Any] | None = None, **also: Any) -> Change:
    """The whole record as a query brought it, last modified at `read_s`."""
    return Change(obj, record_id, fields=dict(fields or {}), whole=True, read_s=read_s, **also)


def gone(obj: ObjectName, record_id: str, **also: Any) -> Change:
    """A delete event."""
    return event(obj, record_id, kind="delete", **also)


class Outbox:
    """One store on disk, driven step by step; its clock is a number that moves only when told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ms = NOON + 60 * SECOND
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The open store."""
        assert self._store is not None
        return self._store

    async def open(self) -> None:
        """Open the file."""
        self._store = await Store.open(self.path)

    async def close(self) -> None:
        """Close the file."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def take(self, *changes: Change) -> Taken:
        """Changes arrive."""
        return await self.store.take(changes, None, self.now_ms)

    async def reads(self, obj: ObjectName) -> list[Entry]:
        """Claim all that has to be read of an object."""
        return await self.store.claim_reads(obj, most=100, now_ms=self.now_ms, linger_ms=0)

    async def read(self, change: Change) -> list[Key]:
        """The record is claimed for reading, and this is what Salesforce answers."""
        entries = [entry for entry in await self.reads(change.object) if entry.record_id == change.record_id]
        assert entries, f"{change.key} was not asked for"
        return await self.store.settle_reads({entries[0].entry_id: ReadResult(snapshot=change)}, self.now_ms)

    async def claims(self, obj: ObjectName, kind: Kind = "upsert") -> list[Claimed]:
        """Claim all that is ready of an object."""
        return await self.store.claim(obj, kind, most=100, now_ms=self.now_ms, linger_ms=0)

    async def claim(self, obj: ObjectName, kind: Kind = "upsert") -> Claimed:
        """Claim the one entry that is ready of an object."""
        claimed = await self.claims(obj, kind)
        assert len(claimed) == 1, claimed
        return claimed[0]

    async def ack(self, claimed: Claimed, **also: Any) -> None:
        """Marketo accepts it."""
        await self.store.finish([Ack(claimed.entry.entry_id, claimed.entry.key, **also)], self.now_ms)

    async def retry(self, claimed: Claimed, due_ms: int, **also: Any) -> None:
        """It goes back."""
        await self.store.finish([Retry(claimed.entry.entry_id, claimed.entry.key, due_ms, **also)], self.now_ms)

    async def bury(self, claimed: Claimed, code: str = "1003") -> None:
        """Marketo refuses it for good."""
        await self.store.finish(
            [Dead(claimed.entry.entry_id, claimed.entry.key, code, "a value is refused", "correct it")], self.now_ms
        )

    async def synced(self, obj: ObjectName, record_id: str, fields: Mapping[str, Any] | None = None, **also: Any) -> None:
        """The record is in Marketo."""
        state = {name: also.pop(name) for name in ("marketo_id", "filled", "sent_key") if name in also}
        await self.take(whole(obj, record_id, fields, **also))
        claimed = [each for each in await self.claims(obj) if each.entry.record_id == record_id]
        assert claimed, f"{obj} {record_id} is not ready"
        await self.ack(claimed[0], **state)

    async def record(self, obj: ObjectName, record_id: str) -> Record:
        """What is known of a record."""
        return (await self.store.records([(obj, record_id)]))[obj, record_id]

    async def rows(self, name: str, *parameters: Any) -> list[sqlite3.Row]:
        """What a named query finds."""
        return await self.store.submit(lambda tx: tx.rows(name, *parameters))

    async def ready(self) -> list[Key]:
        """What could be sent now, objects in order; nothing is claimed by asking."""
        found: list[Key] = []
        for obj in OBJECTS:
            for kind in ("upsert", "delete"):
                rows = [each for rank in (0, 1) for each in await self.rows("ready", obj, kind, rank, self.now_ms, 100)]
                found += [(obj, each["record_id"]) for each in rows]
        return found

    async def to_read(self) -> dict[Key, str]:
        """What has to be read from Salesforce, and why."""
        found: dict[Key, str] = {}
        for obj in OBJECTS:
            for each in await self.rows("to_read", obj, self.now_ms, 100):
                found[obj, each["record_id"]] = each["read"]
        return found


def owned_by(owner: str | None = OWNER, **others: str | None) -> dict[Ref, str | None]:
    """Relations of a record."""
    return {"owner": owner, **others}  # type: ignore[dict-item] # the names are relations'
