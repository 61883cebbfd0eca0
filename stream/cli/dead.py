"""`dead`: the dead letters, listed, shown, tried again, given up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from stream import dead as letters
from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table, tell
from stream.clock import SystemClock
from stream.config import load
from stream.dead import Done, Selection

F = TypeVar("F", bound=Callable[..., Any])


def _selecting(command: F) -> F:
    command = click.option("--code", help="Only those with this code.")(command)
    return click.option("--object", "obj", metavar="OBJECT", help="Only those of this object (Lead, Account …).")(command)


def _store(config: Path | None) -> Path:
    return load(config, os.environ).settings.store.path


def _selection(targets: Sequence[str], obj: str | None, code: str | None) -> Selection:
    try:
        return Selection.of(targets, obj, code)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.group()
def dead() -> None:
    """Look at dead letters, and decide about them. Each says its code, its cause, and what to do."""


@dead.command("list", epilog="Exits 1 when there are any.")
@_selecting
@config_option
@json_option
@click.pass_context
def list_(ctx: click.Context, config: Path | None, obj: str | None, code: str | None, *, as_json: bool) -> None:
    """List the dead letters, oldest first."""
    found = asyncio.run(letters.listed(_store(config), _selection((), obj, code)))
    if as_json:
        print_json([letters.row(letter) for letter in found])
    elif found:
        rows = table("entry", "object", "id", "code", "cause", "cure", "attempts", "holds", "since")
        for letter in found:
            told = letters.row(letter)
            rows.add_row(
                *(str(told[name]) for name in ("entry", "object", "id", "code", "cause", "cure", "attempts", "holds", "since"))
            )
        console().print(rows)
    else:
        click.echo("No dead letters.")
    ctx.exit(DEGRADED if found else 0)


@dead.command(epilog="What was to be sent is personal data: it is shown on your terminal only.")
@click.argument("targets", nargs=-1, required=True, metavar="ENTRY_OR_ID…")
@config_option
@click.pass_context
def show(ctx: click.Context, targets: tuple[str, ...], config: Path | None) -> None:
    """Show dead letters whole, as JSON, with what they hold."""
    found, unknown = asyncio.run(letters.shown(_store(config), _selection(targets, None, None)))
    print_json(found)
    ctx.exit(_tell_unknown(unknown))


@dead.command(epilog="\b\nExample:\n  msi-stream dead retry --code 1006")
@click.argument("targets", nargs=-1, metavar="[ENTRY_OR_ID…]")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@_selecting
@config_option
@click.pass_context
def retry(
    ctx: click.Context, targets: tuple[str, ...], config: Path | None, obj: str | None, code: str | None, *, everything: bool
) -> None:
    """Put dead letters back, after their cause was mended. A running daemon takes them up within seconds."""
    now_ms = int(SystemClock().now() * 1000)
    selection = _chosen(targets, obj, code, everything=everything)
    done = asyncio.run(letters.retry(_store(config), selection, now_ms))
    ctx.exit(_tell_done(done, "put back"))


@dead.command(epilog="\b\nExample:\n  msi-stream dead drop 17")
@click.argument("targets", nargs=-1, metavar="[ENTRY_OR_ID…]")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@_selecting
@config_option
@click.pass_context
def drop(
    ctx: click.Context, targets: tuple[str, ...], config: Path | None, obj: str | None, code: str | None, *, everything: bool
) -> None:
    """Give dead letters up: what waits for them goes on without that relation."""
    selection = _chosen(targets, obj, code, everything=everything)
    done = asyncio.run(letters.drop(_store(config), selection))
    ctx.exit(_tell_done(done, "given up"))


def _chosen(targets: Sequence[str], obj: str | None, code: str | None, *, everything: bool) -> Selection:
    if not (targets or obj or code or everything):
        raise click.UsageError("name entries or Salesforce ids, or choose by --object, --code or --all")
    return _selection(targets, obj, code)


def _tell_done(done: Done, what: str) -> int:
    click.echo(f"{len(done.letters)} dead letter{'' if len(done.letters) == 1 else 's'} {what}.")
    for letter in done.kept:
        tell(
            f"entry {letter.entry} is an event that nobody could read: there is nothing to send",
            "drop it once the record was changed anew",
        )
    return _tell_unknown(done.unknown)


def _tell_unknown(unknown: Sequence[str]) -> int:
    for name in unknown:
        tell(f"{name} is no dead letter", "msi-stream dead list shows them")
    return DEGRADED if unknown else 0
