"""`status`: how the daemon stands, running or stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table
from stream.cli.status_watch import watch
from stream.clock import SystemClock
from stream.config import load
from stream.operating.status import Status
from stream.operating.status import status as find_status

BLOCKED_ROWS = 8
STYLES = {"ok": "bold green", "degraded": "bold yellow", "failing": "bold red", "stopped": "bold red"}

EPILOG = """It works beside a running daemon and without one, and changes nothing. The forecast of calls is for the end of the
quota's day, at the rate of the last hour, and so is the time at which a budget will be used up.

\b
Exit codes:
  0  all well (with --watch: when it was ended)
  1  stopped, degraded or failing; the reasons say why
  2  the configuration or the store cannot be used

\b
Examples:
  msi-stream status --json | jq .reasons
  msi-stream status --watch
"""


@click.command(epilog=EPILOG)
@click.option("--watch", "watching", is_flag=True, help="Draw it again every second, until q or Ctrl-C; in a terminal only.")
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, config: Path | None, *, watching: bool, as_json: bool) -> None:
    """Tell how the daemon stands: freshness, backlog, what is blocked and why, dead letters, calls, hours to loss."""
    if watching and as_json:
        raise click.UsageError("--watch draws for people, --json prints once for programs: leave out one")
    if watching and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--watch needs a terminal")
    settings, clock = load(config, os.environ, secrets=False).settings, SystemClock()
    if watching:
        found = asyncio.run(watch(settings, clock, console(), _drawn))
    else:
        found = asyncio.run(find_status(settings, clock.now()))
        print_json(found.as_json()) if as_json else console().print(_drawn(found))
    ctx.exit(0 if found.state == "ok" else DEGRADED)


def _drawn(found: Status) -> RenderableType:
    reasons = [Text(f"  {reason}") for reason in found.reasons]
    parts: list[RenderableType] = [Text(found.state, style=STYLES[found.state]), *reasons, Text(""), _facts(found.facts)]
    if found.facts["blocked"]:
        parts += _blocked(found.facts)
    return Group(*parts)


def _facts(facts: Mapping[str, Any]) -> RenderableType:
    rows = table("", "", heads=False)
    fresh = facts["freshness_seconds"]
    rows.add_row("freshness", f"p50 {_seconds(fresh['p50'])}, p99 {_seconds(fresh['p99'])}, oldest {_seconds(fresh['oldest'])}")
    hours = facts["hours_to_loss"]
    rows.add_row("hours to loss", "–" if hours is None else f"{hours:g}")
    rows.add_row("backlog", _pairs(facts["backlog"]) or "nothing")
    rows.add_row("blocked", str(facts["blocked_entries"]))
    rows.add_row("dead letters", str(facts["dead"]))
    rows.add_row("replay ids", _pairs(facts["replay_ids"], number="{}") or "–")
    rows.add_row("complete", _complete(facts["coverage"]))
    for service, calls in facts["calls"].items():
        told = f"{calls['used']:,} of {calls['budget']:,} today, forecast {calls['forecast']:,}"
        if calls["runs_out_at"] is not None:
            told += f", used up at {calls['runs_out_at']}"
        rows.add_row(service.replace("_", " ") + ("" if service.endswith("writes") else " calls"), told)
    if slowed := _slowed(facts["pace"]):
        rows.add_row("at a time", slowed)
    new, people = facts["new_people"], facts["people"]
    rows.add_row("new people", f"{new['today']:,} of {new['limit']:,} today, {new['waiting']:,} waiting")
    rows.add_row("people", f"{people['synced']:,} synced, scores swept until {people['swept_until'] or '–'}")
    return rows


def _slowed(pace: Mapping[str, Mapping[str, int]]) -> str:
    """How much Marketo is given at a time, where that is less than is set."""
    words = {"batch_size": "{now} records in a call instead of {set}", "concurrency": "{now} calls to Marketo instead of {set}"}
    return ", ".join(word.format(**pace[name]) for name, word in words.items() if pace[name]["now"] < pace[name]["set"])


def _blocked(facts: Mapping[str, Any]) -> list[RenderableType]:
    """What the most entries wait for; a screen holds no more."""
    rows = table("waiting", "entries", "for", "why")
    for each in facts["blocked"][:BLOCKED_ROWS]:
        parent = each["waits_for"]
        rows.add_row(each["object"], str(each["entries"]), f"{parent['object']} {parent['id']}", each["why"])
    more = len(facts["blocked"]) > BLOCKED_ROWS
    return [Text(""), rows, *([Text("… and others: `msi-stream status --json` names them")] if more else [])]


def _complete(coverage: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Up to when everything is proven to have come: the objects that lag behind are named."""
    open_ones = [obj for obj, rows in coverage.items() if not rows or any("hole" in row for row in rows)]
    ends = [rows[-1]["to"] for obj, rows in coverage.items() if obj not in open_ones]
    told = [f"everything until {min(ends)}"] if ends else []
    return "; ".join([*told, *([f"holes in {', '.join(open_ones)}"] if open_ones else [])]) or "–"


def _pairs(values: Mapping[str, int], number: str = "{:,}") -> str:
    return ", ".join(f"{name} {number.format(value)}" for name, value in values.items())


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f} s"
