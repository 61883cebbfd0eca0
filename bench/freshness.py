"""From the moment a change is published in Salesforce to Marketo's answer that accepts it, told by the services' one process.

Compared with one network round trip: an update of one person, sent by itself to the same sandbox.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.deliver import token_of
from bench.measure import Figure, Size, Target
from bench.services import Remote, services
from bench.setting import config_at, daemon_on, known_people
from store.store import Store

RATES = (10, 100)


async def round_trip_ms(remote: Remote, marketo_id: str, turns: int) -> list[float]:
    """Milliseconds for an update of one person."""
    took = []
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {await token_of(remote, session)}"}
        for turn in range(turns):
            body = {"action": "updateOnly", "lookupField": "id", "input": [{"id": int(marketo_id), "title": f"{turn}"}]}
            began = time.perf_counter()
            url = f"{remote.settings['marketo.base_url']}/rest/v1/leads.json"
            async with session.post(url, json=body, headers=headers) as response:
                await response.read()
            took.append(1000 * (time.perf_counter() - began))
    return took


async def figures(size: Size) -> list[Figure]:
    """Two rows for each rate."""
    rows: list[Figure] = []
    seconds = size.of(tiny=1, quick=2, whole=20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with services() as remote:
            made: Any = await remote.ask("leads", count=200)
            store = await Store.open(folder / "store.db")
            await known_people(store, made["ids"], made["marketo_ids"])
            async with daemon_on(store, config_at(folder, remote)) as daemon:
                while daemon.capture.state != "connected":
                    await asyncio.sleep(0.02)
                for rate in RATES:
                    trip = await round_trip_ms(remote, made["marketo_ids"][0], 50)
                    samples: dict[str, list[float]] = {"p50": [], "p99": []}
                    for _ in range(size.turns):
                        took = sorted(await remote.ask("changes", rate=rate, count=rate * seconds))
                        samples["p50"].append(1000 * statistics.median(took))
                        samples["p99"].append(1000 * took[int(len(took) * 0.99)])
                    one = statistics.median(trip)
                    for part, more in (("p50", 20.0), ("p99", 100.0)):
                        rows.append(
                            Figure(
                                f"freshness {part} at {rate} a second",
                                "ms",
                                "one round trip",
                                Target(absolute=one + more, least=False),
                                {"daemon": samples[part], "one round trip": [one] * size.turns},
                            )
                        )
            await store.close()
    return rows
