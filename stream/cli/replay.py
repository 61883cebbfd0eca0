"""`replay`: the stored replay ids, shown and set."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from store import view
from store.model import Replay
from store.store import Store
from stream.cli.options import config_option, console, json_option, print_json, table
from stream.clock import SystemClock
from stream.config import load
from stream.dead import moment


@click.group()
def replay() -> None:
    """Look at the stored replay ids: the place in each channel up to which every event is stored."""


@replay.command()
@config_option
@json_option
def show(config: Path | None, *, as_json: bool) -> None:
    """Show the stored replay id of each channel."""
    found = asyncio.run(view.replays(load(config, os.environ).settings.store.path))
    told = [{"channel": each.channel, "replay_id": each.replay_id, "stored": moment(each.stored_ms / 1000)} for each in found]
    if as_json:
        print_json(told)
        return
    rows = table("channel", "replay id", "stored")
    for each in told:
        rows.add_row(*(str(value) for value in each.values()))
    console().print(rows)


@replay.command(
    "set",
    context_settings={"ignore_unknown_options": True},
    epilog="\b\nExample:\n  msi-stream replay set /data/ChangeEvents -2\n\nExits 3 while a daemon runs: stop it first.",
)
@click.argument("channel")
@click.argument("replay_id", type=click.IntRange(min=-2), metavar="ID")
@config_option
def set_(channel: str, replay_id: int, config: Path | None) -> None:
    """Set where the next start begins on CHANNEL: after ID; -2 takes everything retained, -1 only new events."""
    asyncio.run(_set(load(config, os.environ).settings.store.path, channel, replay_id))
    meaning = {-2: "everything that is retained", -1: "new events only; what came meanwhile is passed over"}
    click.echo(f"{channel}: the next start begins with {meaning.get(replay_id, f'the events after {replay_id}')}.")


async def _set(path: Path, channel: str, replay_id: int) -> None:
    store = await Store.open(path, create=False)
    try:
        now_ms = int(SystemClock().now() * 1000)
        held = await store.replay(channel)
        await store.set_replay(Replay(channel, replay_id, held.commit_ms if held else 0, now_ms))
    finally:
        await store.close()
