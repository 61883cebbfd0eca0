"""The command line's entry: `msi-stream`, and `python -m stream`."""

from __future__ import annotations

from importlib.metadata import version

import click

from stream.cli.audit import audit
from stream.cli.backfill import backfill
from stream.cli.backup import backup
from stream.cli.completion import completion
from stream.cli.dead import dead
from stream.cli.demo import demo
from stream.cli.doctor import doctor
from stream.cli.flows import pause, resume
from stream.cli.forget import forget
from stream.cli.init import init
from stream.cli.options import Commands
from stream.cli.plan import plan
from stream.cli.replay import replay
from stream.cli.run import run
from stream.cli.sandbox import sandbox
from stream.cli.status import status
from stream.cli.why import why

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


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("msi-stream"), prog_name="msi-stream")
def cli() -> None:
    """Keep Marketo in step with Salesforce, and bring Marketo's MSI scores back.

    A daemon streams Salesforce's changes into Marketo, so that Marketo Sales Insight works without the native sync.
    """


for command in (
    demo,
    sandbox,
    init,
    doctor,
    run,
    status,
    why,
    plan,
    audit,
    forget,
    dead,
    replay,
    backfill,
    pause,
    resume,
    backup,
    completion,
):
    cli.add_command(command)


def main() -> None:
    """Run the command that was asked for, and exit with its code."""
    cli(prog_name="msi-stream")
