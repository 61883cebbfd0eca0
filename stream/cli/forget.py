"""`forget`: one person's traces erased from the store."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from stream.cli.options import DEGRADED, config_option, json_option, print_json, tell
from stream.clock import SystemClock
from stream.config import load
from stream.operating import forget as forgetting
from stream.operating.forget import Forgotten

EPILOG = """ID is a Salesforce id of 15 or 18 characters. Erased are the record, those it was made one with by merges in
Salesforce, its contact roles, and all that is kept of them: changes still waiting, dead letters, scores, stories, and events
that nobody could read and that name it. The file is written anew afterwards, so that no free page of it holds a value; that
needs free space of twice its size, and a running daemon waits meanwhile.

Delete the person in Salesforce, and in Marketo, first: a record that is still there comes back with its next change or re-read,
and the deletion itself, an id and a date, as long as Salesforce tells of it. Backups made before still hold everything.

\b
Exit codes:
  0  erased
  1  nothing is known of this id; or something is still to be delivered, or under way; or the file could not be written anew
  2  the id is none, or the configuration or the store cannot be used

\b
Examples:
  msi-stream forget 0035g00000AbCdE
  msi-stream forget 0035g00000AbCdEAAX --undelivered
"""

COUNTED = (
    ("given_up", "change that was still to be delivered, given up", "changes that were still to be delivered, given up"),
    ("letters", "dead letter of it", "dead letters of it"),
    ("events", "event that nobody could read and that names it", "events that nobody could read and that name it"),
)


@click.command(epilog=EPILOG)
@click.argument("record_id", metavar="ID")
@click.option("--undelivered", is_flag=True, help="Also where changes are still to be delivered: they are given up.")
@config_option
@json_option
@click.pass_context
def forget(ctx: click.Context, record_id: str, config: Path | None, *, undelivered: bool, as_json: bool) -> None:
    """Erase one person's traces from the store."""
    path = load(config, os.environ, secrets=False).settings.store.path
    try:
        done = asyncio.run(forgetting.forget(path, record_id, int(SystemClock().now() * 1000), give_up=undelivered))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(done.as_json())
    else:
        _tell(done)
    ctx.exit(0 if done.whole else DEGRADED)


def _tell(done: Forgotten) -> None:
    erased = done.erased
    if erased.held is not None:
        obj, record_id = erased.held.key
        if erased.held.why == "in flight":
            tell(f"{obj} {record_id} is just being read or sent: nothing was erased", "try again in a minute")
        else:
            tell(
                f"a change of {obj} {record_id} is still to be delivered: nothing was erased",
                "wait until it is (msi-stream why tells what it waits for), or give it up with --undelivered",
            )
        return
    for obj, record_id in erased.keys:
        click.echo(f"Erased {obj} {record_id}.")
    for count, one, many in COUNTED:
        if number := getattr(erased, count):
            click.echo(f"  {number} {one if number == 1 else many}")
    for obj, record_id in erased.sharers:
        click.echo(f"{obj} {record_id} stands behind the same Marketo person, and was not erased.")
    if erased.events_left:
        click.echo(
            f"{erased.events_left} events that nobody could read are kept, without this id: msi-stream dead list --object event"
        )
    if not done.known and not done.rewritten:
        tell(f"nothing is known of {done.id}", "another record of the same person has another id: each is erased by its own")
    if done.rewritten:
        click.echo("The store's file was written anew. Backups made before still hold what was erased.")
    if done.unfinished:
        tell(
            f"the file was not written anew, so free pages of it may still hold values: {done.unfinished}", "then run this again"
        )
