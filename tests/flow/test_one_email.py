"""Two who get one email later become one person in Marketo, and two whose emails part become two: nobody loses what is theirs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Action, Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Rules
from stream.edges import Patience
from stream.marketo.client import Timeouts
from tests.crash.crashing import Running
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of
from tests.flow.test_codes import refusal
from tests.flow.world import World, world

MERGE = r"/merge\.json"
EMAIL = "lee@example.com"
SHORT = Patience(Timeouts(0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4))


def merges(here: World) -> int:
    """How many people were merged by us."""
    return sum(write.object == LEAD and write.action == "merged" for write in here.instance.journal)


async def two(here: World, patience: Patience | None = None) -> tuple[str, str]:
    """A contact whose email is lee@, and a lead with another one and a phone; Marketo has both."""
    _, contact = company(here)
    lead = here.org.create("Lead", lead_of("Ito", Phone="555", Title="Lead"))
    await (here.start(patience) if patience else here.start())
    await here.until_quiet()
    return contact, lead


def meet(here: World, who: str, contact: str, lead: str) -> str:
    """One of them gets the other's email; returns which it is."""
    email = EMAIL if who == "Lead" else "ito@example.com"
    here.org.update(who, lead if who == "Lead" else contact, {"Email": email})
    return email


@pytest.mark.parametrize("who", ["Lead", "Contact"])
async def test_the_two_people_become_one_with_the_contacts_id_and_scores_go_to_both(tmp_path: Path, who: str) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        kept, lost = here.lead_of(contact)["id"], here.lead_of(lead)["id"]
        email = meet(here, who, contact, lead)
        await here.until(lambda: lost not in here.instance.leads)
        await here.until_quiet()
        person = here.lead_of(contact)
        assert (person["id"], person["email"], person.get("title")) == (kept, email, None)
        assert person.get("phone") is None  # what only the lead had is not the contact's
        here.instance.scores.change_score(kept, 44)
        await here.until_quiet()
        assert {here.org.get(obj, key)["mkto_si__Priority__c"] for obj, key in (("Contact", contact), ("Lead", lead))} == {44}
        here.org.update("Contact", contact, {"Title": "CEO"})
        here.org.update("Lead", lead, {"Title": "Lead again"})
        await here.until_quiet()
        assert here.lead_of(contact)["title"] == "CEO"
        assert merges(here) == 1
        assert len(here.events("people_met")) == 1
        assert not await here.dead()


@pytest.mark.parametrize("obj", ["Lead", "Contact"])
@pytest.mark.parametrize("who", ["elder", "younger"])
async def test_of_two_alike_the_elder_keeps_its_person_and_roles_follow(tmp_path: Path, obj: str, who: str) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        elder, younger = (
            here.org.create(obj, contact_of(made.account, name) if obj == "Contact" else lead_of(name)) for name in ("Ada", "Bob")
        )
        if obj == "Contact":
            for contact in (elder, younger):
                role = {"OpportunityId": made.opportunity, "ContactId": contact, "Role": f"Role of {contact}"}
                here.org.create("OpportunityContactRole", role)
        await here.start()
        await here.until_quiet()
        kept, roles = here.lead_of(elder)["id"], len(here.instance.roles)
        mover, email = (elder, "bob@example.com") if who == "elder" else (younger, "ada@example.com")
        here.org.update(obj, mover, {"Email": email})
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(elder)["id"] == kept
        assert len(here.instance.roles) == roles
        assert {role["leadId"] for role in here.instance.roles.values()} <= {kept, here.lead_of(made.contact)["id"]}
        assert not await here.dead()


async def test_both_change_to_a_third_email_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        kept = here.lead_of(contact)["id"]
        for obj, key in (("Lead", lead), ("Contact", contact)):
            here.org.update(obj, key, {"Email": "third@example.com"})
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == kept


@pytest.mark.parametrize("first", ["Lead", "Contact"])
async def test_two_who_share_a_person_and_get_another_email_both_never_part(tmp_path: Path, first: str) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        await here.start()
        await here.until_quiet()
        (person,) = here.instance.leads
        await here.stop()
        both = (("Lead", lead), ("Contact", contact))
        for obj, key in both if first == "Lead" else both[::-1]:
            here.org.update(obj, key, {"Email": "third@example.com"})
        await here.start()
        await here.until_quiet()
        assert list(here.instance.leads) == [person]
        assert sum(write.object == LEAD and write.action == "created" for write in here.instance.journal) == 1


async def test_who_passes_an_email_on_is_not_merged_with_who_gets_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        await here.stop()
        here.org.update("Lead", lead, {"Email": EMAIL})
        here.org.update("Contact", contact, {"Email": "new@example.com"})
        fault = here.marketo.faults.add(
            Fault("respond", path=r"leads\.json", body_matches="new@example", times=4, body=refusal("608"))
        )
        await here.start()  # the lead goes first, while Marketo still knows the contact by that email
        await here.until(lambda: fault.hits >= 1 and here.lead_of(lead)["email"] == EMAIL)
        here.marketo.faults.clear()
        await here.until_quiet()
        assert merges(here) == 0
        assert here.lead_of(contact)["email"] == "new@example.com"
        assert here.lead_of(lead)["email"] == EMAIL


async def test_three_become_one(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        other = here.org.create("Lead", lead_of("Uno"))
        await here.until_quiet()
        kept = here.lead_of(contact)["id"]
        for key in (lead, other):
            here.org.update("Lead", key, {"Email": EMAIL})
        await here.until(lambda: len(here.instance.leads) == 1)
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == kept
        assert merges(here) == 2


async def test_who_shared_a_person_and_does_not_come_along_gets_one_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        other = here.org.create("Lead", lead_of("Ito", Title="Stays"))
        await here.until_quiet()
        assert not here.instance.leads_of(other)
        here.org.update("Lead", lead, {"Email": EMAIL})
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(other)["title"] == "Stays"
        assert here.lead_of(other)["id"] != here.lead_of(contact)["id"]


@pytest.mark.parametrize("who", ["Lead", "Contact"])
async def test_where_people_are_not_merged_they_stay_two_and_it_is_said_once(tmp_path: Path, who: str) -> None:
    rules = Rules(merge_people=False)
    async with world(tmp_path, deliver__merge_people=False) as here:
        contact, lead = await two(here)
        meet(here, who, contact, lead)
        await here.until(lambda: here.events("people_share_email"))
        await here.until_quiet(rules)
        assert here.lead_of(contact)["id"] != here.lead_of(lead)["id"]
        assert here.lead_of(contact)["email"] == here.lead_of(lead)["email"]
        here.org.update("Lead", lead, {"Title": "still its own"})
        await here.until_quiet(rules)
        assert here.lead_of(lead)["title"] == "still its own"
        (said,) = here.events("people_share_email")
        assert said["log_level"] == "warning"
        assert merges(here) == 0


async def test_a_person_of_whom_salesforce_knows_nothing_is_left_and_said(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        form = here.instance.create_lead(email="form@example.com")
        here.org.update("Lead", lead, {"Email": "form@example.com"})
        await here.until(lambda: here.events("people_share_email"))
        await here.until_quiet()
        assert form in here.instance.leads
        assert merges(here) == 0
        assert contact


async def test_who_got_their_own_ids_and_are_two_where_the_setting_asks_for_that(tmp_path: Path) -> None:
    rules = Rules(shared_email="duplicate")
    async with world(tmp_path, deliver__shared_email="duplicate") as here:
        contact, lead = await two(here)
        here.org.update("Lead", lead, {"Email": EMAIL})
        await here.until(lambda: here.lead_of(lead)["email"] == EMAIL)
        await here.until_quiet(rules)
        assert merges(here) == 0
        assert here.lead_of(contact)["id"] != here.lead_of(lead)["id"]


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "hang_after", "truncate"])
@pytest.mark.parametrize("who", ["Lead", "Contact"])
async def test_a_merge_goes_wrong_on_its_way_and_they_can_part_again(tmp_path: Path, who: str, action: Action) -> None:
    async with world(tmp_path, deliver__max_attempts=1) as here:
        contact, lead = await two(here, SHORT)
        fault = here.marketo.faults.add(Fault(action, path=MERGE, times=1))
        meet(here, who, contact, lead)
        await here.until(lambda: len(here.instance.leads) == 1 and fault.hits, 40)
        await here.until_quiet(seconds=40)
        assert merges(here) == 1
        here.org.update("Lead", lead, {"Email": "apart@example.com"})
        await here.until_quiet(seconds=40)
        assert here.lead_of(lead)["id"] != here.lead_of(contact)["id"]
        assert not await here.dead()


async def test_a_merge_that_marketo_refuses_is_a_dead_letter_that_names_both(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        here.marketo.faults.add(Fault("respond", path=MERGE, times=None, body=refusal("714")))
        here.org.update("Lead", lead, {"Email": EMAIL})
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (lead, "714")
        assert all(str(here.lead_of(key)["id"]) in letter.cause for key in (contact, lead))
        here.marketo.faults.clear()
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        here.running.store.wake()
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()


@pytest.mark.parametrize("action", ["hang", "hang_after"])
async def test_killed_in_the_middle_of_it_it_is_done_by_the_next_daemon(tmp_path: Path, action: Action) -> None:
    async with world(tmp_path, speed=1.0) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        config = here.write_config()
        running = await Running.start(config)
        await here.until_equal()
        held = here.marketo.faults.add(Fault(action, path=MERGE, times=None))
        here.org.update("Lead", lead, {"Email": EMAIL})
        await here.until(lambda: held.hits)
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL, running.errors
        here.marketo.faults.clear()
        running = await Running.start(config)
        try:
            await here.until(lambda: len(here.instance.leads) == 1, 40)
            await here.until_equal()
            here.org.update("Lead", lead, {"Email": "apart@example.com"})
            await here.until(lambda: bool(here.instance.leads_of(lead)), 40)
            await here.until_equal()
        finally:
            assert await running.end(signal.SIGTERM) == 0
        assert here.lead_of(contact)
        assert merges(here) == 1


@pytest.mark.parametrize("who", ["first", "second"])
async def test_two_contacts_who_part_have_their_own_roles_and_scores_each(tmp_path: Path, who: str) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        first, second = (here.org.create("Contact", contact_of(made.account, "Same", Title=title)) for title in ("1", "2"))
        deals: dict[str, Any] = {first: made.opportunity, second: here.org.create("Opportunity", opportunity_of(made.account))}
        for contact, opportunity in deals.items():
            here.org.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "Role": "User"})
        await here.start()
        await here.until_quiet()
        shared = here.lead_of(first)["id"]
        here.instance.scores.change_score(shared, 31)
        await here.until_quiet()
        here.org.update("Contact", first if who == "first" else second, {"Email": "apart@example.com"})
        await here.until(lambda: bool(here.instance.leads_of(second)))
        await here.until_quiet()
        people = {first: here.lead_of(first)["id"], second: here.lead_of(second)["id"]}
        assert people[first] == shared != people[second]
        for contact, opportunity in deals.items():
            assert (opportunity, people[contact], "User") in here.instance.roles
        assert here.org.get("Contact", first)["mkto_si__Priority__c"] == 31
        here.instance.scores.change_score(people[second], 12)
        await here.until_quiet()
        assert here.org.get("Contact", second)["mkto_si__Priority__c"] == 12
        assert not await here.dead()


async def test_while_salesforce_cannot_be_asked_nobody_is_merged_and_the_others_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        contact, lead = await two(here)
        other = here.org.create("Lead", lead_of("Uno"))
        await here.until_quiet()
        fault = Fault("respond", path="/composite/sobjects/", body_matches='"Email"', times=None, status=503, body={})
        here.salesforce.faults.add(fault)
        here.org.update("Lead", lead, {"Email": EMAIL})
        await here.until(lambda: here.events("lookup_failed"))
        here.org.update("Lead", other, {"Email": "goes@example.com"})
        await here.until(lambda: here.lead_of(other)["email"] == "goes@example.com")
        assert here.lead_of(lead)["email"] == "ito@example.com"
        assert merges(here) == 0
        here.salesforce.faults.clear()
        await here.until(lambda: merges(here) == 1)
        await here.until_quiet()
        assert here.lead_of(contact)["email"] == EMAIL
