"""What every command shares: its options, the exit codes, and how a failure is told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table

from store.errors import StoreBlocked, StoreBusy, StoreError
from stream.errors import ConfigError, StreamError

F = TypeVar("F", bound=Callable[..., Any])

DEGRADED, WRONG, BUSY = 1, 2, 3
WIDTH_OF_FILES = 160  # columns where the output is no terminal

config_option: Callable[[F], F] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The configuration file. Default: $MSI_STREAM_CONFIG, else /etc/msi-stream/config.toml, else ./msi-stream.toml.",
)
json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def tell(message: str, hint: str = "") -> None:
    """One message on stderr, and under it what to do."""
    click.echo(f"msi-stream: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)


def exit_code(error: StoreError | StreamError) -> int:
    """3 where another daemon holds the store, 2 where the configuration is wrong (a wrong store is), else 1."""
    if isinstance(error, StoreBusy):
        return BUSY
    if isinstance(error, StoreBlocked):
        return DEGRADED
    return WRONG if isinstance(error, (ConfigError, StoreError)) else DEGRADED


class Commands(click.Group):
    """A group that turns the project's errors into one message and the right exit code.

    `modules` (command → module) are imported when a command is asked for; in its module it has the same name.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, imported or not."""
        return sorted(self._modules.keys() | super().list_commands(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported by now."""
        if cmd_name in self._modules and cmd_name not in self.commands:
            self.add_command(getattr(import_module(self._modules[cmd_name]), cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (StoreError, StreamError) as error:
            tell(error.message, error.hint)
            ctx.exit(exit_code(error))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def console() -> Console:
    """Where tables go: a terminal's own width, or a fixed one in files and pipes. Square brackets are no markup."""
    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def table(*columns: str, heads: bool = True) -> Table:
    """An empty table whose cells break rather than lose anything."""
    made = Table(box=None, show_header=heads, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
