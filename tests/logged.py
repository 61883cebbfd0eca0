"""What is logged, as lines, each held against the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs  # noqa: TID251 - the one place that may

from stream.logs.lines import Registered

Lines = list[Any]


@contextmanager
def captured() -> Iterator[Lines]:
    """All lines of all levels; repeats are not counted here, each stands for itself."""
    with capture_logs([Registered(strict=True)]) as lines:
        yield lines
