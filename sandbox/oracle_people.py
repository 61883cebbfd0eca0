"""Which Salesforce people are one Marketo person, and which of them it belongs to.

A contact goes before a lead, then the older CreatedDate, then the lower id. A converted lead is its contact, and a record that
was merged away is whatever it was merged into. Those who get one email later are one
too, unless people are not to be merged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sandbox.oracle_rules import Org, Row, Rules, moment

KINDS = ("Contact", "Lead")


@dataclass(frozen=True, slots=True)
class Person:
    """One person as Marketo should have it: `carrier` gives the id and the fields, `others` share it."""

    kind: str
    carrier: Row
    others: tuple[tuple[str, Row], ...] = ()

    def everyone(self) -> Iterator[tuple[str, Row]]:
        """All Salesforce records behind this person, the carrier first: (object, record)."""
        yield self.kind, self.carrier
        yield from self.others


@dataclass(slots=True)
class People:
    """All people of an org. `of` finds a person by the id of any record behind it; `moved` tells whose id an old id became.

    `converted` are the leads that lived on as contacts which are gone.
    """

    persons: list[Person] = field(default_factory=list)
    of: dict[str, Person] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    converted: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)


def gather(org: Org, rules: Rules, apart: Collection[str] = ()) -> People:
    """Sort an org's contacts and leads into people. `apart`: ids of those who are people of their own, whatever their emails."""
    people = People()
    living: list[tuple[str, Row]] = []
    contacts: dict[str, str] = {}
    for kind in KINDS:
        for row in org.records(kind, deleted=True):
            people.known.add(row["Id"])
            if row.get("IsDeleted"):
                people.deleted[row["Id"]] = kind
                if row.get("MasterRecordId"):
                    people.moved[row["Id"]] = row["MasterRecordId"]
            elif row.get("IsConverted"):
                people.moved[row["Id"]] = row.get("ConvertedContactId") or ""
                contacts[row["Id"]] = row.get("ConvertedContactId") or ""
            elif rules.admits(kind, row):
                living.append((kind, row))
    people.converted = {lead for lead, contact in contacts.items() if contact in people.deleted}
    people.moved = {record_id: _final(record_id, people.moved) for record_id in people.moved}
    for group in _groups(living, rules, apart):
        first, *rest = sorted(group, key=_rank)
        person = Person(first[0], first[1], tuple(rest))
        people.persons.append(person)
        people.of.update({row["Id"]: person for _, row in group})
    return people


def _groups(living: list[tuple[str, Row]], rules: Rules, apart: Collection[str]) -> list[list[tuple[str, Row]]]:
    groups: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    first: set[str] = set()
    for kind, row in sorted(living, key=_rank):
        email = str(row.get("Email") or "").strip().casefold()
        shares = rules.shared_email == "share" and email and row["Id"] not in rules.excused
        alone = row["Id"] in apart and email in first
        first |= {email} if row["Id"] in apart else set()
        groups[email if shares and not alone else row["Id"]].append((kind, row))
    return list(groups.values())


def _rank(one: tuple[str, Row]) -> tuple[int, int, str]:
    kind, row = one
    return KINDS.index(kind), moment(row["CreatedDate"]), row["Id"]


def _final(record_id: str, moved: dict[str, str]) -> str:
    """Where a chain of merges and conversions ends."""
    seen = {record_id}
    while moved.get(record_id) and moved[record_id] not in seen:
        record_id = moved[record_id]
        seen.add(record_id)
    return record_id
