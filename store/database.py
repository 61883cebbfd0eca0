"""Opening the store: the lock, the checks that the file is ours, the settings that make a commit durable."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite

from store.errors import StoreBlocked, StoreBusy, StoreForeign, StoreNewer, StoreUnusable
from store.faults import full, is_full, not_a_database, translated
from store.sql import migrations

APPLICATION_ID = 0x4D534953  # "MSIS": tells our file from any other SQLite database

HEADER_BYTES = 100
LOCK_BYTES = 1024
LOG_BYTES_KEPT = 32 * 1024 * 1024  # how much of a write-ahead log that had to grow stays on the disk once it could be emptied
ATTEMPTS_MOST = 1000


class Lock:
    """The exclusive right to run a daemon on a store; the kernel gives it back when the process ends, however it ends.

    The file holds the process id and, under it, one line that the daemon has to say when the store itself cannot be written. Its
    room is taken beforehand: on a full disk a line can still be written over the last one.
    """

    def __init__(self, path: Path) -> None:
        self._path = _lock_file(path)
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock; raises StoreBusy where another process has it, StoreUnusable where it cannot be made."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self._path.parent, error) from error
        if not _locked(descriptor):
            holder = _lines(descriptor)[0]
            os.close(descriptor)
            raise StoreBusy(
                f"another msi-stream{f' (process {holder})' if holder else ''} holds the store {self._path.with_suffix('')}",
                hint="one daemon for each store; stop that one first, or give this one a store of its own in [store] path",
            )
        try:
            _write_line(descriptor, "")
            os.ftruncate(descriptor, LOCK_BYTES)
        except OSError as error:
            os.close(descriptor)
            raise _unusable(self._path.parent, error) from error
        self._descriptor = descriptor

    def say(self, line: str) -> None:
        """Let whoever looks at the store know this; "": nothing. What cannot be written even here stays unsaid."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                _write_line(self._descriptor, line)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _write_line(descriptor: int, line: str) -> None:
    text = f"{os.getpid()}\n{' '.join(line.split())}".encode()[: LOCK_BYTES - 1]
    os.pwrite(descriptor, text.ljust(LOCK_BYTES - 1) + b"\n", 0)


def _lines(descriptor: int) -> tuple[str, str]:
    holder, _, line = os.pread(descriptor, LOCK_BYTES, 0).decode(errors="replace").partition("\n")
    return holder.strip(), line.strip()


def _locked(descriptor: int) -> bool:
    """Take the exclusive lock. Somebody who only looks (`is_held`) shares it for a moment: that is no daemon, so ask again."""
    for _ in range(ATTEMPTS_MOST):
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
    return False


def is_held(path: Path) -> bool:
    """Whether a daemon holds the store just now."""
    return held(path) is not None


def held(path: Path) -> str | None:
    """What the daemon that holds the store has to say (mostly nothing: ""), or None where none holds it."""
    lines = _held_lines(path)
    return lines[1] if lines is not None else None


def holder(path: Path) -> str | None:
    """The process id of the daemon that holds the store, or None where none holds it."""
    lines = _held_lines(path)
    return lines[0] if lines is not None else None


def _held_lines(path: Path) -> tuple[str, str] | None:
    try:
        descriptor = os.open(_lock_file(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _lines(descriptor)
    finally:
        os.close(descriptor)
    return None


async def open_database(path: Path, *, create: bool, exclusive: bool = True) -> aiosqlite.Connection:
    """Open the store's file, and set it to be durable. `exclusive`: the daemon's lock is held, and any older schema will do.

    With `create=False` a missing file is StoreUnusable; without the lock an older schema is too. Raises StoreForeign,
    StoreNewer or StoreUnusable, each saying what was found and what to do; the file is left as it was then.
    """
    _check_file(path, create=create)
    if not os.access(path, os.W_OK):
        raise StoreUnusable(f"{path} is read-only", hint="make the file and its disk writable for this user")
    if exclusive:
        _sync(path)  # before SQLite has it open: closing a file gives up every lock that the process has on it
    with translated(path):
        connection = await aiosqlite.connect(path, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            await connection.execute("PRAGMA busy_timeout = 5000")
            await _check_ours(connection, path)
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.execute("PRAGMA foreign_keys = ON")
            await connection.execute("PRAGMA temp_store = MEMORY")  # no other directory can get in the way of a commit
            await connection.execute(
                "PRAGMA secure_delete = ON"
            )  # what is deleted is overwritten, whatever SQLite was built with
            await connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT}")
            if not exclusive:
                await _check_current(connection, path)
        except BaseException:
            await connection.close()
            raise
    return connection


def _sync(path: Path) -> None:
    """What a killed process had written, and not synced yet, is synced before anybody goes on from it.

    Only before SQLite has the file open: whoever closes a file gives back all locks that its process holds on it, SQLite's too.
    The log first: whoever looked at the store last may be emptying it into the file, and deleting it, just now.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            _sync_one(path.with_name(path.name + "-wal"))
        _sync_one(path)
        _sync_one(path.parent)
    except OSError as error:
        raise StoreBlocked(f"the disk under {path} refuses: {error.strerror}", hint="look at the kernel's log") from error


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.asynccontextmanager
async def beside(path: Path, *, any_schema: bool = False) -> AsyncIterator[aiosqlite.Connection]:
    """The store as it stands now, in one read transaction beside a running daemon: no lock is taken, nothing can be written.

    An older schema is StoreUnusable, unless any will do.
    """
    _check_file(path, create=False)
    with translated(path):
        connection = await _reader(path)
        try:
            if not any_schema:
                await _check_current(connection, path)
            await connection.execute("BEGIN")
            yield connection
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def untouched(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """The store of whatever schema, read without making or emptying a log beside it where no daemon runs."""
    _check_file(path, create=False)
    quiet = not is_held(path) and not _log_bytes(path)
    name = _as_it_lies(path) if quiet else _only_to_read(path)
    with translated(path):
        connection = await _only_reading(name, path)
        try:
            yield connection
        finally:
            await connection.close()


async def _reader(path: Path) -> aiosqlite.Connection:
    """A connection that only reads. On a full disk there may be no room for the files that SQLite wants beside the store: where
    no daemon runs and the log is empty, all is in the store's own file, and it is read as it lies there.
    """
    try:
        return await _only_reading(str(path), path)
    except sqlite3.OperationalError:
        if is_held(path) or _log_bytes(path):
            raise
        return await _only_reading(_as_it_lies(path), path)


def _as_it_lies(path: Path) -> str:
    return f"{path.absolute().as_uri()}?immutable=1"


def _only_to_read(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


async def _only_reading(name: str, path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(name, isolation_level=None, uri=name != str(path))
    try:
        connection.row_factory = sqlite3.Row
        await connection.execute("PRAGMA busy_timeout = 5000")
        await connection.execute("PRAGMA query_only = ON")
        await connection.execute("PRAGMA temp_store = MEMORY")
        await _check_ours(connection, path)
    except BaseException:
        await connection.close()
        raise
    return connection


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return 0


def look(path: Path) -> None:
    """Raise what opening this store would, as far as can be told without writing a byte beside it; a missing file is well.

    Not for a process that has the store open: closing the file would give back SQLite's locks on it.
    """
    directory = path.parent
    try:
        if path.exists():
            _check_file(path, create=False)
            with path.open("rb") as file:
                _check_header(path, file.read(HEADER_BYTES))
        writable = os.access(directory, os.W_OK | os.X_OK) and os.access(path if path.exists() else directory, os.W_OK)
        if not directory.is_dir() or not writable:
            raise NotADirectoryError(0, "not a directory that this user may write to")
        if is_full(directory):
            raise full(path)
    except OSError as error:
        raise _unusable(directory, error) from error


def _check_header(path: Path, header: bytes) -> None:
    """What SQLite's header tells; a log beside the file may hold a newer one, so a file without our mark is then let pass."""
    if not header:
        return
    if not header.startswith(b"SQLite format 3\0"):
        raise not_a_database(path)
    version, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application == 0 and path.with_name(path.name + "-wal").exists():
        return
    _check_marks(path, application, version, empty=False)


def _unusable(directory: Path, error: OSError) -> StoreUnusable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(directory)
    return StoreUnusable(
        f"cannot use the store's directory {directory}: {error.strerror}",
        hint=f"create it and make it writable for this user, or name another in [store] path (found user id {os.geteuid()})",
    )


def _check_file(path: Path, *, create: bool) -> None:
    try:
        if path.is_dir():
            raise StoreForeign(f"{path} is a directory", hint="[store] path must name a file")
        if path.exists():
            return
        if not create:
            raise StoreUnusable(f"there is no store at {path}", hint="the daemon makes it: run msi-stream run first")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
    except OSError as error:
        raise _unusable(path.parent, error) from error


async def _check_ours(connection: aiosqlite.Connection, path: Path) -> None:
    rows = await connection.execute_fetchall("SELECT count(*) FROM sqlite_master")
    empty = int(next(iter(rows))[0]) == 0
    _check_marks(path, await _pragma(connection, "application_id"), await schema_of(connection), empty=empty)


def _check_marks(path: Path, application: int, version: int, *, empty: bool) -> None:
    if application not in {0, APPLICATION_ID} or (application == 0 and not empty):
        raise StoreForeign(
            f"{path} is an SQLite database of another program", hint="[store] path must name a file that msi-stream made, or none"
        )
    known = len(migrations())
    if version > known:
        raise StoreNewer(
            f"the store {path} has schema {version}, this msi-stream knows up to {known}",
            hint=f"run the newer version that wrote it, or put {_older_copy(path, known)} in its place",
        )


def copy_of_schema(path: Path, number: int) -> Path:
    """Where a copy of the store lies that was taken before it was brought to a newer schema."""
    return path.with_name(f"{path.stem}-schema-{number}{path.suffix}")


def _older_copy(path: Path, known: int) -> str:
    copies = [copy_of_schema(path, number) for number in range(known, 0, -1)]
    newest = next((str(each) for each in copies if each.exists()), None)
    return f"the copy from before the upgrade ({newest})" if newest else "a backup from before the upgrade"


async def _check_current(connection: aiosqlite.Connection, path: Path) -> None:
    version = await schema_of(connection)
    if version < len(migrations()):
        found = f"has the older schema {version}" if version else "is empty"
        raise StoreUnusable(f"the store {path} {found}", hint="start the daemon (msi-stream run): it brings the store up to date")


async def schema_of(connection: aiosqlite.Connection) -> int:
    """How many of the migrations the store has had."""
    return await _pragma(connection, "user_version")


async def _pragma(connection: aiosqlite.Connection, name: str) -> int:
    rows = await connection.execute_fetchall(f"PRAGMA {name}")
    return int(next(iter(rows))[0])
