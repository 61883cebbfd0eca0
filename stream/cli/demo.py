"""`msi-stream demo`: the simulated services here, the real daemon as a process of its own, and a table of what was proven."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from sandbox.stage import PEOPLE, Stage
from sandbox.stage_proofs import Proof, prove
from stream.cli.demo_daemon import COMMAND, DaemonProcess, write_config
from stream.cli.demo_story import Story, daemon_settings
from stream.cli.demo_view import LiveView, PlainView, console, final_table, problems
from stream.cli.options import json_option, print_json
from stream.clock import SystemClock

FEWEST_PEOPLE, MOST_PEOPLE = 40, 20_000
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_NAME = "daemon.log"


@click.command(
    epilog="""\b
Exit codes:
  0    every line of the table holds
  1    one does not: the problems follow, and where the daemon's log is
  130  interrupted (Ctrl-C); everything is cleaned up

\b
Example:
  msi-stream demo
  msi-stream demo --records 2000
"""
)
@click.option(
    "--records",
    type=click.IntRange(FEWEST_PEOPLE, MOST_PEOPLE),
    default=PEOPLE,
    show_default=True,
    metavar="N",
    help=f"How many contacts and leads there are ({FEWEST_PEOPLE} to {MOST_PEOPLE}); the rest of the org grows with them.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, records: int, *, as_json: bool) -> None:
    """Watch the daemon work, on this machine alone.

    Starts a simulated Salesforce and a simulated Marketo, and the real daemon between them: a backlog, live changes, changing
    scores, a restart, lead conversions, a kill -9. Ends with a table of what was proven by comparing the two systems.
    """
    ctx.exit(asyncio.run(_interruptible(lambda: play(records, as_json=as_json))))


async def _interruptible(work: Callable[[], Awaitable[int]]) -> int:
    """Do the work; a signal cancels it, lets it clean up, and becomes the exit code."""
    received: list[int] = []
    task = asyncio.ensure_future(work())

    def cancel(number: int) -> None:
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, cancel, int(number))
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        click.echo("interrupted; the daemon and the simulated services are stopped", err=True)
        return 128 + received[0]
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)


async def play(people: int, command: Sequence[str] = COMMAND, *, as_json: bool = False) -> int:
    """The whole demo with so many people, and a daemon that is started by the command; the exit code.

    With `as_json` the story goes to stderr, and the lines of the table to stdout.
    """
    folder = Path(tempfile.mkdtemp(prefix="msi-stream-demo-"))
    screen, stage = Console(stderr=True, highlight=False) if as_json else console(), Stage()
    daemon = DaemonProcess(folder / "config.toml", folder / "store.db", folder / LOG_NAME, command)
    keep = False
    try:
        await stage.start()
        write_config(daemon.config, {**stage.settings(), **daemon_settings(people), "store.path": str(daemon.store)})
        story, proofs = await _told(screen, stage, daemon, people)
        if as_json:
            print_json([asdict(proof) for proof in proofs])
        keep = not _report(screen, proofs, story.seconds, daemon.log)
        return int(keep)
    except Exception:
        keep = True
        click.echo(f"the daemon's log: {daemon.log}", err=True)
        raise
    finally:
        await daemon.kill()
        await stage.stop()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


async def _told(screen: Console, stage: Stage, daemon: DaemonProcess, people: int) -> tuple[Story, list[Proof]]:
    """Play the story before the right audience, and prove what is to be proven."""
    live = Live(console=screen, auto_refresh=False, transient=True) if screen.is_terminal else None
    view = LiveView(screen, live) if live else PlainView(screen)
    screen.print(f"simulated Salesforce at {stage.salesforce.base_url}\nsimulated Marketo    at {stage.marketo.base_url}\n")
    with live or nullcontext():
        story = Story(stage, daemon, view, SystemClock(), people)
        await story.play()
    return story, prove(story.facts)


def _report(screen: Console, proofs: list[Proof], seconds: float, log: Path) -> bool:
    """Print the table, and what is wrong; whether all of it holds."""
    screen.print()
    screen.print(final_table(proofs))
    screen.print()
    against = problems(proofs)
    if not against:
        screen.print(f"all {len(proofs)} lines hold, after {seconds:.0f} s")
        return True
    for line in against:
        screen.print(line, soft_wrap=True)
    screen.print(f"\nthe daemon's log: {log}", soft_wrap=True)
    return False
