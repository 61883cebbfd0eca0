"""No value becomes syntax, no query grows too long for a URI."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from stream.salesforce.soql import (
    MOST_URI_BYTES,
    check_id,
    check_name,
    date_literal,
    datetime_literal,
    in_chunks,
    in_list,
    quote,
    select,
    uri_bytes,
)

ID = "003000000000001AAA"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", "'plain'"),
        ("O'Brien", r"'O\'Brien'"),
        ("a\\' OR Name != '", r"'a\\\' OR Name != \''"),
        ("two\nlines\r\t", r"'two\nlines\r\t'"),
        ("Zoë 😀", "'Zoë 😀'"),
    ],
)
def test_a_text_stays_inside_its_quotes(text: str, literal: str) -> None:
    assert quote(text) == literal


def test_moments_are_written_in_utc() -> None:
    zone = timezone(timedelta(hours=-8))
    assert datetime_literal(datetime(2026, 3, 1, 16, 30, 5, 123999, zone)) == "2026-03-02T00:30:05.123Z"
    assert datetime_literal(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000Z"
    assert date_literal(date(2026, 3, 1)) == "2026-03-01"
    with pytest.raises(ValueError, match="time zone"):
        datetime_literal(datetime(2026, 3, 1))  # noqa: DTZ001 - the refusal is what is tested


@pytest.mark.parametrize(
    "value", ["", "003", "003000000000001AA", "003000000000001AAA'", "003000000000001AAA\n", "00300000000000é"]
)
def test_what_is_no_id_never_reaches_a_query(value: str) -> None:
    with pytest.raises(ValueError, match="no Salesforce id"):
        check_id(value)
    with pytest.raises(ValueError, match="no Salesforce id"):
        in_list("Id", [value])


@pytest.mark.parametrize("name", ["", "1st", "Name, (SELECT Id FROM Cases)", "Name\n", "Owner..Name", "Näme"])
def test_what_is_no_name_never_reaches_a_query(name: str) -> None:
    with pytest.raises(ValueError, match="no name in Salesforce"):
        check_name(name)


def test_a_select_is_put_together() -> None:
    text = select(["Id", "Owner.Name", "mkto_si__Priority__c"], "Lead", in_list("Id", [ID, ID[:15]]), "SystemModstamp, Id")
    head, condition = text.split(" WHERE ")
    assert head == "SELECT Id,Owner.Name,mkto_si__Priority__c FROM Lead"
    assert condition == f"Id IN ('{ID}','{ID[:15]}') ORDER BY SystemModstamp, Id"
    assert select(["Id"], "Lead") == "SELECT Id FROM Lead"


@pytest.mark.parametrize("count", [0, 1, 444, 445, 5000])
def test_every_id_is_in_one_query_that_fits_a_uri(count: int) -> None:
    ids = [f"003{number:012d}AAA" for number in range(count)]
    beside = select(["Id", "Email"], "Contact", "SystemModstamp > 2026-03-01T00:00:00.000Z AND Id IN ()")
    chunks = list(in_chunks(ids, beside=beside))
    assert [one for chunk in chunks for one in chunk] == ids
    for chunk in chunks:
        assert uri_bytes(
            select(["Id", "Email"], "Contact", f"SystemModstamp > 2026-03-01T00:00:00.000Z AND {in_list('Id', chunk)}")
        ) <= (MOST_URI_BYTES)


def test_a_query_without_room_for_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        list(in_chunks([ID], beside="x" * MOST_URI_BYTES))
