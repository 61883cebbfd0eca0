"""`init`: a commented configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from stream.config_template import template
from stream.errors import ConfigError


@click.command(epilog="\b\nExample:\n  msi-stream init /etc/msi-stream/config.toml")
@click.argument("path", type=click.Path(path_type=Path), default=Path("msi-stream.toml"))
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(path: Path, force: bool) -> None:
    """Write a commented configuration file to PATH (./msi-stream.toml), readable by its owner only."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already", hint="name another file, or write over it with --force") from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", hint="name a place that this user may write to") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(template())
    click.echo(f"Wrote {path}. Fill in the credentials, then: msi-stream doctor --config {path}")
