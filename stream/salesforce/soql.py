"""SOQL, put together so that no value can become syntax, and no query too long for a URI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from urllib.parse import quote_plus

MOST_URI_BYTES = 12_000  # Salesforce takes 16 KB of URI and headers together; an access token may fill 2 of them
ID_BYTES = 27  # an id in an IN list, percent-encoded: two quotes, a comma, 18 characters

_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)*", re.ASCII)


def quote(text: str) -> str:
    """A text as a SOQL literal, quotes included."""
    return "'" + "".join(_ESCAPES.get(sign, sign) for sign in text) + "'"


def datetime_literal(moment: datetime) -> str:
    """A moment as SOQL writes it, in UTC, cut to milliseconds; it must name its zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment in a query needs a time zone")
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def date_literal(day: date) -> str:
    """A day as SOQL writes it."""
    return f"{day:%Y-%m-%d}"


def check_id(record_id: str) -> str:
    """The id itself; ValueError where it is none of 15 or 18 letters and digits."""
    if not _ID.fullmatch(record_id):
        raise ValueError(f"{record_id!r} is no Salesforce id")
    return record_id


def check_name(name: str) -> str:
    """The name of an object, a field or a path of fields; ValueError where it is none."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name in Salesforce")
    return name


def in_list(field: str, ids: Sequence[str]) -> str:
    """`field IN ('…','…')` for at least one id."""
    if not ids:
        raise ValueError("an IN list needs an id")
    return f"{check_name(field)} IN ({','.join(quote(check_id(one)) for one in ids)})"


def in_chunks(ids: Sequence[str], *, beside: str = "") -> Iterator[Sequence[str]]:
    """The ids in parts, each of which fits into one query beside the rest of its text."""
    room = (MOST_URI_BYTES - uri_bytes(beside)) // ID_BYTES
    if room < 1:
        raise ValueError("the query leaves no room for an id")
    for start in range(0, len(ids), room):
        yield ids[start : start + room]


def select(fields: Sequence[str], obj: str, where: str = "", order_by: str = "", limit: int = 0) -> str:
    """A SELECT; `where` and `order_by` are put in as they are, so their values must come from the functions above."""
    names = ",".join(check_name(field) for field in fields)
    text = f"SELECT {names} FROM {check_name(obj)}"  # noqa: S608 - names are checked, and this is no SQL
    text += f" WHERE {where}" if where else ""
    return text + (f" ORDER BY {order_by}" if order_by else "") + (f" LIMIT {limit}" if limit else "")


def select_count(obj: str, where: str = "") -> str:
    """A query for the number of records; `where` as in `select`."""
    return f"SELECT COUNT() FROM {check_name(obj)}" + (f" WHERE {where}" if where else "")  # noqa: S608 - as above


def uri_bytes(soql: str) -> int:
    """How much of a URI a query takes."""
    return len(quote_plus(soql))
