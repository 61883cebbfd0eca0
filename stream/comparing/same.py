"""Whether Marketo holds what was sent, allowing for what it does to values: zones, trimmed and cut texts, 119.0 for 119. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stream.mapping import DECIMAL, NUMERIC, TEXT_LENGTH, ObjectMapping

CENT = 1e-4  # amounts are kept with four decimals
CUT_BLANKS = 16  # blanks that may have stood where a text was cut
_BLANKS = re.compile(r"\s+")


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any], mapping: ObjectMapping) -> dict[str, tuple[Any, Any]]:
    """Marketo field → (what was to be there, what is there), where they differ."""
    types = {target.name: target.data_type for target in mapping.targets.values()}
    wanted = {name: value for name, value in wanted.items() if name not in mapping.if_empty or is_empty(found.get(name))}
    return {
        name: (value, found.get(name))
        for name, value in wanted.items()
        if not same(value, found.get(name), types.get(name, "string"))
    }


def same(wanted: Any, found: Any, data_type: str) -> bool:
    """Whether the value found is the one wanted, for all that Marketo makes of values of this type."""
    if data_type == "boolean":
        return _boolean(wanted) == _boolean(found)
    if is_empty(wanted) or is_empty(found):
        return is_empty(wanted) and is_empty(found)
    if data_type in NUMERIC | DECIMAL:
        return _number(wanted, found)
    if data_type == "date":
        return str(wanted)[:10] == str(found)[:10]
    if data_type == "datetime":
        return bool(_moment(wanted) == _moment(found))
    return _text(str(wanted), str(found), data_type)


def is_empty(value: Any) -> bool:
    """Whether a value of Marketo's is none."""
    return value is None or (isinstance(value, str) and not value.strip())


def _boolean(value: Any) -> bool:
    """Marketo shows an unset boolean as null or false."""
    return value is True or str(value).lower() in {"true", "1"}


def _number(wanted: Any, found: Any) -> bool:
    try:
        return math.isclose(float(wanted), float(found), rel_tol=1e-12, abs_tol=CENT)
    except (TypeError, ValueError, OverflowError):
        return str(wanted) == str(found)


def _moment(value: Any) -> Any:
    """Whole seconds in UTC; Marketo keeps no parts of them."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def _text(wanted: str, found: str, data_type: str) -> bool:
    was_cut = len(found) >= TEXT_LENGTH - CUT_BLANKS  # Marketo's texts hold no less
    wanted, found = _plain(wanted), _plain(found)
    if data_type == "email":
        return wanted.casefold() == found.casefold()
    return wanted == found or (was_cut and wanted.startswith(found))


def _plain(text: str) -> str:
    """Without what changes on the way: blanks around and between, and forms of one and the same letter."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", text)).strip()
