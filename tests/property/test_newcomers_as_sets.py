"""Rows of newcomers written all at once leave the same in the database as those taken change by change."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from store import newcomers
from store.model import Change, ObjectName
from store.store import Store

NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000
ACCOUNTS = [f"00100000000000{n}AAA" for n in range(3)]
USERS = [f"00500000000000{n}AAA" for n in range(3)]
CONTACTS = [f"00300000000000{n}AAA" for n in range(8)]

CONTENT = {
    "record": "SELECT object, record_id, state, marketo_id, owner, account, opportunity, contact, created, filled, sent_key, "
    "merged_into, joined, read_s, known, commit_ms, txn, seq FROM record",
    "entry": "SELECT object, record_id, state, kind, CAST(pending AS TEXT), read, waits, attempts, tries, due_ms, queued_ms, "
    "rank, later, code, cause, cure, flow FROM entry",
    "wait": "SELECT e.object, e.record_id, w.parent_object, w.parent_id FROM wait w JOIN entry e USING (entry_id)",
    "stories": "SELECT r.object, r.record_id, h.record_id, h.at_ms, CAST(h.told AS TEXT), h.before > 0 FROM record r "
    "JOIN history h ON h.seq = r.story",
    "lines": "SELECT record_id, at_ms, CAST(told AS TEXT), before > 0 FROM history",
    "numbers": "SELECT count(*), count(DISTINCT story) FROM record WHERE story > 0",
}
"""All that matters: numbers are given in another order."""

texts = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["2026-01-01T00:00:00.000+0000", "x\0y", "\u2028", '"', "😀"]))
values = st.one_of(texts, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def rows(draw: st.DrawFn, *, loaded: bool = True) -> Change:
    """A contact as a query brings it, most often whole."""
    fields = {name: value for name in ("Email", "Title", "Score__c") if (value := draw(values)) is not None}
    refs: dict[Any, str | None] = {
        "owner": draw(st.sampled_from([None, *USERS])),
        "account": draw(st.sampled_from([None, *ACCOUNTS])),
    }
    record_id, read_s = draw(st.sampled_from(CONTACTS)), NOW_S - draw(st.integers(0, 3))
    odd = draw(st.sampled_from(["", "", "", "", "deleted", "outside", "read", "of the stream"]))
    if odd == "deleted":
        return Change("Contact", record_id, kind="delete", read_s=read_s, loaded=loaded, source="first load")
    if odd == "read":
        return Change("Contact", record_id, read="its row could not be understood", loaded=loaded, source="first load")
    return Change(
        "Contact",
        record_id,
        fields=fields,
        whole=True,
        refs=refs,
        created=draw(st.sampled_from([None, "2026-01-01T00:00:00.000+0000"])),
        read_s=read_s,
        side="out" if odd == "outside" else "in",
        loaded=loaded and odd != "of the stream",
        source="first load",
    )


@st.composite
def earlier(draw: st.DrawFn) -> list[Change]:
    """What was taken before: some of the contacts, of their accounts, and of their owners."""
    keys: list[tuple[ObjectName, str]] = [("Account", each) for each in ACCOUNTS] + [("User", each) for each in USERS]
    parents = [Change(*key, fields={"Name": "n"}, whole=True, commit_ms=NOW_MS - 9000) for key in keys if draw(st.booleans())]
    deletes = [
        Change("Account", each, kind="delete", commit_ms=NOW_MS - 8000) for each in ACCOUNTS if not draw(st.integers(0, 4))
    ]
    return [*parents, *draw(st.lists(rows(loaded=False), max_size=3)), *deletes]


def content(path: Path) -> dict[str, list[Any]]:
    """What the tables hold, in one order."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: sorted(connection.execute(sql).fetchall(), key=str) for name, sql in CONTENT.items()}


async def prepared(path: Path, before: Sequence[Change]) -> None:
    """A store that took these."""
    store = await Store.open(path)
    await store.take(before, None, NOW_MS)
    await store.close()


async def taken(path: Path, pages: Sequence[Sequence[Change]]) -> tuple[list[Any], dict[str, list[Any]]]:
    """What it says of these pages, and what is there then."""
    store = await Store.open(path)
    try:
        said = [await store.take_rows(page, NOW_MS + place) for place, page in enumerate(pages)]
    finally:
        await store.close()
    return [(each.applied, each.dropped, each.to_read, each.outside, each.left, sorted(each.asked)) for each in said], content(
        path
    )


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.generate))  # each takes four stores: too slow to shrink
@given(before=earlier(), pages=st.lists(st.lists(rows(), max_size=10), min_size=1, max_size=2))
def test_both_ways_leave_the_same(before: list[Change], pages: list[list[Change]]) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        at_once, by_one = Path(name) / "a.db", Path(name) / "b.db"
        asyncio.run(prepared(at_once, before))
        shutil.copy(at_once, by_one)
        found = asyncio.run(taken(at_once, pages))
        patched.setattr(newcomers, "prepare", lambda changes: (newcomers.Newcomers(), list(changes)))
        assert found == asyncio.run(taken(by_one, pages))


async def test_most_of_a_page_is_written_as_a_set(tmp_path: Path) -> None:
    page = [Change("Lead", f"00Q{n:012d}AAA", fields={"Title": "t"}, whole=True, read_s=NOW_S, loaded=True) for n in range(50)]
    store = await Store.open(tmp_path / "store.db")
    statements: list[str] = []
    await store.writer.connection.set_trace_callback(statements.append)
    assert (await store.take_rows(page, NOW_MS)).applied == 50
    await store.writer.connection.set_trace_callback(None)  # type: ignore[arg-type] # how it is taken away again
    await store.close()
    assert 5 < len(statements) < 50, "as many as for one"
