"""A record comes out of the database as it went in, field by field."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from store import waits
from store.intake import put_changed
from store.model import Record
from store.rows import record_row, standing
from store.store import Store

WHOLE = Record(
    object="Lead",
    record_id="00Q000000000001EAA",
    state="synced",
    marketo_id="7",
    owner="owner",
    account="account",
    opportunity="opportunity",
    contact="contact",
    created="2026-01-01",
    filled=frozenset({"title", "phone"}),
    sent_key='["006000000000001AAA",17,"Buyer"]',
    merged_into="winner",
    joined="8",
    read_s=11,
    known={"Title": "abcd"},
    commit_ms=12,
    transaction="transaction",
    sequence=13,
    story=14,
)


async def test_every_field_of_a_record_comes_back(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    await store.submit(lambda tx: tx.run("put_record", *record_row(WHOLE)))
    found = (await store.submit(lambda tx: waits.records(tx, [WHOLE.key])))[WHOLE.key]
    await store.close()
    values = {each.name: getattr(WHOLE, each.name) for each in fields(Record)}
    assert len({str(value) for value in values.values()}) == len(values), "values that are alike would hide a mix-up"
    assert {name: getattr(found, name) for name in values} == values


OTHERS: dict[str, Any] = {
    "filled": frozenset({"fax"}),
    "known": {"Title": "efgh"},
    "state": "dropped",
    "sent_key": '["006", 8, "Buyer"]',
}
MOVES = [each.name for each in fields(Record) if each.name not in {"object", "record_id"}]


@pytest.mark.parametrize("name", MOVES)
async def test_whatever_has_changed_of_a_known_record_is_written(tmp_path: Path, name: str) -> None:
    store = await Store.open(tmp_path / "store.db")
    await store.submit(lambda tx: tx.run("put_record", *record_row(WHOLE)))
    value = getattr(WHOLE, name)
    moved = replace(WHOLE, **{name: OTHERS.get(name, value + 1 if isinstance(value, int) else f"other {name}")})
    await store.submit(lambda tx: put_changed(tx, {WHOLE.key: moved}, {WHOLE.key: standing(WHOLE)}))
    found = (await store.submit(lambda tx: waits.records(tx, [WHOLE.key])))[WHOLE.key]
    await store.close()
    assert {name: getattr(found, name) for name in ("key", *MOVES)} == {name: getattr(moved, name) for name in ("key", *MOVES)}
