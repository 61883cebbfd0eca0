"""How far a long piece of work is, on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from stream.clock import Clock

LINE_SECONDS = 10.0


class Steps(Protocol):
    """A context in which steps are counted."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End, however."""
        ...

    def at(self, done: int, total: int | None = None) -> None:
        """So many are done (of so many)."""
        ...


def steps(what: str, total: int | None, clock: Clock) -> Steps:
    """A bar or lines. `total` is None where it is not known yet."""
    return _Bar(what, total) if sys.stderr.isatty() else _Lines(what, total, clock)


class _Bar:
    """A bar with how many, how fast, and how long still."""

    def __init__(self, what: str, total: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        same = sys.stdout.isatty()  # what is printed meanwhile goes above the bar, unless it goes somewhere else
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=same)
        self._task: TaskID = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def at(self, done: int, total: int | None = None) -> None:
        """Draw how it stands."""
        if total is not None:
            self._bar.update(self._task, total=total)
        self._bar.update(self._task, completed=done)


class _Lines:
    """A line every ten seconds."""

    def __init__(self, what: str, total: int | None, clock: Clock) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._began = self._next = clock.monotonic()

    def __enter__(self) -> Self:
        self._next = self._clock.monotonic() + LINE_SECONDS
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def at(self, done: int, total: int | None = None) -> None:
        """Print how it stands, if it is time to."""
        self._total = total if total is not None else self._total
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + LINE_SECONDS
        rate = done / max(now - self._began, 0.001)
        of, left = "", ""
        if self._total:
            of, left = f" of {self._total:,}", f", {max(self._total - done, 0) / max(rate, 0.001):,.0f} s left"
        click.echo(f"{self._what}: {done:,}{of} ({rate:,.0f}/s{left})", err=True)
