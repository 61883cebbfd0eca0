"""Events and rows as changes for the outbox. Pure.

event ──▶ echo? ──▶ one change for each record id      a created record whole, an update its fields, a gap a read
row   ──▶ the whole record, as of its SystemModstamp
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from store.model import Change, ObjectName, Ref
from stream.ids import is_user, widen
from stream.mapping import DERIVED, NEEDED, REF_FIELD, REFS_OF, SourceFields
from stream.model import ChangeEvent, DecodeError

HOUSEKEEPING = frozenset(
    {"LastModifiedDate", "LastModifiedById", "SystemModstamp", "LastActivityDate", "LastViewedDate", "LastReferencedDate"}
)
"""Fields that change with every edit and say nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Echo:
    """How our own score writes are recognised when they come back as events."""

    client_name: str
    score_fields: frozenset[str]

    def is_echo(self, event: ChangeEvent) -> bool:
        """Whether the event is our own write and nothing else: a trigger's edits in the same event are news."""
        if event.change_type != "UPDATE" or not self._is_ours(event.origin):
            return False
        changed = (event.changed or frozenset(event.fields)) | event.diffs
        return bool(changed) and changed <= self.score_fields | HOUSEKEEPING

    def _is_ours(self, origin: str) -> bool:
        return any(part == f"client={self.client_name}" for part in origin.split(";"))


def changes_of(event: ChangeEvent, obj: ObjectName, fields: SourceFields) -> list[Change]:
    """The event as one change for each of its record ids. Raises DecodeError where an id is none."""
    try:
        ids = [widen(record_id) for record_id in event.record_ids]
    except ValueError as error:
        raise DecodeError(str(error)) from error
    return [_change(event, obj, record_id, fields) for record_id in ids]


def _change(event: ChangeEvent, obj: ObjectName, record_id: str, fields: SourceFields) -> Change:
    bare = Change(
        obj,
        record_id,
        commit_ms=event.commit_ms,
        transaction=event.transaction,
        sequence=event.sequence,
        source=event.change_type,
    )
    if event.change_type == "DELETE":
        return replace(bare, kind="delete")
    if event.is_gap:
        return replace(bare, read="gap")
    if event.change_type == "UNDELETE":
        return replace(bare, read="undeleted")
    of_interest = fields.of(obj)
    known = {name: value for name, value in event.fields.items() if name in of_interest}
    if event.change_type == "CREATE":
        return _created(event, bare, known, of_interest)
    news = {name: value for name, value in known.items() if value is not None or _says_cleared(event, name)}
    diffs = sorted(event.diffs & of_interest)
    derived = _derived(obj, event, of_interest)
    return replace(
        bare,
        fields=news,
        read=f"only a difference came of {', '.join(diffs)}" if diffs else derived,
        refs=_refs(obj, news),
        relevant=bool(news or diffs),
    )


def _created(event: ChangeEvent, bare: Change, known: Mapping[str, Any], of_interest: frozenset[str]) -> Change:
    obj = bare.object
    filled = {name: value for name, value in known.items() if value is not None}
    missing = [name for name in NEEDED[obj] if name not in filled]
    read = f"{', '.join(missing)} was not in the event" if missing else ""
    if not read:
        read = "only a difference came" if event.diffs else _derived(obj, event, of_interest)
    return replace(
        bare,
        fields=filled,
        whole=not read,
        read=read,
        refs=_refs(obj, {REF_FIELD[ref]: None for ref in REFS_OF[obj]} | filled),
        created=_text_or_none(event.fields.get("CreatedDate")),
    )


def _derived(obj: ObjectName, event: ChangeEvent, of_interest: frozenset[str]) -> str:
    """Why the record has to be read for fields that follow from a changed one and did not come with it; "" where it need not."""
    for source, following in DERIVED.get(obj, {}).items():
        wanted = [name for name in following if name in of_interest]
        told = source in event.changed or event.fields.get(source) is not None  # a part that was cleared counts, too
        if wanted and told and not any(name in event.fields for name in wanted):
            return f"{', '.join(wanted)} follow from {source} and were not in the event"
    return ""


def _says_cleared(event: ChangeEvent, name: str) -> bool:
    """A null counts as cleared only where changedFields names it, so that nothing is cleared that Salesforce did not clear."""
    return not event.changed or name in event.changed


def _refs(obj: ObjectName, fields: Mapping[str, Any]) -> dict[Ref, str | None]:
    return {ref: _ref(ref, fields[REF_FIELD[ref]]) for ref in REFS_OF[obj] if REF_FIELD[ref] in fields}


def _ref(ref: Ref, value: Any) -> str | None:
    """The parent's wide id; a queue is no sales person, so an owner that is none is left out."""
    if not isinstance(value, str) or not value:
        return None
    try:
        wide = widen(value)
    except ValueError as error:
        raise DecodeError(f"{REF_FIELD[ref]}: {error}") from error
    return None if ref == "owner" and not is_user(wide) else wide


def snapshot(obj: ObjectName, row: Mapping[str, Any], fields: SourceFields, source: str = "") -> Change:
    """A row as read or polled (flat REST fields) as a whole change. Raises DecodeError where Id or SystemModstamp is missing."""
    try:
        record_id = widen(str(row.get("Id") or ""))
    except ValueError as error:
        raise DecodeError(str(error)) from error
    read_s = seconds_of(row.get("SystemModstamp"))
    if row.get("IsDeleted") is True:
        return Change(obj, record_id, kind="delete", read_s=read_s, source=source)
    of_interest = fields.of(obj)
    filled = {name: value for name, value in row.items() if name in of_interest and value is not None}
    refs = _refs(obj, {REF_FIELD[ref]: row.get(REF_FIELD[ref]) for ref in REFS_OF[obj]})
    return Change(
        obj,
        record_id,
        fields=filled,
        whole=True,
        refs=refs,
        created=_text_or_none(row.get("CreatedDate")),
        read_s=read_s,
        source=source,
    )


def seconds_of(stamp: Any) -> int:
    """Salesforce's `2026-01-31T12:00:00.000+0000` in whole seconds since the epoch. Raises DecodeError."""
    try:
        return int(datetime.fromisoformat(str(stamp)).timestamp())
    except ValueError as error:
        raise DecodeError("the row's SystemModstamp is missing or no datetime") from error


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
