"""A change event, decoded: typed values instead of nested dicts. Pure.

Source: Salesforce, Change Data Capture Developer Guide, "Change Event Header Fields" and "Change Event Fields".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, get_args

from store.values import value
from stream.compound import flat_names, flatten

ChangeType = Literal[
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
]
CHANGE_TYPES: frozenset[str] = frozenset(get_args(ChangeType))

MOST = 2**63  # the database keeps whole numbers below it
MOST_MS = 253_402_300_800_000  # the end of the year 9999, beyond which there is no moment
MOST_NAME = 255
OVERFLOW_ID = "000000000000000AAA"
_NOTHING: frozenset[str] = frozenset()


class DecodeError(ValueError):
    """An event that cannot be understood; the text says why, without any of its values."""


@value
class ChangeEvent:
    """One change event. `fields` are flat, each a value that can be kept.

    `diffs` names the fields of which only a difference came, `unclear` those that changed to something else that cannot be
    taken as it came: it is missing, has parts, or is no value there is. `record_ids` may hold several ids (the same change to
    several records), or a wildcard such as `001*`. What the header lacks is "" or 0.
    """

    entity: str
    record_ids: tuple[str, ...]
    change_type: ChangeType
    origin: str
    transaction: str
    sequence: int
    commit_ms: int
    changed: frozenset[str]
    fields: Mapping[str, Any]
    diffs: frozenset[str]
    unclear: frozenset[str] = frozenset()

    @property
    def is_gap(self) -> bool:
        """Whether only the fact of a change is known, not what changed."""
        return self.change_type.startswith("GAP_")

    @property
    def is_sweeping(self) -> bool:
        """Whether any record of the object may have changed: an overflow, or a wildcard in place of ids."""
        if self.change_type == "GAP_OVERFLOW":
            return True
        for record_id in self.record_ids:  # noqa: SIM110 - once for each event, and any() costs four times as much
            if record_id == OVERFLOW_ID or record_id.endswith("*"):
                return True
        return False

    @property
    def has_place(self) -> bool:
        """Whether it says where it stands among the others: without that, nobody can tell what is newer."""
        return bool(self.transaction and self.sequence > 0 and self.commit_ms > 0)


def decode(data: Any) -> ChangeEvent:
    """The `data` of a Bayeux message as a change event. Raises DecodeError."""
    payload, header = _parts(data)
    entity = _entity(header)
    flat = flatten(payload, entity)
    flat.pop("ChangeEventHeader", None)
    kept = {name: value for name, value in flat.items() if can_be_kept(value)}
    diffs = unclear = _NOTHING
    if len(kept) < len(flat):
        diffs = frozenset(name for name, value in flat.items() if isinstance(value, Mapping) and "diff" in value)
        unclear = frozenset(flat.keys() - kept.keys() - diffs)
    changed, told = _changed(_names(header), entity)
    if not flat.keys() >= changed:
        unclear = unclear.union(*(flats for flats in told if flats.isdisjoint(flat)))
    return ChangeEvent(
        entity=entity,
        record_ids=_record_ids(header),
        change_type=_change_type(header),
        origin=str(header.get("changeOrigin") or ""),
        transaction=_transaction(header),
        sequence=_number(header, "sequenceNumber", MOST),
        commit_ms=_number(header, "commitTimestamp", MOST_MS),
        changed=changed,
        fields=kept,
        diffs=diffs,
        unclear=unclear,
    )


def subject(data: Any) -> tuple[str, tuple[str, ...]]:
    """The object and the record ids of an event that cannot be understood, as far as it names them."""
    try:
        _, header = _parts(data)
        entity = _entity(header)
    except DecodeError:
        return "", ()
    try:
        return entity, _record_ids(header)
    except DecodeError:
        return entity, ()


def _parts(data: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The payload and its header."""
    payload = data.get("payload") if isinstance(data, dict) else None
    header = payload.get("ChangeEventHeader") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(header, dict):
        raise DecodeError("the event has no payload.ChangeEventHeader")
    return payload, header


def _entity(header: Mapping[str, Any]) -> str:
    entity = header.get("entityName")
    if not _is_name(entity):
        raise DecodeError("the event's entityName is missing or no name")
    return str(entity)


def _change_type(header: Mapping[str, Any]) -> ChangeType:
    change_type = header.get("changeType")
    if not isinstance(change_type, str) or change_type not in CHANGE_TYPES:
        shown = f": {change_type!r}" if _is_name(change_type) else ""
        raise DecodeError(f"the event's changeType is none that is known{shown}")
    return change_type  # type: ignore[return-value] # checked against CHANGE_TYPES above


def _is_name(value: Any) -> bool:
    """Whether this is a name as Salesforce's APIs have them, and so may stand in a log."""
    return isinstance(value, str) and value.isascii() and value.isidentifier() and len(value) <= MOST_NAME


def _transaction(header: Mapping[str, Any]) -> str:
    """The transaction's key, "" where there is none that could be kept and compared."""
    key = header.get("transactionKey")
    return key if isinstance(key, str) and len(key) <= MOST_NAME and can_be_kept(key) else ""


def _number(header: Mapping[str, Any], name: str, most: int) -> int:
    value = header.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < most:
        raise DecodeError(f"the event's {name} is no number, or none that can be kept")
    return int(value)


def _record_ids(header: Mapping[str, Any]) -> tuple[str, ...]:
    ids = header.get("recordIds")
    if not isinstance(ids, list) or set(map(type, ids)) != {str}:
        raise DecodeError("the event's recordIds is no list of ids")
    return tuple(ids)


def _names(header: Mapping[str, Any]) -> tuple[str, ...]:
    names = header.get("changedFields")
    if names is None:
        return ()
    if not isinstance(names, list) or not set(map(type, names)) <= {str}:
        raise DecodeError("the event's changedFields is no list of names")
    return tuple(names)


@lru_cache(1024)
def _changed(names: tuple[str, ...], entity: str) -> tuple[frozenset[str], tuple[frozenset[str], ...]]:
    """The flat names behind the changed fields: all of them, and those of each, of which at least one must have come."""
    told = tuple(frozenset(flat_names(name, entity)) for name in names)
    return _NOTHING.union(*told), told


def can_be_kept(value: Any) -> bool:
    """Whether the outbox can hold the value and give it out as it was: a number there is, a text of whole characters."""
    if isinstance(value, str):
        return value.isascii() or _has_whole_characters(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < MOST)


def _has_whole_characters(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
