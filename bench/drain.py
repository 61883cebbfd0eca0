"""A backlog with 1 % poison under Marketo's real limits, beside `marketorestpython` in a plain loop.

10,000 edited people wait. Of 100 of them Marketo refuses the edit. It skips them in an answer that takes the others; in a second
run half of them make it refuse the whole call, without naming anybody. The service, a process of its own and a new one for each
run, allows 100 calls in 20 seconds, ten at once, and 50,000 a day, and counts what arrives. *Lost* is who was not refused for a
fault of its own and never arrived, and who was and is not told of.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from marketorestpython.client import MarketoClient
from marketorestpython.helper.exceptions import MarketoException

from bench.measure import Figure, Size, Target, alternate
from bench.services import CALLS_PER_20S, CONCURRENCY, DAILY_CALLS, Remote, services
from bench.setting import config_at, daemon_on, edited, known_people, lead_ids, quiet, until_sent
from store import holds
from store.store import Store

BATCH = 300
POISON_EVERY = 100
AGAINST = "marketorestpython in a plain loop"
LIMITS = {"marketo.calls_per_20s": CALLS_PER_20S, "marketo.concurrency": CONCURRENCY, "marketo.daily_calls": DAILY_CALLS}

KINDS = {"1 % skipped": False, "1 % poison": True}
"""Whether half of them make Marketo refuse the whole call."""
ROWS = (("lost", "people", False), ("limited", "answers 606 and 615", False), ("calls", "calls", True), ("seconds", "s", True))

Client = Callable[[Remote, Sequence[str], Sequence[str]], Awaitable[set[str]]]
"""Drains the backlog of people with these Salesforce and Marketo ids; returns whom it tells of as refused (Marketo ids)."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of a backlog: counted at the service, but for whom the client tells as refused (`told`, Marketo ids)."""

    calls: int
    seconds: float
    limited: int
    delivered: int
    lost: int
    told: int


def drained(counted: dict[str, Any], told: set[str], marketo_ids: Sequence[str], poison: set[str]) -> Drained:
    """Judge a run by what arrived and what the client told."""
    arrived = set(counted["accepted"])
    lost = [each for each in marketo_ids if each not in (told if each in poison else arrived)]
    codes = counted["codes"]
    limited = codes.get("606", 0) + codes.get("615", 0)
    return Drained(counted["calls"], counted["seconds"], limited, len(arrived), len(lost), len(told))


async def ours(remote: Remote, ids: Sequence[str], marketo_ids: Sequence[str]) -> set[str]:
    """The daemon, as it is; returns the people of whom it has dead letters."""
    with tempfile.TemporaryDirectory() as name:
        store = await Store.open(Path(name) / "store.db")
        await store.submit(lambda tx: holds.pause(tx, ["scores"], 0.0))
        await known_people(store, ids, marketo_ids)
        await edited(store, ids)
        async with daemon_on(store, config_at(Path(name), remote, **LIMITS)):
            await until_sent(store)
            letters = await store.dead_letters()
        await store.close()
    by_record = dict(zip(ids, marketo_ids, strict=True))
    return {by_record[each.id] for each in letters}


async def plain(remote: Remote, ids: Sequence[str], marketo_ids: Sequence[str]) -> set[str]:
    """The rival, at the pace that it keeps by itself: batch after batch. Whoever is skipped is told; a call that is refused is
    told of, and the loop goes on.
    """
    return await asyncio.to_thread(_loop, dict(remote.settings), ids, marketo_ids)


def _loop(settings: dict[str, Any], ids: Sequence[str], marketo_ids: Sequence[str]) -> set[str]:
    client = MarketoClient("000-AAA-000", settings["marketo.client_id"], settings["marketo.client_secret"], requests_timeout=60.0)
    client.host = settings["marketo.base_url"]
    people = [
        {"id": int(marketo_id), "externalPersonId": record_id, "title": "Title 1", "phone": "1"}
        for record_id, marketo_id in zip(ids, marketo_ids, strict=True)
    ]
    told: set[str] = set()
    for at in range(0, len(people), BATCH):
        batch = people[at : at + BATCH]
        try:
            results = client.create_update_leads(batch, action="updateOnly", lookupField="id")
        except MarketoException:
            told |= {str(each["id"]) for each in batch}
            continue
        told |= {str(each["id"]) for each, result in zip(batch, results, strict=True) if result["status"] == "skipped"}
    return told


async def run(client: Client, ids: Sequence[str], poisonous: bool) -> Drained:
    """One client, with a service of its own: what one has used of the limits would be missing to the next."""
    async with services() as remote:
        marketo_ids = await remote.ask("people", external_ids=ids)
        poison = marketo_ids[POISON_EVERY // 2 :: POISON_EVERY]
        batches = poison[1::2] if poisonous else []
        await remote.ask("limited", skipped=[each for each in poison if each not in batches], poisonous=batches)
        began = time.perf_counter()
        told = await client(remote, ids, marketo_ids)
        seconds = time.perf_counter() - began
        counted = await remote.ask("drained")
    return drained({**counted, "seconds": seconds}, told, marketo_ids, set(poison))


def _note(name: str, run: Drained) -> str:
    return f"{name}: {run.delivered:,} delivered, {run.told:,} told as refused"


async def figures(size: Size) -> list[Figure]:
    """Four rows for each kind of poison; one run tells all of them."""
    ids = lead_ids(size.of(tiny=400, quick=1_000, whole=10_000))
    quiet(logging.CRITICAL)  # a line for each dead letter
    try:
        return [row for kind, poisonous in KINDS.items() for row in await _rows(kind, poisonous, ids, size.given_turns or 1)]
    finally:
        quiet()


async def _rows(kind: str, poisonous: bool, ids: Sequence[str], turns: int) -> list[Figure]:
    runs: dict[str, list[Drained]] = {"daemon": [], "plain loop": []}

    async def once(name: str, client: Client) -> float:
        runs[name].append(await run(client, ids, poisonous))
        return runs[name][-1].seconds

    await alternate({"daemon": partial(once, "daemon", ours), "plain loop": partial(once, "plain loop", plain)}, turns)
    notes = [_note(name, made[0]) for name, made in runs.items()]
    return [
        Figure(
            f"drain of {len(ids):,} changes, {kind}, {what}",
            unit,
            AGAINST,
            Target() if free else Target(absolute=0.0, least=False),
            {name: [float(getattr(each, what)) for each in made] for name, made in runs.items()},
            notes=notes if what == "lost" else [],
        )
        for what, unit, free in ROWS
    ]
