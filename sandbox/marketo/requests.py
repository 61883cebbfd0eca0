"""What a request asks for, taken apart strictly: bodies of syncs and deletes, and parameters of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.marketo.answers import Refused, Skipped
from sandbox.marketo.schema import Schema
from sandbox.marketo.values import accepted

RECORDS_MAX: Final = 300
ACTIONS: Final = ("createOrUpdate", "createOnly", "updateOnly")


def records_of(body: Any, most_in_time: int) -> list[Any]:
    """The `input` of a sync or delete. Raises Refused: 1002 missing, 1001 no list, 1003 more than 300, 604 too many in time."""
    records = body.get("input") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or records is None or records == []:
        raise Refused("1002", "Missing value for the required parameter 'input'")
    if not isinstance(records, list):
        raise Refused("1001", "Invalid value for 'input'. Required of type 'Array'")
    if len(records) > RECORDS_MAX:
        raise Refused("1003", f"Invalid data: at most {RECORDS_MAX} records are allowed, found {len(records)}")
    if len(records) > most_in_time:
        raise Refused("604", "Request timed out")
    return records


def choice(body: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """One of several words, the first when it is left out. Raises Refused 1001 for another."""
    value = body.get(name)
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise Refused("1001", f"Invalid value '{value}'. Required of type '{name}'")
    return str(value)


def checked(described: Schema, record: Any, *, fixed_allowed: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A record's fields as they are kept. Raises Skipped: 1006 a field unknown or read-only, 1001 and 1003 a bad value."""
    if not isinstance(record, Mapping):
        raise Skipped("1001", "Invalid value in 'input'. Required of type 'Object'")
    fields: dict[str, Any] = {}
    for name, value in record.items():
        field = described.fields.get(name)
        if field is None:
            raise Skipped("1006", f"Field '{name}' not found")
        if not field.updateable and not described.is_key(name) and name not in fixed_allowed:
            raise Skipped("1006", f"Field '{name}' is read-only")
        fields[name] = accepted(field, value)
    return fields


def key_of(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The record's key (a tuple where it is compound). Raises Skipped 1002 when a part is missing."""
    for name in names:
        if fields.get(name) is None:
            raise Skipped("1002", f"Missing value for the required parameter '{name}'")
    return fields[names[0]] if len(names) == 1 else tuple(fields[name] for name in names)


@dataclass(frozen=True, slots=True)
class Query:
    """A question for records: which field, which values (or compound keys), which fields to show, which page."""

    filter_type: str
    values: tuple[Any, ...]
    keys: tuple[Mapping[str, Any], ...]
    fields: tuple[str, ...]
    size: int
    offset: int


def split(value: Any) -> tuple[str, ...]:
    """A list given as a JSON array, or as text between commas."""
    if value is None or value == "":
        return ()
    parts = value if isinstance(value, list) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def query_of(parameters: Mapping[str, Any]) -> Query:
    """The parameters of a query. Raises Refused: 1002 missing, 1003 over 300 values or a bad page token, 1001 a bad size."""
    keys = parameters.get("input")
    filter_type = str(parameters.get("filterType") or ("dedupeFields" if keys else ""))
    values = split(parameters.get("filterValues"))
    if not filter_type:
        raise Refused("1002", "Missing value for the required parameter 'filterType'")
    if not values and not keys:
        raise Refused("1002", "Missing value for the required parameter 'filterValues'")
    if len(values) > RECORDS_MAX or (isinstance(keys, list) and len(keys) > RECORDS_MAX):
        raise Refused("1003", f"Invalid data: at most {RECORDS_MAX} filterValues are allowed")
    if keys is not None and not (isinstance(keys, list) and all(isinstance(key, Mapping) for key in keys)):
        raise Refused("1001", "Invalid value for 'input'. Required of type 'Array'")
    return Query(
        filter_type,
        values,
        tuple(keys or ()),
        split(parameters.get("fields")),
        batch_size(parameters),
        offset_of(parameters.get("nextPageToken")),
    )


def batch_size(parameters: Mapping[str, Any]) -> int:
    """`batchSize`: 300 unless told, never more."""
    value = parameters.get("batchSize")
    if value is None:
        return RECORDS_MAX
    try:
        return max(1, min(RECORDS_MAX, int(value)))
    except (TypeError, ValueError):
        raise Refused("1001", f"Invalid value '{value}'. Required of type 'Integer'") from None


def offset_of(token: Any) -> int:
    """The place a query's page token stands for."""
    if not token:
        return 0
    head, _, number = str(token).partition("=")
    if head != "OFFSET" or not number.isdigit():
        raise Refused("1003", "Invalid nextPageToken")
    return int(number)


def token_after(offset: int) -> str:
    """A query's page token."""
    return f"OFFSET={offset}"
