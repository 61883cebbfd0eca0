"""The rows of a bulk query: CSV that comes in pieces, cut into whole rows, each typed as SOQL would have given it.

Pure. Source: Salesforce, Bulk API 2.0 guide: every value in quotes, empty for null, each row ended by a newline; doubles as Java
writes them (`9.0E7`), datetimes as `2026-01-01T00:00:00.000Z`.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from stream.salesforce.rest_answers import ObjectDescribe

MOST_ROW_CHARACTERS = 4_000_000  # ten times what a record of Salesforce may hold
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)")
_JAVA_LENGTH = len("2026-01-01T00:00:00.000Z")
Convert = Callable[[str], Any]


class Torn(ValueError):
    """The CSV breaks, or ends, within a row."""


class Unsuited(ValueError):
    """A column or a value is not what the object's describe says of it."""


class RowCutter:
    """Takes CSV in pieces, as they come off the wire, and gives whole rows; `close` tells whether the last one was whole."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: list[str] = []
        self._tail = ""

    def feed(self, piece: bytes) -> Iterator[list[str]]:
        """The rows that end in this piece. Raises Torn."""
        text = self._decoder.decode(piece).replace("\0", "")  # NULs come at times, and no field of Salesforce holds one
        *lines, self._tail = (self._tail + text).split("\n")
        short: list[str] = []  # rows of one line, which most are
        for line in lines:
            quotes = line.count('"') % 2
            if not (self._lines or quotes):
                short.append(line)
                continue
            yield from _rows(short)
            short.clear()
            is_last = bool(quotes and self._lines)
            self._lines.append(line)
            if is_last:
                yield from _rows(["\n".join(self._lines)])
                self._lines.clear()
        yield from _rows(short)
        if sum(map(len, self._lines)) + len(self._tail) > MOST_ROW_CHARACTERS:
            raise Torn("a row is longer than any record")

    def close(self) -> None:
        """Raises Torn where the last row was not ended by a newline: without it, a value cut at one of its quotes looks whole."""
        if self._lines or self._tail or self._decoder.getstate()[0]:
            raise Torn("the CSV ends within a row")


def _rows(texts: Sequence[str]) -> list[list[str]]:
    """One row of each text."""
    try:
        found = list(csv.reader([f"{text}\n" for text in texts], strict=True))
    except csv.Error as error:
        raise Torn(f"a row is no CSV ({error})") from error
    if len(found) != len(texts):
        raise Torn("a row is no CSV (it does not end where it ought to)")
    return found


class RowTyper:
    """Turns the rows under one header into flat dicts. Raises Unsuited for columns that the object does not have."""

    def __init__(self, header: Sequence[str], describe: ObjectDescribe) -> None:
        fields = {name.lower(): field for name, field in describe.fields.items()}
        unknown = [column for column in header if column.lower() not in fields]
        if unknown or not header:
            raise Unsuited(f"{describe.name} has no {', '.join(unknown) or 'columns'}")
        found = [fields[column.lower()] for column in header]
        self._names = [field.name for field in found]
        self._typed = [(field.name, _CONVERT[field.type]) for field in found if field.type in _CONVERT]

    def row(self, values: Sequence[str]) -> dict[str, Any]:
        """One row; an empty value is None. Raises Torn where values are missing, Unsuited where one is not of its type."""
        if len(values) != len(self._names):
            raise Torn(f"a row has {len(values)} values under {len(self._names)} columns")
        row: dict[str, Any] = {name: value or None for name, value in zip(self._names, values, strict=True)}
        for name, convert in self._typed:
            if (value := row[name]) is not None:
                try:
                    row[name] = convert(value)
                except ValueError:
                    raise Unsuited(f"a value of {name} is not of the field's type") from None  # the value may be personal
        return row


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _datetime(text: str) -> str:
    """As REST writes it: `2026-01-01T00:00:00.000+0000`."""
    if not _MOMENT.fullmatch(text):
        raise ValueError
    moment = datetime.fromisoformat(text)
    if len(text) == _JAVA_LENGTH and text[-1] == "Z":
        return f"{text[:-1]}+0000"
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


_CONVERT: dict[str, Convert] = {
    "boolean": _boolean,
    "int": int,
    "long": int,
    "double": _double,
    "currency": _double,
    "percent": _double,
    "datetime": _datetime,
}
