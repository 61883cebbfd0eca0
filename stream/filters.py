"""Which records are synced: comparisons in SOQL's words joined by AND, applied to a record's fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.errors import ConfigError

_COMPARISON = re.compile(
    r"\s*(?P<name>\w+)\s*(?P<sign>=|!=|<>)\s*(?P<value>'(?:[^'\\]|\\.)*'|true|false|null|-?\d+(?:\.\d+)?)\s*", re.IGNORECASE
)
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One `Field = value` or `Field != value`."""

    name: str
    equal: bool
    value: Any

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Whether the record's value passes; text is compared as SOQL does, without regard to case."""
        found = fields.get(self.name)
        if isinstance(found, str) and isinstance(self.value, str):
            same = found.lower() == self.value.lower()
        else:
            same = found == self.value
        return same is self.equal


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """All comparisons must hold; an empty filter admits everything."""

    comparisons: tuple[Comparison, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The Salesforce fields the filter looks at."""
        return frozenset(each.name for each in self.comparisons)

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Whether a record with these fields is synced."""
        return all(each.admits(fields) for each in self.comparisons)


def parse(text: str, key: str) -> RecordFilter:
    """The filter in these words; raises ConfigError naming the key, what was found and what is expected."""
    comparisons: list[Comparison] = []
    place = 0
    while text[place:].strip():
        if comparisons:
            joined = _AND.match(text, place)
            if joined is None:
                raise _refusal(key, text[place:])
            place = joined.end()
        found = _COMPARISON.match(text, place)
        if found is None:
            raise _refusal(key, text[place:])
        comparisons.append(Comparison(found["name"], found["sign"] == "=", _literal(found["value"])))
        place = found.end()
    return RecordFilter(tuple(comparisons))


def _refusal(key: str, rest: str) -> ConfigError:
    return ConfigError(
        f"{key}: found {rest.strip()[:40]!r}, expected comparisons such as UserType = 'Standard' joined by AND",
        hint="= and != with a quoted text, a number, true, false or null",
    )


def _literal(text: str) -> Any:
    if text.startswith("'"):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    lowered = text.lower()
    if lowered in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[lowered]
    return float(text)
