"""`backfill`: objects read again, wholly or from a moment on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from store.database import is_held
from store.model import OBJECTS
from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, tell
from stream.clock import SystemClock
from stream.config import load
from stream.config.model import Settings
from stream.operating import backfill as reading
from stream.operating.backfill import Asked, Standing

LINE_SECONDS = 10.0

EPILOG = """OBJECT is one of User, Account, Contact, Lead, Opportunity, OpportunityContactRole; all that are not off, when none is
named. T is a moment (2026-11-01, 2026-11-01T12:00Z) or how long ago it was (36h, 7d); everything, when none is given.

The running daemon reads them, parents first, while live changes go first; what Marketo has already costs no call. After a restart
it goes on where it was. Ctrl-C only ends the watching.

\b
Exit codes:
  0    all is read; or, with --no-wait or where no daemon runs, noted
  1    the daemon ended, or fell silent, before all was read; it or its next start goes on with it
  2    the configuration, the store or an argument cannot be used
  130  interrupted (Ctrl-C); the daemon goes on

\b
Examples:
  msi-stream backfill
  msi-stream backfill Contact Lead --since 7d
"""


@click.command(epilog=EPILOG)
@click.argument("objects", nargs=-1, type=click.Choice(OBJECTS, case_sensitive=False), metavar="[OBJECT…]")
@click.option("--since", metavar="T", help="Only what was modified since then.")
@click.option("--no-wait", is_flag=True, help="Note it, and do not watch.")
@config_option
@json_option
@click.pass_context
def backfill(
    ctx: click.Context, objects: tuple[str, ...], since: str | None, config: Path | None, *, no_wait: bool, as_json: bool
) -> None:
    """Let the daemon read objects again, and watch how far it is."""
    settings, clock = load(config, os.environ, secrets=False).settings, SystemClock()
    now = clock.now()
    try:
        wanted, from_s = reading.chosen(objects, settings), reading.since_of(since, now)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    asked = asyncio.run(reading.ask(settings.store.path, wanted, from_s, now))
    if not is_held(settings.store.path):
        _tell(asked, "no daemon", f"No daemon runs: the next start reads {', '.join(asked.objects)}.", as_json=as_json)
        return
    if no_wait:
        _tell(asked, "noted", f"Noted: {', '.join(asked.objects)}; `msi-stream status` tells how far it is.", as_json=as_json)
        return
    try:
        ctx.exit(asyncio.run(_watch(settings, asked, clock, as_json=as_json)))
    except KeyboardInterrupt:
        click.echo("not watched any more; the daemon goes on", err=True)
        ctx.exit(130)


def _tell(asked: Asked, outcome: str, words: str, *, as_json: bool, err: bool = False) -> None:
    """What has become of it, in words or for programs."""
    if as_json:
        print_json({"objects": list(asked.objects), "outcome": outcome})
    else:
        click.echo(words, err=err)


async def _watch(settings: Settings, asked: Asked, clock: SystemClock, *, as_json: bool) -> int:
    screen = console()
    told = _Bars(screen, asked) if screen.is_terminal and not as_json else _Lines(clock, err=as_json)
    last: Sequence[Standing] = ()
    with told:
        async for last in reading.watch(settings.store.path, settings.salesforce.channel, asked, clock):
            told.show(last)
    if all(each.stage == "done" for each in last):
        _tell(asked, "read", f"All is read: {', '.join(asked.objects)}.", as_json=as_json)
        return 0
    if is_held(settings.store.path):
        tell("the daemon has not taken it up yet, and says nothing", "msi-stream status tells how it stands")
        if as_json:
            _tell(asked, "not taken up", "", as_json=True)
    else:
        _tell(asked, "daemon ended", "The daemon has ended; its next start goes on with it.", as_json=as_json, err=True)
    return DEGRADED


class _Bars:
    """A bar for each object, with how many, how fast, and how long still."""

    def __init__(self, screen: Console, asked: Asked) -> None:
        rate = TextColumn("{task.fields[rate]}", justify="right")
        count = TextColumn("{task.fields[count]}", justify="right")
        name = TextColumn("{task.description}")
        self._bars = Progress(name, BarColumn(), count, rate, TimeRemainingColumn(), console=screen)
        self._tasks: dict[str, TaskID] = {
            obj: self._bars.add_task(obj, total=None, start=False, count="waits", rate="") for obj in asked.objects
        }
        self._before: dict[str, int] = {}

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, standings: Sequence[Standing]) -> None:
        """Draw how it stands."""
        for each in standings:
            task = self._tasks[each.object]
            if each.stage == "is read":
                self._bars.start_task(task)
                self._before[each.object] = each.total
                count, rate = f"{each.rows:,} of {each.total:,}", f"{each.rows_a_second:,.0f}/s"
                self._bars.update(task, total=each.total, completed=each.rows, count=count, rate=rate)
            elif each.stage == "done":
                total = self._before.get(each.object, 1)
                self._bars.update(task, total=total, completed=total, count="read", rate="")


class _Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self, clock: SystemClock, *, err: bool = False) -> None:
        self._clock, self._err = clock, err
        self._next = clock.monotonic()

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return

    def show(self, standings: Sequence[Standing]) -> None:
        """Print how it stands, every ten seconds."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + LINE_SECONDS
        click.echo(", ".join(_line(each) for each in standings), err=self._err)


def _line(each: Standing) -> str:
    if each.stage != "is read":
        return f"{each.object} {'read' if each.stage == 'done' else 'waits'}"
    return f"{each.object} {each.rows:,} of {each.total:,} ({each.rows_a_second:,.0f}/s)"
