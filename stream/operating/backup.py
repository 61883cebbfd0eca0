"""Backups as the operator asks for them: to a file, or into a directory that keeps the last so many, named by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from store.backup import clear_parts, copy
from store.errors import StoreUnusable


@dataclass(frozen=True, slots=True)
class Made:
    """A backup, and the older ones that were removed after it."""

    path: Path
    size_bytes: int
    removed: Sequence[Path]


async def backup(
    store: Path, destination: Path, now: float, *, keep: int | None, force: bool, progress: Callable[[int, int], None]
) -> Made:
    """Copy the store. With `keep` the destination is a directory, made where there is none, and holds so many copies at most."""
    if keep is None:
        return Made(destination, await copy(store, destination, replace=force, progress=progress), ())
    _make(destination)
    clear_parts(destination)
    path = destination / f"{store.stem}-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.db"
    size_bytes = await copy(store, path, replace=force, progress=progress)
    return Made(path, size_bytes, _remove_old(destination, store.stem, keep))


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        found = "a file, expected a directory" if isinstance(error, FileExistsError) else error.strerror
        raise StoreUnusable(f"{directory}: {found}", hint="name a directory that this user may write to") from error


def _remove_old(directory: Path, stem: str, keep: int) -> list[Path]:
    """Remove all but the last so many; files of any other name are not touched."""
    old = sorted(directory.glob(f"{stem}-{'[0-9]' * 8}T{'[0-9]' * 6}Z.db"))[:-keep]
    for each in old:
        each.unlink(missing_ok=True)
    return old
