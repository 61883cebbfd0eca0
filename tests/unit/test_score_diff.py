"""Marketo's seven values in Salesforce's types, and when they count as changed (facts: Adobe's table of MSI fields)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from stream.score_diff import (
    MSI_FIELDS,
    ScoreField,
    current,
    difference,
    is_illegible,
    marketo_names,
    salesforce_names,
    score_fields,
    typed,
)


@dataclass(frozen=True)
class Described:
    """A field in Salesforce's describe."""

    name: str
    type: str = "double"
    length: int = 0
    scale: int = 0
    updateable: bool = True


def field(kind: str, length: int = 0, scale: int = 0) -> ScoreField:
    return ScoreField("m", "s", kind, length, scale)


@pytest.mark.parametrize(
    ("value", "score", "kept"),
    [
        ("12", field("double"), 12.0),
        (2.5, field("double"), 3.0),
        (-2.5, field("double"), -3.0),
        (12.345, field("double", scale=2), 12.35),
        (-0.0, field("double"), 0.0),
        ("", field("double"), None),
        ("much", field("double"), None),
        ("NaN", field("double"), None),
        ("Infinity", field("double"), None),
        ("1e30", field("double"), None),
        ("2026-01-31T04:00:00-08:00", field("datetime"), "2026-01-31T12:00:00.000+0000"),
        ("2026-01-31T12:00:00Z", field("datetime"), "2026-01-31T12:00:00.000+0000"),
        ("2026-01-31T12:00:00.999+0000", field("datetime"), "2026-01-31T12:00:00.000+0000"),
        ("2026-01-31", field("datetime"), "2026-01-31T00:00:00.000+0000"),
        ("2026-01-31T23:00:00-08:00", field("date"), "2026-02-01"),
        ("0001-01-01T00:00:00+14:00", field("datetime"), None),
        ("once", field("datetime"), None),
        ("  Visited \r\n pricing  ", field("textarea", 255), "Visited \n pricing"),
        ("x" * 300, field("textarea", 255), "x" * 255),
        ("🙂🙂🙂", field("string", 5), "🙂🙂"),
        ("cut \ud83d", field("string", 100), "cut"),
        ("   ", field("string", 100), None),
        ("ab   cd", field("string", 4), "ab"),
        (None, field("string", 100), None),
        ({"a": 1}, field("string", 100), None),
        (["a"], field("textarea", 100), None),
    ],
)
def test_a_value_is_brought_into_the_form_salesforce_keeps(value: Any, score: ScoreField, kept: Any) -> None:
    assert typed(value, score) == kept


def test_what_salesforce_does_to_a_value_is_no_change() -> None:
    fields = [ScoreField("d", "Desc", "textarea", 10, 0), ScoreField("p", "Priority", "double", 0, 0)]
    written = current({"d": " a very long text ", "p": "12.4"}, fields)
    assert difference(current({"d": "a very lon", "p": 12}, fields), written) == {}
    assert difference(current({"d": "a very", "p": 12}, fields), written) == {"Desc": "a very"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", "much"),
        ("double", "NaN"),
        ("double", "1e30"),
        ("double", True),
        ("double", {"a": 1}),
        ("datetime", "once"),
        ("datetime", 12),
        ("string", ["a"]),
        ("string", "\ud83d"),
    ],
)
def test_what_the_field_cannot_hold_leaves_it_as_it_is(kind: str, value: Any) -> None:
    fields = [ScoreField("m", "Score", kind, 100, 0), ScoreField("other", "Other", "string", 100, 0)]
    assert is_illegible(value, fields[0])
    now = current({"m": value, "other": "new"}, fields)
    assert difference(now, {"Score": 3.0, "Other": "old"}) == {"Other": "new"}


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_what_marketo_has_emptied_is_emptied_and_what_it_does_not_tell_of_is_not(nothing: Any) -> None:
    fields = [ScoreField("m", "Score", "double", 0, 0), ScoreField("untold", "Other", "string", 100, 0)]
    assert not is_illegible(nothing, fields[0])
    assert difference(current({"m": nothing}, fields), {"Score": 3.0, "Other": "old"}) == {"Score": None}


def test_an_empty_value_is_written_only_over_one() -> None:
    assert difference({"A": None, "B": 1.0}, None) == {"B": 1.0}
    assert difference({"A": None, "B": 1.0}, {"A": "x", "B": 1.0}) == {"A": None}


@pytest.mark.parametrize(
    ("spelled", "setting"), [("relativeScore", ""), ("relativeScoring", ""), ("RelativeScoring", ""), ("starScore", "starscore")]
)
def test_the_relative_score_is_found_as_the_instance_spells_it(spelled: str, setting: str) -> None:
    assert marketo_names({spelled: 1, "Priority": 1, "other": 1}, setting) == {"priority": "Priority", "relativeScore": spelled}


def test_a_setting_that_names_no_field_finds_none() -> None:
    assert marketo_names({"relativeScore": 1}, "elsewhere") == {}


def test_only_what_both_sides_have_and_we_may_write_is_written() -> None:
    prefix = "mkto_si__"
    describe = {
        "mkto_si__Priority__c": Described("mkto_si__Priority__c"),
        "mkto_si__Urgency_Value__c": Described("mkto_si__Urgency_Value__c", updateable=False),
        "Relative_Score_Value__c": Described("Relative_Score_Value__c"),
    }
    names = {"priority": "priority", "relativeUrgency": "relativeUrgency", "relativeScore": "relativeScoring"}
    assert [each.salesforce for each in score_fields(names, describe, prefix)] == ["mkto_si__Priority__c"]
    assert [each.marketo for each in score_fields(names, describe, "")] == ["relativeScoring"]


def test_the_seven_fields_carry_the_namespace() -> None:
    assert len(salesforce_names("mkto_si__")) == len(MSI_FIELDS) == 7
    assert "mkto_si__Last_Interesting_Moment_Desc__c" in salesforce_names("mkto_si__")
    assert "Priority__c" in salesforce_names("")
