"""The CSV of the Bulk API: every value in quotes, nothing for null, each row ended by a newline, numbers as Java writes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from sandbox.salesforce.values import Value

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
PLAIN_FROM, PLAIN_BELOW = 1e-3, 1e7


def write_row(values: Sequence[Value], delimiter: str = ",", ending: str = "\n") -> str:
    """One row, its line ending included."""
    return delimiter.join(f'"{text_of(value).replace(chr(34), chr(34) * 2)}"' for value in values) + ending


def text_of(value: Value) -> str:
    """One value: `true`, `2026-01-01T00:00:00.000Z`, `2026-01-01`, `119.0`, `9.0E7`, or text as it stands."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _java_double(value)
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _java_double(number: float) -> str:
    """Java's Double.toString: plain between 0.001 and 10,000,000, scientific beyond, always with a decimal."""
    if number == 0 or PLAIN_FROM <= abs(number) < PLAIN_BELOW:
        plain = f"{Decimal(repr(number)):f}"
        return plain if "." in plain else f"{plain}.0"
    sign, digits, _ = Decimal(repr(number)).normalize().as_tuple()
    figures = "".join(map(str, digits))
    exponent = Decimal(repr(number)).adjusted()
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}E{exponent}"
