"""What doctor makes of answers, files and clocks that the simulated services and this machine do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.health import Health, health
from store.store import Store
from stream.doctor import machine, marketo, salesforce
from stream.salesforce.rest_answers import FieldDescribe, Limit, ObjectDescribe
from stream.score_diff import MSI_FIELDS

LIMITS = {"DailyApiRequests": Limit(100_000, 90_000), "DailyDeliveredPlatformEvents": Limit(50_000, 40_000)}
WELL: dict[str, Any] = {
    "schema": 5,
    "known": 5,
    "size_bytes": 1_000_000,
    "log_bytes": 0,
    "mode": 0o600,
    "owner": 7,
    "damage": "",
    "checked": True,
}
MB, GB = 1024**2, 1024**3


def msi_describe(**changes: Any) -> ObjectDescribe:
    """A Lead with the seven MSI fields, one of them changed."""
    kinds = dict.fromkeys(MSI_FIELDS.values(), "double") | {
        "Last_Interesting_Moment_Type__c": "string",
        "Last_Interesting_Moment_Date__c": "datetime",
        "Last_Interesting_Moment_Desc__c": "textarea",
        "Last_Interesting_Moment_Source__c": "string",
    }
    fields: dict[str, dict[str, Any]] = {name: {"name": name, "type": kind, "updateable": True} for name, kind in kinds.items()}
    for name, value in changes.items():
        fields["Priority__c"][name] = value
    return ObjectDescribe("Lead", {name: FieldDescribe(length=0, precision=0, scale=0, **each) for name, each in fields.items()})


@pytest.mark.parametrize(
    ("changes", "result", "words"),
    [
        ({}, "ok", "all seven"),
        ({"type": "int"}, "ok", "all seven"),
        ({"type": "string"}, "failure", "Priority__c has the type string, expected a number"),
        ({"updateable": False}, "failure", "not to be written: Priority__c"),
    ],
)
def test_msi_fields_must_be_of_their_kind_and_writable(changes: dict[str, Any], result: str, words: str) -> None:
    found = salesforce.msi_finding("Lead", msi_describe(**changes), "")
    assert found.result == result
    assert words in found.found


@pytest.mark.parametrize(
    ("limits", "results"),
    [
        (LIMITS, ["ok", "ok"]),
        ({**LIMITS, "DailyApiRequests": Limit(100_000, 9_999)}, ["warning", "ok"]),
        ({**LIMITS, "DailyApiRequests": Limit(100_000, 0)}, ["failure", "ok"]),
        ({**LIMITS, "DailyApiRequests": Limit(5_000, 5_000)}, ["warning", "ok"]),
        ({**LIMITS, "DailyDeliveredPlatformEvents": Limit(50_000, 0)}, ["ok", "failure"]),
        ({}, ["warning"]),
    ],
)
def test_allowances_that_run_out_are_said(limits: dict[str, Limit], results: list[str]) -> None:
    assert [each.result for each in salesforce.limit_findings(limits, 10_000, 10_000)] == results


@pytest.mark.parametrize(("used", "result"), [(0, "ok"), (44_999, "ok"), (45_000, "warning"), (50_000, "failure")])
def test_the_quota_counts_the_reserve(used: int, result: str) -> None:
    assert marketo.quota_finding(used, 50_000, 5_000).result == result


@pytest.mark.parametrize(("free", "result"), [(100 * GB, "ok"), (GB, "warning"), (200 * MB, "failure"), (0, "failure")])
def test_little_room_is_said_before_there_is_none(free: int, result: str) -> None:
    found = machine.disk_finding(free, Path("/var/lib/msi-stream"))
    assert found.result == result
    assert "/var/lib/msi-stream" in found.found


@pytest.mark.parametrize(
    ("changes", "result", "words"),
    [
        ({}, "ok", "whole"),
        ({"damage": "row 3 missing from index"}, "failure", "row 3 missing"),
        ({"schema": 4}, "warning", "schema 4, this version writes 5"),
        ({"checked": False}, "warning", "too large to be looked at whole"),
        ({"log_bytes": 300 * MB}, "warning", "write-ahead log of 315 MB"),
    ],
)
def test_the_stores_health_in_words(changes: dict[str, Any], result: str, words: str) -> None:
    found = machine.health_finding(Health(**{**WELL, **changes}))
    assert found.result == result
    assert words in found.found
    assert bool(found.cure) is (result != "ok")


@pytest.mark.parametrize(
    ("mode", "user", "result"),
    [(0o600, 7, "ok"), (0o600, 0, "ok"), (0o640, 7, "warning"), (0o604, 0, "warning"), (0o600, 8, "warning")],
)
def test_others_who_may_read_the_store_are_said(mode: int, user: int, result: str) -> None:
    assert machine.access_finding(Health(**{**WELL, "mode": mode}), user).result == result


async def test_a_look_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    await (await Store.open(tmp_path / "store.db")).close()
    looked = await health(tmp_path / "store.db", seconds=-1.0)
    assert (looked.checked, looked.damage, looked.schema) == (False, "", looked.known)


@pytest.mark.parametrize(
    ("ahead", "result", "words"),
    [
        (0.4, "ok", "right"),
        (-4.9, "ok", "right"),
        (12.0, "warning", "12 s ahead of"),
        (-12.0, "warning", "12 s behind"),
        (61.0, "failure", "61 s ahead of"),
        (-86400.0, "failure", "86,400 s behind"),
    ],
)
def test_a_wrong_clock_is_told_from_the_answers_own_coarseness(ahead: float, result: str, words: str) -> None:
    found = machine.clock_finding("marketo", ahead)
    assert found.result == result
    assert words in found.found


@pytest.mark.parametrize(
    ("beat", "result"),
    [
        ({"at": 995.0, "stopped": False}, "ok"),
        ({"at": 900.0, "stopped": False}, "warning"),
        ({"at": 999.0, "stopped": True}, "warning"),
        (None, "warning"),
    ],
)
def test_a_daemon_that_has_fallen_silent_is_told_from_one_that_goes_on(beat: dict[str, Any] | None, result: str) -> None:
    assert machine.daemon_finding("4711", beat, 1000.0).result == result


def test_bulk_queries_and_score_writes_have_their_allowances() -> None:
    found = salesforce.limit_findings({**LIMITS, "DailyBulkV2QueryJobs": Limit(10_000, 0)}, 10_000, 60_000)
    assert [(each.check, each.result) for each in found[1:]] == [
        ("salesforce delivered events", "warning"),
        ("salesforce bulk queries", "failure"),
    ]
