"""How far a load is, as the log tells it where nobody watches a bar: how many of how many, how fast, how long still."""

from __future__ import annotations

from pathlib import Path

from store.model import Hole
from store.store import Store
from stream.progress import LINE_SECONDS, Progress
from tests.edge.marketo_edge import JumpingClock
from tests.logged import captured

HOLE = Hole("Lead", 0.0, 1000.0, "never read before")


async def test_a_line_now_and_then_tells_the_rate_of_this_run_and_the_time_that_is_left(tmp_path: Path) -> None:
    store, clock = await Store.open(tmp_path / "store.db"), JumpingClock()
    try:
        with captured() as lines:
            first = await Progress.begin(store, clock, HOLE, 100)
            grown = first.grown(10)
            await store.put_notes(lambda: grown)  # an earlier run's: how fast it was does not count
            told = await Progress.begin(store, clock, HOLE, 100)
            await clock.sleep(LINE_SECONDS / 2)
            told.grown(5)
            await clock.sleep(LINE_SECONDS / 2)
            told.grown(15)
            told.grown(1)
            told.ended()
    finally:
        await store.close()
    assert [line["event"] for line in lines] == ["load_started", "load_started", "load_progress", "load_finished"]
    assert lines[1]["rows_before"] == 10
    assert {name: lines[2][name] for name in ("object", "rows", "total", "rows_per_second", "left_seconds")} == {
        "object": "Lead",
        "rows": 30,
        "total": 100,
        "rows_per_second": 2.0,
        "left_seconds": 35,
    }
