"""`status`: how the daemon stands, running or stopped."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table
from stream.clock import SystemClock
from stream.config import load
from stream.status import Status
from stream.status import status as find_status

EPILOG = """\b
Exit codes:
  0  all well
  1  stopped, degraded or failing

\b
Example:
  msi-stream status --json | jq .reasons
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Tell how the daemon stands: freshness, backlog, what is blocked and why, dead letters, calls, hours to loss."""
    found = asyncio.run(find_status(load(config, os.environ).settings, SystemClock().now()))
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)
    ctx.exit(0 if found.state == "ok" else DEGRADED)


def _show(found: Status) -> None:
    out = console()
    out.print(f"{found.state}", style="bold green" if found.state == "ok" else "bold red")
    for reason in found.reasons:
        out.print(f"  {reason}")
    facts = table("", "")
    for name, value in found.facts.items():
        if name != "blocked":
            facts.add_row(name.replace("_", " "), _words(value))
    out.print(facts)
    blocked = found.facts.get("blocked") or []
    if blocked:
        rows = table(*(str(name).replace("_", " ") for name in blocked[0]), title="blocked")
        for each in blocked:
            rows.add_row(*(_words(value) for value in each.values()))
        out.print(rows)


def _words(value: Any) -> str:
    """A fact in a cell: nothing is a dash, tables are name: value pairs."""
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, dict):
        return ", ".join(
            f"{name}: {_words(inner) if not isinstance(inner, dict) else _pairs(inner)}" for name, inner in value.items()
        )
    return str(value)


def _pairs(values: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{name} {_words(value)}" for name, value in values.items()) + ")"
