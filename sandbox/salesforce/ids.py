"""Salesforce record ids: 15 characters that tell case apart, or 18 with a suffix that a case-blind system can check."""

from __future__ import annotations

import re

SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "User": "005",
    "Opportunity": "006",
    "OpportunityContactRole": "00K",
    "Lead": "00Q",
    "Group": "00G",
}
OVERFLOW_ID = "000000000000000AAA"


def id_suffix(id15: str) -> str:
    """The three check characters of a 15-character id: in each group of five, bit i is set for a capital letter."""
    groups = (id15[0:5], id15[5:10], id15[10:15])
    return "".join(SUFFIX_ALPHABET[sum(1 << i for i, c in enumerate(group) if "A" <= c <= "Z")] for group in groups)


def id18(text: str) -> str | None:
    """The 18-character form of an id given with 15 or 18 characters, or None when it is no id at all."""
    if not re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", text):
        return None
    whole = text[:15] + id_suffix(text[:15])
    if len(text) == 18 and text[15:].upper() != whole[15:]:
        return None
    return whole


def mint_id(prefix: str, number: int, pod: str = "5g0000") -> str:
    """The `number`th id of an object: prefix, the org's own characters, and a counter in base 62."""
    counter = ""
    for _ in range(15 - len(prefix) - len(pod)):
        number, digit = divmod(number, 62)
        counter = DIGITS[digit] + counter
    id15 = prefix + pod + counter
    return id15 + id_suffix(id15)
