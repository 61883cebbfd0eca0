"""Logging: one event a line, JSON or for people. Secrets never come here; personal data stays at debug level."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, form: str, *, to: TextIO | None = None) -> None:
    """Set the process's logging, on stdout unless told otherwise. Third-party loggers are shown from warnings up only, and
    never with their payloads.
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
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=False,
    )
    for name in ("aiosfstream_ng", "aiocometd_ng"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
