"""Calls of the last seconds, remembered across a restart: a killed daemon's calls still count in Marketo's 20 seconds.

A small ring of wall-clock times in a file mapped into memory: noting a call is a copy of eight bytes, and what was noted survives
SIGKILL (the kernel keeps the page). After a power failure it may be lost; by then the 20 seconds are over.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

SLOTS_MOST = 4096


class CallMemory:
    """The ring. `path` is made with mode 0600; a file of another size is begun anew."""

    def __init__(self, path: Path, slots: int) -> None:
        self._slots = max(1, min(slots, SLOTS_MOST))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != self._slots * 8:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, self._slots * 8)
            self._ring = mmap.mmap(descriptor, self._slots * 8)
        finally:
            os.close(descriptor)
        times = self._times()
        self._next = times.index(max(times)) + 1 if any(times) else 0

    def note(self, now: float) -> None:
        """A call begins now (seconds since the epoch)."""
        struct.pack_into("<d", self._ring, (self._next % self._slots) * 8, now)
        self._next += 1

    def ages(self, now: float, span_seconds: float) -> list[float]:
        """How long ago each call of the last `span_seconds` began, the oldest first."""
        return sorted((now - moment for moment in self._times() if 0 <= now - moment < span_seconds), reverse=True)

    def close(self) -> None:
        """Unmap the file."""
        self._ring.close()

    def _times(self) -> tuple[float, ...]:
        return struct.unpack_from(f"<{self._slots}d", self._ring)
