"""Where the log's lines go and in what form: one event a line, JSON or for people.

    line ──registered? ──repeated? ──level, time ──▶ JSON, or words for people ──▶ stdout

Where systemd's journal reads the lines, each begins with its priority (`<3>`, sd-daemon(3)): the journal takes that off again,
and `journalctl -p err` finds them. Secrets never come here; personal data stays at debug level: of an unexpected error only its
kind and the place are said, because its words may hold a record's values.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TextIO

import orjson
import structlog

from stream.clock import Clock, SystemClock
from stream.logs.lines import Line, Registered
from stream.logs.repeats import Repeats

Form = Literal["json", "console"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

log = structlog.get_logger(__name__)


def configure(
    level: str,
    form: Form,
    repeats: Repeats | None = None,
    *,
    to: TextIO | None = None,
    journal: str = "",
    colours: bool = False,
    clock: Clock | None = None,
) -> None:
    """Set the process's logging, on stdout unless told otherwise. `journal` is what systemd says of its journal's stream
    (`JOURNAL_STREAM`). Without `repeats` each line is said.
    """
    chain: list[Any] = [
        Registered(),
        *([repeats] if repeats is not None else []),
        structlog.processors.add_log_level,
        partial(_stamp, clock or SystemClock()),
    ]
    if form == "json":
        chain.append(structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str).decode()))
    else:
        chain.append(structlog.dev.ConsoleRenderer(colors=colours))
    if _is_journal(to or sys.stdout, journal):
        chain.append(_with_priority)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=False,
    )


def trace_of(error: BaseException) -> str:
    """Where it happened, for each error in the chain: kinds and places, without the errors' words."""
    parts: list[str] = []
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        parts.append("".join(traceback.format_tb(step.__traceback__)) + type(step).__qualname__)
        step = step.__cause__ or (None if step.__suppress_context__ else step.__context__)
    return "\n  on top of:\n".join(parts)


def _stamp(clock: Clock, _: Any, __: str, line: Line) -> Line:
    """When it is said: UTC, ISO 8601."""
    line["timestamp"] = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return line


class _Libraries(logging.Handler):
    """What libraries log, as events of ours."""

    def __init__(self, *, shows_words: bool) -> None:
        super().__init__(logging.WARNING)
        self._shows_words = shows_words

    def emit(self, record: logging.LogRecord) -> None:
        """Say that a library has something to say."""
        error = record.exc_info[1] if record.exc_info else None
        kind = type(error).__qualname__ if error is not None else record.levelname.lower()
        told = {"trace": trace_of(error)} if error is not None else {}
        cause = record.getMessage() if self._shows_words else kind
        log.warning("library_warning", library=record.name, place=f"{record.filename}:{record.lineno}", cause=cause, **told)


@contextmanager
def take_libraries(*, shows_words: bool) -> Iterator[None]:
    """What libraries log in here is said as an event of ours: their words, which may hold anything, at debug level only."""
    handler = _Libraries(shows_words=shows_words)
    logging.getLogger().addHandler(handler)
    for name in ("aiosfstream_ng", "aiocometd_ng"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _is_journal(stream: TextIO, journal: str) -> bool:
    """Whether this is the stream that systemd calls its journal's, by device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{found.st_dev}:{found.st_ino}"


def _with_priority(_: Any, method: str, text: str) -> str:
    """Every line with its priority: the journal takes each for an entry of its own."""
    mark = f"<{PRIORITIES.get(method, PRIORITIES['info'])}>"
    return "\n".join(mark + line for line in text.split("\n"))
