"""`sandbox`: only the simulated Salesforce and Marketo, with a configuration that points at them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click

from sandbox.stage import PEOPLE, Stage
from stream.clock import SystemClock, wait_for_event
from stream.config_template import template

NIGHT_SECONDS, MOMENT_SECONDS = 60.0, 10.0


@click.command(epilog="\b\nExample:\n  msi-stream sandbox > sandbox.toml &\n  msi-stream run --config sandbox.toml")
@click.option("--salesforce-port", type=click.IntRange(0, 65535), default=0, help="Default: any free port.")
@click.option("--marketo-port", type=click.IntRange(0, 65535), default=0, help="Default: any free port.")
@click.option("--records", type=click.IntRange(min=0), default=PEOPLE, show_default=True, help="People in the org.")
@click.option("--config-out", type=click.Path(path_type=Path), help="Write the configuration here instead of to stdout.")
def sandbox(salesforce_port: int, marketo_port: int, records: int, config_out: Path | None) -> None:
    """Run only the simulated Salesforce and Marketo, until Ctrl-C; print a ready configuration that points at them.

    MSI values change by themselves now and then, as they do in a real Marketo.
    """
    asyncio.run(_serve(salesforce_port, marketo_port, records, config_out))


async def _serve(salesforce_port: int, marketo_port: int, records: int, config_out: Path | None) -> None:
    stage, ended = Stage(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await stage.start(salesforce_port=salesforce_port, marketo_port=marketo_port)
    try:
        stage.seed(records)
        _hand_out(template({**stage.settings(), "store.path": "sandbox.db"}), config_out)
        click.echo(_words(stage), err=True)
        await _live(stage, ended)
    finally:
        await stage.stop()


def _hand_out(text: str, config_out: Path | None) -> None:
    if config_out is None:
        click.echo(text)
        return
    descriptor = os.open(config_out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    click.echo(f"Wrote {config_out}.", err=True)


def _words(stage: Stage) -> str:
    base, lead = stage.salesforce.base_url, next(iter(stage.seeded.leads), "")
    return (
        f"Simulated Salesforce at {base}, simulated Marketo at {stage.marketo.base_url}; Ctrl-C ends both.\n"
        "A change, by the sandbox's own credentials from the configuration:\n"
        f"  TOKEN=$(curl -s {base}/services/oauth2/token -d grant_type=client_credentials"
        f" -d client_id={stage.salesforce.sign_in.client_id} -d client_secret={stage.salesforce.sign_in.client_secret}"
        """ | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')\n"""
        f'  curl -X PATCH {base}/services/data/v62.0/sobjects/Lead/{lead} -H "Authorization: Bearer $TOKEN"'
        """ -H 'Content-Type: application/json' -H 'Sforce-Auto-Assign: FALSE' -d '{"Title": "CEO"}'"""
    )


async def _live(stage: Stage, ended: asyncio.Event) -> None:
    """Interesting moments now and then, and a night in which stars and flames are recalculated."""
    clock, seed = SystemClock(), 0
    night = clock.monotonic() + NIGHT_SECONDS
    while not await wait_for_event(ended, clock, MOMENT_SECONDS):
        seed += 1
        stage.instance.scores.busy_day(0.02, seed)
        if clock.monotonic() >= night:
            stage.instance.scores.recalculate(0.1, seed)
            night = clock.monotonic() + NIGHT_SECONDS
