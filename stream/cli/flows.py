"""`pause` and `resume`: one flow, or both, held and let go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from store.holds import FLOWS, LEAVING, Flow, Held, Holds
from stream.cli.options import DEGRADED, config_option, json_option, print_json, tell
from stream.clock import SystemClock
from stream.config import load
from stream.operating import flows as held
from stream.operating.dead import moment
from stream.operating.flows import Said

WORDS: Mapping[Held, str] = {
    "deliver": "Delivery to Marketo",
    "scores": "Bringing scores back to Salesforce",
    "leaving": "What left its filter",
}

PAUSE_EPILOG = """FLOW is deliver (changes to Marketo) or scores (scores to Salesforce); both, when none is named. What is in
flight is finished. Salesforce's changes are still taken and buffered, and nothing is lost. A paused flow outlives restarts,
until `msi-stream resume`.

\b
Exit codes:
  0  paused; or no daemon runs, and the next one starts paused
  1  noted, and the running daemon has not taken it up yet
  2  the configuration, the store or an argument cannot be used

\b
Example:
  msi-stream pause deliver
"""

RESUME_EPILOG = """FLOW is deliver, scores or leaving; deliver and scores, when none is named. deliver also ends the stop of a
delivery of which too many records were refused (deliver.poison_share): it stops again soon unless the cause was mended.
leaving lets records go that left their filter, more in a day than deliver.max_leaving_a_day, and with them what leaves
in the next 24 hours: each follows its delete setting.

\b
Exit codes:
  0  going on; or no daemon runs, and the next one will
  1  noted, and the running daemon has not taken it up yet
  2  the configuration, the store or an argument cannot be used

\b
Example:
  msi-stream resume deliver
  msi-stream resume leaving
"""


def _chosen(flow: str | None) -> Sequence[Flow]:
    return tuple(each for each in FLOWS if flow in {None, each})


flow_argument = click.argument("flow", type=click.Choice(FLOWS, case_sensitive=False), required=False)


@click.command(epilog=PAUSE_EPILOG)
@flow_argument
@config_option
@json_option
@click.pass_context
def pause(ctx: click.Context, flow: str | None, config: Path | None, *, as_json: bool) -> None:
    """Hold a flow: nothing new is sent, capture goes on buffering."""
    chosen = _chosen(flow)
    said = asyncio.run(held.pause(load(config, os.environ, secrets=False).settings.store.path, chosen, SystemClock()))
    if as_json:
        ctx.exit(_print(said, chosen))
    for each in chosen:
        already = each in said.before.paused
        since = f"has been paused since {moment(said.after.paused[each])}" if already else "is paused"
        click.echo(f"{WORDS[each]} {since}; `msi-stream resume {each}` lets it go on.")
    ctx.exit(_tell_taken_up(said, "the next start is paused"))


@click.command(epilog=RESUME_EPILOG)
@click.argument("flow", type=click.Choice([*FLOWS, LEAVING], case_sensitive=False), required=False)
@config_option
@json_option
@click.pass_context
def resume(ctx: click.Context, flow: str | None, config: Path | None, *, as_json: bool) -> None:
    """Let a flow go on that was paused or has stopped itself, or let records leave that left their filter."""
    chosen: Sequence[Held] = (LEAVING,) if flow == LEAVING else _chosen(flow)
    said = asyncio.run(held.resume(load(config, os.environ, secrets=False).settings.store.path, chosen, SystemClock()))
    if as_json:
        ctx.exit(_print(said, chosen))
    for each in chosen:
        click.echo(f"{WORDS[each]} {'goes on' if _held(said.before, each) else 'was not held'}.")
    ctx.exit(_tell_taken_up(said, "the next start goes on"))


def _held(how: Holds, flow: Held) -> bool:
    if flow == LEAVING:
        return bool(how.leaving)
    return flow in how.paused or (flow == "deliver" and how.poisoned is not None)


def _print(said: Said, chosen: Sequence[Held]) -> int:
    """The same for programs: how each flow was held before, and is now, and whether the daemon has taken it up."""
    flows = {flow: {"was_held": _held(said.before, flow), "held": _held(said.after, flow)} for flow in chosen}
    print_json({"flows": flows, "taken_up": said.taken_up})
    return DEGRADED if said.taken_up == "not yet" else 0


def _tell_taken_up(said: Said, at_start: str) -> int:
    if said.taken_up == "no daemon":
        click.echo(f"No daemon runs: {at_start}.")
    elif said.taken_up == "not yet":
        tell("the daemon has not taken it up yet; it does so as soon as it can", "msi-stream status tells how it stands")
        return DEGRADED
    else:
        click.echo("The daemon has taken it up.")
    return 0
