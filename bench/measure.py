"""How a figure comes about: each variant runs turn by turn in one session, so that the machine's moods fall on all of them alike.

    turn 1: ours · reference · control      turn 2: reference · control · ours      turn 3: …

The control is the reference once more: what differs between the two is noise, and no claim may be smaller than that.
"""

from __future__ import annotations

import json
import math
import operator
import re
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.drawing import bars

RESULTS = Path(__file__).with_name("results")

Measure = Callable[[], Awaitable[float]]
"""Runs one variant once and returns its figure."""

Verdict = Literal["reached", "missed", "told"]
"""told: nothing was to be reached."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: `tiny` proves that a figure works, `quick` takes two minutes for all, `whole` is for publishing."""

    name: Literal["tiny", "quick", "whole"]
    given_turns: int | None = None

    @property
    def turns(self) -> int:
        """How often each variant runs."""
        return self.given_turns or self.of(tiny=1, quick=2, whole=5)

    def of(self, *, tiny: int, quick: int, whole: int) -> int:
        """The count for this size."""
        return {"tiny": tiny, "quick": quick, "whole": whole}[self.name]


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: a ratio to the reference, and a figure of its own; `least` where more is better.

    Where less is better, nothing more is asked of a figure that is `enough`: what can be told apart at all.
    """

    ratio: float | None = None
    absolute: float | None = None
    least: bool = True
    enough: float | None = None

    def holds(self, ratio: float | None, absolute: float) -> bool:
        """Whether both are reached."""
        enough = operator.ge if self.least else operator.le
        near = self.ratio is None or (ratio is not None and bool(enough(ratio, self.ratio)))
        near = near or (self.enough is not None and absolute <= self.enough)
        return near and (self.absolute is None or bool(enough(absolute, self.absolute)))

    def __str__(self) -> str:
        """In words."""
        sign = "≥" if self.least else "≤"
        parts = [f"{sign} {self.ratio:g} of it"] if self.ratio is not None else []
        parts += [f"or ≤ {self.enough:g}"] if self.enough is not None else []
        absolute = [f"{sign} {self.absolute:,g}"] if self.absolute is not None else []
        return " and ".join([part for part in (" ".join(parts), *absolute) if part]) or "–"


@dataclass(slots=True)
class Figure:
    """One row of the table. `samples`: variant → what each turn measured; the first variant is ours, the second its reference.

    A value as high as `given_up` says that no longer was waited.
    """

    name: str
    unit: str
    against: str
    target: Target
    samples: dict[str, list[float]]
    notes: list[str] = field(default_factory=list)
    others: dict[str, list[float]] = field(default_factory=dict)
    control: tuple[list[float], list[float]] | None = None
    given_up: float = math.inf

    def __post_init__(self) -> None:
        """The control is told apart: it is the reference once more, where a figure says nothing else."""
        if "control" in self.samples:
            again = self.samples.pop("control")
            self.control = (again, list(self.samples.values())[1])

    @property
    def ours(self) -> float:
        """Our median."""
        return statistics.median(next(iter(self.samples.values())))

    @property
    def ratio(self) -> float | None:
        """The median of the turns' ratios to the reference, or None where there is none."""
        return self._ratio(0, 1)

    @property
    def noise(self) -> float | None:
        """How far apart the same thing measured twice was, as the turn that differs most: 0.07 is 7 %."""
        if self.control is None:
            return None
        return max(abs(again / once - 1) for again, once in zip(*self.control, strict=True))

    def _ratio(self, first: int, second: int) -> float | None:
        values = list(self.samples.values())
        if len(values) <= second or not all(values[second]):
            return None
        return statistics.median(a / b for a, b in zip(values[first], values[second], strict=True))

    def told(self, values: Sequence[float]) -> str:
        """The median, and between what the turns lay."""
        if statistics.median(values) >= self.given_up:
            return f"not within {shown(self.given_up)}"
        return spread(values)

    @property
    def verdict(self) -> Verdict:
        """Whether the target is reached."""
        if self.target == Target():
            return "told"
        return "reached" if self.target.holds(self.ratio, self.ours) else "missed"


async def alternate(variants: Mapping[str, Measure], turns: int) -> dict[str, list[float]]:
    """Run the variants turn by turn, each turn beginning with another."""
    names = list(variants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            samples[name].append(await variants[name]())
    return samples


def save(figures: Sequence[Figure], machine: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Every sample as JSON, so that whoever doubts the table can reckon again."""
    folder.mkdir(exist_ok=True)
    rows = [_row(each) for each in figures]
    text = json.dumps({"machine": dict(machine), "figures": rows}, indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    (folder / "figures.md").write_text(markdown(figures, machine), encoding="utf-8")
    for each in figures:
        if len(each.samples) + len(each.others) > 1:
            name = re.sub(r"\W+", "_", each.name.replace(",", ""))
            (folder / f"{name}.svg").write_text(plot(each), encoding="utf-8")


def _row(figure: Figure) -> dict[str, Any]:
    row = {**asdict(figure), "ratio": figure.ratio, "noise": figure.noise, "verdict": figure.verdict}
    return {**row, "given_up": figure.given_up if math.isfinite(figure.given_up) else None}


def shown(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, and between what the turns lay."""
    median = shown(statistics.median(values))
    return median if len(set(values)) == 1 else f"{median} ({shown(min(values))} … {shown(max(values))})"


def markdown(figures: Sequence[Figure], machine: Mapping[str, Any]) -> str:
    """The table."""
    lines = [
        f"Measured on {machine['machine']}, {machine['when']}, size `{machine['size']}`: medians (least … most of the turns).",
        "",
        "| figure | here | compared with | there | ratio | same thing twice | to reach | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in figures:
        names = list(each.samples)
        there = each.told(each.samples[names[1]]) if len(names) > 1 else "–"
        ratio = "–" if each.ratio is None else f"{each.ratio:.2f}"
        noise = "–" if each.noise is None else f"± {each.noise:.0%}"
        here = f"{each.told(each.samples[names[0]])} {each.unit}"
        lines.append(f"| {each.name} | {here} | {each.against} | {there} | {ratio} | {noise} | {each.target} | {each.verdict} |")
    notes = [f"- {each.name}: {'; '.join(told)}" for each in figures if (told := [*_others(each), *each.notes])]
    return "\n".join([*lines, "", *notes, ""])


def _others(figure: Figure) -> list[str]:
    return [f"{name}: {figure.told(values)} {figure.unit}" for name, values in figure.others.items()]


def plot(figure: Figure) -> str:
    """A bar for each variant, with what each turn measured as a dot."""
    return bars(f"{figure.name}, {figure.unit}", {**figure.samples, **figure.others}, figure.given_up)
