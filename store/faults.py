"""What can go wrong with the file, in words that name it and its cure, and whether it may pass by itself.

full · locked by another process · refused by the disk · made read-only        StoreBlocked: wait, and do the same again
damaged · moved or replaced · not writable from the start                      StoreUnusable: somebody has to see to it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from store.errors import StoreBlocked, StoreError, StoreForeign, StoreUnusable

SIDES = ("", "-wal", "-shm")
ROOM_BYTES = 64 * 1024  # with less than this left, a disk is as good as full

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DISK = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OF_THE_FILE = _LOCKED | _DISK | _DAMAGED | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_SHARED_LOCK = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0x4000_0002, 510, 0)  # SQLite's bytes for it
_DAMAGED_BELOW = frozenset({sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_IOERR_DATA})


def is_of_the_file(error: sqlite3.Error) -> bool:
    """Whether this is about the file, and so about the whole transaction, not about the statement that met it."""
    return _code(error) & 0xFF in _OF_THE_FILE


@contextlib.contextmanager
def translated(path: Path, *, opened: bool = False) -> Iterator[None]:
    """Turn SQLite's own errors into the store's. `opened`: the file was found to be ours before."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translate(path, error, opened=opened) from error


def _translate(path: Path, error: sqlite3.DatabaseError, *, opened: bool) -> StoreError:
    code, text = _code(error), str(error)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_NOTADB and not opened:
        return not_a_database(path)
    if primary in _DAMAGED or code in _DAMAGED_BELOW:
        return StoreUnusable(f"the store {path} is damaged: {text}", hint="stop the daemon and restore the newest backup")
    if primary == sqlite3.SQLITE_FULL or (primary in _DISK and is_full(path.parent)):
        return full(path)
    if primary in _LOCKED:
        return StoreBlocked(f"another process keeps {path} locked", hint="end whatever has the file open (fuser tells)")
    if primary == sqlite3.SQLITE_IOERR or (primary in _DISK and opened):
        return StoreBlocked(f"the disk under {path} refuses: {text}", hint="look at the kernel's log, and at quotas on this disk")
    if primary in _OF_THE_FILE:
        return StoreUnusable(f"cannot write the store {path}: {text}", hint=f"make {path.parent} writable for this user")
    return StoreUnusable(f"the store {path} cannot be used: {text}")


def _code(error: sqlite3.Error) -> int:
    """SQLite's extended code; 0 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0)


def not_a_database(path: Path) -> StoreForeign:
    """No SQLite file at all."""
    return StoreForeign(f"{path} is no SQLite database", hint="[store] path must name a file that msi-stream made, or none")


def full(path: Path) -> StoreBlocked:
    """Nothing more can be written there."""
    return StoreBlocked(f"the disk under {path} is full", hint="free some space; nothing that was stored is lost")


def is_full(directory: Path) -> bool:
    """Whether this user can write next to nothing there."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    blocks = disk.f_bavail if os.geteuid() else disk.f_bfree
    return blocks * disk.f_frsize < ROOM_BYTES


@dataclass(slots=True)
class OpenFiles:
    """The store's files as they were opened: whether these are still what lies there, and can still be written.

    SQLite itself would not notice: it goes on writing to a file that was deleted, and a process that writes to the mapped -shm
    file of a disk that turned read-only is killed (SIGBUS).
    """

    path: Path
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises StoreBlocked where one cannot be written just now, StoreUnusable where one is another file, or gone."""
        for side in SIDES:
            name = f"{self.path}{side}"
            try:
                found = os.stat(name)  # noqa: PTH116 - three of these before every commit
            except FileNotFoundError as error:
                raise _moved(name) from error
            except OSError as error:
                raise StoreBlocked(f"cannot reach {name}: {error.strerror}", hint="look at the kernel's log") from error
            identity = found.st_dev, found.st_ino
            if self._known.setdefault(side, identity) != identity:
                raise _moved(name)
            if not os.access(name, os.W_OK):
                raise StoreBlocked(f"{name} has become read-only", hint="make the file and its disk writable for this user again")

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Close the store in here. SQLite empties the log into the file then, which must not be tried while one is read-only.

        It does so only where nobody else has the file open, that is, where nobody holds a shared lock on it. What is in the log
        stays there for the next start.
        """
        try:
            self.check()
        except StoreBlocked:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _SHARED_LOCK)
                yield
            finally:
                os.close(descriptor)
        except StoreUnusable:
            yield
        else:
            yield


def _moved(name: str) -> StoreUnusable:
    return StoreUnusable(
        f"{name} was moved, deleted or replaced under the running daemon",
        hint="put back what was there, with its -wal file, or leave it: the next start goes on with what it finds",
    )
