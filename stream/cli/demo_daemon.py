"""The real daemon, as a process of its own: started, stopped in good order, killed, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.config.keys import PREFIX
from stream.config.template import template

STOP_SECONDS = 30.0
COMMAND = (sys.executable, "-m", "stream", "run", "--config")


class DaemonEnded(Exception):
    """The daemon is not running any more, and nobody asked it to stop."""


def write_config(path: Path, values: dict[str, Any]) -> None:
    """A configuration with secrets in it, for its owner's eyes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(template(values))


def clean_environment() -> dict[str, str]:
    """This process's environment without what would turn the daemon away from its file, or from loopback."""
    unwanted = {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.startswith(PREFIX) and not name.lower().endswith("_proxy")
    }


@dataclass(slots=True)
class DaemonProcess:
    """`msi-stream run` on a configuration, with its store and with its output added to a log. `state` is a word for people."""

    config: Path
    store: Path
    log: Path
    command: Sequence[str] = COMMAND
    state: str = "not started"
    starts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it; it reads the configuration and goes on where the store stands."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                str(self.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon
            )
        self.starts += 1
        self.state = f"running, process {self._process.pid}"

    def check(self) -> None:
        """Raise DaemonEnded where it ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise DaemonEnded(f"the daemon ended by itself, exit code {self._process.returncode}")

    async def stop(self) -> int:
        """SIGTERM, and wait for its exit code; what does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return 0
        self.state = "stopping"
        _signal(process, signal.SIGTERM)
        try:
            code = await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            code = await process.wait()
        self.state = "stopped"
        return code

    async def kill(self) -> None:
        """SIGKILL: no word, no warning."""
        process, self._process = self._process, None
        if process is not None:
            _signal(process, signal.SIGKILL)
            await process.wait()
            self.state = "killed"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
