"""`doctor`: is everything set up on both sides?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table
from stream.clock import SystemClock
from stream.config import load
from stream.doctor import as_rows, examine

SIGNS = {"ok": "✓", "warning": "!", "failure": "✗"}


@click.command(epilog="Exits 1 when anything fails.\n\n\b\nExample:\n  msi-stream doctor --config msi-stream.toml")
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, *, as_json: bool) -> None:
    """Check the configuration, both sign-ins, permissions, fields and quotas; each failure with its cure. Writes nothing."""
    loaded = load(config, os.environ)
    findings = asyncio.run(examine(loaded.settings, loaded.warnings, SystemClock()))
    if as_json:
        print_json(as_rows(findings))
    else:
        rows = table("", "check", "found", "cure")
        for each in findings:
            rows.add_row(SIGNS[each.result], each.check, each.found, each.cure)
        console().print(rows)
    ctx.exit(DEGRADED if any(each.result == "failure" for each in findings) else 0)
