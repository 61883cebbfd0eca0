"""The daemon's log as an operator gets it: the real chain, repeats counted by the world's clock, into a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from stream.clock import Clock
from stream.logs.output import configure, take_libraries
from stream.logs.repeats import Repeats
from tests.flow.world import World

Line = dict[str, Any]


@contextmanager
def log_file(here: World, path: Path, level: str = "info") -> Iterator[Path]:
    """All that is logged in here goes to this file, and not to the world's `logs`."""
    here.repeats = Repeats(here.machine.monotonic)
    with told_into(path, here.repeats, here.machine, level):
        yield path


@contextmanager
def told_into(path: Path, repeats: Repeats, clock: Clock, level: str = "info") -> Iterator[None]:
    """All that is logged in here goes to this file; what is still counted at the end is told then."""
    before = structlog.get_config()
    with path.open("a", encoding="utf-8") as to:
        configure(level, "json", repeats, to=to, clock=clock)
        with take_libraries(shows_words=False):
            try:
                yield
            finally:
                repeats.tell(everything=True)
                structlog.configure(**before)


def lines_of(path: Path) -> list[Line]:
    """The lines of a log, oldest first."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
