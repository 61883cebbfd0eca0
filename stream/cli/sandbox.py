"""`sandbox`: only the simulated Salesforce and Marketo, with a configuration that points at them."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import click

from sandbox.stage import PEOPLE, Stage
from stream.cli.options import WRONG, tell
from stream.clock import SystemClock, wait_for_event
from stream.config.template import template

NIGHT_SECONDS, MOMENT_SECONDS = 60.0, 10.0
MOMENT_SHARE, NIGHT_SHARE = 0.02, 0.1
MOST_PEOPLE = 100_000
QUICK: dict[str, Any] = {
    "deliver.linger_seconds": 0.5,
    "deliver.settle_seconds": 5.0,
    "scores.interval_seconds": 5.0,
    "scores.sweep_interval_seconds": 60.0,
    "reconcile.poll_interval_seconds": 5.0,
    "reconcile.daily_calls": 100_000,
    "log.format": "console",
}
"""A daemon that can be watched: what takes minutes in production takes seconds here."""


@click.command(
    epilog="""\b
Exit codes:
  0  ended by Ctrl-C or SIGTERM
  2  a port is taken, or the configuration cannot be written

\b
Example:
  msi-stream sandbox > sandbox.toml &
  msi-stream run --config sandbox.toml
"""
)
@click.option("--salesforce-port", type=click.IntRange(0, 65535), default=0, metavar="P", help="Default: any free port.")
@click.option("--marketo-port", type=click.IntRange(0, 65535), default=0, metavar="P", help="Default: any free port.")
@click.option(
    "--records", type=click.IntRange(0, MOST_PEOPLE), default=PEOPLE, show_default=True, metavar="N", help="People in the org."
)
@click.option(
    "--config-out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write the configuration there, for its owner alone, instead of to stdout.",
)
@click.pass_context
def sandbox(ctx: click.Context, salesforce_port: int, marketo_port: int, records: int, config_out: Path | None) -> None:
    """Run only the simulated Salesforce and Marketo, until Ctrl-C; print a ready configuration that points at them.

    MSI values change by themselves now and then, as they do in a real Marketo. The configuration is good as long as this sandbox
    runs: its secrets and its store are made anew each time.
    """
    ctx.exit(asyncio.run(_serve(salesforce_port, marketo_port, records, config_out)))


async def _serve(salesforce_port: int, marketo_port: int, records: int, config_out: Path | None) -> int:
    stage, ended = Stage(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    try:
        await stage.start(salesforce_port=salesforce_port, marketo_port=marketo_port)
    except OSError as error:
        tell(f"a simulated service cannot listen: {error.strerror or error}", "name other ports, or leave them out: any free one")
        return WRONG
    try:
        stage.seed(records)
        with tempfile.TemporaryDirectory(prefix="msi-stream-sandbox-", ignore_cleanup_errors=True) as folder:
            settings = {**stage.settings(), **QUICK, "store.path": str(Path(folder) / "store.db")}
            if not _handed_out(template(settings), config_out):
                return WRONG
            click.echo(_words(stage, config_out), err=True)
            await _live(stage, ended)
    finally:
        await stage.stop()
    return 0


def _handed_out(text: str, config_out: Path | None) -> bool:
    """Print the configuration, or write it; False, said why, where it cannot be written."""
    if config_out is None:
        click.echo(text)
        return True
    try:
        descriptor = os.open(config_out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # the file may have been there with other permissions
            file.write(text)
    except OSError as error:
        tell(f"{config_out}: cannot be written: {error.strerror}", "name a place that you may write to with --config-out")
        return False
    click.echo(f"wrote {config_out}", err=True)
    return True


def _words(stage: Stage, config_out: Path | None) -> str:
    """What to do now, for people: run the daemon, change a lead, see it arrive."""
    base, marketo, sign_in = stage.salesforce.base_url, stage.marketo, stage.salesforce.sign_in
    grant, lead = "grant_type=client_credentials", next(iter(stage.seeded.leads), "")
    cut = """sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/'"""
    headers = """-H "Authorization: Bearer $SF" -H 'Sforce-Auto-Assign: FALSE' -H 'Content-Type: application/json'"""
    leads = f"{base}/services/data/v62.0/sobjects/Lead"
    found = f"{marketo.base_url}/rest/v1/leads.json?filterType=externalPersonId&filterValues={lead}&fields=title,priority"
    salesforce_app = f"-d client_id={sign_in.client_id} -d client_secret={sign_in.client_secret}"
    marketo_app = f"client_id={marketo.client_id}&client_secret={marketo.client_secret}"
    lines = (
        f"simulated Salesforce at {base}, simulated Marketo at {marketo.base_url}; Ctrl-C ends both",
        "run the daemon:",
        f"  msi-stream run --config {config_out or 'CONFIG'}",
        "change a lead in Salesforce, or make one:",
        f"  SF=$(curl -s {base}/services/oauth2/token -d {grant} {salesforce_app} | {cut})",
        f"""  curl -X PATCH {leads}/{lead} {headers} -d '{{"Title": "CEO"}}'""",
        f"""  curl -X POST {leads} {headers} -d '{{"LastName": "New", "Company": "New Ltd", "Email": "new@example.com"}}'""",
        "see it in Marketo:",
        f"  MK=$(curl -s '{marketo.base_url}/identity/oauth/token?{grant}&{marketo_app}' | {cut})",
        f"""  curl -s '{found}' -H "Authorization: Bearer $MK\"""",
    )
    return "\n".join(lines)


async def _live(stage: Stage, ended: asyncio.Event) -> None:
    """Interesting moments now and then, and a night in which stars and flames are recalculated."""
    clock, seed = SystemClock(), 0
    night = clock.monotonic() + NIGHT_SECONDS
    while not await wait_for_event(ended, clock, MOMENT_SECONDS):
        seed += 1
        stage.instance.scores.busy_day(MOMENT_SHARE, seed)
        if clock.monotonic() >= night:
            stage.instance.scores.recalculate(NIGHT_SHARE, seed)
            night = clock.monotonic() + NIGHT_SECONDS
