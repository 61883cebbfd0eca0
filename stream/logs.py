"""Logging: one event a line, JSON or for people. Secrets never come here; personal data stays at debug level.

Where systemd's journal reads the lines, each begins with its priority (`<3>`, sd-daemon(3)): the journal takes that off again,
and `journalctl -p err` finds them.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

import orjson
import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(level: str, form: str, *, to: TextIO | None = None, journal: str = "") -> None:
    """Set the process's logging, on stdout unless told otherwise. Third-party loggers are shown from warnings up only, and
    never with their payloads. `journal` is what systemd says of its journal's stream (`JOURNAL_STREAM`).
    """
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if form == "json":
        chain.append(structlog.processors.JSONRenderer(serializer=lambda value, **_: orjson.dumps(value, default=str).decode()))
    else:
        chain.append(structlog.dev.ConsoleRenderer(colors=(to or sys.stdout).isatty()))
    if _is_journal(to or sys.stdout, journal):
        chain.append(_with_priority)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=False,
    )
    for name in ("aiosfstream_ng", "aiocometd_ng"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


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
