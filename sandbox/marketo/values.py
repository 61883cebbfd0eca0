"""Values as Marketo takes them and gives them: checked against the describe on the way in, datetimes in assorted formats out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from sandbox.marketo.answers import Skipped
from sandbox.marketo.schema import NUMBERS, TEXTS, Field

DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def accepted(field: Field, value: Any) -> Any:
    """The value as it is kept; null and the empty string clear. Raises Skipped: 1001 wrong type, 1003 too long or not ASCII."""
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list)):
        raise _mismatch(field, value)
    if field.data_type in TEXTS:
        return _text(field, value)
    if field.data_type in NUMBERS:
        return _number(field, value)
    if field.data_type == "boolean":
        return _boolean(field, value)
    if field.data_type == "date":
        return _date(field, value)
    return _datetime(field, value)


def _mismatch(field: Field, value: Any) -> Skipped:
    return Skipped("1001", f"Invalid value '{value}'. Required of type '{field.data_type.capitalize()}'")


def _text(field: Field, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if field.length is not None and len(text) > field.length:
        raise Skipped("1003", f"Value of field '{field.name}' exceeds its length of {field.length}")
    if field.data_type == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise Skipped("1003", f"Value of field '{field.name}' is not an email address")
    if (field.data_type == "email" or field.name == "email") and not text.isascii():
        raise Skipped("1003", f"Value of field '{field.name}' may contain ASCII characters only")
    return text


def _number(field: Field, value: Any) -> int | float:
    if isinstance(value, bool):
        raise _mismatch(field, value)
    try:
        number = float(value)
    except ValueError:
        raise _mismatch(field, value) from None
    if number != number or number in {float("inf"), float("-inf")}:  # noqa: PLR0124 - not a number
        raise _mismatch(field, value)
    if field.data_type in {"integer", "score"} and not number.is_integer():
        raise _mismatch(field, value)
    return int(number) if number.is_integer() else number


def _boolean(field: Field, value: Any) -> bool:
    known = BOOLEANS.get(str(value).lower())
    if known is None:
        raise _mismatch(field, value)
    return known


def _date(field: Field, value: Any) -> str:
    try:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            raise _mismatch(field, value)
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise _mismatch(field, value) from None


def _datetime(field: Field, value: Any) -> str:
    moment = parsed(value) if isinstance(value, str) else None
    if moment is None:
        raise _mismatch(field, value)
    return stamp(moment.timestamp())


def parsed(text: str) -> datetime | None:
    """A datetime as Marketo accepts it (`YYYY-MM-DDThh:mm:ss` with `Z` or `±hh:mm`, no milliseconds), or None."""
    if not DATETIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def stamp(seconds: float) -> str:
    """Seconds since the epoch as the simulator keeps datetimes: `2026-11-23T10:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """What `stamp` made, back to seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def assorted(text: str, turn: int) -> str:
    """The same moment in one of the formats that Marketo is seen to answer with: `…Z`, `…+0000`, `…-08:00`."""
    moment = datetime.fromisoformat(text)
    if turn % 3 == 0:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if turn % 3 == 1:
        return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")
    return moment.astimezone(timezone(timedelta(hours=-8))).isoformat(timespec="seconds")
