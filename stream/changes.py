"""Events and rows as changes for the outbox. Pure.

event ──▶ echo? ──▶ one change for each record id      a created record whole, an update its fields, a gap a read
row   ──▶ the whole record, as of its SystemModstamp
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from store.model import Change, ObjectName, Ref
from stream.ids import id_of, is_user, widen
from stream.mapping import DERIVED, NEEDED, REF_FIELD, REFS_OF, SourceFields, ref_object
from stream.model import ChangeEvent, DecodeError, can_be_kept

HOUSEKEEPING = frozenset(
    {"LastModifiedDate", "LastModifiedById", "SystemModstamp", "LastActivityDate", "LastViewedDate", "LastReferencedDate"}
)
"""Fields that change with every edit and say nothing by themselves."""
_NOTHING: Mapping[str, tuple[str, ...]] = {}


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
        ids = [id_of(obj, record_id) for record_id in event.record_ids]
    except ValueError as error:
        raise DecodeError(f"the event's recordIds: {error}") from error
    return [_change(event, obj, record_id, fields) for record_id in ids]


def asked_of(obj: ObjectName, record_ids: Iterable[str], why: str, source: str = "") -> list[Change]:
    """Those of the ids that are some, each to be read: nothing else is known of them."""
    found: list[Change] = []
    for record_id in record_ids:
        with suppress(ValueError):
            found.append(Change(obj, id_of(obj, record_id), read=why, source=source))
    return found


def _change(event: ChangeEvent, obj: ObjectName, record_id: str, fields: SourceFields) -> Change:
    if not event.has_place:
        return Change(obj, record_id, read="the event does not say when it was", source=event.change_type)
    if event.change_type == "UPDATE":
        return _updated(event, obj, record_id, fields)
    if event.change_type == "DELETE":
        return _at(event, obj, record_id, kind="delete")
    if event.is_gap:
        return _at(event, obj, record_id, read="gap")
    if event.change_type == "UNDELETE":
        return _at(event, obj, record_id, read="undeleted")  # who reads it sees on which side of its filter it is
    return _created(event, obj, record_id, fields)


def _at(event: ChangeEvent, obj: ObjectName, record_id: str, **told: Any) -> Change:
    """What is told of this record, in the event's place."""
    return Change(
        obj,
        record_id,
        commit_ms=event.commit_ms,
        transaction=event.transaction,
        sequence=event.sequence,
        source=event.change_type,
        **told,
    )


def _updated(event: ChangeEvent, obj: ObjectName, record_id: str, fields: SourceFields) -> Change:
    of_interest = fields.of(obj)
    news = {
        name: value
        for name, value in event.fields.items()
        if name in of_interest and (value is not None or _says_cleared(event, name))
    }
    read = _untold(event, of_interest) or _derived(obj, event, of_interest)
    side = fields.side(obj, news, event.diffs | event.unclear)
    return _at(event, obj, record_id, fields=news, read=read, refs=_refs(obj, news), relevant=bool(news or read), side=side)


def _created(event: ChangeEvent, obj: ObjectName, record_id: str, fields: SourceFields) -> Change:
    of_interest = fields.of(obj)
    known = {name: value for name, value in event.fields.items() if name in of_interest}
    filled = {**fields.constants(obj), **{name: value for name, value in known.items() if value is not None}}
    side = fields.side(obj, filled, event.diffs | event.unclear)
    decisive = () if side == "out" else sorted(fields.filter_of(obj).names)  # what is hidden from the user is no null
    missing = [name for name in (*NEEDED[obj], *decisive) if name not in filled]
    read = f"{', '.join(missing)} was not in the event" if missing else ""
    read = read or _untold(event, of_interest) or _derived(obj, event, of_interest)
    return _at(
        event,
        obj,
        record_id,
        fields=filled,
        whole=not read,
        read=read,
        refs=_refs(obj, {REF_FIELD[ref]: None for ref in REFS_OF[obj]} | filled),
        created=_text_or_none(event.fields.get("CreatedDate")),
        side=side if read else fields.side(obj, filled, whole=True),
    )


def _untold(event: ChangeEvent, of_interest: frozenset[str]) -> str:
    """Why the record has to be read for fields whose new values the event does not tell; "" where it need not be."""
    if not (event.diffs or event.unclear):
        return ""
    if diffs := sorted(event.diffs & of_interest):
        return f"only a difference came of {', '.join(diffs)}"
    if unclear := sorted(event.unclear & of_interest):
        return f"{', '.join(unclear)} changed, and the event does not tell to what"
    return ""


def _derived(obj: ObjectName, event: ChangeEvent, of_interest: frozenset[str]) -> str:
    """Why the record has to be read for fields that follow from a changed one and did not come with it; "" where it need not."""
    for source, following in DERIVED.get(obj, _NOTHING).items():
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
    """The parent's wide id; a queue is no sales person, so an owner that is no user is left out."""
    if value is None or value == "":
        return None
    try:
        return _parent(ref, value) if isinstance(value, str) else id_of(ref_object(ref), value)
    except ValueError as error:
        raise DecodeError(f"{REF_FIELD[ref]}: {error}") from error


@lru_cache(4096)
def _parent(ref: Ref, value: str) -> str | None:
    """As above; many records have the same one."""
    return None if ref == "owner" and _is_other_owner(value) else id_of(ref_object(ref), value)


def _is_other_owner(value: str) -> bool:
    try:
        return not is_user(widen(value))
    except ValueError:
        return False


def snapshot(obj: ObjectName, row: Mapping[str, Any], fields: SourceFields, source: str = "", *, loaded: bool = False) -> Change:
    """A row as read or polled (flat REST fields) as a whole change. Raises DecodeError where that cannot be told from it."""
    try:
        record_id = id_of(obj, row.get("Id"))
    except ValueError as error:
        raise DecodeError(f"the row's Id: {error}") from error
    read_s = seconds_of(row.get("SystemModstamp"))
    if row.get("IsDeleted") is True:
        return Change(obj, record_id, kind="delete", read_s=read_s, source=source, loaded=loaded)
    of_interest = fields.of(obj)
    told = {name: value for name, value in row.items() if value is not None and name in of_interest}
    filled = {**fields.constants(obj), **told}
    if not all(map(can_be_kept, filled.values())):
        unclear = sorted(name for name, value in filled.items() if not can_be_kept(value))
        raise DecodeError(f"the row's {', '.join(unclear)} has parts, or is no value there is")
    return Change(
        obj,
        record_id,
        fields=filled,
        whole=True,
        refs={ref: _ref(ref, row.get(REF_FIELD[ref])) for ref in REFS_OF[obj]},
        created=_text_or_none(row.get("CreatedDate")),
        read_s=read_s,
        source=source,
        loaded=loaded,
        side=fields.side(obj, filled, whole=True),
    )


def seconds_of(stamp: Any) -> int:
    """Salesforce's `2026-01-31T12:00:00.000+0000` in whole seconds since the epoch. Raises DecodeError."""
    try:
        moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
        if moment is not None and moment.tzinfo is not None and moment.year > 1970:
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    raise DecodeError("the row's SystemModstamp is missing or no datetime with a zone")


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value and can_be_kept(value) else None
