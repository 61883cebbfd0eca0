"""A first load: records a second through Bulk API 2.0 and through SOQL into the durable outbox, beside reading alone.

Both read the same query's pages from the same service, timed from the first page that is asked for there. The daemon, all of it
running, ends when the last page is committed; delivery is held, for it has a figure of its own. Reading alone parses each
page and keeps nothing.
"""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bench.measure import Figure, Size, Target, alternate
from bench.services import Remote, services
from bench.setting import config_at, daemon_on
from store import holds
from store.coverage import load_note
from store.store import Store
from stream.salesforce.bulk import PAGE_RECORDS

ROOT = "/services/data/v62.0"
RATIO = 0.7
WAYS = {"Bulk API 2.0": 1, "SOQL": 10**9}
"""From how many records on the daemon reads by a bulk job."""


async def loaded(remote: Remote, count: int, bulk_above: int) -> tuple[float, str]:
    """Into the outbox, each page committed before it counts; returns records a second, and what was asked for them."""
    with tempfile.TemporaryDirectory() as name:
        more = {"reconcile.backfill_on_first_start": True, "reconcile.bulk_above": bulk_above}
        config = config_at(Path(name), remote, **more)
        store = await Store.open(Path(name) / "store.db")
        try:
            await store.submit(lambda tx: holds.pause(tx, ["deliver", "scores"], 0.0))
            await remote.ask("reading")
            async with daemon_on(store, config):
                await _until_loaded(store)
                ended = time.perf_counter()
                held = (await store.backlog())["Lead"]
        finally:
            await store.close()
    if held != count:
        raise RuntimeError(f"{held} records are in the outbox, expected {count}")
    told = await remote.ask("reading")
    return count / (ended - float(told["first_page"])), str(told["soql"])


async def ours(remote: Remote, count: int, bulk_above: int) -> float:
    """The daemon's own figure, all of it running."""
    return (await loaded(remote, count, bulk_above))[0]


async def _until_loaded(store: Store) -> None:
    """Wait until a load of leads has ended: a part of it is stored together with a note that it goes on."""
    while not await _is_read(store) or await store.note(load_note("Lead")) is not None:
        await asyncio.sleep(0.01)


async def _is_read(store: Store) -> bool:
    return any(how == "read" for _, _, how in await store.intervals("Lead"))


async def alone(remote: Remote, count: int, soql: str, *, bulk: bool) -> float:
    """The same pages, parsed and counted."""
    await remote.ask("reading")
    base, token = await signed_in(remote)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        read = await (_by_bulk if bulk else _by_soql)(session, base, soql)
        ended = time.perf_counter()
    if read != count:
        raise RuntimeError(f"{read} records were read, expected {count}")
    return count / (ended - float((await remote.ask("reading"))["first_page"]))


async def _by_soql(session: aiohttp.ClientSession, base: str, soql: str) -> int:
    page = await _json(session, f"{base}{ROOT}/query", q=soql)
    read = len(page["records"])
    while following := page.get("nextRecordsUrl"):
        page = await _json(session, base + following)
        read += len(page["records"])
    return read


async def _by_bulk(session: aiohttp.ClientSession, base: str, soql: str) -> int:
    body = {"operation": "query", "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF"}
    async with session.post(f"{base}{ROOT}/jobs/query", json=body) as made:
        job = f"{base}{ROOT}/jobs/query/{(await made.json())['id']}"
    while (await _json(session, job))["state"] != "JobComplete":
        await asyncio.sleep(0.05)
    read, locator = 0, ""
    while locator != "null":
        params = {"maxRecords": str(PAGE_RECORDS)} | ({"locator": locator} if locator else {})
        async with session.get(f"{job}/results", params=params) as answer:
            text, locator = (await answer.read()).decode(), answer.headers["Sforce-Locator"]
        read += sum(1 for _ in csv.DictReader(io.StringIO(text)))
    return read


async def _json(session: aiohttp.ClientSession, url: str, **params: str) -> Any:
    async with session.get(url, params=params) as answer:
        return orjson.loads(await answer.read())


async def signed_in(remote: Remote) -> tuple[str, str]:
    """Where the org is, and a token for it."""
    form = {"grant_type": "client_credentials"}
    form |= {name: str(remote.settings[f"salesforce.{name}"]) for name in ("client_id", "client_secret")}
    url = f"{remote.settings['salesforce.login_url']}/services/oauth2/token"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        told = await answer.json()
    return str(told["instance_url"]), str(told["access_token"])


async def figures(size: Size) -> list[Figure]:
    """A row for each way."""
    count = size.of(tiny=300, quick=2_000, whole=20_000)
    rows = []
    async with services() as remote:
        await remote.ask("long_known", count=count)
        for way, bulk_above in WAYS.items():
            _, soql = await loaded(remote, count, bulk_above)  # not counted: it tells what is asked
            read = partial(alone, remote, count, soql, bulk=bulk_above == 1)
            variants = {"daemon": partial(ours, remote, count, bulk_above), "reading alone": read, "control": read}
            samples = await alternate(variants, size.turns)
            rows.append(Figure(f"first load, {way}", "records/s", "reading alone", Target(RATIO), samples))
    return rows
