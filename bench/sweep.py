"""Calls for a sweep over everybody's scores, where all of them, none, or one in a hundred have changed since the last.

The daemon sweeps as it does every day, only faster. Reads are counted at the simulated Marketo, writes at the simulated
Salesforce; the least there can be is a read for each 300 people, and a write for each 200 whose scores differ.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from pathlib import Path

from bench.measure import Figure, Size, Target
from bench.services import LEADS, Remote, services
from bench.setting import config_at, daemon_on, known_people
from store.store import Store
from stream.clock import SystemClock

READ_MOST, WRITE_MOST = 300, 200
PEOPLE_A_SECOND, SECONDS_LEAST, SECONDS_MOST = 1500, 10, 280
SHARES = {"all": 1.0, "none": 0.0, "1 in 100": 0.01}


async def figures(size: Size) -> list[Figure]:
    """Reads and writes of each sweep. A count is the same each time, so it is taken once."""
    people = size.of(tiny=601, quick=601, whole=100_000)
    rows = []
    async with services() as remote:
        made = await remote.ask("long_known", count=people)
        with tempfile.TemporaryDirectory() as name:
            store = await Store.open(Path(name) / "store.db")
            await known_people(store, made["ids"], made["marketo_ids"])
            for seed, (which, share) in enumerate(SHARES.items()):
                changed = await remote.ask("rescore", share=share, seed=seed)
                reads, writes = await _sweep(store, config_at(Path(name), remote, **_fast(people)), remote)
                told = f"{changed:,} of {people:,} people have other scores than before"
                rows += [
                    _row(f"sweep, {which} changed, reads", reads, people, READ_MOST, told),
                    _row(f"sweep, {which} changed, writes", writes, changed, WRITE_MOST, told),
                ]
            await store.close()
    return rows


def _fast(people: int) -> dict[str, float]:
    return {"scores.sweep_interval_seconds": max(SECONDS_LEAST, people / PEOPLE_A_SECOND), "scores.daily_writes": 10**6}


async def _sweep(store: Store, config: Path, remote: Remote) -> tuple[int, int]:
    """Let the daemon make one sweep; returns its reads and writes."""
    began = SystemClock().now()
    await store.put_note("sweep", {"after": "", "began": began})
    await remote.ask("counted")
    async with daemon_on(store, config), asyncio.timeout(SECONDS_MOST):
        while (await store.note("swept_until") or 0.0) < began:
            await asyncio.sleep(0.05)
        counted = await remote.ask("counted")
    writes = sum(count for call, count in counted["salesforce"].items() if call.startswith("PATCH"))
    return counted["calls"].get(f"GET {LEADS}", 0), writes


def _row(name: str, calls: int, count: int, most: int, told: str) -> Figure:
    least = math.ceil(count / most)
    target = Target(1.01, least=False) if least else Target(absolute=0, least=False)
    return Figure(name, "calls", f"⌈n/{most}⌉", target, {"daemon": [float(calls)], "least": [float(least)]}, [told])
