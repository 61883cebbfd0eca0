"""`doctor`: what is wrong on either side is found, named and has a cure; what is well is said; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.store import Store
from stream import doctor_marketo, doctor_salesforce
from stream.clock import SystemClock
from stream.config import load
from stream.doctor import examine
from stream.findings import Finding
from stream.salesforce.rest_answers import FieldDescribe, Limit, ObjectDescribe
from stream.score_diff import MSI_FIELDS
from tests.cli.shell import ask, check_secrets, config_file, here_and_now, msi
from tests.flow.world import World, world

Break = Callable[[World], Any]
LIMITS = {"DailyApiRequests": Limit(100_000, 90_000), "DailyDeliveredPlatformEvents": Limit(50_000, 40_000)}


async def examined(here: World) -> list[Finding]:
    """Doctor's findings in this world."""
    return await examine(load(here.write_config(), {}), SystemClock())


def content(folder: Path) -> list[tuple[str, int]]:
    """The files, and when each was written last."""
    return sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())


def bad(findings: list[Finding]) -> list[Finding]:
    """Those that are not well."""
    return [each for each in findings if each.result != "ok"]


async def test_all_is_well_and_nothing_is_written_anywhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        config = here.write_config()
        before = content(tmp_path)
        events = here.org.log.last_replay_id
        said = await msi("doctor", "--json", "--config", str(config))
        check_secrets(here, said.out)
        assert said.code == 0
        assert said.err == ""
        rows = said.json()
        assert {each["result"] for each in rows} == {"ok"}
        assert all(each.keys() == {"check", "result", "found", "cure"} for each in rows)
        assert content(tmp_path) == before
        assert not here.instance.journal
        assert here.org.log.last_replay_id == events
        checks = " ".join(each["check"] for each in rows)
        for part in ("configuration", "store", "sign-in", "channel", "Lead MSI fields", "daily calls", "opportunity roles"):
            assert part in checks


async def test_it_works_beside_a_running_daemon(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        await here.start()
        findings = await examined(here)
        assert not bad(findings)
        assert any("a daemon runs on it" in each.found for each in findings)


def hide(obj: str, field: str) -> Break:
    return lambda here: here.org.hide_field(obj, field)


def without(obj: str, field: str) -> Break:
    return lambda here: here.instance.remove_field(obj, field)


def quirk(name: str, value: Any) -> Break:
    return lambda here: setattr(here.instance.quirks, name, value)


def native(here: World) -> None:
    here.instance.quirks.native_crm = True


def unsearchable(here: World) -> None:
    here.instance.set_searchable("lead", "externalPersonId", False)


def wrong_marketo_secret(here: World) -> None:
    here.marketo.identity.client_secret = "another"


def blocked_flow(here: World) -> None:
    here.salesforce.sign_in.blocked.add("urn:ietf:params:oauth:grant-type:jwt-bearer")


@pytest.mark.parametrize(
    ("breaks", "result", "check", "words"),
    [
        (native, "failure", "marketo opportunity roles", "native CRM sync is on (1018)"),
        (lambda here: here.org.hide_object("Opportunity"), "failure", "salesforce Opportunity", "NOT_FOUND"),
        (hide("Account", "OwnerId"), "failure", "salesforce Account", "OwnerId"),
        (hide("Contact", "Title"), "warning", "salesforce Contact", "Title"),
        (hide("Lead", "mkto_si__Priority__c"), "failure", "salesforce Lead MSI fields", "mkto_si__Priority__c"),
        (without("lead", "msiLastInterestingMomentDesc"), "failure", "marketo MSI fields", "msiLastInterestingMomentDesc"),
        (without("lead", "relativeScore"), "failure", "marketo MSI fields", "relativeScore"),
        (without("opportunity", "externalSalesPersonId"), "failure", "marketo opportunities", "externalSalesPersonId"),
        (without("company", "industry"), "warning", "marketo companies", "industry"),
        (unsearchable, "warning", "marketo externalPersonId", "cannot be searched for"),
        (quirk("denied_paths", ["/activities/"]), "failure", "marketo activities", "603"),
        (quirk("denied_paths", ["/stats/"]), "warning", "marketo daily calls", "603"),
        (quirk("denied_paths", ["/salespersons"]), "failure", "marketo sales persons", "603"),
    ],
)
async def test_one_thing_wrong_is_the_only_thing_said(tmp_path: Path, breaks: Break, result: str, check: str, words: str) -> None:
    async with world(tmp_path) as here:
        breaks(here)
        (found,) = bad(await examined(here))
        assert (found.result, found.check) == (result, check)
        assert words in found.found
        assert found.cure


@pytest.mark.parametrize(("breaks", "service"), [(wrong_marketo_secret, "marketo"), (blocked_flow, "salesforce")])
async def test_a_refused_sign_in_is_said_and_the_other_side_is_checked(tmp_path: Path, breaks: Break, service: str) -> None:
    async with world(tmp_path) as here:
        breaks(here)
        said = await ask(here, "doctor", "--json")
        assert said.code == 1
        wrong = [each for each in said.json() if each["result"] != "ok"]
        assert [each["check"] for each in wrong] == [f"{service} sign-in", f"{service} objects, fields and limits"]
        assert sum(each["result"] == "ok" for each in said.json()) > 8


@pytest.mark.parametrize("side", ["salesforce.login_url", "marketo.base_url"])
async def test_a_host_that_cannot_be_reached_is_named_and_the_other_side_is_checked(tmp_path: Path, side: str) -> None:
    async with world(tmp_path) as here:
        here.overrides[side] = "http://127.0.0.1:9"
        said = await ask(here, "doctor")
        assert said.code == 1
        assert "127.0.0.1:9 (Connection refused)" in " ".join(said.out.split())
        assert "not checked" in said.out
        assert said.out.count("✓ ok") > 8


async def test_another_prefix_is_recognised(tmp_path: Path) -> None:
    async with world(tmp_path, scores__field_prefix="other__") as here:
        wrong = bad(await examined(here))
        assert [each.check for each in wrong] == ["salesforce Contact MSI fields", "salesforce Lead MSI fields"]
        assert 'scores.field_prefix = "mkto_si__"' in wrong[0].cure


async def test_calls_that_others_use_up_and_odd_settings_are_said(tmp_path: Path) -> None:
    async with world(tmp_path, salesforce__objects__OpportunityContactRole="stream") as here:
        assert len(bad(await examined(here))) == 1
        here.marketo.limits.users_today["another integration"] = 46_000
        wrong = bad(await examined(here))
        assert [(each.check, each.result) for each in wrong] == [("configuration", "warning"), ("marketo daily calls", "warning")]
        assert "6 objects are set to stream" in wrong[0].found
        assert "of 50,000 used today" in wrong[1].found


def test_a_configuration_that_cannot_be_used_is_2_and_still_json(tmp_path: Path) -> None:
    config = config_file(tmp_path, deliver__batch_size=301)
    said = here_and_now("doctor", "--json", "--config", str(config))
    assert said.code == 2
    assert "deliver.batch_size" in said.message
    (row,) = said.json()
    assert (row["check"], row["result"]) == ("configuration", "failure")


async def test_the_store_is_looked_at_and_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("something else entirely")
    config = config_file(tmp_path)
    (found,) = [each for each in await examine(load(config, {}), SystemClock()) if each.check == "store"]
    assert found.result == "failure"
    path.unlink()
    await (await Store.open(path)).close()
    before = content(tmp_path)
    (found,) = [each for each in await examine(load(config, {}), SystemClock()) if each.check == "store"]
    assert found.result == "ok"
    assert content(tmp_path) == before


# ── answers that the simulated services do not give


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
    found = doctor_salesforce.msi_finding("Lead", msi_describe(**changes), "")
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
    assert [each.result for each in doctor_salesforce.limit_findings(limits, 10_000)] == results


@pytest.mark.parametrize(("used", "result"), [(0, "ok"), (44_999, "ok"), (45_000, "warning"), (50_000, "failure")])
def test_the_quota_counts_the_reserve(used: int, result: str) -> None:
    assert doctor_marketo.quota_finding(used, 50_000, 5_000).result == result
