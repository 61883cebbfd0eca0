"""Filters in SOQL's words: which records are synced, and what is said of a filter that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import ConfigError
from stream.filters import parse

KEY = "filters.User"


@pytest.mark.parametrize(
    ("text", "fields", "admitted"),
    [
        ("", {}, True),
        ("UserType = 'Standard'", {"UserType": "Standard"}, True),
        ("UserType = 'Standard'", {"UserType": "standard"}, True),
        ("UserType = 'Standard'", {"UserType": "Guest"}, False),
        ("UserType = 'Standard'", {}, False),
        ("UserType != 'Guest'", {}, True),
        ("UserType <> 'Guest'", {"UserType": "Guest"}, False),
        ("IsActive = true", {"IsActive": True}, True),
        ("IsActive=TRUE", {"IsActive": False}, False),
        ("Region__c = null", {}, True),
        ("Region__c != null", {"Region__c": "EU"}, True),
        ("Level__c = 3", {"Level__c": 3.0}, True),
        ("Level__c = -2.5", {"Level__c": -2.5}, True),
        ("Name = 'O\\'Hara'", {"Name": "O'Hara"}, True),
        ("Name = 'this AND that'", {"Name": "this and that"}, True),
        ("A__c = 1 and B__c = 'x' AND C__c = true", {"A__c": 1, "B__c": "x", "C__c": True}, True),
        ("A__c = 1 AND B__c = 'x'", {"A__c": 1, "B__c": "y"}, False),
        ("Region__c != 'EU'", {"Region__c": None}, True),
        ("Region__c = ''", {"Region__c": None}, True),
        ("Level__c > 3", {"Level__c": 3.5}, True),
        ("Level__c >= 3", {"Level__c": 3}, True),
        ("Level__c < 3", {}, False),
        ("Level__c < 3", {"Level__c": True}, False),
        ("Name >= 'b'", {"Name": "C"}, True),
        ("Born__c < 2000-01-01", {"Born__c": "1999-12-31"}, True),
        ("Born__c < 2000-01-01", {"Born__c": "2000-01-01"}, False),
        ("CreatedDate >= 2026-01-01T00:00:00Z", {"CreatedDate": "2026-01-01T01:00:00.000+0100"}, True),
        ("CreatedDate > 2026-01-01T00:00:00Z", {"CreatedDate": "2026-01-01T00:00:00.000Z"}, False),
        ("Status IN ('Open', 'Working')", {"Status": "open"}, True),
        ("Status NOT IN ('Open', 'Working')", {"Status": "Closed"}, True),
        ("Status not in ('Open')", {"Status": "OPEN"}, False),
        ("Status IN ('Open', null)", {}, True),
        ("Email LIKE '%@example.com'", {"Email": "a@EXAMPLE.com"}, True),
        ("Email LIKE 'a_@%'", {"Email": "abc@example.com"}, False),
        ("RecordTypeId = '012000000000001'", {"RecordTypeId": "012000000000001AAA"}, True),
    ],
)
def test_who_is_admitted(text: str, fields: dict[str, Any], admitted: bool) -> None:
    assert parse(text, KEY).admits(fields) is admitted


def test_a_filter_names_the_fields_it_needs() -> None:
    assert parse("UserType = 'Standard' AND IsActive = true", KEY).names == {"UserType", "IsActive"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("UserType", "UserType"),
        ("UserType = Standard", "UserType = Standard"),
        ("UserType = 'Standard", "UserType = 'Standard"),
        ("UserType > null", "UserType > null"),
        ("UserType LIKE 3", "UserType LIKE"),
        ("Account.Name = 'A'", r"Account\.Name"),
        ("Level__c IN ()", r"Level__c IN"),
        ("Born__c > 2026-13-01", "2026-13-01"),
        ("IsActive = true OR IsActive = false", "OR IsActive"),
        ("IsActive = true IsActive = false", "IsActive = false"),
        ("IsActive = true AND", "AND"),
        ("AND IsActive = true", "AND IsActive"),
        ("(IsActive = true)", r"\(IsActive"),
        ("IsActive = truest", "st"),
        ("Level__c = 3.", r"\."),
    ],
)
def test_what_is_no_filter_is_refused_with_its_key_and_what_was_found(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"{KEY}: found .*{found}") as refusal:
        parse(text, KEY)
    assert refusal.value.hint
