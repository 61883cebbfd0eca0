"""What a field's own rule makes of a value, and whether that fits what both sides describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from stream.conversions import ConversionError, FieldRule
from stream.fitting import clash, clashes
from stream.mapping import ObjectMapping, SourceFields, Target, ValueRefusedError, convert, source_fields, wanted


@pytest.mark.parametrize(
    ("rule", "value", "made"),
    [
        ({}, "x", "x"),
        ({"convert": ("trim", "upper")}, " ab ", "AB"),
        ({"convert": ("lower",)}, "AB", "ab"),
        ({"convert": ("trim",)}, "  ", None),
        ({"convert": ("text",)}, 5.0, "5"),
        ({"convert": ("text",)}, True, "true"),
        ({"convert": ("number",)}, "5.5", 5.5),
        ({"convert": ("number",)}, True, 1.0),
        ({"convert": ("boolean",)}, "Yes", True),
        ({"convert": ("boolean",)}, 0.0, False),
        ({"convert": ("date",)}, "2026-01-31T12:00:00.000+0000", "2026-01-31"),
        ({"convert": ("datetime",)}, "2026-01-31", "2026-01-31T00:00:00Z"),
        ({"choices": {"Hot": "A"}}, "Hot", "A"),
        ({"choices": {"Hot": "A"}}, "Cold", "Cold"),
        ({"choices": {"Hot": "A"}, "otherwise": "C"}, "Cold", "C"),
        ({"choices": {"true": 1, "false": 0}}, True, 1),
        ({"choices": {"5": "five"}}, 5.0, "five"),
        ({"join": ", "}, "a;b;c", "a, b, c"),
        ({"length": 3}, "abcdef", "abc"),
        ({"convert": ("upper",), "choices": {"A": "B"}}, None, None),
    ],
)
def test_what_a_rule_makes_of_a_value(rule: dict[str, Any], value: Any, made: Any) -> None:
    assert FieldRule("x", **rule).apply(value) == made


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"convert": ("number",)}, "many"),
        ({"convert": ("boolean",)}, "perhaps"),
        ({"convert": ("date",)}, "soon"),
        ({"length": 3, "too_long": "refuse"}, "secret"),
    ],
)
def test_what_cannot_be_made_is_refused_without_its_value(rule: dict[str, Any], value: str) -> None:
    with pytest.raises(ConversionError) as refused:
        FieldRule("x", **rule).apply(value)
    assert value not in str(refused.value)
    with pytest.raises(ValueRefusedError, match="x: "):
        convert(value, Target("x", "string", 255, FieldRule("x", **rule)))


@dataclass(frozen=True)
class Described:
    name: str
    type: str


@pytest.mark.parametrize(
    ("salesforce", "marketo", "rule", "told"),
    [
        ("string", "string", {}, ""),
        ("string", "integer", {}, 'convert = "number" makes it one'),
        ("string", "integer", {"convert": ("number",)}, ""),
        ("picklist", "boolean", {"choices": {"Hot": True, "Cold": False}}, ""),
        ("picklist", "boolean", {"choices": {"Hot": "yes"}}, "into"),
        ("double", "string", {"convert": ("upper",)}, "convert upper takes no number"),
        ("double", "string", {"convert": ("text", "upper")}, ""),
        ("datetime", "date", {}, ""),
        ("date", "string", {"choices": {"a": "b"}}, "map takes no date"),
        ("double", "integer", {"length": 3}, "length takes texts only"),
        ("address", "string", {}, "into"),
        ("boolean", "integer", {}, "into"),
    ],
)
def test_whether_a_field_fits(salesforce: str, marketo: str, rule: dict[str, Any], told: str) -> None:
    found = clash(Described("A__c", salesforce), Target("a", marketo, 255, FieldRule("a", **rule)))
    assert (told in found) if told else found == ""


def test_a_constant_must_fit_too() -> None:
    mapping = ObjectMapping({"=many": Target("count", "integer", 255), "=3": Target("level", "integer", 255)}, frozenset())
    assert list(clashes(mapping, {})) == ["=many"]


def test_constants_are_fields_of_every_record() -> None:
    fields = SourceFields({"Lead": source_fields("Lead", wanted("Lead", {"=Web": "source"}))})
    assert fields.constants("Lead") == {"=Web": "Web"}


def test_an_own_field_takes_the_place_of_the_built_in_one() -> None:
    fields = wanted("Contact", {"Nickname__c": "firstName", "Fax": ""})
    assert [source for source, to in fields.items() if to == "firstName"] == ["Nickname__c"]
    assert "Fax" not in fields
