"""The daemon's log as an operator gets it: the real chain, repeats counted by the world's clock, into a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog

from stream.logs.output import configure, take_libraries
from stream.logs.repeats import Repeats
from tests.flow.world import World

Line = dict[str, Any]


@contextmanager
def log_file(here: World, path: Path, level: str = "info") -> Iterator[Path]:
    """All that is logged in here goes to this file, and not to the world's `logs`."""
    before = structlog.get_config()
    here.repeats = Repeats(here.machine.monotonic)
    with path.open("a", encoding="utf-8") as to:
        configure(level, "json", here.repeats, to=to, clock=here.machine)
        with take_libraries(shows_words=False):
            try:
                yield path
            finally:
                here.repeats.tell(everything=True)
                structlog.configure(**before)


def lines_of(path: Path) -> list[Line]:
    """The lines of a log, oldest first."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
