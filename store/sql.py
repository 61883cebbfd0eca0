"""The named statements of `queries.sql`, read once."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- (?P<name>\w+) --$", re.MULTILINE)


def _named(text: str) -> dict[str, str]:
    parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES = _named(files("store").joinpath("queries.sql").read_text(encoding="utf-8"))


@cache
def gathered(name: str, columns: tuple[str, ...]) -> str:
    """The statement that gives these columns of a query's rows as one JSON array of arrays."""
    return f"SELECT json_group_array(json_array({', '.join(columns)})) FROM ({QUERIES[name]})"  # noqa: S608 - names of our own


def migrations() -> list[str]:
    """The schema's steps, oldest first; a store of version n has had the first n of them."""
    folder = files("store").joinpath("migrations")
    return [
        step.read_text(encoding="utf-8")
        for step in sorted(folder.iterdir(), key=lambda step: step.name)
        if step.name.endswith(".sql")
    ]
