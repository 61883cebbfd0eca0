"""How changes become one piece of work, and which of them are news."""

from __future__ import annotations

from typing import Any

import pytest

from store.digests import digests
from store.merge import Verdict, doubt_fields, learn, merge, pending_of, reduced, settle_read, verdict
from store.model import Change, Pending, Record
from tests.store.outbox_steps import ACCOUNT, CONTACT, NOON, SECOND, event, gone, row, whole

NOON_S = NOON // SECOND


def upsert(fields: dict[str, Any], **also: Any) -> Pending:
    return Pending(fields=fields, **also)


MERGES = [
    pytest.param(upsert({"A": 1, "B": 1}), upsert({"B": 2, "C": 2}), upsert({"A": 1, "B": 2, "C": 2}), id="latest wins"),
    pytest.param(upsert({"A": 1}), upsert({"A": None}), upsert({"A": None}), id="a clear is a change"),
    pytest.param(upsert({"A": None}), upsert({"A": 2}), upsert({"A": 2}), id="filled again"),
    pytest.param(
        upsert({"A": 1, "B": 1}, whole=True),
        upsert({"B": None}),
        upsert({"A": 1, "B": None}, whole=True),
        id="whole and a change",
    ),
    pytest.param(upsert({"A": 1}, read="gap"), upsert({"B": 2}), upsert({"A": 1, "B": 2}, read="gap"), id="still to be read"),
    pytest.param(upsert({"A": 1}), upsert({}, read="gap"), upsert({"A": 1}, read="gap"), id="a gap after a change"),
    pytest.param(
        upsert({"A": 1, "B": None, "C": None}, read="gap"),
        upsert({"C": 3}, whole=True),
        upsert({"B": None, "C": 3}, whole=True),
        id="a whole record replaces, but a clear stays said",
    ),
    pytest.param(upsert({"A": 1}), Pending(kind="delete"), Pending(kind="delete"), id="a delete supersedes"),
    pytest.param(upsert({}, read="gap"), Pending(kind="delete"), Pending(kind="delete"), id="nothing is read of what is gone"),
    pytest.param(
        Pending(kind="delete"), upsert({"A": 1}), upsert({"A": 1}, read="changed after it was deleted"), id="back, in part"
    ),
    pytest.param(Pending(kind="delete"), upsert({"A": 1}, whole=True), upsert({"A": 1}, whole=True), id="back, whole"),
    pytest.param(Pending(kind="delete"), upsert({}, read="undeleted"), upsert({}, read="undeleted"), id="undeleted"),
]


@pytest.mark.parametrize(("older", "newer", "both"), MERGES)
def test_two_changes_become_one(older: Pending, newer: Pending, both: Pending) -> None:
    assert merge(older, newer) == both


@pytest.mark.parametrize(("older", "newer", "first"), [(7, 9, 7), (0, 9, 9), (7, 0, 7), (0, 0, 0)])
@pytest.mark.parametrize("kind", ["upsert", "delete"])
def test_the_oldest_commit_is_kept_for_freshness(older: int, newer: int, first: int, kind: Any) -> None:
    assert merge(Pending(first_commit_ms=older), Pending(kind=kind, first_commit_ms=newer)).first_commit_ms == first


KNOWN = Record("Account", ACCOUNT, state="synced", commit_ms=NOON, transaction="last", sequence=3)
READ = Record("Account", ACCOUNT, state="synced", read_s=NOON_S, known=digests({"Name": "Acme"}))

VERDICTS = [
    pytest.param(Record("Account", ACCOUNT), event("Account", ACCOUNT), "apply", id="never seen"),
    pytest.param(KNOWN, event("Account", ACCOUNT, transaction="last", sequence=3), "drop", id="the same event"),
    pytest.param(KNOWN, event("Account", ACCOUNT, transaction="last", sequence=1), "drop", id="earlier in the same transaction"),
    pytest.param(KNOWN, event("Account", ACCOUNT, transaction="last", sequence=4), "apply", id="later in the same transaction"),
    pytest.param(KNOWN, event("Account", ACCOUNT, commit_ms=NOON + 1), "apply", id="newer"),
    pytest.param(KNOWN, event("Account", ACCOUNT, commit_ms=NOON - 1), "read", id="out of order"),
    pytest.param(KNOWN, gone("Account", ACCOUNT, commit_ms=NOON - 1), "read", id="a delete out of order"),
    pytest.param(KNOWN, Change("Account", ACCOUNT, read="asked"), "apply", id="a request to read"),
    pytest.param(READ, event("Account", ACCOUNT, commit_ms=NOON - 1), "drop", id="older than what was read"),
    pytest.param(READ, event("Account", ACCOUNT, commit_ms=NOON + 999), "read", id="in the second of the read"),
    pytest.param(READ, event("Account", ACCOUNT, commit_ms=NOON + 1000), "apply", id="after the read"),
    pytest.param(READ, gone("Account", ACCOUNT, commit_ms=NOON - 1), "read", id="deleted before it was read alive"),
    pytest.param(READ, gone("Account", ACCOUNT, commit_ms=NOON + 5), "read", id="deleted in the second of the read"),
    pytest.param(READ, gone("Account", ACCOUNT, commit_ms=NOON + 1000), "apply", id="deleted after the read"),
    pytest.param(READ, row("Account", ACCOUNT, NOON_S, {"Name": "Acme"}), "drop", id="the same row"),
    pytest.param(READ, row("Account", ACCOUNT, NOON_S, {"Name": "Other"}), "apply", id="another row of that second"),
    pytest.param(READ, row("Account", ACCOUNT, NOON_S - 1, {"Name": "Other"}), "drop", id="an older row"),
    pytest.param(READ, row("Account", ACCOUNT, NOON_S + 1, {"Name": "Acme"}), "drop", id="touched, and nothing of ours changed"),
    pytest.param(KNOWN, row("Account", ACCOUNT, NOON_S + 1, {"Name": "New"}), "apply", id="a row after the last event"),
    pytest.param(KNOWN, row("Account", ACCOUNT, NOON_S - 1, {"Name": "Old"}), "read", id="a row from before the last event"),
    pytest.param(KNOWN, row("Account", ACCOUNT, NOON_S, {"Name": "Old"}), "read", id="a row of the last event's second"),
]


@pytest.mark.parametrize(("record", "change", "judged"), VERDICTS)
def test_what_is_news(record: Record, change: Change, judged: Verdict) -> None:
    assert verdict(record, change) == judged


def test_what_one_event_tells_does_not_pass_for_all_that_is_known() -> None:
    """Another person's fields came with a merge; then a read that lacks some of them clears them, whatever was told meanwhile."""
    record = Record("Account", ACCOUNT, state="synced", known={}, filled=frozenset({"company", "mainPhone"}))
    update = event("Account", ACCOUNT, {"Website": "new"})
    learn(record, update)
    doubt_fields(record, upsert({"Website": "newer"}))
    read = row("Account", ACCOUNT, NOON_S, {"Name": "Acme", "Website": "new"})
    assert reduced(record, read).whole
    learn(record, read)
    learn(record, event("Account", ACCOUNT, {"Name": None}))
    assert record.known == digests({"Website": "new"})


def test_a_deleted_row_is_known_once() -> None:
    deleted = Change("Account", ACCOUNT, kind="delete", read_s=NOON_S)
    assert verdict(READ, deleted) == "apply"
    assert verdict(Record("Account", ACCOUNT, state="deleted"), deleted) == "drop"


def test_who_cannot_tell_what_is_newer_reads_and_takes_nothing_over() -> None:
    assert pending_of(gone("Account", ACCOUNT), "read") == Pending(read="events out of order", first_commit_ms=NOON)
    assert pending_of(whole("Account", ACCOUNT, {"Name": "Old"}), "read") == Pending(
        read="events out of order", first_commit_ms=NOON
    )


SNAPSHOT = Pending(fields={"A": "read"}, whole=True)
READS = [
    pytest.param(None, 0, Pending(fields={"A": "read", "B": None}, whole=True), id="nothing came meanwhile"),
    pytest.param(
        upsert({"A": "later"}),
        NOON + SECOND,
        Pending(fields={"A": "later", "B": None}, whole=True),
        id="a change after the stamp goes on top",
    ),
    pytest.param(
        upsert({"A": "perhaps older"}),
        NOON + 999,
        Pending(fields={"A": "read", "B": None}, whole=True, read="changed while it was read"),
        id="a change in the same second is read again",
    ),
    pytest.param(
        upsert({"A": "older"}),
        NOON - SECOND,
        Pending(fields={"A": "read", "B": None}, whole=True, read="changed while it was read"),
        id="a change from before too",
    ),
    pytest.param(Pending(kind="delete"), NOON - SECOND, Pending(kind="delete"), id="a delete is a delete"),
]


@pytest.mark.parametrize(("later", "later_first_ms", "settled"), READS)
def test_what_is_pending_after_a_read(later: Pending | None, later_first_ms: int, settled: Pending) -> None:
    asked = Pending(fields={"B": None, "C": 1}, read="gap")
    assert settle_read(asked, SNAPSHOT, later, later_first_ms, NOON_S) == settled


def test_contacts_and_accounts_are_judged_alike() -> None:
    assert verdict(Record("Contact", CONTACT, read_s=NOON_S), event("Contact", CONTACT, commit_ms=NOON - 1)) == "drop"
