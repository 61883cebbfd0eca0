"""Whether what comes of a Salesforce field can be taken by the Marketo field it is mapped to, by both sides' describes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from stream.conversions import FieldRule, is_constant
from stream.mapping import DECIMAL, NUMERIC, ObjectMapping, Target, ValueRefusedError, convert

Family = Literal["number", "boolean", "date", "text"]


class SourceField(Protocol):
    """What has to be known of a field in Salesforce's describe."""

    @property
    def name(self) -> str:
        """Its API name."""
        ...

    @property
    def type(self) -> str:
        """Salesforce's type of it."""
        ...


def clash(source: SourceField, target: Target) -> str:
    """Why no value of the Salesforce field would be taken by the Marketo one; "" where it would."""
    kind, wrong = (target.rule or FieldRule(target.name)).kind(source.name, source.type)
    if wrong:
        return f"{source.name}: {wrong}"
    into = family(target.data_type)
    fits = {"date": kind in {"date", "datetime"}, "text": kind != "parts"}.get(into, kind == into)
    if fits:
        return ""
    told = f"{source.name} ({source.type}) into {target.name} ({target.data_type})"
    cure = {"number": "number", "boolean": "boolean", "date": target.data_type}.get(into, "")
    return told + (f': convert = "{cure}" makes it one' if kind == "text" and cure else "")


def clashes(mapping: ObjectMapping, fields: Mapping[str, SourceField]) -> dict[str, str]:
    """Salesforce field (or constant) → why it does not go into its target, for those of the mapping that do not."""
    found: dict[str, str] = {}
    for source, target in mapping.targets.items():
        if is_constant(source):
            told = _constant(source, target)
        elif source in fields:
            told = clash(fields[source], target)
        else:
            continue
        if told:
            found[source] = told
    return found


def _constant(source: str, target: Target) -> str:
    try:
        convert(source[1:], target)
    except ValueRefusedError as error:
        return f"{source} into {target.name} ({target.data_type}): {error}"
    return ""


def family(data_type: str) -> Family:
    """What kind of values a Marketo field of this type takes."""
    if data_type in NUMERIC or data_type in DECIMAL:
        return "number"
    kinds: Mapping[str, Family] = {"boolean": "boolean", "date": "date", "datetime": "date"}
    return kinds.get(data_type, "text")
