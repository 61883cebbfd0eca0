"""`init`: a commented configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stream.cli.options import config_option
from stream.config.sources import CONFIG_VARIABLE, LOCAL_PATH
from stream.config.template import template
from stream.errors import ConfigError

EPILOG = """\b
Exit codes:
  0  written
  2  there is a file already, or it cannot be written

\b
Example:
  msi-stream init /etc/msi-stream/config.toml
"""


@click.command(epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@config_option
def init(path: Path | None, config: Path | None, *, force: bool) -> None:
    """Write a commented configuration file, readable by its owner alone.

    It goes to PATH, else to --config, else to $MSI_STREAM_CONFIG, else to ./msi-stream.toml.
    """
    where = path or config or Path(os.environ.get(CONFIG_VARIABLE) or LOCAL_PATH)
    try:
        if force:
            beside = where.with_name(f".{where.name}.{os.getpid()}.new")
            _write(beside)
            try:
                beside.replace(where)
            except OSError:
                beside.unlink()
                raise
        else:
            _write(where)
    except FileExistsError as error:
        raise ConfigError(f"{where} is there already", hint="name another file, or replace it with --force") from error
    except OSError as error:
        raise ConfigError(f"cannot write {where}: {error.strerror}", hint="name a place that this user may write to") from error
    click.echo(f"Wrote {where}. Fill in the credentials, then: msi-stream doctor --config {where}")


def _write(path: Path) -> None:
    """Write the whole file, or leave none behind."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        try:
            file.write(template())
            file.flush()
        except OSError:
            path.unlink()
            raise
