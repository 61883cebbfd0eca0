"""A reader so slow that the daemon commits between any two of its questions, and between any two pages that it copies."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import store.backup
from store.writer import Transaction
from stream.clock import SystemClock

PATIENCE_SECONDS = 2.0  # where nobody commits any more


def read_slowly(path: str) -> None:
    """From now on this process waits for somebody else's commit after each question to the store at this path."""
    ask = Transaction.rows

    async def rows(self: Transaction, name: str, *parameters: Any) -> list[sqlite3.Row]:
        found = await ask(self, name, *parameters)
        await _another_commit(path)
        return found

    Transaction.rows = rows  # type: ignore[method-assign] # this process only reads
    vars(store.backup)["PAGES_A_STEP"] = 4


async def _another_commit(path: str) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE_SECONDS
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        before = _version(database)
        while _version(database) == before and clock.monotonic() < deadline:  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.005)  # noqa: TID251 - polling another process's file


def _version(database: sqlite3.Connection) -> int:
    """Another number after each commit of anybody else."""
    return int(database.execute("PRAGMA data_version").fetchone()[0])
