"""Which records are synced: comparisons in SOQL's words joined by AND, applied to a record's fields. Pure.

What a change tells of a record decides it for the whole record (a row, a created record), or in part (an update): where one
comparison fails the record is outside; where those that can be judged hold, it is as it was, or has to be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from operator import ge, gt, le, lt
from typing import Any, Literal, cast

from stream.errors import ConfigError

Sign = Literal["=", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "LIKE"]
Side = Literal["in", "out", "same", "perhaps"]
"""in, out: decided · same: nothing was told that the filter looks at · perhaps: what was told does not suffice."""

_MOMENT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})"
_LITERAL = rf"'(?:[^'\\]|\\.)*'|(?:true|false|null)\b|{_MOMENT}|\d{{4}}-\d{{2}}-\d{{2}}|[+-]?\d+(?:\.\d+)?"
_COMPARISON = re.compile(
    rf"\s*(?P<name>[A-Za-z]\w*)\s*(?:(?P<sign>=|!=|<>|<=|>=|<|>|like\b)\s*(?P<value>{_LITERAL})"
    rf"|(?P<list>(?:not\s+)?in)\s*\(\s*(?P<values>(?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*)\s*\))\s*",
    re.IGNORECASE | re.ASCII,
)
_AND = re.compile(r"and\b", re.IGNORECASE)
_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SHORT_ID, _LONG_ID = 15, 18


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a field with a value, or with a list of them (IN, NOT IN)."""

    name: str
    sign: Sign
    value: Any

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Whether the record's value passes, as SOQL compares: text without regard to case, null neither more nor less than
        anything.
        """
        found = fields.get(self.name)
        match self.sign:
            case "=" | "!=":
                return _equal(found, self.value) is (self.sign == "=")
            case "IN" | "NOT IN":
                return any(_equal(found, each) for each in self.value) is (self.sign == "IN")
            case "LIKE":
                return isinstance(found, str) and _like(found, self.value)
        found, value = _comparable(found, self.value)
        return found is not None and _ORDERED[self.sign](found, value)


def _equal(found: Any, value: Any) -> bool:
    if found == "" or found is None or value is None or value == "":  # an empty text is null in Salesforce
        return found in {None, ""} and value in {None, ""}
    if isinstance(found, str) and isinstance(value, str):
        if len(value) == _SHORT_ID and len(found) == _LONG_ID and found.startswith(value):
            return True  # an id without its three last characters
        return found.casefold() == value.casefold()
    if isinstance(found, bool) or isinstance(value, bool):
        return found is value
    found, value = _comparable(found, value)
    return found is not None and bool(found == value)


def _comparable(found: Any, value: Any) -> tuple[Any, Any]:
    """Both sides as something that can be put in order, or None twice."""
    if isinstance(value, date) and isinstance(found, str):
        return _time(found, whole=isinstance(value, datetime)), value
    if isinstance(value, str) and isinstance(found, str):
        return found.casefold(), value.casefold()
    if isinstance(value, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return found, value
    return None, None


def _time(text: str, *, whole: bool) -> date | None:
    try:
        if not whole:
            return date.fromisoformat(text[:10])
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _like(found: str, pattern: str) -> bool:
    """SOQL's LIKE: % stands for any text, _ for one character."""
    parts = {"%": ".*", "_": "."}
    return (
        re.fullmatch("".join(parts.get(sign) or re.escape(sign) for sign in pattern), found, re.IGNORECASE | re.DOTALL)
        is not None
    )


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """All comparisons must hold; an empty filter admits everything."""

    comparisons: tuple[Comparison, ...] = ()
    names: frozenset[str] = field(init=False)
    """The Salesforce fields the filter looks at."""

    def __post_init__(self) -> None:
        """Look once at which fields it is about."""
        object.__setattr__(self, "names", frozenset(each.name for each in self.comparisons))

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Whether a record with these fields is synced."""
        return not self.comparisons or all(each.admits(fields) for each in self.comparisons)

    def side(self, told: Mapping[str, Any], untold: Collection[str] = (), *, whole: bool = False) -> Side:
        """What a change says of it: `told` are its fields, `untold` those that changed to nobody knows what.

        `whole`: what is not among the fields is empty.
        """
        if not self.comparisons:
            return "in" if whole else "same"
        if whole:
            return "in" if self.admits(told) else "out"
        if any(not each.admits(told) for each in self.comparisons if each.name in told and each.name not in untold):
            return "out"
        return "same" if self.names.isdisjoint({*told, *untold}) else "perhaps"


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
        comparisons.append(_comparison(found, key))
        place = found.end()
    return RecordFilter(tuple(comparisons))


def _comparison(found: re.Match[str], key: str) -> Comparison:
    name = found["name"]
    if found["list"]:
        listed = cast("Sign", " ".join(found["list"].upper().split()))
        return Comparison(
            name, listed, tuple(_literal(each, key) for each in re.findall(_LITERAL, found["values"], re.IGNORECASE))
        )
    sign = cast("Sign", found["sign"].upper().replace("<>", "!="))
    value = _literal(found["value"], key)
    fits = isinstance(value, str) if sign == "LIKE" else sign in {"=", "!="} or not isinstance(value, bool | None)
    if not fits:
        raise _refusal(key, found[0])
    return Comparison(name, sign, value)


def _refusal(key: str, rest: str) -> ConfigError:
    found = rest.strip()[:40]
    return ConfigError(
        f"{key}: found {found!r}, expected {EXPECTED}" + (" (OR is not among them: write IN)" if _has_or(rest) else ""),
        hint="= != < <= > >= with a quoted text, number, date, true, false or null; LIKE with a text; IN and NOT IN with a list",
    )


EXPECTED = "comparisons such as UserType = 'Standard' joined by AND"


def _has_or(rest: str) -> bool:
    return re.match(r"or\b", rest.strip(), re.IGNORECASE) is not None


def _literal(text: str, key: str) -> Any:
    if text.startswith("'"):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    lowered = text.lower()
    if lowered in {"true", "false", "null"}:
        return {"true": True, "false": False, "null": None}[lowered]
    if not re.match(r"\d{4}-\d{2}-", text):
        return float(text)
    moment = _time(text, whole="T" in text)
    if moment is None:
        raise _refusal(key, text)
    return moment
