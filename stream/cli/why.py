"""`why`: one record's whole story."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table
from stream.clock import SystemClock
from stream.config import load
from stream.operating.why import Story
from stream.operating.why import why as tell_why

EPILOG = """ID is a Salesforce id of 15 or 18 characters. It works beside a running daemon and without one, asks neither service,
and shows names of fields, never their values. A story goes back 50 lines, or 30 days. Events that touch no mapped field leave
no line.

\b
Exit codes:
  0  told
  1  nothing is known of this record
  2  the id is none, or the configuration or the store cannot be used

\b
Examples:
  msi-stream why 0035g00000AbCdE
  msi-stream why 0035g00000AbCdEAAX --json | jq .waits_for
"""


@click.command(epilog=EPILOG)
@click.argument("record_id", metavar="ID")
@config_option
@json_option
@click.pass_context
def why(ctx: click.Context, record_id: str, config: Path | None, *, as_json: bool) -> None:
    """Tell one record's whole story: what arrived, what was sent, what it waits for, and what to do."""
    path = load(config, os.environ, secrets=False).settings.store.path
    try:
        story = asyncio.run(tell_why(path, record_id, int(SystemClock().now() * 1000)))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(story.as_json())
    else:
        _show(story, console())
    ctx.exit(DEGRADED if story.state == "unknown" else 0)


def _show(story: Story, out: Console) -> None:
    if story.state != "unknown":
        _show_facts(story, out)
    out.print(story.stands, style="bold")
    if story.cure:
        out.print(story.cure)


def _show_facts(story: Story, out: Console) -> None:
    out.print(f"{story.object} {story.id}", style="bold")
    rows = table("", "", heads=False)
    rows.add_row("state", story.state.replace("_", " "))
    if story.marketo_id:
        rows.add_row("Marketo id", story.marketo_id)
    for other in story.facts["shares_with"]:
        rows.add_row("shares it with", f"{other['object']} {other['id']}")
    if story.facts["scores"]:
        rows.add_row("scores", story.facts["scores"])
    out.print(rows)
    if story.waits_for:
        out.print("\nwaits for")
        _show_chain(story.waits_for, out, 1)
    out.print()
    if story.history:
        lines = table("", "", heads=False)
        for line in story.history:
            lines.add_row(line["at"], line["told"])
        out.print(lines)
    else:
        out.print("Nothing is told of it: its story is older than 30 days, or began before this version.")
    out.print()


def _show_chain(links: Sequence[Mapping[str, Any]], out: Console, depth: int) -> None:
    for link in links:
        out.print(f"{'  ' * depth}{link['object']} {link['id']}: {link['why']}")
        _show_chain(link["waits_for"], out, depth + 1)
