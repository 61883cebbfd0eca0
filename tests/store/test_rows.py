"""A record comes out of the database as it went in, field by field."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from store import waits
from store.model import Record
from store.rows import record_row
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
