"""Calls, counted together by all processes on one store: those of the last seconds, and those of the day.

    daemon ──┐                                  ┌─ who made it and when, for Marketo's 20 seconds
             ├─▶ one file ──────────────────────┤
    audit ───┘       (a lock for a moment)      └─ how many today, for each budget

The times are seconds since the machine booted, so setting its clock forgets none of them; after a reboot they mean nothing. A
killed process's calls count on: what was noted survives SIGKILL (the kernel keeps the page). After a power failure it may be
lost; by then the 20 seconds are over, and the store's own note of the day's calls is a few seconds old at most. The file is not
mapped into memory: the kernel kills a process that writes to a mapped file on a full or a read-only disk. Where it cannot be
written, the process goes on counting for itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.clock import SystemClock

SLOTS_MOST = 4096
MARK = b"MSICALL2"
HEAD = struct.Struct("<8sqq")  # mark, slots, the next slot
TALLY = struct.Struct("<24s16sq")  # a budget's name, its day, calls used
TALLIES = 4
SLOT = struct.Struct("<dq")  # when (seconds since the boot), whose (0: nobody's)
TALLIES_AT = HEAD.size
SLOTS_AT = TALLIES_AT + TALLIES * TALLY.size
OLDER_MOST = 64
LOCK_TRIES = 1000


@dataclass(slots=True)
class CallMemory:
    """The file as one process sees it; `own` tells its calls from those of others. `uptime`: seconds since the boot."""

    descriptor: int
    slots: int
    own: int
    uptime: Callable[[], float]
    alone: bytearray | None = None
    """What the file would hold, where it cannot be written."""

    @classmethod
    def open(cls, path: Path, slots: int, uptime: Callable[[], float] | None = None) -> CallMemory:
        """Open the file, or make it (mode 0600); one with too few slots is replaced, and not touched: others may use it yet."""
        slots, uptime = max(1, min(slots, SLOTS_MOST)), uptime or _uptime
        descriptor = -1
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _slots_of(descriptor) < slots:
                os.close(descriptor)
                descriptor = _made_anew(path, slots)
        except OSError:
            return cls(-1, slots, _token(), uptime, bytearray(HEAD.pack(MARK, slots, 0).ljust(_size_of(slots), b"\0")))
        memory = cls(descriptor, _slots_of(descriptor), _token(), uptime)
        memory.forget_other_boots()
        return memory

    @classmethod
    def beside(cls, path: Path, uptime: Callable[[], float] | None = None) -> CallMemory | None:
        """The daemon's file as it is; None where there is none yet, or none that can be used: there is nobody to count with."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        slots = _slots_of(descriptor)
        if not slots:
            os.close(descriptor)
            return None
        return cls(descriptor, slots, _token(), uptime or _uptime)

    def _read(self, at: int, size: int) -> bytes:
        if self.alone is not None:
            return bytes(self.alone[at : at + size])
        return os.pread(self.descriptor, size, at).ljust(size, b"\0")

    def _write(self, at: int, data: bytes) -> None:
        if self.alone is None:
            try:
                os.pwrite(self.descriptor, data, at)
                return
            except OSError:
                self.alone = bytearray(self._read(0, _size_of(self.slots)))
        self.alone[at : at + len(data)] = data

    # ── the last seconds

    def forget_other_boots(self) -> None:
        """Forget calls that an earlier boot made: once this one is as old, they would seem to be of these seconds."""
        now = self.uptime()
        with self.turn():
            for at in range(SLOTS_AT, _size_of(self.slots), SLOT.size):
                if SLOT.unpack(self._read(at, SLOT.size))[0] > now:
                    self._write(at, SLOT.pack(0.0, 0))

    def note(self) -> None:
        """A call of ours begins now."""
        with self.turn():
            mark, slots, place = HEAD.unpack(self._read(0, HEAD.size))
            self._write(SLOTS_AT + (place % self.slots) * SLOT.size, SLOT.pack(self.uptime(), self.own))
            self._write(0, HEAD.pack(mark, slots, place + 1))

    def ages(self, span_seconds: float) -> list[float]:
        """How long ago each call of others in the last `span_seconds` began, the oldest first.

        Looked for from the newest place backwards, and no further than a good many older ones in a row: calls that processes
        noted without their turn, or were killed over, stand a little out of order.
        """
        _, _, place = HEAD.unpack(self._read(0, HEAD.size))
        now, held = self.uptime(), self._read(SLOTS_AT, self.slots * SLOT.size)
        ages, older = list[float](), 0
        for back in range(self.slots):
            began, whose = SLOT.unpack_from(held, (place - back) % self.slots * SLOT.size)
            if not whose or not 0 <= now - began < span_seconds:
                older += 1
                if older == OLDER_MOST:
                    break
                continue
            older = 0
            if whose != self.own:
                ages.append(now - began)
        return sorted(ages, reverse=True)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Look and note as one; others wait for some microseconds. Somebody who holds it longer than that is not waited for."""
        with contextlib.ExitStack() as stack:
            for _ in range(LOCK_TRIES if self.alone is None else 0):
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
            self._write(self._tally_at(name), TALLY.pack(name.encode(), max(day, self._tally(name)[0]).encode(), used + calls))
            return used + calls

    def used(self, name: str, day: str) -> int:
        """How many calls of this day all have made together."""
        held_day, used = self._tally(name)
        return used if held_day >= day else 0

    def rename(self, name: str, day: str, to: str) -> None:
        """What was counted for this day, or a later one, counts for another from now on; what is older is over."""
        with self.turn():
            held_day, used = self._tally(name)
            self._write(self._tally_at(name), TALLY.pack(name.encode(), to.encode(), used if held_day >= day else 0))

    def _tally(self, name: str) -> tuple[str, int]:
        _, day, used = TALLY.unpack(self._read(self._tally_at(name), TALLY.size))
        return day.rstrip(b"\0").decode(), used

    def _tally_at(self, name: str) -> int:
        """Where a budget is counted: its own place, or the first that is free."""
        for number in range(TALLIES):
            at = TALLIES_AT + number * TALLY.size
            held = TALLY.unpack(self._read(at, TALLY.size))[0].rstrip(b"\0").decode()
            if held in {name, ""}:
                return at
        raise ValueError(f"more than {TALLIES} budgets")

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _size_of(slots: int) -> int:
    return SLOTS_AT + slots * SLOT.size


def _uptime() -> float:
    return SystemClock().uptime()[1]


def _token() -> int:
    """Tells this process's calls from those of others."""
    return secrets.randbits(62) | 1


def _slots_of(descriptor: int) -> int:
    """How many slots the file has; 0 where it is none of ours."""
    head = os.pread(descriptor, HEAD.size, 0)
    if len(head) < HEAD.size:
        return 0
    mark, slots, _ = HEAD.unpack(head)
    whole = 0 < slots <= SLOTS_MOST and os.fstat(descriptor).st_size == _size_of(slots)
    return int(slots) if mark == MARK and whole else 0


def _made_anew(path: Path, slots: int) -> int:
    """A new file under this name, whole before anybody sees it."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        whole = HEAD.pack(MARK, slots, 0).ljust(_size_of(slots), b"\0")
        if os.pwrite(descriptor, whole, 0) < len(whole):  # all of its room is taken now, for the day when the disk is full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fresh.replace(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
