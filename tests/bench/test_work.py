"""What a record costs on the hot paths, counted and not timed: SQL statements that run, and Python functions that are called.

A busy machine changes neither, so creeping shows here first. The bounds are what was counted, and a little room.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bench.setting import known_people, lead_ids
from store.model import Ack, Change, Replay
from store.store import Store

NOW_MS = 1_790_000_000_000
TAKEN, CLAIMED = 500, 300
IN_STATEMENTS, OUT_STATEMENTS = 0.05, 0.12  # once for a batch of 500, and of 300
IN_CALLS, OUT_CALLS = 36, 26  # 33 and 24 were counted


@dataclass(slots=True)
class Work:
    """What was counted."""

    statements: int = 0
    calls: int = 0

    def each(self, count: int) -> tuple[float, float]:
        """Statements and calls for each record."""
        return self.statements / count, self.calls / count


async def counted(store: Store, work: Callable[[], Awaitable[Any]]) -> Work:
    """Count while this goes on, in this thread and in the store's own."""
    found = Work()

    def statement(_: str) -> None:
        found.statements += 1

    def call(_frame: FrameType, event: str, _argument: object) -> None:
        found.calls += event == "call"

    await store.writer.connection.set_trace_callback(statement)
    before = sys.getprofile()
    await in_its_thread(store, sys.setprofile, call)
    sys.setprofile(call)
    try:
        await work()
    finally:
        sys.setprofile(before)
        await in_its_thread(store, sys.setprofile, None)
        await store.writer.connection.set_trace_callback(None)  # type: ignore[arg-type] # how it is taken away again
    return found


async def in_its_thread(store: Store, function: Callable[..., object], *arguments: object) -> None:
    """Call a function where the store's SQL runs."""
    await store.writer.connection._execute(function, *arguments)  # type: ignore[no-untyped-call]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Five hundred leads that Marketo has."""
    store = await Store.open(tmp_path / "store.db")
    await known_people(store, lead_ids(TAKEN), [str(number + 1) for number in range(TAKEN)])
    yield store
    await store.close()


def edits() -> list[Change]:
    """One of each of them."""
    fields = {"Title": "Title 1", "Phone": "0123456789"}
    return [Change("Lead", each, fields=fields, commit_ms=NOW_MS, transaction="t") for each in lead_ids(TAKEN)]


async def take(store: Store, changes: list[Change]) -> None:
    """They arrive."""
    await store.take(changes, Replay("/data/ChangeEvents", 1, NOW_MS, NOW_MS), NOW_MS)


async def deliver(store: Store) -> None:
    """A batch goes out, and is accepted."""
    claimed = await store.claim("Lead", "upsert", most=CLAIMED, now_ms=NOW_MS + 1000, linger_ms=0)
    assert len(claimed) == CLAIMED
    told: dict[str, Any] = {"did": "updated", "sent": "phone,title", "together": CLAIMED}
    acks = [Ack(each.entry.entry_id, each.entry.key, marketo_id=each.record.marketo_id, **told) for each in claimed]
    await store.finish(acks, NOW_MS + 1000)


async def test_what_a_change_costs_on_its_way_in(store: Store) -> None:
    changes = edits()
    statements, calls = (await counted(store, lambda: take(store, changes))).each(TAKEN)
    assert 0 < statements < IN_STATEMENTS
    assert 1 < calls < IN_CALLS


async def test_what_a_record_costs_on_its_way_out(store: Store) -> None:
    await take(store, edits())
    statements, calls = (await counted(store, lambda: deliver(store))).each(CLAIMED)
    assert 0 < statements < OUT_STATEMENTS
    assert 1 < calls < OUT_CALLS
