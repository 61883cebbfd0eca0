"""Change events: what Change Data Capture makes of the changes of one transaction (shapes: the CDC Developer Guide).

Changes of one record in one transaction become one event; equal updates (and deletes) of several records of an object become one
event with several recordIds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.values import Row, event_value

Kind = Literal["CREATE", "UPDATE", "DELETE", "UNDELETE"]
Body = dict[str, Any]
DIFF_FROM = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """One record before and after; `before` is empty for CREATE, `after` still holds the record for DELETE."""

    kind: Kind
    obj: str
    id: str
    before: Row
    after: Row


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One event to be: its records, its body and what changedFields lists."""

    kind: Kind
    obj: str
    ids: tuple[str, ...]
    body: Body
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """What may differ from org to org: milliseconds in datetimes, long text sent as a diff, fields the user may not see.

    Without captured contacts, an update of a person account does not tell what is the contact's.
    """

    milliseconds: bool = True
    diff_long_text: bool = True
    hidden: frozenset[tuple[str, str]] = frozenset()
    contacts_captured: bool = True

    def shows(self, obj: str, field: Field) -> bool:
        """Whether events of this object carry this field at all."""
        return field.in_events and (obj, field.name) not in self.hidden


def fold(changes: Iterable[Change]) -> list[Change]:
    """One change for each record, in the order in which records were first touched."""
    folded: dict[tuple[str, str], Change] = {}
    for change in changes:
        key = (change.obj, change.id)
        earlier = folded.get(key)
        if earlier is None:
            folded[key] = change
        elif earlier.kind == "CREATE" and change.kind == "DELETE":
            del folded[key]
        elif change.kind == "UPDATE" and earlier.kind != "DELETE":
            folded[key] = replace(earlier, after=change.after)
        else:
            folded[key] = change
    return list(folded.values())


def build_events(changes: Iterable[Change], types: Mapping[str, ObjectType], style: Style) -> list[ChangeEvent]:
    """The events of one transaction, equal ones merged."""
    merged: dict[tuple[str, str, bytes], ChangeEvent] = {}
    for change in fold(changes):
        event = _event(change, types[change.obj], style)
        apart = change.id if change.kind in {"CREATE", "UNDELETE"} else ""
        key = (change.kind, change.obj, orjson.dumps([apart, event.body, event.changed]))
        same = merged.get(key)
        merged[key] = event if same is None else replace(same, ids=(*same.ids, change.id))
    return list(merged.values())


def _event(change: Change, kind: ObjectType, style: Style) -> ChangeEvent:
    if change.kind == "DELETE":
        return ChangeEvent("DELETE", change.obj, (change.id,), {}, ())
    if change.kind == "UPDATE":
        body, changed = _changed_body(change, kind, style)
        return ChangeEvent("UPDATE", change.obj, (change.id,), body, changed)
    return ChangeEvent(change.kind, change.obj, (change.id,), _full_body(change, kind, style), ())


def _put(body: Body, field: Field, value: Any) -> None:
    if field.compound:
        body.setdefault(field.compound, {})[field.part] = value
    else:
        body[field.name] = value


def _full_body(change: Change, kind: ObjectType, style: Style) -> Body:
    body: Body = {}
    for field in kind.fields.values():
        value = change.after.get(field.name)
        of_nobody = field.mirrors and not change.after.get("IsPersonAccount")
        if value is not None and not of_nobody and style.shows(kind.name, field):
            _put(body, field, event_value(value, milliseconds=style.milliseconds))
    return body


def _changed_body(change: Change, kind: ObjectType, style: Style) -> tuple[Body, tuple[str, ...]]:
    body: Body = {}
    changed: list[str] = []
    for field in kind.fields.values():
        old, new = change.before.get(field.name), change.after.get(field.name)
        if not style.shows(kind.name, field) or (old == new and field.name != "LastModifiedDate"):
            continue
        if field.mirrors and not style.contacts_captured:
            continue
        _put(body, field, _text_diff(field, old, new, style) or event_value(new, milliseconds=style.milliseconds))
        changed.append(field.event_path)
    return body, tuple(changed)


def _text_diff(field: Field, old: Any, new: Any, style: Style) -> dict[str, str] | None:
    """Long text may come as a unified diff instead of its value; a reader must then fetch the field."""
    if not style.diff_long_text or field.type != "textarea" or not isinstance(old, str) or not isinstance(new, str):
        return None
    if min(len(old), len(new)) < DIFF_FROM:
        return None
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return {"diff": "\n".join(lines)}
