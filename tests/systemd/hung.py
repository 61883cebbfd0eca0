"""The daemon with one loop that hangs for real in its first run, after its first turn: what `run` does, in the unit's place.

The time limits are seconds instead of minutes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from stream.config import load
from stream.daemon import Daemon, run_daemon
from stream.logs.output import configure
from stream.reconcile import Reconcile
from stream.watch.notify import Notify

LIMIT_SECONDS = 4.0

config, once = Path(sys.argv[1]), Path(sys.argv[2])
turn, watch_by_settings = Reconcile._turn, Daemon.watch_by_settings


async def hang(self: Reconcile) -> None:
    """Come back once, and never again; everything else goes on."""
    await turn(self)
    setattr(Reconcile, "_turn", lambda _: asyncio.Event().wait())  # noqa: B010 - the hang that is tested


def begin(self: Daemon) -> None:
    """Take the daemon's own limits, and shorten the one of this loop."""
    watch_by_settings(self)
    self.time_limits = {**self.time_limits, "reconcile": LIMIT_SECONDS}


setattr(Daemon, "watch_by_settings", begin)  # noqa: B010 - see above
if not once.exists():
    once.touch()
    setattr(Reconcile, "_turn", hang)  # noqa: B010 - see above
settings = load(config, os.environ).settings
configure(settings.log.level, settings.log.format, journal=os.environ.get("JOURNAL_STREAM", ""))
asyncio.run(run_daemon(settings, notify=Notify.of(os.environ, os.getpid())))
