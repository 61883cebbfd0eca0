"""A small strict evaluator for the part of LogQL that the rules use; what it does not know is an error.

It is no Loki: it shows that the rules say what they mean by Loki's documentation. Results are numbers without labels, because
every range is aggregated over all series.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Line = tuple[float, dict[str, Any]]

UNIT = {"m": 60.0, "h": 3600.0}
OVER: dict[str, Callable[[Sequence[float]], float]] = {
    "count_over_time": lambda values: float(len(values)),
    "sum_over_time": sum,
    "min_over_time": min,
    "max_over_time": max,
}
COMPARE: dict[str, Callable[[float, float], bool]] = {">": operator.gt, "<": operator.lt, ">=": operator.ge}
RANGE = (
    r"(?P<over>\w+_over_time)\(\{unit=\"msi-stream\.service\"\} \| json (?P<json>[^|]+?)"
    r"(?P<stages>( \| [^|]+?)*) \[(?P<span>\d+[mh])\]\)"
)
LABEL = re.compile(r'(\w+)="([\w.\[\]]+)"')
CONDITION = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')


@dataclass(frozen=True)
class Range:
    """One `…_over_time(… [5m])`."""

    over: str
    labels: dict[str, str]
    filters: list[list[tuple[str, str, str]]]
    unwrap: str
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Range:
        """Raises ValueError for what is not understood."""
        match = re.fullmatch(RANGE, text)
        if match is None or match["over"] not in {*OVER, "absent_over_time"}:
            raise ValueError(f"not understood: {text}")
        labels = dict(LABEL.fullmatch(each.strip()).groups() for each in match["json"].split(", "))  # type: ignore[union-attr,misc]
        filters, unwrap = [], ""
        for stage in match["stages"].split(" | ")[1:]:
            if stage.startswith("unwrap "):
                unwrap = stage.removeprefix("unwrap ")
                continue
            found = [CONDITION.fullmatch(each.strip()) for each in stage.split(" or ")]
            if not all(found):
                raise ValueError(f"not understood: {stage}")
            filters.append([(each[1], each[2], each[3]) for each in found if each is not None])
        used = {name for any_of in filters for name, _, _ in any_of} | ({unwrap} if unwrap else set())
        if used - labels.keys():
            raise ValueError(f"labels that nothing extracts: {used - labels.keys()}")
        if bool(unwrap) != (match["over"] in {"sum_over_time", "min_over_time", "max_over_time"}):
            raise ValueError(f"{match['over']} and unwrap do not go together: {text}")
        return cls(match["over"], labels, filters, unwrap, seconds_of(match["span"]))

    def values(self, lines: Sequence[Line], now: float) -> list[float]:
        """What the lines in the range say that the filters let through."""
        found = []
        for at, line in lines:
            if not now - self.seconds < at <= now:
                continue
            labels = {name: extracted(line, path) for name, path in self.labels.items()}
            if all(any(holds(labels[name], op, value) for name, op, value in any_of) for any_of in self.filters):
                found.append(float(labels[self.unwrap]) if self.unwrap else 1.0)
        return found


def seconds_of(span: str) -> float:
    """`5m` in seconds."""
    return int(span[:-1]) * UNIT[span[-1]]


def holds(label: str, op: str, value: str) -> bool:
    """A label filter; patterns have to fit the whole label, as in Loki."""
    if op == "=~":
        return re.fullmatch(value, label) is not None
    return (label == value) == (op == "=")


def extracted(line: dict[str, Any], path: str) -> str:
    """A label as `| json name="path"` makes it: null and what is missing are empty, lists are JSON, other values their text."""
    value: Any = line
    for step in re.findall(r"\w+|\[\d+\]", path):
        try:
            value = value[int(step[1:-1])] if step.startswith("[") else value[step]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return "" if value is None else str(value)


def vector(text: str, lines: Sequence[Line], now: float) -> float | None:
    """An aggregation over all series, or a number; None where there is no series."""
    if re.fullmatch(r"\d+", text):
        return float(text)
    match = re.fullmatch(r"(sum|min|max)\((.*)\)", text)
    if match is None:
        raise ValueError(f"not understood: {text}")
    ranged = Range.parse(match[2])
    values = ranged.values(lines, now)
    return OVER[ranged.over](values) if values else None


def fires(expression: str, lines: Sequence[Line], now: float) -> bool:
    """Whether the expression has a result."""
    if expression.startswith("absent_over_time("):
        return not Range.parse(expression).values(lines, now)
    left, op, right = re.split(r"(?<=\)) (>=|>|<) ", expression, maxsplit=1)
    one, other = vector(left, lines, now), vector(right, lines, now)
    return one is not None and other is not None and COMPARE[op](one, other)
