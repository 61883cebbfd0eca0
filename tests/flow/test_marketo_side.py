"""What people in Marketo do to people there: a deletion is respected until Salesforce speaks again, a merge stays a merge."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Rules
from stream.operating.flows import pause, resume
from tests.flow.scenes import company, contact_of, deal, lead_of
from tests.flow.world import World, world


def created(here: World) -> int:
    """How many people were made by us."""
    return sum(write.object == LEAD and write.action == "created" for write in here.instance.journal)


async def test_a_deletion_in_marketo_is_respected_until_salesforce_changes_the_record(tmp_path: Path) -> None:
    async with world(tmp_path, reconcile__interval_seconds=5.0) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.org.update("Contact", made.contact, {"Title": "CEO"})
        await here.until_quiet()
        people = created(here)
        gone = here.lead_of(made.contact)["id"]
        here.instance.delete_lead(gone)
        await here.until(lambda: here.events("people_deleted_in_marketo"))
        record = await here.record(("Contact", made.contact))
        assert record is not None
        assert (record.marketo_id, record.state, record.filled) == (None, "seen", frozenset())
        here.org.update("Account", made.account, {"Phone": "2"})
        await here.clock.sleep(30)  # sweeps by SystemModstamp, and looks at the feed
        await here.until(lambda: here.instance.companies[made.account]["mainPhone"] == "2")
        assert created(here) == people
        assert not here.instance.leads_of(made.contact)
        await here.restart()  # the feed begins a little before its last look: the deletion is met again
        await here.clock.sleep(20)
        assert created(here) == people

        here.org.update("Contact", made.contact, {"Department": "Sales"})
        await here.until_quiet()
        assert here.lead_of(made.contact)["title"] == "CEO"
        assert here.lead_of(made.contact)["id"] != gone
        assert [role["leadId"] for role in here.instance.roles.values()] == [here.lead_of(made.contact)["id"]]
        here.instance.scores.change_score(here.lead_of(made.contact)["id"], 88)
        await here.until_quiet()
        assert here.org.get("Contact", made.contact)["mkto_si__Priority__c"] == 88
        assert not await here.dead()


async def test_whoever_needs_a_person_that_was_deleted_in_marketo_brings_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        other = here.org.create("Contact", contact_of(made.account, "Other"))
        await here.start()
        await here.until_quiet()
        here.instance.delete_lead(here.lead_of(other)["id"])
        await here.until(lambda: here.events("people_deleted_in_marketo"))
        role = {"OpportunityId": made.opportunity, "ContactId": other, "Role": "User"}
        here.org.create("OpportunityContactRole", role)
        await here.until_quiet()
        assert here.lead_of(other)
        assert not await here.dead()


@pytest.mark.parametrize("seen", ["before the edits", "after the edits"])
@pytest.mark.parametrize("wins", ["carrier", "other"])
async def test_two_records_whose_people_were_merged_in_marketo_stay_one_person(tmp_path: Path, wins: str, seen: str) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Second"))
        rules = Rules(excused=(lead,))  # the oracle goes by emails
        await here.start()
        await here.until_quiet()
        people = [here.lead_of(contact)["id"], here.lead_of(lead)["id"]]
        winner, loser = people if wins == "carrier" else people[::-1]
        if seen == "after the edits":
            await pause(here.folder / "store.db", ["scores"], here.clock)
        here.instance.merge_leads(winner, loser)
        if seen == "before the edits":
            await here.until(lambda: here.events("people_merged_in_marketo"))
        refused = here.running.edges.marketo_budget.used
        here.org.update("Contact", contact, {"Title": "Contact says"})
        here.org.update("Lead", lead, {"Title": "Lead says"})
        if seen == "after the edits":
            await here.clock.sleep(20)
            await resume(here.folder / "store.db", ["scores"], here.clock)
        await here.until(lambda: here.instance.leads[winner].get("title") == "Contact says", 40)
        await here.until_quiet(rules, seconds=60)
        for name, one in (("Contact", contact), ("Lead", lead)):
            here.org.update(name, one, {"Phone": f"{name} 2", "Email": f"new-{name}@example.com"})
        await here.until(lambda: here.instance.leads[winner].get("phone") == "Contact 2")
        await here.until_quiet(rules, seconds=60)
        assert list(here.instance.leads) == [winner]
        assert here.lead_of(contact)["email"] == "new-Contact@example.com"
        assert created(here) == 2
        assert not await here.dead()
        assert here.running.edges.marketo_budget.used - refused < 2000
        here.instance.scores.change_score(winner, 66)
        await here.until(lambda: here.org.get("Lead", lead)["mkto_si__Priority__c"] == 66)
        await here.until(lambda: here.org.get("Contact", contact)["mkto_si__Priority__c"] == 66)


@pytest.mark.parametrize("fate", ["deleted", "merged"])
async def test_a_person_that_goes_between_the_search_and_the_write_is_searched_for_again_at_once(
    tmp_path: Path, fate: str
) -> None:
    """Of whom nothing in the store tells yet, the feed cannot tell: two minutes of waiting for it would be for nothing."""
    async with world(tmp_path, speed=1.0) as here:
        found = here.instance.create_lead(email="lee@example.com")
        other = here.instance.create_lead(email="other@example.com")

        def goes(request: web.Request, _: str) -> None:
            if request.method == "POST" and request.path_qs == "/rest/v1/leads.json" and found in here.instance.leads:
                if fate == "deleted":
                    here.instance.delete_lead(found)
                else:
                    here.instance.merge_leads(other, found)

        here.marketo.faults.watch = goes
        _, contact = company(here)
        await here.start()
        await here.until(lambda: here.instance.leads_of(contact), 60)
        assert found not in here.instance.leads
        assert not await here.dead()
        await here.until_quiet(seconds=60)


async def test_a_person_that_is_missing_and_of_whom_no_activity_tells_is_made_again(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60.0) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        here.instance.activities.late_seconds = 1e9
        here.instance.delete_lead(here.lead_of(contact)["id"])
        here.org.update("Contact", contact, {"Title": "X"})
        await here.until_quiet(seconds=40)
        assert here.lead_of(contact)["title"] == "X"
        assert not await here.dead()
