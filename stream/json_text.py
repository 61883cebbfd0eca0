"""JSON that nothing brings down: read from what is not quite JSON, written of any value whatever. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

DIGITS_MOST = 19  # of a whole number that is read as one
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|["\[\]{},]', re.DOTALL)


def loads(text: bytes) -> Any:
    """JSON as Python values, None where it is none.

    Half of a character that was cut in two becomes a question mark, and a number that there is none of stays a text: to refuse
    an answer for it would be to stop at it for good, because it comes again.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(json.dumps(_lenient(text.decode(errors="replace")), ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _lenient(text: str) -> Any:
    return json.loads(text, strict=False, parse_int=_whole, parse_float=_decimal, parse_constant=str)


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= DIGITS_MOST else text


def _decimal(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def elements(text: str) -> list[str] | None:
    """The text of each element of a JSON array that cannot be read as a whole; None where it is no whole array."""
    found: list[str] = []
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == '"':  # it has no end
            return None
        if sign in "[{":
            depth += 1
            if depth == 1 and (sign == "{" or found or text[: token.start()].strip()):
                return None
            start = token.end() if depth == 1 else start
        elif sign in "]}":
            depth -= 1
        if depth == 0 or (depth == 1 and sign == ","):
            found.append(text[start : token.start()].strip())
            start = token.end()
        if depth == 0:
            return found if sign == "]" and not text[token.end() :].strip() else None
    return None


class _Verbatim(str):
    """A piece of JSON that is written as it is."""

    __slots__ = ()


def whole_text(value: Any) -> str:
    """Any value as JSON text, in ASCII, with nothing left out: however deep, however large, halves of characters too."""
    written: list[str] = []
    left: list[Any] = [value]
    while left:
        each = left.pop()
        if isinstance(each, _Verbatim):
            written.append(each)
        elif isinstance(each, Mapping):
            left += reversed([_Verbatim("{"), *_members(each), _Verbatim("}")])
        elif isinstance(each, list | tuple):
            left += reversed([_Verbatim("["), *_items(each), _Verbatim("]")])
        else:
            written.append(_plain(each))
    return "".join(written)


def _members(value: Mapping[Any, Any]) -> Iterator[Any]:
    for number, (name, inner) in enumerate(value.items()):
        yield _Verbatim(f"{',' if number else ''}{_plain(str(name))}:")
        yield inner


def _items(value: Sequence[Any]) -> Iterator[Any]:
    for number, inner in enumerate(value):
        if number:
            yield _Verbatim(",")
        yield inner


def _plain(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except ValueError:  # more digits than Python writes
        return json.dumps(hex(value))
