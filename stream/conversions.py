"""What a configuration may ask to be done to a field's value on its way, and when it is sent. Pure.

Salesforce value ──steps──▶ ──map──▶ ──join──▶ ──length──▶ Marketo's type (`stream/mapping.py`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

Policy = Literal["always", "if_empty", "never_clear", "true_only"]
"""if_empty: only where Marketo's field is empty · never_clear: never emptied · true_only: a boolean, sent only when true."""
Step = Literal["trim", "lower", "upper", "text", "number", "boolean", "date", "datetime"]
TooLong = Literal["cut", "refuse"]

STEPS: tuple[Step, ...] = get_args(Step)
CONSTANT = "="
"""Begins the name of what stands for a Salesforce field and is the same for every record: `=Web`."""

Kind = Literal["text", "number", "boolean", "date", "datetime", "parts"]
KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("double", "int", "currency", "percent", "long"), "number"),
    **dict.fromkeys(("address", "location", "complexvalue", "base64", "anyType"), "parts"),
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
_TRUE, _FALSE = frozenset({"true", "yes", "y", "on", "1", "1.0"}), frozenset({"false", "no", "n", "off", "0", "0.0"})
_TAKES: Mapping[Step, frozenset[Kind]] = {
    **dict.fromkeys(("trim", "lower", "upper"), frozenset[Kind]({"text"})),
    "text": frozenset({"text", "number", "boolean", "date", "datetime"}),
    "number": frozenset({"text", "number", "boolean"}),
    "boolean": frozenset({"text", "number", "boolean"}),
    "date": frozenset({"text", "date", "datetime"}),
    "datetime": frozenset({"text", "date", "datetime"}),
}


class ConversionError(ValueError):
    """A value that cannot be converted as asked; the text says why, without the value."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where a field goes, when, and in which form. `choices` are other texts for some; what is none of them is `otherwise`."""

    to: str
    policy: Policy = "always"
    convert: tuple[Step, ...] = ()
    choices: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Any = None
    join: str = ""
    length: int = 0
    too_long: TooLong = "cut"

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing but where the field goes."""
        return self == FieldRule(self.to)

    @property
    def signature(self) -> str:
        """A text that is another one where the rule is."""
        return self.to if self.is_plain else repr((self.to, *self._asked()))

    def _asked(self) -> tuple[Any, ...]:
        choices = tuple(sorted(self.choices.items(), key=str))
        return self.policy, self.convert, choices, self.otherwise, self.join, self.length, self.too_long

    def apply(self, value: Any) -> Any:
        """The value in the form that is asked for; raises ConversionError. Empty stays, or becomes, None."""
        for step in self.convert:
            value = None if value is None else _APPLY[step](value)
        if self.choices and value is not None:
            value = self.choices.get(_text(value), value if self.otherwise is None else self.otherwise)
        if self.join and isinstance(value, str):
            value = self.join.join(value.split(";"))
        if self.length and isinstance(value, str) and len(value) > self.length:
            if self.too_long == "refuse":
                raise ConversionError(f"the value is longer than {self.length} characters")
            value = value[: self.length]
        return value if value != "" else None

    def kind(self, source: str, salesforce_type: str) -> tuple[Kind, str]:
        """What comes of a Salesforce field of this type, and what of the rule cannot be done with it ("" where all can)."""
        kind = KINDS.get(salesforce_type, "text")
        for step in self.convert:
            if kind not in _TAKES[step]:
                return kind, f"convert {step} takes no {kind}, and {source} is {salesforce_type}"
            kind = "text" if step in {"trim", "lower", "upper"} else step  # type: ignore[assignment] # the other steps name kinds
        if self.choices and kind in {"text", "number", "boolean"}:
            kind = _kind_of([*self.choices.values(), *([] if self.otherwise is None else [self.otherwise])])
        elif self.choices:
            return kind, f"map takes no {kind}, and {source} is {salesforce_type}"
        for name, asked in (("join", bool(self.join)), ("length", bool(self.length))):
            if asked and kind != "text":
                return kind, f"{name} takes texts only, and {source} is {salesforce_type}"
        return kind, ""


def _kind_of(values: list[Any]) -> Kind:
    """What these are, where all are the same; else texts."""
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return "number" if numbers else "text"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConversionError("the value is no number") from None


def _boolean(value: Any) -> bool:
    text = _text(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise ConversionError("the value is neither true nor false") from None


def _date(value: Any) -> str:
    if isinstance(value, str) and re.match(r"\d{4}-\d{2}-\d{2}", value.strip()):
        return value.strip()[:10]
    raise ConversionError("the value is no date")


def _datetime(value: Any) -> str:
    text = str(value).strip()
    return f"{_date(text)}T00:00:00Z" if len(text) == len("2026-01-31") else text


_APPLY: Mapping[Step, Callable[[Any], Any]] = {
    "trim": lambda value: _text(value).strip(),
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}


def is_constant(source: str) -> bool:
    """Whether this stands for a constant, and not for a Salesforce field."""
    return source.startswith(CONSTANT)


@lru_cache
def constants(sources: frozenset[str]) -> Mapping[str, str]:
    """The constants among the sources, by their names."""
    return {source: source[len(CONSTANT) :] for source in sources if is_constant(source)}
