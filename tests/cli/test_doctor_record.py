"""`doctor --record`: each broken link between a record, its owner and its company is found, and said in a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.clock import SystemClock
from stream.config import load
from stream.doctor import Finding, diagnose
from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import Deal, deal
from tests.flow.world import World, world


async def asked(here: World, record: str) -> dict[str, Finding]:
    """The lines that are not well, the last of each name."""
    found = await diagnose(load(here.write_config(), {}).settings, record, SystemClock())
    return {each.check: each for each in found if each.result != "ok"}


Break = Callable[[World, Deal], Any]


def lead(here: World, made: Deal, **changes: Any) -> Any:
    return here.instance.leads.change(here.lead_of(made.contact)["id"], changes)


def other_email(here: World, made: Deal) -> None:
    here.instance.sales_persons.change(made.owner, {"email": "old@example.com"})


def without_company(here: World, made: Deal) -> None:
    here.instance.companies.remove(made.account)


def without_sales_person(here: World, made: Deal) -> None:
    here.instance.sales_persons.remove(made.owner)


def another_owner_of_the_company(here: World, made: Deal) -> None:
    here.instance.companies.change(made.account, {"externalSalesPersonId": here.org.person_id})


def short_id(here: World, made: Deal) -> None:
    lead(here, made, externalPersonId=made.contact[:15])


def nobody(here: World, made: Deal) -> None:
    here.instance.leads.remove(here.lead_of(made.contact)["id"])


def only_the_email(here: World, made: Deal) -> None:
    lead(here, made, externalPersonId=None)


def carried_by_another(here: World, made: Deal) -> None:
    lead(here, made, externalPersonId=made.lead)


def several(here: World, made: Deal) -> None:
    here.instance.create_lead(externalPersonId=made.contact, email="lee@example.com")


def moved(here: World, made: Deal) -> None:
    lead(here, made, externalCompanyId="0015g0000000009AAA")


def handed_over(here: World, made: Deal) -> None:
    lead(here, made, externalSalesPersonId=here.org.person_id)


def a_new_score(here: World, made: Deal) -> None:
    here.instance.scores.change_score(here.lead_of(made.contact)["id"], 41)


def in_the_bin(here: World, made: Deal) -> None:
    here.org.delete("Contact", made.contact)


LINKS: list[tuple[Break, str, str, str]] = [
    (other_email, "failure", "sales person", "has the email old@example.com in Marketo, seller@sales.example.com in Salesforce"),
    (without_company, "failure", "company", "Marketo has no company"),
    (without_sales_person, "failure", "sales person", "Marketo has no sales person"),
    (another_owner_of_the_company, "failure", "company", "in Marketo, to 005"),
    (short_id, "failure", "marketo person", "nothing is tied to that"),
    (nobody, "failure", "marketo person", "Nobody in Marketo carries this id, or has this email"),
    (only_the_email, "failure", "marketo person", "has the email, and no external id"),
    (carried_by_another, "warning", "marketo person", "carries the record 00Q"),
    (several, "failure", "marketo person", "Several people in Marketo carry this id"),
    (moved, "failure", "company", "The person's company in Marketo is 0015g0000000009AAA"),
    (handed_over, "failure", "sales person", "The person's sales person in Marketo is"),
    (a_new_score, "warning", "MSI values", "mkto_si__Priority__c"),
    (in_the_bin, "failure", "salesforce record", "recycle bin"),
]


async def test_each_broken_link_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, salesforce__flow="client_credentials", scores__interval_seconds=0.1) as here:
        made = deal(here)
        await here.start()
        await here.until(lambda: here.instance.roles and here.instance.leads_of(made.contact))
        here.instance.scores.change_score(here.lead_of(made.contact)["id"], 77)
        await here.until(lambda: here.org.get("Contact", made.contact)["mkto_si__Priority__c"] == 77)
        await here.until_quiet()
        await here.stop()
        assert await asked(here, made.contact[:15]) == {}
        well = copy.deepcopy(here.instance.tables)
        for breaks, result, check, words in LINKS:
            here.instance.tables = copy.deepcopy(well)
            breaks(here, made)
            writes = len(here.instance.journal), here.org.log.last_replay_id
            wrong = await asked(here, made.contact)
            assert set(wrong) == {check, "widget"}, breaks
            assert (wrong[check].result, wrong["widget"].result) == (result, result)
            assert words in wrong[check].found
            assert wrong[check].cure
            assert check in wrong["widget"].found
            assert (len(here.instance.journal), here.org.log.last_replay_id) == writes


async def test_it_is_told_at_a_shell_and_for_programs(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        made = deal(here)
        said = await ask(here, "doctor", "--record", made.contact)
        assert said.code == 1
        assert "Nobody in Marketo carries this id" in " ".join(said.out.split())
        rows = (await ask(here, "doctor", "--record", made.lead, "--json")).json()
        assert [each["check"] for each in rows][-1] == "widget"
        assert "A lead has no account" in " ".join(each["found"] for each in rows)
        here.org.convert_lead(made.lead)
        rows = (await ask(here, "doctor", "--record", made.lead, "--json")).json()
        assert "was converted into 003" in rows[0]["found"]
        queue = here.org.create("Lead", {"LastName": "Q", "Company": "Bolt", "OwnerId": here.org.lead_assignment_owner})
        rows = (await ask(here, "doctor", "--record", queue, "--json")).json()
        assert "belongs to the queue 00G" in " ".join(each["found"] for each in rows)
        await here.marketo.stop()
        rows = (await ask(here, "doctor", "--record", made.contact, "--json")).json()
        assert [each["check"] for each in rows if each["result"] == "failure"] == ["services", "widget"]


@pytest.mark.parametrize("record", ["0015g00000AbCdE", "nonsense", "0035g00000AbCdEAAA"])
def test_other_ids_are_usage_errors(tmp_path: Path, record: str) -> None:
    said = here_and_now("doctor", "--record", record, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "expected" in said.err
