"""Each line is held against the registry: refused in tests, marked in the daemon, whose log must never end it."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from stream.logs.events import REGISTRY
from stream.logs.keys import ADDED, KEYS
from stream.logs.registry import Event, Key

TOLD = "_told"  # marks a line that stands for others
Line = MutableMapping[str, Any]


class Unregistered(Exception):
    """A line that the registry does not know like this."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A structlog processor. `strict` raises; else the line says its fault, and values nobody vouches for are left out."""

    strict: bool = False

    def __call__(self, _: Any, method: str, line: Line) -> Line:
        """The line, as it may be said."""
        found = fault(method, line)
        if not found:
            return line
        if self.strict:
            raise Unregistered(f"{found}; the tables are in stream/logs/")
        event = REGISTRY.get(str(line["event"]))
        known = {"event", TOLD, *ADDED, *((*event.keys, *event.optional) if event is not None else ())}
        return {**{name: value for name, value in line.items() if name in known}, "log_fault": found}


def fault(method: str, line: Line) -> str:
    """What is wrong with a line; "" where it is registered like this."""
    name = str(line["event"])
    event = REGISTRY.get(name)
    if event is None:
        return f"event {name} is not registered"
    if method not in event.levels:
        return f"{name} is logged as {method} and registered as {' or '.join(event.levels)}"
    given = line.keys() - {"event", TOLD, *ADDED}
    for wrong, odd in (
        ("has keys that are not registered", given - {*event.keys, *event.optional}),
        ("lacks keys", set(event.keys) - line.keys()),
        ("has values of another kind", {key for key in given & KEYS.keys() if not _fits(KEYS[key], line[key])}),
    ):
        if odd:
            return f"{name} {wrong}: {', '.join(sorted(odd))}"
    return ""


def _fits(key: Key, value: Any) -> bool:
    match key.kind:
        case "text":
            fits = isinstance(value, str)
        case "count":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "number":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "list":
            fits = isinstance(value, list | tuple)
        case "map":
            fits = isinstance(value, dict)
    return fits or (value is None and key.may_be_null)


def same_as(event: Event, line: Line) -> tuple[str, ...]:
    """What two lines have in common that are the same."""
    return (event.name, *(str(line.get(key)) for key in event.same or ()))
