"""What the figures share: a daemon's configuration between the simulated services, people it knows, a backlog."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from bench.services import Remote
from store.model import Change, Record
from store.rows import record_row
from store.store import Store
from store.writer import Transaction
from stream import connecting
from stream.clock import SystemClock
from stream.config import load
from stream.config.template import template
from stream.daemon import Daemon
from stream.ids import widen

UNHINDERED = {
    "salesforce.flow": "jwt",
    "marketo.calls_per_20s": 10**6,
    "marketo.daily_calls": 10**9,
    "deliver.linger_seconds": 0.0,
    "reconcile.backfill_on_first_start": False,
    "log.level": "warning",
}
ONLY_LEADS = {f"salesforce.objects.{obj}": "off" for obj in ("Account", "Contact", "Opportunity", "OpportunityContactRole")}
TAKEN_AT_ONCE = 2000


def quiet(level: int = logging.WARNING) -> None:
    """The daemon inside a benchmark says warnings only, or what is worse still."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def config_at(folder: Path, remote: Remote, **more: Any) -> Path:
    """A configuration for a daemon between these services, that only what is measured holds up."""
    values = {**UNHINDERED, **ONLY_LEADS, **remote.settings, "store.path": str(folder / "store.db"), **more}
    path = folder / "config.toml"
    path.write_text(template(values), encoding="utf-8")
    return path


def lead_ids(count: int) -> list[str]:
    """Made-up Salesforce ids."""
    return [widen(f"00Q{number:012d}") for number in range(count)]


def now_ms() -> int:
    """The machine's time."""
    return int(SystemClock().now() * 1000)


async def _put_known(rows: Sequence[Sequence[Any]], tx: Transaction) -> None:
    await tx.run_many("put_record", rows)


async def known_people(store: Store, ids: Sequence[str], marketo_ids: Sequence[str]) -> None:
    """The store knows them, and that Marketo has them."""
    people = list(zip(ids, marketo_ids, strict=True))
    for at in range(0, len(people), TAKEN_AT_ONCE):
        rows = [
            record_row(Record("Lead", record_id, state="synced", marketo_id=marketo_id))
            for record_id, marketo_id in people[at : at + TAKEN_AT_ONCE]
        ]
        await store.submit(partial(_put_known, rows))


async def edited(store: Store, ids: Sequence[str], turn: int = 1) -> None:
    """Each of them was edited a minute ago."""
    when_ms = now_ms() - 60_000
    for at in range(0, len(ids), TAKEN_AT_ONCE):
        changes = [
            Change(
                "Lead", each, fields={"Title": f"Title {turn}", "Phone": str(at)}, commit_ms=when_ms + turn, transaction=str(turn)
            )
            for each in ids[at : at + TAKEN_AT_ONCE]
        ]
        await store.take(changes, None, when_ms)


@asynccontextmanager
async def daemon_on(store: Store, config: Path) -> AsyncIterator[Daemon]:
    """The whole daemon, in this process."""
    settings = load(config, {}).settings
    async with connecting.session() as session:
        daemon = Daemon(settings, store, session)
        running = asyncio.create_task(daemon.run())
        try:
            yield daemon
        finally:
            daemon.stop()
            await running


async def until_sent(store: Store) -> None:
    """Wait until nothing is left to be sent."""
    while await store.backlog():
        await asyncio.sleep(0.01)


async def backlog(path: Path, count: int) -> None:
    """A store in which so many leads that Marketo has were edited: one is taken as ever, and SQL makes the others of it."""
    model = lead_ids(1)[0]
    store = await Store.open(path)
    await known_people(store, [model], ["1"])
    await edited(store, [model])
    await store.close()
    await asyncio.to_thread(_multiply, path, model, count)


def _multiply(path: Path, model: str, count: int) -> None:
    others = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) SELECT i FROM n)"
    given = {"record_id": f"'{model[:3]}' || printf('%012d', i) || '{model[-3:]}'", "marketo_id": "CAST(i + 1 AS TEXT)"}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for table in ("record", "entry"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "entry_id"]
            values = ", ".join(given.get(name, name) for name in names)
            one = f"(SELECT * FROM {table} WHERE record_id = '{model}')"
            if count > 1:
                connection.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {one}, {others}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
