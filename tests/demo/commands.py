"""The commands as somebody at a shell starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from stream.clock import SystemClock

CLOCK = SystemClock()


class Command:
    """`msi-stream …` as a process of its own; what it prints goes into files beside each other."""

    def __init__(self, folder: Path, name: str) -> None:
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        self._temporary = folder / f"{name}.tmp"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *words: str) -> None:
        """Start it; its temporary files go to a folder of its own."""
        self._temporary.mkdir()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "stream",
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(self._temporary)},
            )

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.out.read_text("utf-8") + self.err.read_text("utf-8")

    @property
    def left_behind(self) -> list[str]:
        """Temporary files that are still there."""
        return [path.name for path in self._temporary.iterdir()]

    def processes(self) -> list[str]:
        """The command lines of living processes that work in its temporary folder."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_text("utf-8", errors="replace"))
            except OSError:
                continue
        return [line for line in lines if str(self._temporary) in line]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, seconds: float = 30.0) -> int:
        """Wait for its exit code."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), seconds)

    async def until(self, done: Callable[[], bool], seconds: float = 40.0) -> None:
        """Wait until something is so; fails with what it printed where it ends before, or takes too long."""
        assert self._process is not None
        deadline = CLOCK.monotonic() + seconds
        while not done():
            assert self._process.returncode is None, self.said
            assert CLOCK.monotonic() < deadline, self.said
            await CLOCK.sleep(0.05)

    async def close(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self.send(signal.SIGTERM)
            try:
                await self.ended()
            except TimeoutError:
                self.send(signal.SIGKILL)
                await self._process.wait()
