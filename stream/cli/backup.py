"""`backup`: a consistent copy of the store while the daemon runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from stream.cli.options import config_option, json_option, print_json
from stream.cli.steps import steps
from stream.clock import SystemClock
from stream.config import load
from stream.operating import backup as backups

EPILOG = """DEST is a file; with --keep, a directory that holds the last N copies, named by time. The copy is the store as it
stands at one moment, checked and synced before it gets its name; it holds personal data, and only its owner may read it. To
restore one: stop the daemon, put it in the store's place, remove the store's -wal and -shm files, start the daemon. What
happened since is read again.

\b
Exit codes:
  0  written
  1  the disk is full, or another backup is writing there
  2  the configuration, the store or DEST cannot be used

\b
Examples:
  msi-stream backup /var/backups/msi-stream.db
  msi-stream backup --keep 14 /var/backups/msi-stream/
"""


@click.command(epilog=EPILOG)
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="DEST is a directory; keep the last N copies in it.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@config_option
@json_option
def backup(dest: Path, keep: int | None, config: Path | None, *, force: bool, as_json: bool) -> None:
    """Copy the store to DEST, also while the daemon runs."""
    path, clock = load(config, os.environ, secrets=False).settings.store.path, SystemClock()
    with steps("pages copied", None, clock) as progress:
        made = asyncio.run(backups.backup(path, dest, clock.now(), keep=keep, force=force, progress=progress.at))
    if as_json:
        print_json({"path": str(made.path), "bytes": made.size_bytes, "removed": [str(each) for each in made.removed]})
        return
    gone = f"; {len(made.removed)} older removed" if made.removed else ""
    click.echo(f"Wrote {made.path} ({made.size_bytes / 1e6:,.1f} MB){gone}.")
