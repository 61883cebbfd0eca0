"""Person accounts: each is one company and one person in Marketo, whatever happens to it and on whichever side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.oracle_rules import Rules
from tests.flow.scenes import contact_of, lead_of, opportunity_of, user
from tests.flow.test_deletes import fates
from tests.flow.world import World, world

MARTHA = {"FirstName": "Martha", "LastName": "Brown", "PersonEmail": "martha@example.com", "Phone": "1", "PersonTitle": "CEO"}


def martha(here: World, **more: Any) -> tuple[str, str]:
    """A person account and its contact, in an org that knows such."""
    here.org.enable_person_accounts()
    here.touch_built_in_users()
    account = here.org.create("Account", {**MARTHA, **more})
    return account, here.org.get("Account", account)["PersonContactId"]


def company_of(here: World, account: str) -> Any:
    """The one company of an account."""
    return here.instance.companies[account]


async def begun(here: World, **more: Any) -> tuple[str, str]:
    """A person account that both sides know."""
    made = martha(here, **more)
    await here.start()
    await here.until_quiet()
    return made


async def test_a_new_person_is_one_company_and_one_person_with_the_right_relations(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.org.enable_person_accounts()
        seller = user(here, "seller")
        account, contact = await begun(here, OwnerId=seller, BillingCity="Oslo", PersonMailingCity="Bergen")
        company, person = company_of(here, account), here.lead_of(contact)
        assert (company["company"], company["billingCity"], company["externalSalesPersonId"]) == ("Martha Brown", "Oslo", seller)
        assert (person["firstName"], person["lastName"], person["email"]) == ("Martha", "Brown", "martha@example.com")
        assert (person["title"], person["city"]) == ("CEO", "Bergen")
        assert (person["externalCompanyId"], person["externalSalesPersonId"]) == (account, seller)
        assert (len(here.instance.companies), len(here.instance.leads)) == (1, 1)
        assert not await here.dead()


@pytest.mark.parametrize(
    ("obj", "change", "company", "person"),
    [
        ("Account", {"LastName": "Lee"}, {"company": "Martha Lee"}, {"lastName": "Lee"}),
        ("Account", {"FirstName": None}, {"company": "Brown"}, {"firstName": None}),
        ("Account", {"MiddleName": "May"}, {"company": "Martha May Brown"}, {"middleName": "May"}),
        ("Contact", {"FirstName": "Mara"}, {"company": "Mara Brown"}, {"firstName": "Mara"}),
        ("Account", {"PersonEmail": "m@example.com"}, {}, {"email": "m@example.com"}),
        ("Account", {"Phone": "2"}, {"mainPhone": "2"}, {"phone": "2"}),
        ("Account", {"Phone": None}, {"mainPhone": None}, {"phone": None}),
        ("Account", {"Industry": "Retail"}, {"industry": "Retail"}, {}),
        ("Account", {"PersonMailingCity": "Rome"}, {}, {"city": "Rome"}),
        ("Contact", {"Title": "CTO"}, {}, {"title": "CTO"}),
    ],
)
async def test_a_change_of_either_half_reaches_what_it_concerns(
    tmp_path: Path, obj: str, change: dict[str, Any], company: dict[str, Any], person: dict[str, Any]
) -> None:
    async with world(tmp_path) as here:
        account, contact = await begun(here)
        here.org.update(obj, account if obj == "Account" else contact, change)
        await here.until_quiet()
        assert {name: company_of(here, account).get(name) for name in company} == company
        assert {name: here.lead_of(contact).get(name) for name in person} == person


async def test_a_new_owner_is_that_of_both(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = await begun(here)
        other = user(here, "other")
        here.org.update("Account", account, {"OwnerId": other})
        await here.until_quiet()
        assert company_of(here, account)["externalSalesPersonId"] == here.lead_of(contact)["externalSalesPersonId"] == other


@pytest.mark.parametrize("choice", ["delete", "keep"])
async def test_a_deleted_person_goes_as_the_settings_say_and_comes_back_whole(tmp_path: Path, choice: Any) -> None:
    settings, rules = fates(choice)
    async with world(tmp_path, **settings) as here:
        account, contact = martha(here)
        await here.start()
        await here.until_quiet(rules)
        here.org.delete("Account", account)
        if choice == "delete":
            await here.until(lambda: not here.instance.leads_of(contact) and account not in here.instance.companies)
        await here.until_quiet(rules)
        assert bool(here.instance.leads_of(contact)) is (choice == "keep")
        here.org.undelete("Account", account)
        await here.until_quiet(rules)
        assert here.lead_of(contact)["externalCompanyId"] == account
        assert company_of(here, account)["company"] == "Martha Brown"
        assert not await here.dead()


async def test_deals_and_roles_of_a_person_find_both_halves(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = await begun(here)
        deal = here.org.create("Opportunity", opportunity_of(account))
        here.org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "Role": "Buyer"})
        await here.until_quiet()
        assert here.instance.opportunities[deal]["externalCompanyId"] == account
        assert [role["leadId"] for role in here.instance.roles.values()] == [here.lead_of(contact)["id"]]


async def test_scores_come_back_to_the_contact_and_are_not_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = await begun(here)
        sent = len(here.instance.journal)
        here.instance.scores.set(here.lead_of(contact)["id"], priority=7)
        await here.until_quiet()
        assert here.org.get("Contact", contact)["mkto_si__Priority__c"] == 7
        assert here.org.get("Account", account)["mkto_si__Priority__pc"] == 7
        assert here.org.log.events()[-2]["payload"]["ChangeEventHeader"]["entityName"] == "Account"
        assert len(here.instance.journal) == sent, "our own score came back in two events, and neither is news"


async def test_a_lead_without_a_company_becomes_a_person(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.org.enable_person_accounts()
        here.touch_built_in_users()
        lead = here.org.create("Lead", {**lead_of("Ito"), "Company": None, "FirstName": "Ann"})
        await here.start()
        await here.until_quiet()
        person = here.lead_of(lead)["id"]
        made = here.org.convert_lead(lead)
        await here.until_quiet()
        assert here.lead_of(made.contact_id)["id"] == person
        assert company_of(here, made.account_id)["company"] == "Ann Ito"
        assert len(here.instance.leads) == 1


async def test_a_merge_leaves_the_kept_person_whole_and_the_lost_one_as_the_settings_say(tmp_path: Path) -> None:
    rules = Rules(merge_people=False)
    async with world(tmp_path, deliver__merge_people=False) as here:
        account, contact = await begun(here)
        lost = here.org.create("Account", {"LastName": "Braun", "PersonEmail": "braun@example.com"})
        gone = here.org.get("Account", lost)["PersonContactId"]
        deal = here.org.create("Opportunity", opportunity_of(lost))
        here.org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": gone, "Role": "Buyer"})
        await here.until_quiet(rules)
        here.org.merge("Account", account, lost, {"PersonTitle": "CFO"})
        await here.until_quiet(rules)
        assert here.lead_of(contact)["title"] == "CFO"
        assert here.instance.opportunities[deal]["externalCompanyId"] == account
        assert [role["leadId"] for role in here.instance.roles.values()] == [here.lead_of(contact)["id"]]


@pytest.mark.parametrize("fate", ["delete", "keep"])
@pytest.mark.parametrize("merged", [True, False])
async def test_two_person_accounts_are_merged(tmp_path: Path, merged: bool, fate: Any) -> None:
    settings, rules = fates(fate)
    rules = replace(rules, merge_people=merged)
    async with world(tmp_path, **settings, deliver__merge_people=merged) as here:
        account, contact = martha(here)
        lost = here.org.create("Account", {"LastName": "Braun", "PersonEmail": "braun@example.com", "PersonTitle": "CTO"})
        gone = here.org.get("Account", lost)["PersonContactId"]
        await here.start()
        await here.until_quiet(rules)
        kept, other = here.lead_of(contact)["id"], here.lead_of(gone)["id"]
        here.org.merge("Account", account, lost, {"PersonTitle": "CFO"})
        await here.until(lambda: here.lead_of(contact)["title"] == "CFO")
        if merged or fate == "delete":
            await here.until(lambda: other not in here.instance.leads)
        await here.until_quiet(rules)
        assert here.lead_of(contact)["id"] == kept
        assert here.instance.merged_away == ({other: kept} if merged else {})
        assert (lost in here.instance.companies) is (fate == "keep")
        here.instance.scores.set(kept, priority=9)
        await here.until_quiet(rules)
        assert here.org.get("Account", account)["mkto_si__Priority__pc"] == 9
        assert not await here.dead()


async def test_business_accounts_go_on_as_ever_beside_people(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await begun(here)
        business = here.org.create("Account", {"Name": "Acme"})
        here.org.create("Contact", contact_of(business, "Lee"))
        await here.until_quiet()
        here.org.update("Account", business, {"Name": "Acme & Sons"})
        await here.until_quiet()
        assert company_of(here, business)["company"] == "Acme & Sons"
