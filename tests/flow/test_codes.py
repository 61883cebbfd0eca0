"""Every row of Marketo's table of codes, provoked at its level, and what the daemon makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Rules
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of
from tests.flow.world import World, world

COMPANIES = r"^/rest/v1/companies\.json"


def refusal(code: str) -> dict[str, Any]:
    """An answer of Marketo's that refuses the whole call."""
    return {"requestId": "1", "success": False, "errors": [{"code": code, "message": "scripted"}]}


def answered(here: World, code: str, times: int | None, path: str = COMPANIES) -> Fault:
    """The next calls are answered with this code."""
    fault = Fault("respond", path=path, method="POST", times=times, body=refusal(code))
    here.marketo.faults.add(fault)
    return fault


@pytest.mark.parametrize("code", ["601", "602"])
async def test_a_refused_token_is_renewed_at_once(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        asked = here.marketo.identity.asked
        answered(here, code, 1)
        here.org.update("Account", account, {"Phone": "2"})
        await here.until_quiet()
        assert here.marketo.identity.asked == asked + 1
        assert not here.events("deliver_paused")
        assert not await here.dead()


@pytest.mark.parametrize("code", ["604", "606", "608", "614", "615", "713", "719", "1014", "1016", "1019", "1029", "1036"])
async def test_what_passes_is_waited_for_and_nothing_is_counted(tmp_path: Path, code: str) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        fault = answered(here, code, 3)
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.instance.companies[account]["mainPhone"] == "2", 30)
        assert fault.hits == 3
        assert not here.events("dead_letter")
        await here.until_quiet()


@pytest.mark.parametrize("code", ["1014", "1016", "1019", "1029"])
async def test_a_record_that_marketo_is_busy_with_waits(tmp_path: Path, code: str) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        account, _ = company(here)
        refused = here.instance.refuse("company", account, code, times=3)
        await here.start()
        await here.until_quiet(seconds=40)
        assert refused.hits == 3
        assert not here.events("dead_letter")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_gateway_answers_for_marketo(tmp_path: Path, status: int) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        company(here)
        page = "<html><body>Bad gateway</body></html>"
        fault = here.marketo.faults.add(Fault("respond", path="/rest/", times=5, status=status, body=page))
        await here.start()
        await here.until_quiet()
        assert fault.hits == 5
        assert not here.events("dead_letter")


@pytest.mark.parametrize("code", ["603", "607", "616", "703", "1018", "1026"])
async def test_what_stops_everything_pauses_while_capture_goes_on_and_ends_by_itself(tmp_path: Path, code: str) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        fault = answered(here, code, None, r"^/rest/v1/(companies|leads|salespersons|opportunities)\.json")
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.events("deliver_paused"))
        assert here.events("deliver_paused")[0]["code"] == code
        events = here.running.capture.events
        here.org.update("Contact", contact, {"Title": "Buffered"})
        lead = here.org.create("Lead", lead_of("Buffered"))
        await here.until(lambda: here.running.capture.events == events + 2)
        assert here.store is not None
        assert not await here.dead()
        here.marketo.faults.clear()
        await here.until_quiet(seconds=60)
        assert fault.hits < 20
        assert here.lead_of(lead)
        assert len({line["code"] for line in here.events("deliver_paused")}) == 1
        assert len(here.events("deliver_resumed")) == 1


async def test_wrong_credentials_pause_loudly_until_they_are_right(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        right = here.marketo.identity.client_secret
        here.marketo.identity.client_secret = "another"
        here.marketo.identity.expire_token()
        here.org.update("Account", account, {"Phone": "2"})
        await here.until(lambda: here.events("deliver_paused"))
        assert here.events("deliver_paused")[0]["code"] == "401"
        here.marketo.identity.client_secret = right
        await here.until_quiet(seconds=60)
        assert not await here.dead()


async def test_native_crm_sync_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        here.instance.quirks.native_crm = True
        await here.start()
        await here.until(lambda: here.events("deliver_not_ready") or here.events("deliver_paused"))
        await here.until(lambda: here.running.capture.events >= 4)
        assert not here.instance.journal
        here.instance.quirks.native_crm = False
        await here.until_quiet(seconds=60)
        assert not await here.dead()


@pytest.mark.parametrize("code", ["605", "609", "610", "612", "613"])
async def test_a_malformed_call_parks_its_records_as_our_own_bug(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        accounts = [here.org.create("Account", {"Name": f"A{n}"}) for n in range(3)]
        answered(here, code, 1)
        await here.start()
        letters = await here.until_dead(3)
        assert {(letter.code, letter.id) for letter in letters} == {(code, account) for account in accounts}
        assert all("bug" in letter.cure for letter in letters)
        assert here.store is not None
        await here.store.retry_dead(letters, int(here.clock.now() * 1000))
        here.running.store.wake()
        await here.until_quiet()


DEAD = ["701", "704", "712", "714", "1001", "1002", "1003", "1006", "1007", "1008", "1009", "1010", "1076", "1080"]


@pytest.mark.parametrize("code", DEAD)
async def test_a_record_marketo_will_never_take_is_one_dead_letter(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        accounts = [here.org.create("Account", {"Name": f"A{n}"}) for n in range(8)]
        here.instance.refuse("company", accounts[3], code, f"Field 'company' {code}", times=None)
        await here.start()
        await here.until_quiet(Rules(excused=(accounts[3],)))
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (accounts[3], code)
        assert letter.cause
        assert letter.cure
        assert "company" in letter.cause
        here.instance.refusals.clear()
        here.org.update("Account", accounts[3], {"Name": "Mended"})
        await here.until_quiet()
        assert not await here.dead()


@pytest.mark.parametrize("code", ["701", "1002", "1003", "1006"])
async def test_a_call_refused_for_one_of_its_records_is_divided_until_that_one_is_alone(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        accounts = [here.org.create("Account", {"Name": f"A{n}"}) for n in range(9)]
        here.instance.refuse_batch_containing("company", accounts[5], code)
        await here.start()
        await here.until_quiet(Rules(excused=(accounts[5],)))
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (accounts[5], code)


async def test_a_system_error_that_one_record_causes_ends_with_that_record(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        here.touch_built_in_users()
        accounts = [here.org.create("Account", {"Name": f"A{n}"}) for n in range(9)]
        here.instance.refuse_batch_containing("company", accounts[5], "611")
        await here.start()
        (letter,) = await here.until_dead(seconds=60)
        assert (letter.id, letter.code) == (accounts[5], "611")
        await here.until_quiet(Rules(excused=(accounts[5],)), 60)


async def test_a_system_error_of_everything_blames_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        here.touch_built_in_users()
        for number in range(5):
            here.org.create("Account", {"Name": f"A{number}"})
        fault = here.marketo.faults.add(
            Fault("respond", path=r"/rest/v1/\w+\.json", method="POST", times=12, body=refusal("611"))
        )
        await here.start()
        await here.until(lambda: fault.hits == 12, 60)
        await here.until_quiet(seconds=60)
        assert not here.events("dead_letter")


async def test_an_unknown_code_is_tried_a_few_times_and_then_a_dead_letter(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=3) as here:
        here.touch_built_in_users()
        account = here.org.create("Account", {"Name": "A"})
        refused = here.instance.refuse("company", account, "1999", times=None)
        await here.start()
        (letter,) = await here.until_dead()
        assert (letter.code, letter.attempts, refused.hits) == ("1999", 3, 3)


async def test_an_opportunity_whose_sales_person_marketo_lost_gets_it_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        others = [here.org.create("Opportunity", opportunity_of(made.account, OwnerId=made.owner)) for _ in range(4)]
        await here.start()
        await here.until_quiet()
        here.instance.sales_persons.remove(made.owner)
        for one in (made.opportunity, *others):
            here.org.update("Opportunity", one, {"NextStep": "Call"})
        await here.until_quiet(Rules(violations_allowed=("child_before_parent",)))
        assert here.instance.sales_persons.get(made.owner)
        assert not await here.dead()


async def test_one_opportunity_refused_for_its_sales_person_ends_as_a_dead_letter(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=3) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.instance.refuse("opportunity", made.opportunity, "718", times=None)
        here.org.update("Opportunity", made.opportunity, {"NextStep": "Call"})
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (made.opportunity, "718")


@pytest.mark.parametrize("code", ["1005", "1017"])
async def test_what_exists_already_is_looked_up_and_updated(tmp_path: Path, code: str) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("There"))
        refused = here.instance.refuse("lead", "there@example.com", code)
        await here.start()
        await here.until_quiet()
        assert refused.hits == 1
        assert here.lead_of(lead)
        assert not await here.dead()


async def test_a_lead_that_is_gone_is_made_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        here.instance.delete_lead(here.lead_of(contact)["id"])
        here.org.update("Contact", contact, {"Title": "X"})
        await here.until_quiet()
        assert here.lead_of(contact)["title"] == "X"


async def test_a_role_whose_person_is_gone_finds_the_new_one(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.instance.delete_lead(here.lead_of(made.contact)["id"])
        here.org.update("OpportunityContactRole", made.role, {"IsPrimary": True})
        here.org.update("Contact", made.contact, {"Title": "X"})
        await here.until_quiet(Rules(violations_allowed=("child_before_parent",)))
        assert not await here.dead()


async def test_a_companys_fields_in_a_lead_are_dropped_where_marketo_refuses_them(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__lead_company="when_no_account") as here:
        here.touch_built_in_users()
        for number in range(3):
            here.org.create("Lead", lead_of(f"L{number}"))
        await here.start()
        await here.until_quiet()
        assert len(here.instance.leads) == 3
        assert not await here.dead()


@pytest.mark.parametrize("whole_call", [True, False])
async def test_a_company_keeps_its_fields_whatever_marketo_says_of_those_in_leads(tmp_path: Path, whole_call: bool) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        here.touch_built_in_users()
        account = here.org.create("Account", {"Name": "A", "Site": "There"})
        refused = answered(here, "1021", 1) if whole_call else here.instance.refuse("company", account, "1021")
        await here.start()
        await here.until_quiet()
        assert refused.hits == 1
        assert here.instance.companies[account]["company"] == "A"


async def test_a_companys_fields_in_a_lead_are_sent_where_the_setting_and_marketo_allow(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__lead_company="when_no_account") as here:
        here.instance.quirks.company_fields_in_leads = "apply"
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("L"))
        await here.start()
        await here.until_quiet(Rules(lead_company="when_no_account"))
        assert here.lead_of(lead)["company"] == "Bolt"


async def test_a_body_that_is_too_large_is_halved(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        for number in range(8):
            here.org.create("Account", {"Name": f"A{number}"})
        fault = here.marketo.faults.add(Fault("respond", path=COMPANIES, method="POST", times=3, status=413, body="too large"))
        await here.start()
        await here.until_quiet()
        assert fault.hits == 3
        assert not await here.dead()


async def test_a_long_question_is_asked_as_a_form(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        for number in range(300):
            here.org.create("Lead", lead_of(f"A-rather-long-name-that-fills-the-address-of-a-question-{number}"))
        await here.start()
        await here.until_quiet(seconds=60)
        assert len(here.instance.leads) == 300


async def test_a_field_that_is_hidden_while_the_daemon_runs_is_left_out(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        here.instance.remove_field(LEAD, "department")
        here.org.update("Contact", contact, {"Department": "IT", "Title": "X"})
        letters = await here.until_dead()
        assert letters[0].code == "1006"
        assert "department" in letters[0].cause
        await here.until(lambda: here.events("marketo_fields_missing"))
        here.org.update("Contact", contact, {"Department": "HR"})
        await here.until_quiet(Rules(ignored_fields=("department",)))
        assert not await here.dead()


async def test_an_answer_that_does_not_match_what_was_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        company(here)
        short = {"requestId": "1", "success": True, "result": []}
        fault = here.marketo.faults.add(Fault("rewrite", path=COMPANIES, method="POST", times=2, body=short))
        await here.start()
        await here.until_quiet()
        assert fault.hits == 2
        assert not await here.dead()


async def test_numbers_for_codes_sparse_envelopes_and_results_in_reverse(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        quirks = here.instance.quirks
        quirks.integer_codes = quirks.sparse = quirks.reverse_results = True
        made = deal(here)
        bad = here.org.create("Account", {"Name": "Bad"})
        here.instance.refuse("company", bad, "1003", times=None)
        await here.start()
        await here.until_quiet(Rules(excused=(bad,)))
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (bad, "1003")
        assert made


@pytest.mark.parametrize(
    ("spoil", "setting"),
    [
        (lambda here: here.instance.closed_partitions.add("EMEA"), "1008"),
        (lambda here: setattr(here.instance.quirks, "partition_required", True), "1009"),
    ],
)
async def test_partitions_are_named_in_the_cure(tmp_path: Path, spoil: Callable[[World], None], setting: str) -> None:
    overrides: dict[str, Any] = {"deliver__partition": "EMEA"} if setting == "1008" else {}
    async with world(tmp_path, **overrides) as here:
        here.touch_built_in_users()
        here.instance.partitions["EMEA"] = 2
        spoil(here)
        lead = here.org.create("Lead", lead_of("P"))
        await here.start()
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (lead, setting)
        assert "deliver.partition" in letter.cure


async def test_new_people_go_into_the_partition_that_is_set(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__partition="EMEA") as here:
        here.instance.partitions["EMEA"] = 2
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("P"))
        contact = here.org.create("Contact", contact_of(None, "Q"))
        await here.start()
        await here.until_quiet()
        assert {here.lead_of(one)["leadPartitionId"] for one in (lead, contact)} == {2}
        here.org.update("Lead", lead, {"Title": "X"})
        await here.until_quiet()
        assert not await here.dead()


async def test_a_pause_is_over_when_marketo_judges_records_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        answered(here, "1018", 1)
        here.instance.refuse("company", account, "1003", times=None)
        here.org.update("Account", account, {"Phone": "2"})
        await here.until_dead()
        await here.until(lambda: here.events("deliver_resumed"))
        assert not here.running.deliver.pause
