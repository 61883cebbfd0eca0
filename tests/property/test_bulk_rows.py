"""Rows of a bulk query: any value survives its way through CSV, in whatever pieces it comes, and a part never looks whole."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.salesforce.bulk_csv import text_of, write_row
from sandbox.salesforce.values import Value, rest_value
from stream.salesforce.bulk_rows import RowCutter, RowTyper, Torn
from stream.salesforce.rest_answers import FieldDescribe, ObjectDescribe

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ['"', '""', "\n", "\r\n", "\r", ",", '",\n"', "'", "\u2028", "\x0b\x0c\x1c", "\ufeff", "é"]
)
TABLE = st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(TEXT, min_size=width, max_size=width), max_size=6))
SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=20)
MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(4000, 1, 1)).map(  # noqa: DTZ001 - the zone follows
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(10**9), 10**9),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "currency": st.decimals(-(10**15), 10**15, places=2).map(float),
    "datetime": MOMENTS,
    "date": MOMENTS.map(lambda moment: moment.date()),
    "textarea": TEXT.filter(bool),
}


def cut(text: bytes, sizes: list[int]) -> list[list[str]]:
    """The rows of a text that comes in pieces of these sizes, over and over."""
    found: list[list[str]] = []
    cutter, at, turn = RowCutter(), 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += cutter.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    cutter.close()
    return found


@given(TABLE, SIZES, st.sampled_from(["\n", "\r\n"]))
def test_rows_survive_in_whatever_pieces_they_come(table: list[list[str]], sizes: list[int], ending: str) -> None:
    text = "".join(write_row(row, ",", ending) for row in table)
    assert cut(text.encode(), sizes) == table


@given(TABLE)
def test_rows_of_pythons_own_writer_survive_too(table: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    assert cut(out.getvalue().encode(), [3]) == table


@given(TABLE.filter(bool), st.data())
def test_a_part_is_torn_or_has_fewer_rows(table: list[list[str]], data: st.DataObject) -> None:
    text = "".join(write_row(row) for row in table).encode()
    length = data.draw(st.integers(0, len(text) - 1))
    try:
        found = cut(text[:length], [5])
    except Torn:
        return
    assert found == table[: len(found)]
    assert len(found) < len(table)


@given(st.binary(max_size=200), SIZES)
def test_no_bytes_whatever_bring_it_down(noise: bytes, sizes: list[int]) -> None:
    try:
        cut(noise, sizes)
    except Torn:
        return


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_a_value_is_what_rest_would_have_given(kind: str, data: st.DataObject) -> None:
    value: Value = data.draw(VALUES[kind])
    describe = ObjectDescribe("Thing__c", {"X__c": FieldDescribe("X__c", kind, 0, 0, 0, updateable=False)})
    [header, row] = cut((write_row(["x__c"]) + write_row([value])).encode(), [4])
    typed = RowTyper(header, describe).row(row)["X__c"]
    assert typed == rest_value(value)
    assert type(typed) is type(rest_value(value))


def test_nothing_is_none_in_every_type() -> None:
    kinds = {f"{kind}__c": FieldDescribe(f"{kind}__c", kind, 0, 0, 0, updateable=False) for kind in VALUES}
    row = RowTyper(list(kinds), ObjectDescribe("Thing__c", kinds)).row([text_of(None)] * len(kinds))
    assert set(row.values()) == {None}


def test_padding_with_nuls_is_no_content() -> None:
    assert cut(b'"a"\0,"b\0c"\n\0\0', [2]) == [["a", "bc"]]


def test_a_row_longer_than_any_record_is_not_collected_for_ever() -> None:
    endless = [b"x" * 99_998 for _ in range(100)]
    for first in (b'"', b'"\n'):
        with pytest.raises(Torn, match="longer"):
            cut(first + b"\n".join(endless), [1 << 16])
