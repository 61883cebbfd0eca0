"""Salesforce's compound fields: nested in change events, flat everywhere else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

UNCLEAR: Final = object()
"""In place of the parts of a compound that came in no form that is known."""

_ADDRESS = (
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "StateCode",
    "CountryCode",
    "Latitude",
    "Longitude",
    "GeocodeAccuracy",
)
_NAME = ("Salutation", "FirstName", "MiddleName", "LastName", "Suffix", "InformalName")

PARTS: Mapping[str, Mapping[str, str]] = {
    "Name": {part: part for part in _NAME},
    "Address": {part: part for part in _ADDRESS},
    **{
        f"{kind}Address": {part: f"{kind}{part}" for part in _ADDRESS}
        for kind in ("Billing", "Shipping", "Mailing", "Other", "PersonMailing", "PersonOther")
    },
}
"""Compound field → its parts' short names in an event → their flat names."""

NAME_IS_TEXT = frozenset({"Account", "Opportunity", "OpportunityContactRole"})
"""Objects whose Name is a plain text (an Account's is a struct only where it is a person account)."""


def flat_names(name: str, obj: str) -> tuple[str, ...]:
    """The flat names behind a name in changedFields: `Name.FirstName` → FirstName, a whole compound → all its parts."""
    compound, dot, part = name.partition(".")
    if dot:
        return (PARTS.get(compound, {}).get(part, name),)
    if compound in PARTS and not (compound == "Name" and obj in NAME_IS_TEXT):
        return tuple(PARTS[compound].values())
    return (name,)


def flatten(payload: Mapping[str, Any], obj: str) -> dict[str, Any]:
    """The payload's fields under their flat names; a compound that is null, or unclear, is so in all its parts."""
    return dict(payload) if PARTS.keys().isdisjoint(payload) else dict(_flattened(payload, obj))


def _flattened(payload: Mapping[str, Any], obj: str) -> Iterator[tuple[str, Any]]:
    for name, value in payload.items():
        if name not in PARTS or (name == "Name" and obj in NAME_IS_TEXT and not isinstance(value, Mapping)):
            yield name, value
        elif isinstance(value, Mapping) and "diff" not in value:
            for part, inner in value.items():
                yield PARTS[name].get(part, f"{name}.{part}"), inner
        else:
            for flat in PARTS[name].values():
                yield flat, None if value is None else UNCLEAR
