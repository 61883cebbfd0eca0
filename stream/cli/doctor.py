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
from stream.errors import ConfigError
from stream.findings import failure

SIGNS = {"ok": ("✓ ok", "green"), "warning": ("! warning", "yellow"), "failure": ("✗ failure", "bold red")}

EPILOG = """\b
Exit codes:
  0  nothing failed; there may be warnings
  1  something failed, and its line says what to do
  2  the configuration cannot be used

\b
Example:
  msi-stream doctor --config msi-stream.toml
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, *, as_json: bool) -> None:
    """Check the configuration, both sign-ins, permissions, fields on both sides, and quotas.

    Each line is ok, a warning or a failure with its cure. Nothing is written anywhere.
    """
    try:
        loaded = load(config, os.environ)
        findings = asyncio.run(examine(loaded, SystemClock()))
    except ConfigError as error:
        if as_json:
            print_json(as_rows([failure("configuration", error.message, error.hint)]))
        raise
    if as_json:
        print_json(as_rows(findings))
    else:
        rows = table("result", "check", "found", "cure")
        for each in findings:
            sign, style = SIGNS[each.result]
            rows.add_row(sign, each.check, each.found, each.cure, style=style if each.result != "ok" else None)
        console().print(rows)
    ctx.exit(DEGRADED if any(each.result == "failure" for each in findings) else 0)
