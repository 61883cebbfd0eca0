"""`dead`: the dead letters, listed, shown, tried again, given up."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from store.database import is_held
from store.model import OBJECTS
from stream.cli.options import DEGRADED, config_option, console, json_option, print_json, table, tell
from stream.clock import SystemClock
from stream.config import load
from stream.operating import dead as letters
from stream.operating.dead import Done, Selection
from stream.operating.taken_up import TakenUp, letters_taken_up

F = TypeVar("F", bound=Callable[..., Any])


LIST_EPILOG = """\b
Exit codes:
  0  there are none
  1  there are some
  2  the configuration, the store or an argument cannot be used

\b
Example:
  msi-stream dead list --object Lead --json
"""

SHOW_EPILOG = """What was to be sent is personal data: keep it on your terminal.

\b
Exit codes:
  0  all were found
  1  one of them is no dead letter
  2  the configuration, the store or an argument cannot be used

\b
Example:
  msi-stream dead show 17
"""

ACT_EPILOG = """A target is an entry number, or a Salesforce id of 15 or 18 characters; --object and --code choose among them.

\b
Exit codes:
  0  done
  1  one of the targets is no dead letter, or cannot be tried again, and the others are done; or the running daemon has not
     taken them up yet
  2  nothing was chosen, or the configuration, the store or an argument cannot be used

\b
Examples:
"""


def _selecting(command: F) -> F:
    objects = click.Choice([*OBJECTS, "event"], case_sensitive=False)
    command = click.option("--code", help="Only those with this code.")(command)
    return click.option("--object", "obj", type=objects, help="Only those of this object (event: unreadable ones).")(command)


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of a command that acts upon dead letters, which is given the store's place and their selection."""

    @functools.wraps(command)
    def acting(
        ctx: click.Context,
        targets: tuple[str, ...],
        config: Path | None,
        obj: str | None,
        code: str | None,
        *,
        everything: bool,
        as_json: bool,
    ) -> None:
        command(ctx, _store(config), _chosen(targets, obj, code, everything=everything), as_json=as_json)

    taken = _selecting(config_option(json_option(click.pass_context(acting))))
    taken = click.option("--all", "everything", is_flag=True, help="All dead letters.")(taken)
    return click.argument("targets", nargs=-1, metavar="[ENTRY_OR_ID…]")(taken)


def _store(config: Path | None) -> Path:
    return load(config, os.environ, secrets=False).settings.store.path


def _selection(targets: Sequence[str], obj: str | None, code: str | None) -> Selection:
    try:
        return Selection.of(targets, obj, code)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.group()
def dead() -> None:
    """Look at dead letters, and decide about them. Each says its code, its cause, and what to do."""


@dead.command("list", epilog=LIST_EPILOG)
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


@dead.command(epilog=SHOW_EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="ENTRY_OR_ID…")
@config_option
@click.pass_context
def show(ctx: click.Context, targets: tuple[str, ...], config: Path | None) -> None:
    """Show dead letters whole, as JSON, with what they hold."""
    found, unknown = asyncio.run(letters.shown(_store(config), _selection(targets, None, None)))
    print_json(found)
    ctx.exit(_tell_unknown(unknown))


@dead.command(epilog=f"{ACT_EPILOG}  msi-stream dead retry --code 1006\n  msi-stream dead retry 17 0035g00000AbCdE")
@_choosing
def retry(ctx: click.Context, store: Path, selection: Selection, *, as_json: bool) -> None:
    """Put dead letters back, after their cause was mended; say whether a running daemon has taken them up."""
    clock = SystemClock()
    done = asyncio.run(letters.retry(store, selection, int(clock.now() * 1000)))
    standing = asyncio.run(letters_taken_up(store, done.letters, clock)) if done.letters else "no daemon"
    if as_json:
        ctx.exit(_print(done, standing))
    wrong = _tell_done(done, "put back")
    ctx.exit(_tell_taken_up(standing, some=bool(done.letters)) or wrong)


@dead.command(epilog=f"{ACT_EPILOG}  msi-stream dead drop 17\n  msi-stream dead drop --all")
@_choosing
def drop(ctx: click.Context, store: Path, selection: Selection, *, as_json: bool) -> None:
    """Give dead letters up: what waits for them goes on without that relation."""
    done = asyncio.run(letters.drop(store, selection, int(SystemClock().now() * 1000)))
    if as_json:
        ctx.exit(_print(done))
    wrong = _tell_done(done, "given up")
    if done.letters and not is_held(store):
        click.echo("No daemon runs: what waited for them goes on with the next start.")
    ctx.exit(wrong)


def _chosen(targets: Sequence[str], obj: str | None, code: str | None, *, everything: bool) -> Selection:
    if not (targets or obj or code or everything):
        raise click.UsageError("nothing is chosen: name entries or Salesforce ids, or choose by --object, --code or --all")
    if everything and (targets or obj or code):
        raise click.UsageError("--all chooses every dead letter: leave out the others, or leave out --all")
    return _selection(targets, obj, code)


def _tell_done(done: Done, what: str) -> int:
    click.echo(f"{len(done.letters)} dead letter{'' if len(done.letters) == 1 else 's'} {what}.")
    for letter in done.kept:
        tell(
            f"entry {letter.entry} is an event or a row that nobody could read: there is nothing to send",
            "the records that it names were read by themselves: look at it with `dead show`, then drop it",
        )
    return _tell_unknown(done.unknown) or (DEGRADED if done.kept else 0)


def _print(done: Done, standing: TakenUp | None = None) -> int:
    """The same for programs: entries done, those that cannot be tried again, and names of what is no dead letter."""
    told = {"done": [each.entry for each in done.letters], "kept": [each.entry for each in done.kept], "unknown": done.unknown}
    print_json(told if standing is None else {**told, "taken_up": standing})
    return DEGRADED if done.kept or done.unknown or (standing == "not yet" and done.letters) else 0


def _tell_taken_up(standing: TakenUp, *, some: bool) -> int:
    if not some:
        return 0
    if standing == "not yet":
        tell("the daemon has not taken them up yet; it does so as soon as it can", "msi-stream status tells how it stands")
        return DEGRADED
    told = {
        "yes": "The daemon has taken them up: `msi-stream why ID` tells what became of each.",
        "no daemon": "No daemon runs: the next start tries them.",
        "held": "Delivery is held, so they wait: `msi-stream resume deliver` lets it go on.",
    }
    click.echo(told[standing])
    return 0


def _tell_unknown(unknown: Sequence[str]) -> int:
    for name in unknown:
        tell(f"{name} is no dead letter", "msi-stream dead list shows them")
    return DEGRADED if unknown else 0
