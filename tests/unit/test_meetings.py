"""Whose Marketo people become one when an email becomes another's."""

from __future__ import annotations

from store.model import Key, ObjectName, Record
from stream.delivery.meetings import MOST_MET, Meeting, meeting
from tests.store.outbox_steps import sf_id

CONTACT, OTHER = Record("Contact", sf_id("Contact", 1), "synced", "17"), Record("Contact", sf_id("Contact", 2), "synced", "18")
LEAD = Record("Lead", sf_id("Lead", 1), "synced", "19")
E, X = "e@example.com", "x@example.com"


def emails(*those: tuple[Record, str]) -> dict[Key, str]:
    return {record.key: email for record, email in those}


def test_the_first_by_rule_stays_whoever_gets_the_email() -> None:
    behind = {"17": [CONTACT], "19": [LEAD]}
    same = emails((CONTACT, E), (LEAD, E))
    assert meeting(LEAD, "19", ["17"], behind, same) == Meeting("17", ("19",))
    assert meeting(CONTACT, "17", ["19"], behind, same) == Meeting("17", ("19",))


def test_nothing_is_merged_that_salesforce_does_not_call_one_now() -> None:
    behind = {"17": [CONTACT], "19": [LEAD]}
    for told in (emails((CONTACT, X), (LEAD, E)), emails((CONTACT, E), (LEAD, X)), emails((LEAD, E)), emails((CONTACT, E)), {}):
        assert meeting(LEAD, "19", ["17"], behind, told) is None


def test_a_marketo_person_behind_whom_nobody_stands_is_left() -> None:
    assert meeting(LEAD, "19", ["20"], {"19": [LEAD]}, emails((LEAD, E))) is None


def test_who_does_not_carry_its_person_leaves_it_instead() -> None:
    behind = {"17": [CONTACT, LEAD], "18": [OTHER]}
    assert meeting(LEAD, "17", ["18"], behind, emails((LEAD, E), (OTHER, E), (CONTACT, X))) is None


def test_the_first_behind_the_other_must_have_the_email_and_not_only_one_who_shares_with_it() -> None:
    behind = {"17": [CONTACT, LEAD], "18": [OTHER]}
    assert meeting(OTHER, "18", ["17"], behind, emails((OTHER, E), (LEAD, E), (CONTACT, X))) is None


def test_no_more_than_marketo_merges_in_one_call() -> None:
    kind: ObjectName = "Lead"
    others = {str(100 + n): [Record(kind, sf_id(kind, n + 10), "synced", str(100 + n))] for n in range(30)}
    told = {CONTACT.key: E, **{records[0].key: E for records in others.values()}}
    met = meeting(CONTACT, "17", list(others), {"17": [CONTACT], **others}, told)
    assert met is not None
    assert (met.winner, len(met.losers)) == ("17", MOST_MET)
