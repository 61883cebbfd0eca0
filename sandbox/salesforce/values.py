"""Field values: read strictly from JSON, kept as plain Python values, written as REST and as change events write them.

Kept as: str, bool, int, float, `datetime.date`, `datetime.datetime` (UTC, whole seconds), or None for empty.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.salesforce.errors import Refused, Unreadable
from sandbox.salesforce.ids import PREFIXES, id18
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field

Value = str | bool | int | float | dt.date | dt.datetime | None
Row = dict[str, Value]

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def _unreadable(field: Field, value: Any) -> Unreadable:
    if isinstance(value, bool):
        token = f"VALUE_{str(value).upper()}"
    elif isinstance(value, int):
        token = "VALUE_NUMBER_INT"
    elif isinstance(value, float):
        token = "VALUE_NUMBER_FLOAT"
    elif isinstance(value, str):
        token = "VALUE_STRING"
    else:
        token = "START_ARRAY" if isinstance(value, list) else "START_OBJECT"
    kind = "string" if field.type in TEXT_TYPES else field.type
    return Unreadable(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field",
    )


def read_value(field: Field, value: Any) -> Value:
    """One value as a writer sent it: trimmed, rounded and checked as Salesforce does, or refused in its words."""
    if value is None:
        _check_null(field)
        return None
    if field.type in TEXT_TYPES:
        return _read_text(field, value)
    if field.type in {"id", "reference"}:
        return _read_reference(field, value)
    if field.type == "boolean":
        return _read_boolean(field, value)
    if field.type == "int" or field.type in NUMBER_TYPES:
        return _read_number(field, value)
    if field.type == "date":
        return _read_date(field, value)
    if field.type == "datetime":
        return _read_datetime(field, value)
    raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {field.name}.", (field.name,))


def _check_null(field: Field) -> None:
    if field.type == "boolean":
        message = f"{field.name}: value not of required type: null"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, (field.name,))


def _read_text(field: Field, value: Any) -> Value:
    if not isinstance(value, str):
        raise _unreadable(field, value)
    text = value.strip()
    if len(text) > field.length:
        shown = text if len(text) <= 255 else text[:255]
        message = f"{field.name}: data value too large: {shown} (max length={field.length})"
        raise Refused("STRING_TOO_LONG", message, (field.name,))
    if field.type == "email" and text and not _EMAIL.fullmatch(text):
        raise Refused("INVALID_EMAIL_ADDRESS", f"{field.name}: invalid email address: {text}", (field.name,))
    return text or None


def _read_reference(field: Field, value: Any) -> Value:
    if not isinstance(value, str):
        raise _unreadable(field, value)
    if not value.strip():
        return None
    whole = id18(value)
    if whole is None:
        raise Refused("MALFORMED_ID", f"{field.name}: id value of incorrect type: {value}", (field.name,))
    if field.refers_to and not any(whole.startswith(PREFIXES[target]) for target in field.refers_to):
        raise Refused("FIELD_INTEGRITY_EXCEPTION", f"{field.name}: id value of incorrect type: {value}", (field.name,))
    return whole


def _read_boolean(field: Field, value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _unreadable(field, value)


def _read_number(field: Field, value: Any) -> Value:
    if isinstance(value, bool):
        raise _unreadable(field, value)
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError as error:
        raise _unreadable(field, value) from error
    if not number.is_finite():
        raise _unreadable(field, value)
    if field.type == "int" and number != number.to_integral_value():
        raise _unreadable(field, value)
    digits = max(field.precision - field.scale, 0)
    rounded = number.quantize(Decimal(1).scaleb(-field.scale), rounding=ROUND_HALF_UP) if abs(number) < 10**25 else number
    if abs(rounded) >= 10**digits:
        message = f"{field.name}: value outside of valid range on numeric field: {value}"
        raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message, (field.name,))
    return int(rounded) if field.type == "int" else float(rounded)


def _read_date(field: Field, value: Any) -> Value:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise _unreadable(field, value)
    try:
        return dt.date.fromisoformat(value)
    except ValueError as error:
        raise _unreadable(field, value) from error


def _read_datetime(field: Field, value: Any) -> Value:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(microsecond=0)
    moment = parse_datetime(value) if isinstance(value, str) else None
    if moment is None:
        raise _unreadable(field, value)
    return moment


def parse_datetime(text: str) -> dt.datetime | None:
    """A datetime as Salesforce reads it (a zone is required), in UTC and whole seconds; None when it is none."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)", text):
        return None
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC).replace(microsecond=0)
    except ValueError:
        return None


def from_epoch(seconds: float) -> dt.datetime:
    """An epoch time as a stored datetime: UTC, cut to the whole second, as SystemModstamp is."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


def rest_value(value: Value) -> Any:
    """A value as REST writes it: datetimes as `2026-01-01T00:00:00.000+0000`."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, dt.date) else value


def event_value(value: Value, *, milliseconds: bool = True) -> Any:
    """A value as a change event writes it: datetimes as `2026-01-01T00:00:00.000Z`, with or without the milliseconds."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z" if milliseconds else "%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, dt.date) else value
