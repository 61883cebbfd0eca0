"""A command in a real terminal of its own: what is drawn, keys, window sizes, and how the terminal is left behind."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.clock import SystemClock

ROOT = Path(__file__).parents[2]
SECONDS_MOST = 40.0
_HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


def _readable(drawn: str) -> str:
    """Without what only moves and colours; a frame that begins at the top begins a line."""
    return _SEQUENCE.sub("", drawn.replace(_HOME, "\r\n"))


@dataclass(slots=True)
class Terminal:
    """The side that a person sits at. `raw` is what `until` has read last, with its colours."""

    process: subprocess.Popen[bytes]
    here: int
    there: int
    before: list[Any]
    seen: str = ""
    raw: str = ""
    clock: SystemClock = field(default_factory=SystemClock)
    _decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))

    def until(self, words: str) -> str:
        """Read what is drawn until these words stand there; returns all that was drawn since the last call."""
        deadline = self.clock.monotonic() + SECONDS_MOST
        while words not in _readable(self.seen):
            left = deadline - self.clock.monotonic()
            assert left > 0, f"no {words!r} in {self.seen[-2000:]!r}"
            self._read(min(left, 0.5))
        self.raw, self.seen = self.seen, ""
        return _readable(self.raw)

    def _read(self, seconds: float) -> None:
        if select.select([self.here], [], [], seconds)[0]:
            self.seen += self._decoder.decode(os.read(self.here, 65536))

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.here, keys)

    def resize(self, columns: int, rows: int = 40) -> None:
        """Make the window larger or smaller; the kernel tells the command."""
        fcntl.ioctl(self.here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ended(self) -> int:
        """The exit code, once it has ended; the terminal must be as it was."""
        deadline = self.clock.monotonic() + SECONDS_MOST
        while self.process.poll() is None:
            assert self.clock.monotonic() < deadline, "it does not end"
            self._read(0.1)
        assert termios.tcgetattr(self.there) == self.before
        return self.process.returncode


@contextmanager
def terminal(*words: str, columns: int = 120, rows: int = 40, environ: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """`msi-stream …` in a new terminal; `environ` is set beside what stands there."""
    here, there = pty.openpty()
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    set_here = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_") and name not in unset}
    set_here |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(environ or {})}
    before = termios.tcgetattr(there)
    process = subprocess.Popen(
        [sys.executable, "-m", "stream", *words],
        stdin=there,
        stdout=there,
        stderr=there,
        env=set_here,
        preexec_fn=lambda: os.login_tty(os.dup(there)),  # noqa: PLW1509 - the child needs a controlling terminal, and has no threads yet
        close_fds=False,
    )
    try:
        yield Terminal(process, here, there, before)
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(there)
