"""`doctor`: is everything set up on both sides?"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table
from stream.clock import SystemClock
from stream.config import load
from stream.doctor import Finding, as_rows, diagnose, examine
from stream.doctor.findings import failure
from stream.errors import ConfigError

SIGNS = {"ok": ("✓ ok", "green"), "warning": ("! warning", "yellow"), "failure": ("✗ failure", "bold red")}

EPILOG = """ID is a Salesforce id of 15 or 18 characters; emails that differ are shown, so keep that output on your terminal.

\b
Exit codes:
  0  nothing failed; there may be warnings
  1  something failed, and its line says what to do
  2  the configuration or the id cannot be used

\b
Examples:
  msi-stream doctor --config msi-stream.toml
  msi-stream doctor --record 0035g00000AbCdE
"""


@click.command(epilog=EPILOG)
@click.option("--record", metavar="ID", help="Only one lead or contact: why its sales person's widget is empty.")
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, record: str | None, config: Path | None, *, as_json: bool) -> None:
    """Check the configuration, both sign-ins, permissions, fields on both sides, quotas, and this machine.

    Each line is ok, a warning or a failure with its cure. Nothing is written anywhere. With --record, the lead or contact, its
    owner and its company are read on both sides and compared.
    """
    try:
        findings = asyncio.run(_examined(config, record))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except ConfigError as error:
        if as_json:
            print_json(as_rows([failure("configuration", error.message, error.hint)]))
        raise
    _show(findings, as_json=as_json)
    ctx.exit(DEGRADED if any(each.result == "failure" for each in findings) else 0)


async def _examined(config: Path | None, record: str | None) -> Sequence[Finding]:
    loaded, clock = load(config, os.environ), SystemClock()
    return await examine(loaded, clock) if record is None else await diagnose(loaded.settings, record, clock)


def _show(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json(as_rows(findings))
    else:
        rows = table("result", "check", "found", "cure")
        for each in findings:
            sign, style = SIGNS[each.result]
            rows.add_row(sign, each.check, each.found, each.cure, style=style if each.result != "ok" else None)
        console().print(rows)
        click.echo(f"\n{_sum(findings)}")


def _sum(findings: Sequence[Finding]) -> str:
    """What it comes to, for who does not look at each line."""
    count = Counter(each.result for each in findings)
    told = [f"{count[kind]} {kind}{'' if count[kind] == 1 else 's'}" for kind in ("failure", "warning") if count[kind]]
    return f"{' and '.join(told)} of {len(findings)} checks." if told else f"All {len(findings)} checks are well."
