"""Records put into a durable queue and taken out of it for good, a second: the outbox, and three queues in SQLite of others.

All on one file with `journal_mode=WAL` and `synchronous=FULL`, and nothing counts before its commit. The outbox takes changes as
capture does, 500 a transaction, and gives them out as delivery does, 300 at once; the others have one call for one item, and the
fastest of them is also called from four threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from huey import SqliteHuey
from litequeue import LiteQueue
from persistqueue import SQLiteAckQueue

from bench.measure import Figure, Size, Target, alternate
from bench.setting import known_people, lead_ids, now_ms
from store.model import Ack, Change, Replay
from store.store import Store

TAKE, CLAIM = 500, 300
CALLERS = 4
PAYLOAD = {"title": "Title 1", "phone": "0123456789"}


async def ours(count: int) -> float:
    """The outbox, with all that it does besides: merging, stories, positions."""
    ids = lead_ids(count)
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "store.db")
        await known_people(store, ids, [str(number + 1) for number in range(count)])
        began, at_ms = time.perf_counter(), now_ms()
        for at in range(0, count, TAKE):
            changes = [Change("Lead", each, fields=PAYLOAD, commit_ms=at_ms, transaction=str(at)) for each in ids[at : at + TAKE]]
            await store.take(changes, Replay("/data/ChangeEvents", at + 1, at_ms, at_ms), at_ms)
        gone = 0
        while claimed := await store.claim("Lead", "upsert", most=CLAIM, now_ms=at_ms, linger_ms=0):
            await store.finish(
                [Ack(one.entry.entry_id, one.entry.key, marketo_id=one.record.marketo_id) for one in claimed], at_ms
            )
            gone += len(claimed)
        seconds = time.perf_counter() - began
        await store.close()
    return _rate(gone, count, seconds)


def persist_queue(folder: Path, count: int) -> int:
    """SQLiteAckQueue: put, get, ack; its file is in WAL mode, and `synchronous` as SQLite has it: FULL."""
    queue = SQLiteAckQueue(str(folder), auto_commit=True)
    for number in range(count):
        queue.put({**PAYLOAD, "id": number})
    for _ in range(count):
        queue.ack(queue.get(block=False))
    left = int(queue.size)
    queue.close()
    return count - left


def litequeue(folder: Path, count: int) -> int:
    """LiteQueue: put, pop, done."""
    queue = LiteQueue(str(folder / "queue.db"))
    queue.conn.execute("PRAGMA synchronous = FULL")
    for number in range(count):
        queue.put(orjson.dumps({**PAYLOAD, "id": number}).decode())
    for _ in range(count):
        queue.done(queue.pop().message_id)
    left = queue.qsize()
    queue.close()
    return count - int(left)


def huey(folder: Path, count: int) -> int:
    """huey's storage: enqueue, and dequeue, which forgets the item at once, before its work is done: less than the others do."""
    storage = _huey(folder)
    gone = _through(storage, range(count))
    storage.close()
    return gone


def huey_by_several(folder: Path, count: int) -> int:
    """The same, called from several threads at once, as its consumer does with its workers."""
    storage = _huey(folder)
    with ThreadPoolExecutor(CALLERS) as callers:
        gone = sum(callers.map(lambda first: _through(storage, range(first, count, CALLERS)), range(CALLERS)))
    storage.close()
    return gone


def _huey(folder: Path) -> Any:
    return SqliteHuey("bench", filename=str(folder / "queue.db"), fsync=True, journal_mode="wal").storage


def _through(storage: Any, numbers: range) -> int:
    for number in numbers:
        storage.enqueue(orjson.dumps({**PAYLOAD, "id": number}))
    return sum(storage.dequeue() is not None for _ in numbers)


async def of(queue: Callable[[Path, int], int], count: int) -> float:
    """Another's figure."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            gone = queue(Path(folder), count)
            return _rate(gone, count, time.perf_counter() - began)

    return await asyncio.to_thread(run)


async def synced_commits(count: int) -> float:
    """How many commits of one row this disk syncs in a second: what no queue that commits each item gets past."""

    def run() -> float:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(sqlite3.connect(Path(folder) / "a.db", isolation_level=None)) as file,
        ):
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = FULL")
            file.execute("CREATE TABLE a (b)")
            began = time.perf_counter()
            for number in range(count):
                file.execute("INSERT INTO a VALUES (?)", (number,))
            return count / (time.perf_counter() - began)

    return await asyncio.to_thread(run)


def _rate(gone: int, count: int, seconds: float) -> float:
    if gone != count:
        raise RuntimeError(f"{gone} of {count} items came out")
    return count / seconds


async def figures(size: Size) -> list[Figure]:
    """One row, beside the best of the three."""
    few = size.of(tiny=20, quick=150, whole=1_000)
    many = size.of(tiny=500, quick=3_000, whole=20_000)
    samples = await alternate(
        {
            "outbox": lambda: ours(many),
            "persist-queue": lambda: of(persist_queue, few),
            "litequeue": lambda: of(litequeue, few),
            "huey": lambda: of(huey, few),
            "huey, four threads": lambda: of(huey_by_several, few),
            "control": lambda: ours(many),
            "one row a commit": lambda: synced_commits(few),
        },
        size.turns,
    )
    rivals = {name: samples[name] for name in ("persist-queue", "litequeue", "huey", "huey, four threads")}
    best = [max(turn) for turn in zip(*rivals.values(), strict=True)]
    figure = Figure(
        "outbox alone", "puts and acks/s", "the best of the three", Target(10.0), {"outbox": samples["outbox"], "best": best}
    )
    figure.others = {**rivals, "one row a commit": samples["one row a commit"]}
    figure.control = (samples["control"], samples["outbox"])
    return [figure]
