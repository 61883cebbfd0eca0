"""`replay`: the stored replay ids, shown and set."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from stream.cli.options import config_option, console, json_option, print_json, table, tell
from stream.clock import SystemClock
from stream.config import load
from stream.operating import replay as positions

SHOW_EPILOG = """\b
Exit codes:
  0  shown
  2  the configuration or the store cannot be used

\b
Example:
  msi-stream replay show --json
"""

SET_EPILOG = """\b
ID is one of
  -2        everything that Salesforce retains (72 hours); what is known already changes nothing
  -1        new events only: what was not heard until the daemon is connected again is read by queries
  a number  the events after that replay id

\b
Exit codes:
  0  set
  2  the configuration, the store or an argument cannot be used
  3  a daemon holds the store: stop it first

\b
Example:
  msi-stream replay set /data/ChangeEvents -2
"""


@click.group()
def replay() -> None:
    """Look at the stored replay ids: the place in each channel up to which every event is stored."""


@replay.command(epilog=SHOW_EPILOG)
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """Show where the next start begins in each channel."""
    found = asyncio.run(positions.stored(load(config, os.environ, secrets=False).settings))
    if as_json:
        print_json(found)
        return
    rows = table("channel", "replay id", "the next start begins with", "newest commit", "stored")
    for each in found:
        rows.add_row(*("–" if value is None else str(value) for value in each.values()))
    console().print(rows)


@replay.command("set", context_settings={"ignore_unknown_options": True}, epilog=SET_EPILOG)
@click.argument("channel")
@click.argument("replay_id", type=int, metavar="ID")
@config_option
@json_option
def set_(channel: str, replay_id: int, config: Path | None, *, as_json: bool) -> None:
    """Set where the next start begins in CHANNEL. Only while the daemon is stopped."""
    settings = load(config, os.environ, secrets=False).settings
    asyncio.run(positions.put(settings, channel, replay_id, int(SystemClock().now() * 1000)))
    if as_json:
        print_json({"channel": channel, "replay_id": replay_id})
    else:
        click.echo(f"{channel}: the next start begins with {positions.meaning(replay_id)}.")
    if channel != settings.salesforce.channel:
        tell(f"the configuration listens to {settings.salesforce.channel}, so this position is not used")
