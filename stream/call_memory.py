"""Calls, counted together by all processes on one store: those of the last seconds, and those of the day.

    daemon ──┐                                  ┌─ who made it and when, for Marketo's 20 seconds
             ├─▶ one file mapped into memory ───┤
    audit ───┘       (a lock for a moment)      └─ how many today, for each budget

A killed process's calls count on: what was noted survives SIGKILL (the kernel keeps the page). After a power failure it may be
lost; by then the 20 seconds are over, and the store's own note of the day's calls is a few seconds old at most.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLOTS_MOST = 4096
MARK = b"MSICALL2"
HEAD = struct.Struct("<8sqq")  # mark, slots, the next slot
TALLY = struct.Struct("<24s16sq")  # a budget's name, its day, calls used
TALLIES = 4
SLOT = struct.Struct("<dq")  # when (seconds since the epoch), whose
TALLIES_AT = HEAD.size
SLOTS_AT = TALLIES_AT + TALLIES * TALLY.size
LOCK_TRIES = 1000


@dataclass(slots=True)
class CallMemory:
    """The file as one process sees it; `own` tells its calls from those of others."""

    descriptor: int
    ring: mmap.mmap
    slots: int
    own: int

    @classmethod
    def open(cls, path: Path, slots: int) -> CallMemory:
        """Open the file, or make it (mode 0600); one with too few slots is replaced, and not touched: others may use it yet."""
        slots = max(1, min(slots, SLOTS_MOST))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _slots_of(descriptor) < slots:
            os.close(descriptor)
            descriptor = _made_anew(path, slots)
        return cls._over(descriptor)

    @classmethod
    def beside(cls, path: Path) -> CallMemory | None:
        """The daemon's file as it is; None where there is none yet, or none that can be used: there is nobody to count with."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        if not _slots_of(descriptor):
            os.close(descriptor)
            return None
        return cls._over(descriptor)

    @classmethod
    def _over(cls, descriptor: int) -> CallMemory:
        slots = _slots_of(descriptor)
        ring = mmap.mmap(descriptor, SLOTS_AT + slots * SLOT.size)
        return cls(descriptor, ring, slots, secrets.randbits(62) | 1)

    # ── the last seconds

    def note(self, now: float) -> None:
        """A call of ours begins now (seconds since the epoch)."""
        with self.turn():
            mark, slots, place = HEAD.unpack_from(self.ring)
            SLOT.pack_into(self.ring, SLOTS_AT + (place % self.slots) * SLOT.size, now, self.own)
            HEAD.pack_into(self.ring, 0, mark, slots, place + 1)

    def ages(self, now: float, span_seconds: float) -> list[float]:
        """How long ago each call of others in the last `span_seconds` began, the oldest first."""
        held = SLOT.iter_unpack(self.ring[SLOTS_AT:])
        return sorted((now - at for at, whose in held if whose != self.own and 0 <= now - at < span_seconds), reverse=True)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Look and note as one; others wait for some microseconds. Somebody who holds it longer than that is not waited for."""
        with contextlib.ExitStack() as stack:
            for _ in range(LOCK_TRIES):
                with contextlib.suppress(OSError):
                    fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    stack.callback(fcntl.flock, self.descriptor, fcntl.LOCK_UN)
                    break
            yield

    # ── the day

    def take(self, name: str, day: str, calls: int, limit: int, known: int) -> int | None:
        """Count so many calls of this day, unless there would be more than the limit (None). `known`: at least so many were made.

        Returns how many were made by all together.
        """
        with self.turn():
            used = max(self.used(name, day), known)
            if used + calls > limit:
                return None
            TALLY.pack_into(self.ring, self._tally_at(name), name.encode(), day.encode(), used + calls)
            return used + calls

    def used(self, name: str, day: str) -> int:
        """How many calls of this day all have made together."""
        _, held_day, used = TALLY.unpack_from(self.ring, self._tally_at(name))
        return int(used) if held_day.rstrip(b"\0").decode() == day else 0

    def _tally_at(self, name: str) -> int:
        """Where a budget is counted: its own place, or the first that is free."""
        for number in range(TALLIES):
            at = TALLIES_AT + number * TALLY.size
            held = TALLY.unpack_from(self.ring, at)[0].rstrip(b"\0").decode()
            if held in {name, ""}:
                return at
        raise ValueError(f"more than {TALLIES} budgets")

    def close(self) -> None:
        """Unmap the file."""
        self.ring.close()
        os.close(self.descriptor)


def _slots_of(descriptor: int) -> int:
    """How many slots the file has; 0 where it is none of ours."""
    head = os.pread(descriptor, HEAD.size, 0)
    if len(head) < HEAD.size:
        return 0
    mark, slots, _ = HEAD.unpack(head)
    whole = 0 < slots <= SLOTS_MOST and os.fstat(descriptor).st_size == SLOTS_AT + slots * SLOT.size
    return int(slots) if mark == MARK and whole else 0


def _made_anew(path: Path, slots: int) -> int:
    """A new file under this name, whole before anybody sees it."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.pwrite(descriptor, HEAD.pack(MARK, slots, 0), 0)
    os.ftruncate(descriptor, SLOTS_AT + slots * SLOT.size)
    fresh.replace(path)
    return descriptor
