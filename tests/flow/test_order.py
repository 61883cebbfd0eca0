"""Parents go first, whoever is heard of first; what cannot go yet says what it waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.oracle_rules import Rules
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of, user
from tests.flow.world import world


@pytest.mark.parametrize("heard_of", ["Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"])
async def test_parents_that_nobody_has_heard_of_are_read_and_go_first(tmp_path: Path, heard_of: str) -> None:
    mode = "poll" if heard_of == "OpportunityContactRole" else "off"
    async with world(tmp_path, salesforce__objects__OpportunityContactRole=mode) as here:
        with here.org.losing_events():
            made = deal(here, touch=False)
        ids = {
            "Account": made.account,
            "Contact": made.contact,
            "Lead": made.lead,
            "Opportunity": made.opportunity,
            "OpportunityContactRole": made.role,
        }
        fields = {
            "Account": {"Phone": "9"},
            "Contact": {"Title": "X"},
            "Lead": {"Title": "X"},
            "Opportunity": {"NextStep": "X"},
            "OpportunityContactRole": {"Role": "X"},
        }
        here.org.update(heard_of, ids[heard_of], fields[heard_of])
        here.touch_built_in_users()
        await here.start()
        names = {
            "Account": lambda: made.account in here.instance.companies,
            "Contact": lambda: here.instance.leads_of(made.contact),
            "Lead": lambda: here.instance.leads_of(made.lead),
            "Opportunity": lambda: made.opportunity in here.instance.opportunities,
            "OpportunityContactRole": lambda: len(here.instance.roles) == 1,
        }
        await here.until(names[heard_of])
        assert made.owner in here.instance.sales_persons
        assert not here.instance.violations
        excused = set(ids.values()) - {ids[heard_of]}
        await here.until_equal(Rules(excused=tuple(excused)))


async def test_a_parent_in_the_dead_letters_holds_its_children_who_name_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        account = here.org.create("Account", {"Name": "Poison"})
        here.instance.refuse("company", account, "1003", times=None)
        contact = here.org.create("Contact", contact_of(account, "Child"))
        opportunity = here.org.create("Opportunity", opportunity_of(account))
        await here.start()
        (letter,) = await here.until_dead()
        assert (letter.object, letter.id, letter.code) == ("Account", account, "1003")
        await here.until_equal(Rules(excused=(account, contact, opportunity)))
        assert not here.instance.leads_of(contact)
        while [letter.holds for letter in await here.dead()] != [2]:  # both children have been heard of
            await here.until(lambda: True)
        here.instance.refusals.clear()
        here.org.update("Account", account, {"Name": "Cured"})
        await here.until_quiet()
        assert not await here.dead()


async def test_a_dropped_parent_lets_its_children_go_without_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        account = here.org.create("Account", {"Name": "Poison"})
        here.instance.refuse("company", account, "1003", times=None)
        contact = here.org.create("Contact", contact_of(account, "Child"))
        await here.start()
        letters = await here.until_dead()
        assert here.store is not None
        await here.until_equal(Rules(excused=(account, contact)))
        await here.store.drop_dead(letters, int(here.clock.now() * 1000))
        await here.until(lambda: here.instance.leads_of(contact))
        assert here.lead_of(contact).get("externalCompanyId") is None
        assert not here.instance.violations


async def test_a_community_user_who_owns_something_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        owner = user(here, "casey", UserType="PowerPartner")
        idle = user(here, "idle", UserType="PowerPartner")
        await here.start()
        await here.until_quiet()
        assert owner not in here.instance.sales_persons
        here.org.create("Lead", lead_of("Owned", OwnerId=owner))
        await here.until_quiet()
        assert owner in here.instance.sales_persons
        assert idle not in here.instance.sales_persons


async def test_an_inactive_owner_is_sent_and_an_inactive_idler_is_not(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        owner, idle = user(here, "gone", IsActive=False), user(here, "never", IsActive=False)
        here.org.create("Account", {"Name": "Acme", "OwnerId": owner})
        await here.start()
        await here.until_quiet()
        assert owner in here.instance.sales_persons
        assert idle not in here.instance.sales_persons


async def test_a_queue_owns_a_lead_and_owners_come_and_go(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        owner = user(here, "seller")
        queue = here.org.create("Group", {"Name": "Desk", "DeveloperName": "Desk"})
        lead = here.org.create("Lead", lead_of("Queued", OwnerId=queue))
        await here.start()
        await here.until_quiet()
        assert here.lead_of(lead).get("externalSalesPersonId") is None
        here.org.update("Lead", lead, {"OwnerId": owner})
        await here.until_quiet()
        assert here.lead_of(lead)["externalSalesPersonId"] == owner
        here.org.update("Lead", lead, {"OwnerId": queue})
        await here.until_quiet()
        assert here.lead_of(lead).get("externalSalesPersonId") is None


async def test_a_contact_and_an_opportunity_change_their_account(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        opportunity = here.org.create("Opportunity", opportunity_of(account))
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            other = here.org.create("Account", {"Name": "Never heard of"})
        here.org.update("Contact", contact, {"AccountId": other})
        here.org.update("Opportunity", opportunity, {"AccountId": other})
        await here.until_quiet()
        assert here.lead_of(contact)["externalCompanyId"] == other
        assert here.instance.opportunities[opportunity]["externalCompanyId"] == other
        here.org.update("Opportunity", opportunity, {"AccountId": None})
        await here.until_quiet()
        assert here.instance.opportunities[opportunity].get("externalCompanyId") is None


async def test_a_user_becomes_a_sales_person_when_the_filter_lets_it_in(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        someone = user(here, "later", IsActive=False)
        await here.start()
        await here.until_quiet()
        here.org.update("User", someone, {"IsActive": True})
        await here.until_quiet()
        assert someone in here.instance.sales_persons
        here.org.update("User", someone, {"IsActive": False, "Title": "Left"})
        await here.until_quiet()
        assert someone in here.instance.sales_persons


async def test_a_parent_that_cannot_be_seen_holds_its_child_and_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            account = here.org.create("Account", {"Name": "Purged"})
        contact = here.org.create("Contact", contact_of(account, "Orphan"))
        with here.org.losing_events():
            here.org._tables["Account"].pop(account)
        letters = await here.until_dead()
        assert [(letter.object, letter.id, letter.code) for letter in letters] == [("Account", account, "UNREADABLE_RECORD")]
        assert not here.instance.leads_of(contact)
        assert here.store is not None
        await here.store.drop_dead(letters, int(here.clock.now() * 1000))
        await here.until(lambda: here.instance.leads_of(contact))
