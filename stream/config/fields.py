"""The tables of [fields]: what a field's line may say, judged whole, a line for each problem.

Title = "title"                                   the field, and where it goes; "" leaves a built-in one out
Rating = { to = "rating", policy = "if_empty", map = { Hot = "A", Cold = "C" }, otherwise = "B" }
"=Salesforce" = "personSource"                    a constant
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from stream.config.closest import closest
from stream.conversions import STEPS, FieldRule, Policy, TooLong, is_constant

POLICIES: tuple[str, ...] = get_args(Policy)
TOO_LONG: tuple[str, ...] = get_args(TooLong)
OPTIONS = ("to", "policy", "convert", "map", "otherwise", "join", "length", "too_long")

_FIELD = re.compile(r"[A-Za-z]\w*", re.ASCII)

# Computed by Marketo or set by this daemon; a mapping of the user's onto one of them would break the sync.
RESERVED_IN_MARKETO = frozenset(
    name.lower()
    for name in (
        "id",
        "leadId",
        "role",
        "leadScore",
        "externalPersonId",
        "externalCompanyId",
        "externalSalesPersonId",
        "externalOpportunityId",
        "priority",
        "relativeScore",
        "relativeScoring",
        "relativeUrgency",
        "msiLastInterestingMomentType",
        "msiLastInterestingMomentDate",
        "msiLastInterestingMomentDesc",
        "msiLastInterestingMomentSource",
    )
)
FOUND_BY_EMAIL = frozenset({"User", "Contact", "Lead"})
"""Their email is what people are found by, and what a sales person is known by in Salesforce."""
EMAIL = "Email"


class WrongFields(ValueError):
    """What is wrong with a table, a line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def rules_of(obj: str, table: Any) -> dict[str, FieldRule]:
    """The table's rules, by Salesforce field. Raises WrongFields, with all that is wrong."""
    at = f"fields.{obj}"
    if not isinstance(table, Mapping):
        raise WrongFields([f'{at}: found {_shown(table)}, expected a table of SalesforceField = "marketoField"'])
    lines: list[str] = []
    rules = {source: rule for source, told in table.items() if (rule := _rule(f"{at}.{source}", told, lines)) is not None}
    for source in table:
        lines += _wrong_source(at, obj, source)
    for source, rule in rules.items():
        lines += _wrong_target(f"{at}.{source}", obj, source, rule)
    lines += _twice(at, rules)
    if lines:
        raise WrongFields(lines)
    return rules


def _rule(at: str, told: Any, lines: list[str]) -> FieldRule | None:
    if isinstance(told, str):
        return FieldRule(told)
    if not isinstance(told, Mapping):
        lines.append(f"{at}: found {_shown(told)}, expected text in quotes, or {{ to = … }}")
        return None
    problems: list[str] = []
    for name in told:
        if name not in OPTIONS:
            meant = closest(name, OPTIONS)
            wanted = f"did you mean {meant}?" if meant else f"expected one of {', '.join(OPTIONS)}"
            problems.append(f"{at}.{name}: found an unknown key, {wanted}")
        elif (expected := _CHECKS[name](told[name])) is not None:
            problems.append(f"{at}.{name}: found {_shown(told[name])}, expected {expected}")
    if "to" not in told and not any(name not in OPTIONS and closest(name, OPTIONS) == "to" for name in told):
        problems.append(f'{at}: found no "to", expected the Marketo field that it goes into: {{ to = "…" }}')
    if "otherwise" in told and "map" not in told:
        problems.append(f'{at}.otherwise: found no "map" beside it, expected one: it is for what is not in the map')
    lines += problems
    if problems:
        return None
    steps = told.get("convert", [])
    listed: list[Any] = [steps] if isinstance(steps, str) else steps
    return FieldRule(
        to=told["to"],
        policy=told.get("policy", "always"),
        convert=tuple(listed),
        choices=dict(told.get("map", {})),
        otherwise=told.get("otherwise"),
        join=told.get("join", ""),
        length=told.get("length", 0),
        too_long=told.get("too_long", "cut"),
    )


def _choice(known: Iterable[str]) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        if isinstance(value, str) and value in known:
            return None
        meant = closest(value, known) if isinstance(value, str) else ""
        return f"one of {', '.join(known)}" + (f": did you mean {meant}?" if meant else "")

    return check


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "text in quotes"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _steps(value: Any) -> str | None:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        return f"one of {', '.join(STEPS)}, or a list of them"
    return next((wrong for step in listed if (wrong := _choice(STEPS)(step)) is not None), None)


def _map(value: Any) -> str | None:
    usable = isinstance(value, Mapping) and value and all(_is_scalar(each) for each in value.values())
    return None if usable else 'a table of values: { "in Salesforce" = "in Marketo", … }'


def _length(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) and value > 0 else "a whole number of at least 1"


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "to": _text,
    "policy": _choice(POLICIES),
    "convert": _steps,
    "map": _map,
    "otherwise": lambda value: None if _is_scalar(value) else "a text, a number, true or false",
    "join": _text,
    "length": _length,
    "too_long": _choice(TOO_LONG),
}


def _wrong_source(at: str, obj: str, source: str) -> list[str]:
    if is_constant(source):
        return [] if source[1:].strip() else [f'{at}: found "=", expected a constant behind it, such as "=Salesforce"']
    if not _FIELD.fullmatch(source):
        return [f'{at}: found {_shown(source)} on the left, expected Salesforce field names, or a constant such as "=Web"']
    if obj == "OpportunityContactRole" and source == "Role":
        return [f"{at}.{source}: found a field of the role's own key, expected another one"]
    return []


def _wrong_target(at: str, obj: str, source: str, rule: FieldRule) -> list[str]:
    to = rule.to.lower()
    if rule.to and not _FIELD.fullmatch(rule.to):
        return [f"{at}: found {_shown(rule.to)}, expected a Marketo field's REST API name on the right"]
    if to in RESERVED_IN_MARKETO:
        return [f"{at}: found {_shown(rule.to)}, expected another field: that one is not the user's to set"]
    if obj in FOUND_BY_EMAIL and (to == "email") is not (source == EMAIL):
        return [f"{at}: found {_shown(rule.to)}, expected {EMAIL} to go into email, and nothing else: people are found by it"]
    if obj in FOUND_BY_EMAIL and source == EMAIL and not rule.is_plain:
        return [f"{at}: found a conversion or a policy, expected none: people are found by their email as it is"]
    if obj == "Opportunity" and source == "Name" and to != "name":
        return [f"{at}: found {_shown(rule.to)}, expected name: Marketo takes no opportunity without it"]
    return []


def _twice(at: str, rules: Mapping[str, FieldRule]) -> list[str]:
    taken: dict[str, str] = {}
    lines: list[str] = []
    for source, rule in rules.items():
        to = rule.to.lower()
        if to and to in taken:
            told = f"{taken[to]} and {source} both name it"
            lines.append(f"{at}: found {_shown(rule.to)} twice, expected one Salesforce field for it: {told}")
        taken[to] = source
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return "a table" if isinstance(value, Mapping) else "a list"
    text = json.dumps(value, ensure_ascii=False) if _is_scalar(value) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
