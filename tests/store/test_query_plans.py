"""No query may read a whole table that grows with the org: each one's plan is looked at, on the schema as it is."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from store.sql import QUERIES, migrations

WHOLE_TABLE = re.compile(r"SCAN (?!k\b|o\b|f\b|n\b|r\b|json_each\b)(?P<table>\w+)(?P<how>.*)")

SCANS = {
    "in_flight": "SCAN entry USING INDEX entry_in_flight",
    "deletes_in_flight": "SCAN entry USING INDEX entry_going",
    "parents_in_flight": "SCAN e USING INDEX entry_in_flight",
    "count_dead": "SCAN entry USING INDEX entry_dead",
    "put_score": "SCAN CONSTANT ROW",
    "newest_entry": "SCAN sqlite_sequence",  # a row for each table that numbers so
    "dead_letters": "SCAN e USING INDEX entry_dead",
    "count_people": "SCAN record USING COVERING INDEX record_marketo",  # once in a while, over people only
    "count_loaded": "SCAN entry USING INDEX entry_loaded",
    "all_coverage": "SCAN coverage",  # a few intervals an object
    "lift": "SCAN a",  # the recursion's own rows
    "all_replays": "SCAN replay",  # one row a channel
    "backlog": "SCAN entry USING COVERING INDEX",  # counts what is open, and that is what it reads
    "count_blocked": "SCAN wait",  # counts what waits, and that is what it reads
    "blocked": "SCAN w USING",  # likewise
    "story": "SCAN l",  # the lines found so far, at most fifty
    "shorten_stories": "SCAN l",  # likewise, of a few records
    "forget_old_lines": "SCAN history",  # the first thousand, in their order
    "shift_entries": "SCAN entry",  # once, when somebody has set the clock
    "shift_replays": "SCAN replay",  # likewise
}
"""What else may be read from end to end, and how."""

SMALL = ("USING INDEX entry_in_flight", "USING INDEX entry_dead")
"""Partial indexes that hold little else than the answer."""

INDEXES = {
    "records_by_key": "PRIMARY KEY (object=? AND record_id=?)",
    "place_records": "PRIMARY KEY (object=? AND record_id=?)",
    "entries_by_key": "sqlite_autoindex_entry_1 (object=? AND record_id=? AND flow=?)",
    "entries_by_id": "INTEGER PRIMARY KEY",
    "known_among": "PRIMARY KEY (object=? AND record_id=?)",
    "put_their_waits": "sqlite_autoindex_entry_1 (object=? AND record_id=? AND flow=?)",
    "entries_of": "sqlite_autoindex_entry_1 (object=? AND record_id=?)",
    "entries_after": "sqlite_autoindex_entry_1 (object=? AND record_id>?)",
    "waits_of": "PRIMARY KEY (entry_id=?)",
    "accept_as": "PRIMARY KEY (object=? AND record_id=?)",
    "delete_entries": "INTEGER PRIMARY KEY",
    "delete_waits": "PRIMARY KEY (entry_id=?)",
    "count_waits": "PRIMARY KEY (entry_id=?)",
    "waiting_for": "wait_parent (parent_object=? AND parent_id=?)",
    "release_waits": "wait_parent (parent_object=? AND parent_id=?)",
    "open_child_deletes": "record_account (account=?)",
    "referenced": "record_owner (owner=?)",
    "ready": "entry_ready (object=? AND kind=? AND rank=? AND due_ms<?)",
    "to_read": "entry_to_read (object=? AND due_ms<?)",
    "ready_kinds": "entry_ready (object=? AND kind=? AND rank=? AND due_ms<?)",
    "next_ready": "entry_ready (object=? AND kind=? AND rank=?)",
    "waiting_people": "entry_ready (object=? AND kind=? AND rank=? AND due_ms>?)",
    "release_people": "entry_ready (object=? AND kind=? AND rank=? AND due_ms>?)",
    "waiting_to_leave": "entry_ready (object=? AND kind=? AND rank=?)",
    "release_leaving": "entry_ready (object=? AND kind=? AND rank=?)",
    "hold": "INTEGER PRIMARY KEY",
    "next_to_read": "entry_to_read (object=?)",
    "take": "INTEGER PRIMARY KEY",
    "oldest_commit": "SEARCH entry USING INDEX entry_oldest",
    "bring_entries_near": "entry_ready (object=? AND kind=? AND rank=? AND due_ms>?)",
    "bring_scores_near": "score_due (due_ms>?)",
    "people_by_marketo_id": "record_marketo (marketo_id=?",
    "shared_people": "USING COVERING INDEX record_marketo (marketo_id=?",
    "forget_filled": "record_marketo (marketo_id=?",
    "kept_people": "record_marketo (marketo_id=?",
    "people_after": "record_marketo (marketo_id>?)",
    "sent_roles": "record_contact (contact=?",
    "forget_roles": "PRIMARY KEY (object=? AND record_id=?)",
    "sharing_role": "record_sent_key (sent_key=?)",
    "sent_keys": "PRIMARY KEY (object=? AND record_id=?)",
    "roles_of_people": "record_role_person (<expr>=?)",
    "notes": "PRIMARY KEY (name=?)",
    "all_old_keys": "PRIMARY KEY (name>? AND name<?)",
    "scores_by_key": "PRIMARY KEY (object=? AND record_id=?)",
    "scores_due": "score_due (due_ms>? AND due_ms<?)",
    "merged_into_any": "record_merged (merged_into=?)",
    "roles_naming": "record_contact (contact=?",
    "delete_records": "PRIMARY KEY (object=? AND record_id=?)",
    "delete_scores": "PRIMARY KEY (object=? AND record_id=?)",
    "put_score": "PRIMARY KEY (object=? AND record_id=?)",
    "next_score_due": "score_due (due_ms>?)",
    "keys_after": "PRIMARY KEY (object=? AND record_id>?)",
    "last_line": "SEARCH history",
    "story": "INTEGER PRIMARY KEY (rowid=?)",
    "lines_between": "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "shorten_stories": "INTEGER PRIMARY KEY (rowid=?)",
}


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    """The schema, empty."""
    connection = sqlite3.connect(":memory:")
    for step in migrations():
        connection.executescript(step)
    yield connection
    connection.close()


def plan_of(database: sqlite3.Connection, name: str) -> list[str]:
    statement = QUERIES[name]
    numbered = set(re.findall(r"\?\d+", statement))
    parameters = [None] * (len(numbered) or statement.count("?"))
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


@pytest.mark.parametrize("name", sorted(name for name, text in QUERIES.items() if not text.startswith("PRAGMA")))
def test_nothing_that_grows_is_read_from_end_to_end(database: sqlite3.Connection, name: str) -> None:
    scans = [step for step in plan_of(database, name) if WHOLE_TABLE.match(step) and not step.endswith(SMALL)]
    allowed = SCANS.get(name, "")
    assert [step for step in scans if not (allowed and step.startswith(allowed))] == []


@pytest.mark.parametrize(("name", "index"), INDEXES.items())
def test_a_query_uses_the_index_made_for_it(database: sqlite3.Connection, name: str, index: str) -> None:
    assert any(index in step for step in plan_of(database, name)), plan_of(database, name)


@pytest.mark.parametrize("name", ["ready", "to_read"])
def test_the_oldest_come_first_without_sorting(database: sqlite3.Connection, name: str) -> None:
    assert not any("TEMP B-TREE" in step for step in plan_of(database, name))


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_no_object_is_read_whole_by_the_front_of_its_key(database: sqlite3.Connection, name: str) -> None:
    """`PRIMARY KEY (object=?)` alone would read every record of an object, as only a mapping or a filter that changed has to."""
    small = ("entry_to_read", "SEARCH coverage")  # coverage: a few intervals an object
    wholly = [step for step in plan_of(database, name) if step.endswith("(object=?)")]
    assert name in {"forget_known", "forget_excluded"} or not [step for step in wholly if not any(each in step for each in small)]
