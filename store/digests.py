"""What is known of a record's fields, as a few characters for each: enough to tell whether a value is another one. Pure."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

Known = dict[str, str]
"""Salesforce field name → digest of its value; an empty field is not in it."""

DIGEST_BYTES = 6  # one wrong "nothing has changed" in 2⁴⁸ comparisons
UNKNOWN = ""  # the field was told of, and which value counts is not known: no digest equals it

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})")


def digest(value: Any) -> str:
    """A value's digest. One and the same value that an event, a query and a bulk job spell differently has one digest."""
    return _of_often(value) if type(value) in _OFTEN else _of(value)


def _of(value: Any) -> str:
    plain = orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    return binascii.b2a_base64(hashlib.blake2b(plain, digest_size=DIGEST_BYTES).digest(), newline=False).decode()


_OFTEN = {str, bool}  # what a picklist, a box or a relation holds comes again and again
_of_often = lru_cache(4096, typed=True)(_of)


def _plain(value: Any) -> Any:
    """Numbers as floats, moments as seconds in UTC."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**53 else str(value)
    if isinstance(value, str) and value[4:5] == "-" and _MOMENT.fullmatch(value):
        try:
            return ["moment", datetime.fromisoformat(value).astimezone(UTC).timestamp()]
        except (ValueError, OverflowError):
            return value
    return value


def digests(fields: Mapping[str, Any]) -> Known:
    """The digests of all fields that hold something."""
    return {name: digest(value) for name, value in fields.items() if value is not None}


def differing(fields: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """The fields whose value is another than the one known."""
    return {
        name: value for name, value in fields.items() if (name in known if value is None else known.get(name) != digest(value))
    }


def difference(whole: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """What of a whole record is another than known; a field that it lacks and that was filled is None."""
    return {**{name: None for name in known if whole.get(name) is None}, **differing(whole, known)}
