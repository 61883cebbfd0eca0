"""Records a second into a simulated Marketo that answers at once, and what a minimal loop over SQLite reaches there.

The daemon, as `msi-stream run`, and the service are processes of their own. Both daemon and loop send updates of people whom
Marketo has, 300 a call, with five calls under way, and remember each answer on disk (`synchronous=FULL`) before the records
count as sent. What they send is new each time: values that Marketo has already would cost the service a third. Counted at the
service: from the first call's arrival to the last answer.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import aiohttp
import orjson

from bench.measure import Figure, Size, Target, alternate
from bench.resident import daemon_process
from bench.services import Remote, services
from bench.setting import config_at, edited, known_people, lead_ids
from store import holds
from store.store import Store

BATCH, CONCURRENCY = 300, 5
LOOK_SECONDS, SECONDS_MAX = 0.1, 600.0
CLAIM = """
UPDATE entry SET claimed = 1 WHERE id IN (SELECT id FROM entry WHERE claimed = 0 ORDER BY id LIMIT ?) RETURNING id, payload
"""


async def ours(remote: Remote, ids: Sequence[str], marketo_ids: Sequence[str], run: int) -> float:
    """The daemon's own figure, as `msi-stream run`. Scores are paused: they read people for another reason."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = await Store.open(folder / "store.db")
        await store.submit(lambda tx: holds.pause(tx, ["scores"], 0.0))
        await known_people(store, ids, marketo_ids)
        await edited(store, ids, run)
        await store.close()
        await remote.ask("counted")
        async with daemon_process(folder, config_at(folder, remote)), asyncio.timeout(SECONDS_MAX):
            while await remote.ask("arrived") < len(ids):
                await asyncio.sleep(LOOK_SECONDS)
        left = await left_in(folder / "store.db")
    if left:
        raise RuntimeError(f"{left} were accepted, and are still in the outbox")
    return await rate(remote, len(ids))


async def left_in(path: Path) -> int:
    """How many entries there are still; the daemon has ended."""
    store = await Store.open(path)
    left = sum((await store.backlog()).values())
    await store.close()
    return left


async def minimal(remote: Remote, ids: Sequence[str], marketo_ids: Sequence[str], run: int) -> float:
    """A loop that claims 300 rows, posts them, and forgets them once they are accepted."""
    with tempfile.TemporaryDirectory() as name, closing(sqlite3.connect(Path(name) / "queue.db", isolation_level=None)) as queue:
        queue.execute("PRAGMA journal_mode = WAL")
        queue.execute("PRAGMA synchronous = FULL")
        queue.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, payload TEXT, claimed INTEGER DEFAULT 0)")
        rows = [
            (json.dumps({"id": int(marketo_id), "externalPersonId": record_id, "title": f"Title {run}", "phone": str(number)}),)
            for number, (record_id, marketo_id) in enumerate(zip(ids, marketo_ids, strict=True))
        ]
        queue.execute("BEGIN")
        queue.executemany("INSERT INTO entry (payload) VALUES (?)", rows)
        queue.execute("COMMIT")
        await remote.ask("counted")
        async with aiohttp.ClientSession() as session:
            token = await token_of(remote, session)
            await asyncio.gather(*(send_all(queue, session, remote, token) for _ in range(CONCURRENCY)))
    return await rate(remote, len(ids))


async def token_of(remote: Remote, session: aiohttp.ClientSession) -> str:
    """Sign in."""
    form = {"grant_type": "client_credentials"}
    form |= {name: str(remote.settings[f"marketo.{name}"]) for name in ("client_id", "client_secret")}
    async with session.post(f"{remote.settings['marketo.base_url']}/identity/oauth/token", data=form) as answer:
        return str((await answer.json())["access_token"])


async def send_all(queue: sqlite3.Connection, session: aiohttp.ClientSession, remote: Remote, token: str) -> None:
    """Batch after batch."""
    url = f"{remote.settings['marketo.base_url']}/rest/v1/leads.json"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    while True:
        claimed = queue.execute(
            CLAIM,
            (BATCH,),
        ).fetchall()
        if not claimed:
            return
        records = ",".join(payload for _, payload in claimed)
        body = f'{{"action":"updateOnly","lookupField":"id","input":[{records}]}}'
        async with session.post(url, data=body.encode(), headers=headers) as response:
            answer = orjson.loads(await response.read())
        accepted = [row[0] for row, one in zip(claimed, answer["result"], strict=True) if one["status"] in {"created", "updated"}]
        queue.execute("BEGIN")
        queue.executemany("DELETE FROM entry WHERE id = ?", [(each,) for each in accepted])
        queue.execute("COMMIT")


async def rate(remote: Remote, expected: int) -> float:
    """Records a second, as the service counted them; every one of them must have arrived, once."""
    counted = await remote.ask("counted")
    if counted["records"] != expected:
        raise RuntimeError(f"{counted['records']} records arrived, expected {expected}")
    return float(expected / counted["seconds"])


async def figures(size: Size) -> list[Figure]:
    """The row."""
    ids = lead_ids(size.of(tiny=300, quick=3_000, whole=15_000))
    runs = count(1)
    async with services() as remote:
        marketo_ids = await remote.ask("people", external_ids=ids)
        samples = await alternate(
            {
                "daemon": lambda: ours(remote, ids, marketo_ids, next(runs)),
                "minimal loop": lambda: minimal(remote, ids, marketo_ids, next(runs)),
                "control": lambda: minimal(remote, ids, marketo_ids, next(runs)),
            },
            size.turns,
        )
    return [Figure("deliver", "records/s", "a minimal loop over SQLite", Target(0.5, 10_000), samples)]
