"""What Salesforce's REST answers mean: typed values out of JSON, and errors that say what to make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.errors import DailyLimit, SalesforceError, StreamError, Unreachable

SESSION_CODE = "INVALID_SESSION_ID"
LIMIT_CODE = "REQUEST_LIMIT_EXCEEDED"
BULK_LIMIT_CODES = frozenset({"LIMIT_EXCEEDED", "EXCEEDEDQUOTA"})
BULK_CODE = "API_ERROR"  # what the Bulk API says of any query that it cannot read; the words tell more
BUSY_STATUSES = frozenset({408, 425, 429})
TOO_LONG_STATUSES = frozenset({413, 414, 431})  # answered by servers that know no JSON; asking again is no use
HINTS = {
    "API_DISABLED_FOR_ORG": "the org's edition or the user's profile has no API access",
    "API_ERROR": "the Bulk API cannot run this query; SOQL pages can",
    "INVALIDENTITY": "the Bulk API does not know this object; SOQL pages can read it",
    "INSUFFICIENT_ACCESS": "give the integration user this permission",
    "INSUFFICIENT_ACCESS_OR_READONLY": "give the integration user this permission",
    "INVALID_FIELD": "the field does not exist, or the integration user may not see it",
    "INVALID_TYPE": "the object does not exist, or the integration user may not see it",
    "NOT_FOUND": "the object or record does not exist, or the integration user may not see it",
    "STORAGE_LIMIT_EXCEEDED": "the org's data storage is full",
}

_COMPOUND = {dict, list}
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")
_COLUMN = re.compile(r"No such column '\w+' on (?:entity|sobject of type) '?\w+'?")


class CallRefused(SalesforceError):
    """Salesforce's error answer. `detail` is Salesforce's own wording: it may hold personal data, so it stays out of str()."""

    def __init__(
        self, message: str, *, code: str, status: int, detail: str = "", fields: tuple[str, ...] = (), hint: str = ""
    ) -> None:
        super().__init__(message, code=code, status=status, hint=hint)
        self.detail = detail
        self.fields = fields


class SessionRefused(CallRefused):
    """The access token is no longer good: renew it and ask again, once."""


@dataclass(frozen=True, slots=True)
class FieldDescribe:
    """One field, as the signed-in user may use it."""

    name: str
    type: str
    length: int
    precision: int
    scale: int
    updateable: bool


@dataclass(frozen=True, slots=True)
class ObjectDescribe:
    """One object with the fields that the signed-in user may see."""

    name: str
    fields: Mapping[str, FieldDescribe]


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one record of a write. `message` may hold personal data."""

    id: str
    success: bool
    code: str = ""
    message: str = field(default="", repr=False)
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """One allowance of the org."""

    max: int
    remaining: int


def api_usage(header: str | None) -> tuple[int, int] | None:
    """Used and allowed calls of the day, from `Sforce-Limit-Info`."""
    found = _USAGE.search(header or "")
    return (int(found[1]), int(found[2])) if found else None


def refusal(endpoint: str, status: int, body: Any) -> StreamError:
    """The error that an answer other than success stands for. `body` is its JSON, or None where it held none."""
    code, detail, fields = _first_error(body)
    if code == BULK_CODE and _COLUMN.search(detail):
        code = "INVALID_FIELD"
    shown = f"HTTP {status}" + (f", {code}" if code else "")
    if code == SESSION_CODE or status == 401:
        return SessionRefused(f"{endpoint}: {shown}", code=code, status=status, detail=detail)
    if status >= 500 or status in BUSY_STATUSES:
        return Unreachable(f"{endpoint}: {shown}")
    if code == LIMIT_CODE and "concurrent" in detail.lower():
        return Unreachable(f"{endpoint}: {shown}: too many calls at the same time")
    if code == LIMIT_CODE or code in BULK_LIMIT_CODES:
        what = "API calls" if code == LIMIT_CODE else "bulk queries"
        hint = f"it goes on by itself when {what} of the last 24 hours run out of the window"
        hint += "; lower reconcile.daily_calls or buy more" if code == LIMIT_CODE else ""
        return DailyLimit(f"{endpoint}: {shown}: the org's daily {what} are used up", code=code, status=status, hint=hint)
    if code or status in TOO_LONG_STATUSES:
        column = _COLUMN.search(detail) if code == "INVALID_FIELD" else None
        message = f"{endpoint}: {shown}" + (f": {column[0]}" if column else "")
        known = code or f"HTTP_{status}"
        return CallRefused(message, code=known, status=status, detail=detail, fields=fields, hint=HINTS.get(code, ""))
    return Unreachable(f"{endpoint}: {shown}, and not in Salesforce's words")


def _first_error(body: Any) -> tuple[str, str, tuple[str, ...]]:
    """Code, wording and fields of `[{errorCode, message, fields}]`; rows of a write spell the code `statusCode`."""
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", "", ()
    code = first.get("errorCode") or first.get("statusCode") or first.get("error") or ""
    message = first.get("message") or first.get("error_description") or ""
    fields = first.get("fields")
    return str(code), str(message), tuple(map(str, fields)) if isinstance(fields, list) else ()


def describe_of(endpoint: str, body: Any) -> ObjectDescribe:
    """An object's describe."""
    found = {row["name"]: _field(row) for row in rows_in(endpoint, body, "fields") if isinstance(row.get("name"), str)}
    if not found:
        raise Unreachable(f"{endpoint}: the describe names no field")
    return ObjectDescribe(str(body.get("name", "")), found)


def _field(row: Mapping[str, Any]) -> FieldDescribe:
    numbers = {key: row[key] if isinstance(row.get(key), int) else 0 for key in ("length", "precision", "scale")}
    return FieldDescribe(row["name"], str(row.get("type", "")), updateable=row.get("updateable") is True, **numbers)


def records_of(endpoint: str, ids: Sequence[str], body: Any) -> list[dict[str, Any] | None]:
    """The records of a collection read, one for each id and in their order; None for a record that is not there."""
    if not isinstance(body, list) or len(body) != len(ids):
        raise Unreachable(f"{endpoint}: the answer does not hold one record for each of {len(ids)} ids")
    records = [None if row is None else without_attributes(row) for row in body]
    for asked, record in zip(ids, records, strict=True):
        if record is not None and not (isinstance(record, dict) and str(record.get("Id", asked))[:15] == asked[:15]):
            raise Unreachable(f"{endpoint}: the answer's records are not in the order of the ids")
    return records


def results_of(endpoint: str, ids: Sequence[str], body: Any) -> list[RowResult]:
    """What became of each record of a write, in their order."""
    if not isinstance(body, list) or len(body) != len(ids) or not all(isinstance(row, dict) for row in body):
        raise Unreachable(f"{endpoint}: the answer does not hold one result for each of {len(ids)} records")
    return [_result(record_id, row) for record_id, row in zip(ids, body, strict=True)]


def _result(record_id: str, row: Mapping[str, Any]) -> RowResult:
    if row.get("success") is True:
        return RowResult(record_id, success=True)
    code, message, fields = _first_error(row.get("errors"))
    return RowResult(record_id, success=False, code=code or "UNKNOWN", message=message, fields=fields)


def page_of(endpoint: str, body: Any) -> tuple[list[dict[str, Any]], str]:
    """A page's rows, and where the next page is (empty after the last one)."""
    rows = [without_attributes(row) for row in rows_in(endpoint, body, "records")]
    if body.get("done") is True:
        return rows, ""
    following = body.get("nextRecordsUrl")
    if not isinstance(following, str) or not following.startswith("/services/data/"):
        raise Unreachable(f"{endpoint}: the answer says that there is more, and not where")
    return rows, following


def count_of(endpoint: str, body: Any) -> int:
    """The number of records that a `SELECT COUNT()` found."""
    size = body.get("totalSize") if isinstance(body, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Unreachable(f"{endpoint}: the answer holds no count")
    return size


def limits_of(endpoint: str, body: Any) -> dict[str, Limit]:
    """The org's allowances by name."""
    if not isinstance(body, dict):
        raise Unreachable(f"{endpoint}: the answer holds no limits")
    found: dict[str, Limit] = {}
    for name, row in body.items():
        if isinstance(row, dict) and isinstance(row.get("Max"), int) and isinstance(row.get("Remaining"), int):
            found[name] = Limit(row["Max"], row["Remaining"])
    return found


def rows_in(endpoint: str, body: Any, key: str) -> list[dict[str, Any]]:
    """The list of objects under a key of the answer."""
    rows = body.get(key) if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unreachable(f"{endpoint}: the answer holds no {key}")
    return rows


def without_attributes(value: Any) -> Any:
    """A record, or whatever stands in it, without the `attributes` that Salesforce adds to every record; changed in place."""
    if isinstance(value, dict):
        value.pop("attributes", None)
        if not _COMPOUND.isdisjoint(map(type, value.values())):
            for inner in value.values():
                without_attributes(inner)
    elif isinstance(value, list):
        for inner in value:
            without_attributes(inner)
    return value
