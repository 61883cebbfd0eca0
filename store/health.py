"""How the store's files are: whole, how large, whose, and who may read them; nothing is written to find out."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import dataclass
from pathlib import Path

from store.database import is_held, untouched
from store.sql import migrations

CHECK_SECONDS = 30.0
TOLD_MOST = 200


@dataclass(frozen=True, slots=True)
class Health:
    """`schema` of `known`; sizes in bytes; `mode` and `owner` (a user id) of the store's file; `damage`: what SQLite found.

    `checked` is False where the file is so large that looking at all of it takes longer than anybody waits.
    """

    schema: int
    known: int
    size_bytes: int
    log_bytes: int
    mode: int
    owner: int
    damage: str
    checked: bool


async def health(path: Path, seconds: float = CHECK_SECONDS) -> Health:
    """Look at the store. Raises StoreError where it cannot be read at all."""
    schema, damage, checked = await _looked_into(path, seconds)
    if damage and is_held(path):  # it may have been started meanwhile, and have written under our eyes
        schema, damage, checked = await _looked_into(path, seconds)
    return _with_files(path, schema, damage, checked=checked)


def _with_files(path: Path, schema: int, damage: str, *, checked: bool) -> Health:
    there, log = path.stat(), path.with_name(path.name + "-wal")
    return Health(
        schema=schema,
        known=len(migrations()),
        size_bytes=there.st_size,
        log_bytes=log.stat().st_size if log.exists() else 0,
        mode=stat.S_IMODE(there.st_mode),
        owner=there.st_uid,
        damage=damage,
        checked=checked,
    )


async def _looked_into(path: Path, seconds: float) -> tuple[int, str, bool]:
    """The schema, what is damaged, and whether all of it was looked at."""
    async with untouched(path) as connection:
        rows = await connection.execute_fetchall("PRAGMA user_version")
        schema = int(next(iter(rows))[0])
        try:
            async with asyncio.timeout(seconds):
                found = [str(row[0]) for row in await connection.execute_fetchall("PRAGMA quick_check(5)")]
        except TimeoutError:
            await connection.interrupt()
            return schema, "", False
    damage = "" if found == ["ok"] else " ".join("; ".join(found).split())[:TOLD_MOST]
    return schema, damage, True
