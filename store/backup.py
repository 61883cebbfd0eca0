"""A copy of the store as it stands at one moment, taken beside a running daemon: whole, checked and synced before it has a name.

    store ──one read transaction──▶ .NAME.part (mode 0600) ──quick_check, fsync──▶ NAME

The daemon goes on meanwhile; its write-ahead log cannot be emptied until the copy is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import aiosqlite

from store.database import beside
from store.errors import StoreBlocked, StoreError, StoreUnusable
from store.faults import SIDES, translated

PAGES_A_STEP = 2048
PART = ".part"


async def copy(path: Path, target: Path, *, replace: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
    """Copy the store to a file of its own; returns its size in bytes. `progress` is told how many pages of how many are copied.

    Raises StoreError: also where the target is there already (unless it is to be replaced), or cannot be written.
    """
    _check(path, target, replace=replace)
    part = target.with_name(f".{target.name}{PART}")
    with _own(part):
        await _fill(path, part, progress or (lambda *_: None))
        _check(path, target, replace=replace)
        return _name(part, target)


def clear_parts(directory: Path) -> None:
    """Remove what backups that were killed have left behind; those under way are not touched."""
    for part in directory.glob(f".*{PART}"):
        with contextlib.suppress(StoreError), _own(part):
            _remove(part)


def _check(path: Path, target: Path, *, replace: bool) -> None:
    if target.is_dir():
        raise StoreUnusable(f"{target} is a directory", hint="name a file in it, or keep the last N copies in it with --keep N")
    if not target.exists():
        return
    own = [path.with_name(path.name + side) for side in (*SIDES, ".lock", ".calls")]
    if any(each.exists() and target.samefile(each) for each in own):
        raise StoreUnusable(f"{target} is the store itself", hint="name another file")
    if not replace:
        raise StoreUnusable(f"{target} is there already", hint="name another file, or replace it with --force")


@contextlib.contextmanager
def _own(part: Path) -> Iterator[None]:
    """The unfinished file, empty and ours alone; what goes wrong leaves none."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(part, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        try:
            yield
        except BaseException:
            _remove(part)
            raise
    except BlockingIOError as error:
        raise StoreBlocked(f"another backup is writing {part}", hint="wait until it is done") from error
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    """The unfinished file, and what SQLite may have put beside it."""
    for side in (*SIDES, "-journal"):
        part.with_name(part.name + side).unlink(missing_ok=True)


def _name(part: Path, target: Path) -> int:
    """Give the whole file its name, on disk too; returns its size."""
    try:
        part.replace(target)
        _sync(target.parent)
        return target.stat().st_size
    except OSError as error:
        raise _unusable(target, error) from error


async def _fill(path: Path, part: Path, progress: Callable[[int, int], None]) -> None:
    async with beside(path, any_schema=True) as source:
        await source.execute_fetchall("SELECT count(*) FROM sqlite_master")  # from here on it is one moment
        with translated(part, opened=True):
            async with aiosqlite.connect(part, isolation_level=None) as copied:
                await copied.execute_fetchall("PRAGMA journal_mode = MEMORY")  # a copy that is cut short is thrown away
                await source.backup(copied, pages=PAGES_A_STEP, progress=lambda _, left, total: progress(total - left, total))
                await copied.execute_fetchall("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
                found = [row[0] for row in await copied.execute_fetchall("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise StoreUnusable(
            f"the copy of {path} is damaged: {found[0]}", hint="the store is damaged too: restore an older backup"
        )
    _sync(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(target: Path, error: OSError) -> StoreError:
    return StoreUnusable(f"cannot write {target}: {error.strerror}", hint="name a place that this user may write to")
