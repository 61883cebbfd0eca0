"""A start reads no table from end to end: SQLite does no more for it with a long backlog than with a short one.

Counted in instructions of SQLite's own machine, on the connection that everybody waits for; no busy machine changes that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from bench.setting import backlog
from store import holds
from store.store import Store
from tests.flow.world import world

SHORT, LONG = 1_000, 21_000  # both are more than a page of the sweep
EACH = 100  # instructions between two looks of SQLite's
ROW_LEAST = 3  # instructions that reading one more row takes at least


async def instructions(folder: Path, count: int, patch: pytest.MonkeyPatch) -> int:
    """What SQLite does from opening the store until the daemon is ready, readers beside the committer left out."""
    await backlog(folder / "store.db", count)
    store = await Store.open(folder / "store.db")
    await store.submit(lambda tx: holds.pause(tx, ["deliver"], 0.0))
    await store.close()
    done = 0
    connect = aiosqlite.connect

    def look() -> None:
        nonlocal done
        done += EACH

    async def counting(*arguments: Any, **more: Any) -> aiosqlite.Connection:
        made = await connect(*arguments, **more)
        if "uri" not in more:  # who only reads names the file by its URI
            await made.set_progress_handler(look, EACH)
        return made

    with patch.context() as patched:
        patched.setattr(aiosqlite, "connect", counting)
        async with world(folder, scores__sweep_interval_seconds=86_400.0) as here:
            await here.start()
            await here.until(here.running.supervision.ready.is_set)
            return done


async def test_a_start_does_no_more_with_a_long_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("short", "long"):
        (tmp_path / name).mkdir()
    short = await instructions(tmp_path / "short", SHORT, monkeypatch)
    long = await instructions(tmp_path / "long", LONG, monkeypatch)
    assert short > 0, "nothing was counted"
    assert long - short < (LONG - SHORT) * ROW_LEAST / 2, (short, long)
