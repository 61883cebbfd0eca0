"""Salesforce ids: 15 case-sensitive characters, or 18 with a checksum that makes them safe where case is ignored.

Source: Salesforce, "ID Field Type". Marketo's external ids are always the 18-character form.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping

from store.model import ObjectName

_CAPITALS = {ord(sign): "1" if sign.isupper() else "0" for sign in string.ascii_letters + string.digits}
_SUFFIX = {f"{number:05b}"[::-1]: sign for number, sign in enumerate(string.ascii_uppercase + "012345")}
"""Which of five characters are capitals, the first one first → the character that says so."""

_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")

QUEUE = "00G"
USER = "005"
PREFIX: Mapping[ObjectName, str] = {
    "User": USER,
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "Opportunity": "006",
    "OpportunityContactRole": "00K",
}
"""The first three characters of each object's ids, the same in every org."""


def widen(record_id: str) -> str:
    """The 18-character form of an id; ValueError where it is none, or where its checksum says it was mistyped."""
    if not _SHAPE.fullmatch(record_id):
        raise ValueError(f"expected a Salesforce id of 15 or 18 letters and digits, found {record_id[:24]!r}")
    marks = record_id[:15].translate(_CAPITALS)
    wide = record_id[:15] + _SUFFIX[marks[:5]] + _SUFFIX[marks[5:10]] + _SUFFIX[marks[10:]]
    if len(record_id) == 18 and record_id[15:].upper() != wide[15:]:
        raise ValueError(f"the Salesforce id {record_id} has the ending {record_id[15:]}, expected {wide[15:]}: mistyped or cut")
    return wide


def is_user(record_id: str) -> bool:
    """Whether the id is a user's; an owner may also be a queue."""
    return record_id.startswith(USER)


def id_of(obj: ObjectName, value: object) -> str:
    """The wide id of a record of this object; ValueError, which tells nothing of the value, where it is none."""
    try:
        wide = widen(value) if isinstance(value, str) else ""
    except ValueError:
        wide = ""
    if wide[:3] != PREFIX[obj]:
        raise ValueError(f"expected a Salesforce id of 15 or 18 letters and digits that begins with {PREFIX[obj]}")
    return wide
