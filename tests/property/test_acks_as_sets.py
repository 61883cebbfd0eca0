"""Acknowledgements written all at once leave the same in the database as those written record by record."""

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

from store import acks
from store.model import Ack, Change, Dead, ObjectName, Outcome, Record, Retry
from store.rows import record_row
from store.scores import ScoreRow, remember
from store.store import Store
from store.writer import Transaction

NOW_MS = 1_790_000_000_000
FIELDS = ("email", "phone", "title")
PEOPLE: tuple[tuple[ObjectName, str], ...] = (
    *(("Lead", f"00Q00000000000{n}EAA") for n in range(4)),
    *(("Contact", f"00300000000000{n}AAA") for n in range(3)),
)
ROLES: tuple[tuple[ObjectName, str], ...] = tuple(("OpportunityContactRole", f"00K00000000000{n}AAA") for n in range(2))
DEAL, ACCOUNT = ("Opportunity", "006000000000001AAA"), ("Account", "001000000000001AAA")
TABLES = ("record", "entry", "wait", "history", "score", "note")

names = st.frozensets(st.sampled_from(FIELDS))


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """People and their roles: in Marketo or not, alone or not, filled or not."""
    made = [
        Record(
            obj,
            record_id,
            state=draw(st.sampled_from(["synced", "seen", "deleted"])),
            marketo_id=draw(st.sampled_from([None, "1", "2", "3"])),
            filled=draw(names),
        )
        for obj, record_id in PEOPLE
    ]
    made += [
        Record(obj, record_id, state="synced", opportunity=DEAL[1], contact=contact, sent_key=f'["{DEAL[1]}",{marketo_id},"x"]')
        for marketo_id, ((obj, record_id), (_, contact)) in enumerate(zip(ROLES, PEOPLE[4:6], strict=True), 1)
    ]
    return [*made, Record("Opportunity", DEAL[1], state="synced"), Record("Account", ACCOUNT[1], state="synced")]


@st.composite
def outcomes(draw: st.DrawFn, entry_id: int, key: tuple[ObjectName, str]) -> Outcome:
    """What may become of an entry."""
    if not draw(st.integers(0, 4)):
        refusals: list[Outcome] = [
            Retry(entry_id, key, NOW_MS + 5, counted=True, code="1003", cause="refused"),
            Retry(entry_id, key, NOW_MS + 5, code="unreachable", cause="no answer"),
            Dead(entry_id, key, "1003", "refused", "mend it"),
        ]
        return draw(st.sampled_from(refusals))
    gone = draw(st.integers(0, 5)) == 0
    return Ack(
        entry_id,
        key,
        state="deleted" if gone else draw(st.sampled_from(["synced", "synced", "excluded"])),
        marketo_id=draw(st.sampled_from([None, "1", "2", "9"])),
        filled=draw(names),
        emptied=draw(names),
        sent_key=f'["{DEAL[1]}",7,"x"]' if key[0] == ROLES[0][0] and draw(st.booleans()) else None,
        removed=gone,
        forget_marketo_id=gone,
        did="updated",
        sent=",".join(draw(names)),
        together=draw(st.integers(0, 300)),
    )


class _OneByOne:
    """In place of `acks.split` and `acks.write`: everything record by record, the plain ones first."""

    def __init__(self) -> None:
        self.split_as_ever = acks.split
        self.plain = 0

    async def split(self, tx: Transaction, given: Sequence[Outcome]) -> tuple[list[acks.Plain], list[Outcome]]:
        plain, others = await self.split_as_ever(tx, given)
        self.plain += len(plain)
        return [], [*(each.ack for each in plain), *others]


def content(path: Path) -> dict[str, Any]:
    """All that the tables hold."""
    with closing(sqlite3.connect(path)) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=str) for table in TABLES}  # noqa: S608 - names of our own


async def prepared(path: Path, known: list[Record], later: frozenset[int]) -> list[tuple[int, tuple[ObjectName, str]]]:
    """Everybody's entry is in flight; for some, something arrived meanwhile; a child waits, and a score was stopped."""
    store = await Store.open(path)
    await store.submit(lambda tx: tx.run_many("put_record", [record_row(each) for each in known]))
    changes = [Change(*each.key, fields={"Title": "t"}, whole=True, commit_ms=NOW_MS) for each in known[:-1]]
    await store.take(changes, None, NOW_MS)
    scores = [ScoreRow(key, stopped="NOT_FOUND") for key in PEOPLE]
    await store.submit(lambda tx: remember(tx, scores, {}))
    flying: list[tuple[int, tuple[ObjectName, str]]] = []
    for obj in ("Lead", "Contact", "Opportunity", "OpportunityContactRole"):
        claimed = await store.claim(obj, "upsert", most=300, now_ms=NOW_MS + 1, linger_ms=0)
        flying += [(each.entry.entry_id, each.entry.key) for each in claimed]
    await store.take(
        [
            Change(*key, fields={"Title": "later"}, commit_ms=NOW_MS + 2, transaction="l")
            for place, (_, key) in enumerate(flying)
            if place in later
        ],
        None,
        NOW_MS + 2,
    )
    await store.close()
    return flying


async def finished(path: Path, given: Sequence[Outcome]) -> dict[str, Any]:
    """What is there once this became of them."""
    store = await Store.open(path)
    await store.finish(given, NOW_MS + 3)
    await store.close()
    return content(path)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))  # each takes four stores: too slow to shrink
@given(data=st.data())
def test_both_ways_leave_the_same(data: st.DataObject) -> None:
    known, later = data.draw(records()), data.draw(st.frozensets(st.integers(0, 9)))
    with TemporaryDirectory() as name:
        at_once, by_one = Path(name) / "a.db", Path(name) / "b.db"
        flying = asyncio.run(prepared(at_once, known, later))
        shutil.copy(at_once, by_one)
        given = [data.draw(outcomes(*each)) for each in data.draw(st.permutations(flying))]
        alone = _OneByOne()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(acks, "split", alone.split)
            expected = asyncio.run(finished(by_one, given))
        found = asyncio.run(finished(at_once, given))
        for table in TABLES:
            assert found[table] == expected[table]
