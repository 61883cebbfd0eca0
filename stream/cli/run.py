"""`run`: the daemon, in the foreground."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import click
import structlog

from store.errors import StoreBusy, StoreError
from stream.cli.load_bar import in_terminal, load_bar
from stream.cli.options import BUSY, DEGRADED, config_option
from stream.clock import SystemClock
from stream.config import load
from stream.config.model import Log
from stream.daemon import Daemon, run_daemon
from stream.errors import StreamError
from stream.logs.output import configure, take_libraries, trace_of
from stream.logs.repeats import Repeats
from stream.reload import on_hangup
from stream.watch.notify import Notify

log = structlog.get_logger(__name__)

COLLECT_AFTER = (10_000, 20, 20)


EPILOG = """\b
Exit codes:
  0  ended by SIGTERM or SIGINT
  1  something it could not survive; the log says what
  2  the configuration or the store cannot be used
  3  another daemon holds the store

\b
Example:
  msi-stream run --config /etc/msi-stream/config.toml
"""


@click.command(epilog=EPILOG)
@config_option
@click.pass_context
def run(ctx: click.Context, config: Path | None) -> None:
    """Run the daemon in the foreground, until SIGTERM or SIGINT. SIGHUP takes over what has changed in the configuration.

    A host that cannot be reached ends nothing: it is said, what can be is buffered, and it is tried again.
    """
    loaded = load(config, os.environ)
    repeats = Repeats(SystemClock().monotonic)
    set_logs = partial(_set_logs, repeats)
    set_logs(loaded.settings.log)
    faulthandler.enable(2)  # the watchdog's SIGABRT then shows where the process stood
    for warning in loaded.warnings:
        log.warning("config_warning", cause=warning)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # until the daemon takes both itself
    if not in_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    try:
        collect_less_often()
        notify = Notify.of(os.environ, os.getpid())
        beside = partial(_beside, config=loaded.path, set_logs=set_logs)
        with take_libraries(shows_words=loaded.settings.log.level == "debug"):
            asyncio.run(run_daemon(loaded.settings, beside=beside, notify=notify, repeats=repeats))
    except KeyboardInterrupt:
        log.info("daemon_stopped")
    except BaseExceptionGroup as group:
        repeats.tell(everything=True)
        ctx.exit(_tell_all(group))


def collect_less_often() -> None:
    """Garbage that holds itself is looked for after so many new objects, and not among what is loaded once: a batch makes some
    thousands that all go by themselves. It took a tenth of the processor time of a delivery (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _set_logs(repeats: Repeats, settings: Log) -> None:
    """As the configuration says; where it says nothing, a person at a terminal gets lines for people."""
    watched = sys.stdout.isatty()
    form = "console" if watched and "format" not in settings.model_fields_set else settings.format
    colours = watched and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    configure(settings.level, form, repeats, journal=os.environ.get("JOURNAL_STREAM", ""), colours=colours)


@asynccontextmanager
async def _beside(daemon: Daemon, config: Path, set_logs: Callable[[Log], None]) -> AsyncIterator[None]:
    """In a terminal a bar, and its end is the daemon's; elsewhere SIGHUP reloads."""
    if in_terminal():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.stop)
        async with load_bar(daemon, SystemClock()):
            yield
    else:
        async with on_hangup(daemon, lambda: load(config, os.environ), set_logs):
            yield


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _tell_all(group: BaseExceptionGroup[BaseException]) -> int:
    """What the loops died of: a store that is gone is the end of every one, and one line."""
    causes = {str(cause): cause for cause in _leaves(group)}
    return max(_tell(cause) for cause in causes.values())


def _tell(error: BaseException) -> int:
    """One line for what a loop died of; an unexpected error brings its trace."""
    if isinstance(error, StoreError | StreamError):
        log.error("daemon_failed", cause=error.message, cure=error.hint)
    else:
        cause = f"unexpected {type(error).__name__}"
        log.error("daemon_failed", cause=cause, cure="a bug: please report it with the trace", trace=trace_of(error))
    return BUSY if isinstance(error, StoreBusy) else DEGRADED
