"""One line of `doctor`'s report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["ok", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, how it stands, what was found, and what to do where it is not well."""

    check: str
    result: Result
    found: str
    cure: str = ""


def ok(check: str, found: str) -> Finding:
    """Well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, cure: str) -> Finding:
    """It works, and something is missing or near its end."""
    return Finding(check, "warning", found, cure)


def failure(check: str, found: str, cure: str) -> Finding:
    """It cannot work like this."""
    return Finding(check, "failure", found, cure)


def some(names: Sequence[str], most: int = 12) -> str:
    """Names in a line, not too many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
