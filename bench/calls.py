"""Marketo calls for 10,000 changes of one object that wait, and for 10,000 changes to 1,000 records, counted there."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Figure, Size, Target
from bench.services import Remote, services
from bench.setting import config_at, daemon_on, edited, known_people, lead_ids, until_sent
from store import holds
from store.store import Store

BATCH = 300
ONCE_A_START = ("identity", "describe", "stats", "activities", "schema")


async def calls_for(remote: Remote, people: int, changes_each: int) -> tuple[float, list[str]]:
    """Every call that the changes caused, and what else was called: what a start costs, whatever waits."""
    ids = lead_ids(people)
    marketo_ids: Sequence[str] = await remote.ask("people", external_ids=ids)
    with tempfile.TemporaryDirectory() as name:
        config = config_at(Path(name), remote)
        store = await Store.open(Path(name) / "store.db")
        await known_people(store, ids, marketo_ids)
        await store.submit(lambda tx: holds.pause(tx, ["scores"], 0.0))  # its sweep reads people for another reason
        for turn in range(changes_each):
            await edited(store, ids, turn)
        await remote.ask("counted")
        async with daemon_on(store, config):
            await until_sent(store)
        await store.close()
    counted = await remote.ask("counted")
    calls = Counter[str](counted["calls"])
    apart = [f"{name}: {count}" for name, count in sorted(calls.items()) if any(part in name for part in ONCE_A_START)]
    caused = {name: count for name, count in calls.items() if not any(part in name for part in ONCE_A_START)}
    told = ", ".join(f"{name}: {count}" for name, count in caused.items())
    start = "besides, at each start: " + ", ".join(apart)
    return float(sum(caused.values())), [f"records that arrived: {counted['records']}", told, start]


async def figures(size: Size) -> list[Figure]:
    """Both rows. A count is the same each time, so it is taken once."""
    changes, people = size.of(tiny=600, quick=10_000, whole=10_000), size.of(tiny=60, quick=1_000, whole=1_000)
    rows = []
    for name, records, each in (
        (f"calls, {changes:,} changes", changes, 1),
        (f"calls, {changes:,} changes to {people:,} records", people, changes // people),
    ):
        async with services() as remote:
            calls, notes = await calls_for(remote, records, each)
        least = float(math.ceil(records / BATCH))
        rows.append(Figure(name, "calls", "⌈n/300⌉", Target(1.05, least=False), {"daemon": [calls], "least": [least]}, notes))
    return rows
