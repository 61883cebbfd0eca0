"""A bar under the log while something is loaded, for who runs the daemon in a terminal; elsewhere the log's own lines tell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stream.clock import Clock
from stream.daemon import Daemon
from stream.progress import Progress as Load

LOOK_SECONDS = 0.25


def in_terminal() -> bool:
    """Whether a person watches: neither the log nor what is beside it goes to a file or a pipe."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def columns() -> Progress:
    """Name, bar, how many of how many, how fast, how long still. What is printed meanwhile stands above it."""
    count = TextColumn("{task.completed:,.0f} of {task.total:,.0f}", justify="right")
    rate = TextColumn("{task.fields[rate]}", justify="right")
    name = TextColumn("reading {task.description}")
    return Progress(name, BarColumn(), count, rate, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


@asynccontextmanager
async def load_bar(daemon: Daemon, clock: Clock) -> AsyncIterator[None]:
    """Draw the bar whenever the daemon loads something."""
    drawing = asyncio.create_task(_draw(daemon, clock))
    try:
        yield
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def _draw(daemon: Daemon, clock: Clock) -> None:
    while True:
        load = daemon.load.now_loading
        if load is not None:
            with columns() as bars:
                await _one(bars, daemon, load, clock)
        await clock.sleep(LOOK_SECONDS)


async def _one(bars: Progress, daemon: Daemon, load: Load, clock: Clock) -> None:
    """One object's bar, as long as it is read."""
    task = bars.add_task(load.object, total=max(load.total, 1), completed=load.rows, rate="")
    while daemon.load.now_loading is load:
        total = max(load.total, load.rows, 1)
        bars.update(task, total=total, completed=load.rows, rate=f"{load.rate:,.0f}/s")
        await clock.sleep(LOOK_SECONDS)
