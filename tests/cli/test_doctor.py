"""`doctor`: what is wrong on either side is found, named and has a cure; what is well is said; nothing is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.marketo.schema import Field
from store.store import Store
from stream.clock import SystemClock
from stream.config import load
from stream.doctor import checks, examine
from stream.doctor.findings import Finding
from stream.edges import Patience
from stream.marketo.client import Timeouts
from tests.cli.shell import ask, check_secrets, config_file, here_and_now, msi
from tests.cli.test_flows import until_heard
from tests.flow.scenes import company
from tests.flow.world import World, world

Break = Callable[[World], Any]
ROLES = "fields of OpportunityContactRole in opportunity roles"


async def examined(here: World) -> list[Finding]:
    """Doctor's findings in this world."""
    return await examine(load(here.write_config(), {}), SystemClock())


TOKENS = {"POST /services/oauth2/token", "POST /identity/oauth/token"}


def content(folder: Path) -> list[tuple[str, int, str]]:
    """The files, what each holds, and when each was written last."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return [(path.name, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def found_by(rows: Iterable[Mapping[str, str]], check: str) -> str:
    """What one line of the report has found."""
    (found,) = [each["found"] for each in rows if each["check"] == check]
    return found


def bad(findings: list[Finding]) -> list[Finding]:
    """Those that are not well."""
    return [each for each in findings if each.result != "ok"]


async def test_all_is_well_and_nothing_is_written_anywhere(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        config = here.write_config()
        before, journal, events = content(tmp_path), len(here.instance.journal), here.org.log.last_replay_id
        here.salesforce.calls.clear()
        here.marketo.calls.clear()
        said = await msi("doctor", "--json", "--config", str(config))
        check_secrets(here, said.out)
        assert (said.code, said.err) == (0, "")
        rows = said.json()
        assert [each for each in rows if each["result"] != "ok"] == []
        assert all(each.keys() == {"check", "result", "found", "cure"} for each in rows)
        assert content(tmp_path) == before
        assert (len(here.instance.journal), here.org.log.last_replay_id) == (journal, events)
        asked = [*here.salesforce.calls, *here.marketo.calls]
        assert len(asked) > 10
        assert {call for call in asked if not call.startswith("GET ")} == TOKENS
        checks = " ".join(each["check"] for each in rows)
        for part in (
            "configuration",
            "store health",
            "disk",
            "sign-in",
            "Lead selection",
            "View All",
            "Lead MSI fields",
            "clock",
        ):
            assert part in checks


async def test_a_store_that_a_killed_daemon_left_is_looked_at_as_it_lies(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        left = tmp_path / "left"
        left.mkdir()
        for side in ("", "-wal"):
            shutil.copyfile(tmp_path / f"store.db{side}", left / f"store.db{side}")
            (left / f"store.db{side}").chmod(0o600)
        assert (left / "store.db-wal").stat().st_size
        here.overrides["store.path"] = str(left / "store.db")
        before = [each for each in content(left) if not each[0].endswith("-shm")]
        rows = (await ask(here, "doctor", "--json")).json()
        assert [each for each in rows if each["result"] != "ok"] == []
        assert [each for each in content(left) if not each[0].endswith("-shm")] == before


async def test_it_works_beside_a_running_daemon(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        await until_heard(here)
        rows = (await ask(here, "doctor", "--json")).json()
        assert [each for each in rows if each["result"] != "ok"] == []
        assert found_by(rows, "daemon") == f"process {os.getpid()} runs on this store; a second one would be refused"


def hide(obj: str, field: str) -> Break:
    return lambda here: here.org.hide_field(obj, field)


def without(obj: str, field: str) -> Break:
    return lambda here: here.instance.remove_field(obj, field)


def field(obj: str, *args: Any, **more: Any) -> Break:
    return lambda here: here.instance.add_field(obj, Field(*args, **more))


def quirk(name: str, value: Any) -> Break:
    return lambda here: setattr(here.instance.quirks, name, value)


def setting(name: str, value: Any) -> Break:
    return lambda here: here.overrides.__setitem__(name, value)


def denied(permission: str) -> Break:
    return lambda here: here.org.access.permissions.discard(permission)


def native(here: World) -> None:
    here.instance.quirks.native_crm = True


def unsearchable(here: World) -> None:
    here.instance.set_searchable("lead", "externalPersonId", False)


def not_selected(here: World) -> None:
    here.org.publisher.select(("User", "Account", "Contact", "Opportunity"))


def all_five_taken(here: World) -> None:
    here.org.publisher.select(("User", "Account", "Contact", "OpportunityContactRole"))
    here.org.publisher.add_channel("Other__chn", {"Opportunity": ""})
    here.overrides["salesforce.objects.OpportunityContactRole"] = "stream"
    here.overrides["salesforce.objects.Opportunity"] = "poll"
    here.org.access.permissions.add("ViewAllData")


def selected_for_nothing(here: World) -> None:
    here.org.publisher.entities_allowed = 6
    here.org.publisher.select((*here.org.publisher.selected, "OpportunityContactRole"))


def channel(**members: str) -> Break:
    def deploy(here: World) -> None:
        here.org.publisher.add_channel("Own__chn", members)
        here.overrides["salesforce.channel"] = "/data/Own__chn"

    return deploy


def others_hidden(here: World) -> None:
    here.org.access.view_all.discard("Contact")


def polled_hidden(here: World) -> None:
    here.org.access.view_all.discard("Contact")
    here.org.publisher.select(("User", "Account", "Lead", "Opportunity"))
    here.overrides["salesforce.objects.Contact"] = "poll"


def streamed_roles(here: World) -> None:
    here.org.publisher.select(("User", "Account", "Contact", "Lead", "OpportunityContactRole"))
    here.overrides["salesforce.objects.OpportunityContactRole"] = "stream"
    here.overrides["salesforce.objects.Opportunity"] = "poll"


def sales_person(here: World, user: str, email: str) -> None:
    here.instance.sales_persons.put(user, {"id": here.instance.next_id(), "externalSalesPersonId": user, "email": email})


def other_email(here: World) -> None:
    for user, email in ((here.org.person_id, "ADA.administrator@example.com"), (here.org.api_user_id, "old@example.com")):
        sales_person(here, user, email)


def one_sales_person_missing(here: World) -> None:
    sales_person(here, here.org.person_id, "ada.administrator@example.com")


def marketo_clock(seconds: float) -> Break:
    return lambda here: setattr(here.instance, "now", lambda: here.clock.now() + seconds)


def salesforce_clock(here: World) -> None:
    here.org.now = lambda: here.clock.now() - 40


def calls_used_up(here: World) -> None:
    here.org.api_calls.use(here.org.api_calls.limit - 5_000)


def few_events(here: World) -> None:
    here.org.delivered_events.limit = 10_000


def open_to_all(here: World) -> None:
    (here.folder / "store.db").chmod(0o644)


def damaged(here: World) -> None:
    path = here.folder / "store.db"
    whole = bytearray(path.read_bytes())
    whole[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    path.write_bytes(whole)


def older(here: World) -> None:
    with closing(sqlite3.connect(here.folder / "store.db")) as store:
        store.execute("PRAGMA journal_mode = DELETE")
        store.execute("PRAGMA user_version = 1")


ONE_FAULT: list[tuple[Break, str, str, str]] = [
    (native, "failure", "marketo opportunity roles", "native CRM sync is on (1018)"),
    (lambda here: here.org.hide_object("Opportunity"), "failure", "salesforce Opportunity", "NOT_FOUND"),
    (hide("Account", "OwnerId"), "failure", "salesforce Account", "OwnerId"),
    (hide("Contact", "Title"), "warning", "salesforce Contact", "Title"),
    (hide("Lead", "mkto_si__Priority__c"), "failure", "salesforce Lead MSI fields", "mkto_si__Priority__c"),
    (not_selected, "failure", "salesforce Lead selection", "not selected on ChangeEvents"),
    (all_five_taken, "failure", "salesforce Lead selection", "not selected on ChangeEvents"),
    (selected_for_nothing, "warning", "salesforce channel", "selected, and passed over here: OpportunityContactRole"),
    (setting("salesforce.channel", "/data/Nope__chn"), "failure", "salesforce channel", "there is no channel Nope__chn"),
    (
        channel(User="", Account="", Contact="", Opportunity=""),
        "failure",
        "salesforce Lead selection",
        "not selected on Own__chn",
    ),
    (others_hidden, "failure", "salesforce View All", "no event comes of: Contact"),
    (denied("ViewAllUsers"), "failure", "salesforce View All", "no event comes of: User"),
    (polled_hidden, "warning", "salesforce View All", "may be hidden: Contact"),
    (denied("ViewSetup"), "warning", "salesforce View Setup", "not checked"),
    (denied("AllowViewEditConvertedLeads"), "warning", "salesforce converted leads", "not to be edited"),
    (calls_used_up, "warning", "salesforce daily calls", "left today"),
    (few_events, "warning", "salesforce delivered events", "scores.daily_writes is 10,000"),
    (salesforce_clock, "warning", "salesforce clock", "s ahead of the service's"),
    (without("lead", "msiLastInterestingMomentDesc"), "failure", "marketo MSI fields", "msiLastInterestingMomentDesc"),
    (without("lead", "relativeScore"), "failure", "marketo MSI fields", "relativeScore"),
    (without("opportunity", "externalSalesPersonId"), "failure", "marketo opportunities", "externalSalesPersonId"),
    (
        field("company", "externalCompanyId", "string", 15, updateable=False),
        "failure",
        "marketo companies",
        "15 of 18 characters",
    ),
    (field("company", "externalSalesPersonId", "boolean"), "failure", "marketo companies", "externalSalesPersonId is a boolean"),
    (without("company", "industry"), "warning", "marketo companies", "industry"),
    (unsearchable, "warning", "marketo externalPersonId", "cannot be searched for"),
    (quirk("denied_paths", ["/activities/"]), "failure", "marketo activities", "603"),
    (quirk("denied_paths", ["/stats/"]), "warning", "marketo daily calls", "603"),
    (quirk("denied_paths", ["/salespersons"]), "failure", "marketo sales persons", "603"),
    (quirk("denied_paths", ["/companies"]), "failure", "marketo companies", "603"),
    (setting("deliver.partition", "West"), "failure", "marketo partition", "no partition 'West'"),
    (marketo_clock(-90), "failure", "marketo clock", "s ahead of the service's"),
    (marketo_clock(20), "warning", "marketo clock", "s behind the service's"),
    (
        field("company", "industry", "boolean"),
        "failure",
        "fields of Account in companies",
        "Industry (picklist) into industry (boolean)",
    ),
    (field("company", "mainPhone", "date"), "failure", "fields of Account in companies", "Phone (phone) into mainPhone (date)"),
    (
        field("opportunity", "isWon", "datetime"),
        "failure",
        "fields of Opportunity in opportunities",
        "IsWon (boolean) into isWon",
    ),
    (field("company", "site", "integer"), "failure", "fields of Account in companies", "Site (string) into site (integer)"),
    (field("company", "site", "string", 40), "warning", "fields of Account in companies", "Site (80 characters) into site (40)"),
    (
        field("salesperson", "email", "email", 60),
        "failure",
        "fields of User in sales persons",
        "Email (128 characters) into email (60)",
    ),
    (field("role", "role", "string", 20, updateable=False), "warning", ROLES, "Role (40) into role (20)"),
    (other_email, "warning", "sales persons' emails", "1 of 2 active users have another email"),
    (one_sales_person_missing, "warning", "sales persons' emails", "1 of 2 active users are not in Marketo yet"),
    (open_to_all, "warning", "store access", "mode 644"),
    (damaged, "failure", "store health", "damaged"),
    (older, "warning", "store health", "schema 1, this version writes"),
]


@pytest.mark.parametrize(("breaks", "result", "check", "words"), ONE_FAULT)
async def test_one_thing_wrong_is_the_only_thing_said(tmp_path: Path, breaks: Break, result: str, check: str, words: str) -> None:
    await (await Store.open(tmp_path / "store.db")).close()
    async with world(tmp_path, speed=1.0, salesforce__flow="client_credentials") as here:
        breaks(here)
        (found,) = bad(await examined(here))
        assert (found.result, found.check) == (result, check)
        assert words in found.found
        assert found.cure


async def test_a_channel_of_one_object_brings_no_other(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        here.overrides["salesforce.channel"] = "/data/LeadChangeEvent"
        wrong = [each.check for each in bad(await examined(here)) if each.result == "failure"]
        assert wrong == [f"salesforce {obj} selection" for obj in ("User", "Account", "Contact", "Opportunity")]


async def test_the_cure_stands_beside_what_failed_and_a_warning_fails_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        denied("AllowViewEditConvertedLeads")(here)
        said = await ask(here, "doctor")
        assert said.code == 0
        assert "! warning" in said.out
        not_selected(here)
        said = await ask(here, "doctor")
        assert said.code == 1
        assert "✗ failure  salesforce Lead selection" in said.out
        assert "select it in Setup, Change Data Capture" in " ".join(said.out.split())


@pytest.mark.parametrize(("breaks", "cure"), [(all_five_taken, 'set it to "poll"'), (not_selected, "select it in Setup")])
async def test_the_cure_for_an_object_that_is_not_selected_knows_the_limit(tmp_path: Path, breaks: Break, cure: str) -> None:
    async with world(tmp_path, speed=1.0) as here:
        breaks(here)
        (found,) = [each for each in await examined(here) if each.check == "salesforce Lead selection"]
        assert cure in found.cure


async def test_a_channel_of_the_orgs_own_with_all_its_members_is_well_and_its_filters_are_told(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        here.org.publisher.select(())
        channel(User="UserType = 'Standard'", Account="", Contact="", Lead="", Opportunity="")(here)
        findings = await examined(here)
        assert bad(findings) == []
        (found,) = [each.found for each in findings if each.check == "salesforce channel"]
        assert "filtered: User (UserType = 'Standard')" in found


async def test_roles_need_view_all_data_to_be_heard_of(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        streamed_roles(here)
        (found,) = bad(await examined(here))
        assert found.check == "salesforce View All"
        assert "View All Data" in found.cure
        here.org.access.permissions.add("ViewAllData")
        assert bad(await examined(here)) == []


async def test_a_user_without_the_api_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        denied("ApiEnabled")(here)
        wrong = bad(await examined(here))
        assert [each.check for each in wrong] == ["salesforce sign-in", "salesforce objects, fields and limits"]
        assert "API Enabled" in wrong[0].cure


async def test_a_service_that_hangs_costs_a_bounded_time_and_each_line_fails_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "PATIENCE", Patience(marketo=Timeouts(query=0.5, other=0.5), salesforce_seconds=0.5))
    async with world(tmp_path, speed=1.0) as here:
        here.marketo.faults.add(Fault("hang", path="companies/describe|leads/describe2", times=None))
        here.salesforce.faults.add(Fault("hang", path="/limits|Account/describe", times=None))
        wrong = [each.check for each in bad(await examined(here))]
        assert wrong == [
            *("salesforce Account", "salesforce limits"),
            *("marketo companies", "marketo people (contacts)", "marketo people (leads)"),
        ]


async def test_a_daemon_that_holds_the_store_and_says_nothing_is_named(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    try:
        async with world(tmp_path, speed=1.0) as here:
            rows = (await ask(here, "doctor", "--json")).json()
            (wrong,) = [each for each in rows if each["result"] != "ok"]
            assert (wrong["check"], wrong["result"]) == ("daemon", "warning")
            assert f"process {os.getpid()} holds the store and has said nothing so far" in wrong["found"]
    finally:
        await store.close()


def wrong_marketo_secret(here: World) -> None:
    here.marketo.identity.client_secret = "another"


def blocked_flow(here: World) -> None:
    here.salesforce.sign_in.blocked.add("urn:ietf:params:oauth:grant-type:jwt-bearer")


@pytest.mark.parametrize(("breaks", "service"), [(wrong_marketo_secret, "marketo"), (blocked_flow, "salesforce")])
async def test_a_refused_sign_in_is_said_and_the_other_side_is_checked(tmp_path: Path, breaks: Break, service: str) -> None:
    async with world(tmp_path, speed=1.0) as here:
        breaks(here)
        said = await ask(here, "doctor", "--json")
        assert said.code == 1
        wrong = [each for each in said.json() if each["result"] != "ok"]
        assert [each["check"] for each in wrong] == [f"{service} sign-in", f"{service} objects, fields and limits"]
        assert sum(each["result"] == "ok" for each in said.json()) > 8


@pytest.mark.parametrize("side", ["salesforce.login_url", "marketo.base_url"])
async def test_a_host_that_cannot_be_reached_is_named_and_the_other_side_is_checked(tmp_path: Path, side: str) -> None:
    async with world(tmp_path, speed=1.0) as here:
        here.overrides[side] = "http://127.0.0.1:9"
        said = await ask(here, "doctor")
        assert said.code == 1
        assert "127.0.0.1:9 (Connection refused)" in " ".join(said.out.split())
        assert "not checked" in said.out
        assert said.out.count("✓ ok") > 8


async def test_another_prefix_is_recognised(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, scores__field_prefix="other__") as here:
        wrong = bad(await examined(here))
        assert [each.check for each in wrong] == ["salesforce Contact MSI fields", "salesforce Lead MSI fields"]
        assert 'scores.field_prefix = "mkto_si__"' in wrong[0].cure


async def test_calls_that_others_use_up_and_odd_settings_are_said(tmp_path: Path) -> None:
    overrides: dict[str, Any] = {"salesforce__objects__OpportunityContactRole": "stream", "marketo__daily_calls": 50_000}
    async with world(tmp_path, speed=1.0, **overrides) as here:
        selected_for_nothing(here)
        here.org.access.permissions.add("ViewAllData")
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
