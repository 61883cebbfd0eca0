"""A change event, decoded: typed values instead of nested dicts. Pure.

Source: Salesforce, Change Data Capture Developer Guide, "Change Event Header Fields" and "Change Event Fields".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

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
OVERFLOW_ID = "000000000000000AAA"


class DecodeError(ValueError):
    """An event that cannot be understood; the text says why, without any of its values."""


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One change event. `fields` are flat; `diffs` names the fields of which only a difference came.

    `record_ids` may hold several ids (the same change to several records), or a wildcard such as `001*`.
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
    replay_id: int | None

    @property
    def is_gap(self) -> bool:
        """Whether only the fact of a change is known, not what changed."""
        return self.change_type.startswith("GAP_")

    @property
    def is_sweeping(self) -> bool:
        """Whether any record of the object may have changed: an overflow, or a wildcard in place of ids."""
        return self.change_type == "GAP_OVERFLOW" or any(
            record_id == OVERFLOW_ID or record_id.endswith("*") for record_id in self.record_ids
        )


def decode(data: Mapping[str, Any]) -> ChangeEvent:
    """The `data` of a Bayeux message as a change event. Raises DecodeError."""
    payload = data.get("payload")
    header = payload.get("ChangeEventHeader") if isinstance(payload, Mapping) else None
    if not isinstance(payload, Mapping) or not isinstance(header, Mapping):
        raise DecodeError("the event has no payload.ChangeEventHeader")
    entity = _text(header, "entityName")
    change_type = _text(header, "changeType")
    if change_type not in CHANGE_TYPES:
        raise DecodeError(f"the event's changeType is none that is known: {change_type[:40]!r}")
    flat = dict(flatten({name: value for name, value in payload.items() if name != "ChangeEventHeader"}, entity))
    diffs = frozenset(name for name, value in flat.items() if isinstance(value, Mapping) and "diff" in value)
    changed = frozenset(flat_name for name in _names(header) for flat_name in flat_names(name, entity))
    return ChangeEvent(
        entity=entity,
        record_ids=_record_ids(header),
        change_type=change_type,  # type: ignore[arg-type] # checked against CHANGE_TYPES above
        origin=str(header.get("changeOrigin") or ""),
        transaction=str(header.get("transactionKey") or ""),
        sequence=_number(header, "sequenceNumber"),
        commit_ms=_number(header, "commitTimestamp"),
        changed=changed,
        fields={name: value for name, value in flat.items() if name not in diffs},
        diffs=diffs,
        replay_id=_replay_id(data),
    )


def _text(header: Mapping[str, Any], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise DecodeError(f"the event's {name} is missing or no text")
    return value


def _number(header: Mapping[str, Any], name: str) -> int:
    value = header.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST:
        raise DecodeError(f"the event's {name} is no number, or none that can be kept")
    return int(value)


def _record_ids(header: Mapping[str, Any]) -> tuple[str, ...]:
    ids = header.get("recordIds")
    if not isinstance(ids, Sequence) or isinstance(ids, str) or not ids or not all(isinstance(each, str) for each in ids):
        raise DecodeError("the event's recordIds is no list of ids")
    return tuple(ids)


def _names(header: Mapping[str, Any]) -> list[str]:
    names = header.get("changedFields") or []
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise DecodeError("the event's changedFields is no list")
    return [name for name in names if isinstance(name, str)]


def _replay_id(data: Mapping[str, Any]) -> int | None:
    event = data.get("event")
    replay_id = event.get("replayId") if isinstance(event, Mapping) else None
    return replay_id if isinstance(replay_id, int) and not isinstance(replay_id, bool) and abs(replay_id) < MOST else None
