"""A store of an older schema is brought to this program's, a step a transaction, after a copy of it was put beside it.

    store.db, schema 3 ──copy──▶ store-schema-3.db ──then──▶ steps 4, 5, …

Without the copy nothing is changed. A copy is its owner's alone, and belongs to the schema in its name: an upgrade that has to be
done again writes it again. The last few are kept.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from store.backup import clear_parts, copy
from store.database import APPLICATION_ID, copy_of_schema, schema_of
from store.errors import StoreError, StoreUnusable
from store.faults import is_of_the_file, translated
from store.sql import migrations

COPIES_KEPT = 3


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Which schema the store had, which it has now, and the copy from before."""

    before: int
    now: int
    copy: Path


async def upgrade(connection: aiosqlite.Connection, path: Path) -> Upgrade | None:
    """Bring the store to this program's schema; None where nothing had to be kept. Raises StoreError: nothing is lost then.

    With the daemon's lock held: `connection` is the only one that writes.
    """
    with translated(path):
        before, known = await schema_of(connection), len(migrations())
        kept = await _keep(path, before, known) if 0 < before < known else None
        for number, step in enumerate(migrations()[before:], start=before + 1):
            await _step(connection, path, number, step)
    return None if kept is None else Upgrade(before, known, kept)


async def _keep(path: Path, before: int, known: int) -> Path:
    """The store as it is, beside it."""
    target = copy_of_schema(path, before)
    try:
        clear_parts(path.parent)
        await copy(path, target, replace=True)
        _remove_old(path)
    except StoreError as error:
        told = f"schema {known} needs a copy of the store first, and none could be made; the store is as it was: {error.message}"
        raise type(error)(told, hint=error.hint) from error
    return target


def _remove_old(path: Path) -> None:
    """All but the copies of the last few schemas."""
    name = re.compile(rf"{re.escape(path.stem)}-schema-(\d+){re.escape(path.suffix)}")
    found = [(int(match[1]), each) for each in path.parent.iterdir() if (match := name.fullmatch(each.name))]
    for _, each in sorted(found)[:-COPIES_KEPT]:
        each.unlink(missing_ok=True)


async def _step(connection: aiosqlite.Connection, path: Path, number: int, step: str) -> None:
    script = f"BEGIN IMMEDIATE;\n{step}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
    try:
        await connection.executescript(script)
    except sqlite3.DatabaseError as error:
        with contextlib.suppress(sqlite3.Error):
            await connection.rollback()
        if is_of_the_file(error):
            raise
        raise StoreUnusable(f"the store {path} could not be brought to schema {number}: {error}") from error
