"""The command line's entry: `msi-stream`, and `python -m stream`."""

from __future__ import annotations

from importlib.metadata import version

import click

from stream.cli.options import Commands

COMMANDS = (
    *("demo", "sandbox", "init", "doctor", "run", "status", "why", "plan", "audit", "forget", "dead", "replay", "backfill"),
    *("backup", "completion"),
)
MODULES = {name: f"stream.cli.{name}" for name in COMMANDS} | dict.fromkeys(("pause", "resume"), "stream.cli.flows")
"""Where each command is. It is imported when it is asked for, so that none waits for what only others need."""

EPILOG = """\b
Exit codes:
  0  all well (also: the daemon ended by SIGTERM or SIGINT)
  1  degraded, or something was found
  2  usage or configuration error
  3  another daemon holds the store

\b
Example:
  msi-stream init msi-stream.toml
  msi-stream doctor --config msi-stream.toml
  msi-stream run --config msi-stream.toml
"""


@click.group(
    cls=Commands,
    modules=MODULES,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version("msi-stream"), prog_name="msi-stream")
def cli() -> None:
    """Keep Marketo in step with Salesforce, and bring Marketo's MSI scores back.

    A daemon streams Salesforce's changes into Marketo, so that Marketo Sales Insight works without the native sync.
    """


def main() -> None:
    """Run the command that was asked for, and exit with its code."""
    cli(prog_name="msi-stream")
