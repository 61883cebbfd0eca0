"""Leads and contacts become people: adopted, shared, converted, parted again, and never made twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from sandbox.faults import Fault
from sandbox.marketo.schema import LEAD
from sandbox.oracle_rules import Rules
from tests.flow.scenes import company, contact_of, deal, lead_of
from tests.flow.world import World, world

SYNC = r"^/rest/v1/leads\.json"


def created(here: World) -> int:
    """How many people were made by us."""
    return sum(write.object == LEAD and write.action == "created" for write in here.instance.journal)


async def test_a_person_marketo_knows_by_email_is_adopted(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        known = here.instance.create_lead(email="LEE@example.com", firstName="By form")
        company(here)
        here.org.create("Lead", lead_of("New"))
        await here.start()
        await here.until_quiet()
        assert here.instance.leads[known]["lastName"] == "Lee"
        assert created(here) == 1


async def test_several_people_with_the_email_are_a_dead_letter_that_names_them(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        twins = [here.instance.create_lead(email="lee@example.com") for _ in range(2)]
        account, contact = company(here)
        await here.start()
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (contact, "1007")
        assert all(str(twin) in letter.cause for twin in twins)
        assert letter.cure
        here.instance.merge_leads(*twins)
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        here.running.store.wake()
        await here.until_quiet()
        assert account


@pytest.mark.parametrize("first", ["Lead", "Contact", "both"])
async def test_a_lead_and_a_contact_with_one_email_share_whoever_comes_first(tmp_path: Path, first: str) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()

        def make(name: str) -> str:
            fields = contact_of(None, "Lee", Title="Contact") if name == "Contact" else lead_of("Lee", Title="Lead")
            return str(here.org.create(name, fields))

        names = ("Contact", "Lead") if first != "Lead" else ("Lead", "Contact")
        ids = {}
        await here.start()
        for name in names:
            ids[name] = make(name)
            if first != "both":
                await here.until_quiet()
        await here.until_quiet()
        assert here.lead_of(ids["Contact"])["title"] == "Contact"
        assert len(here.instance.leads) == 1
        here.org.update("Lead", ids["Lead"], {"Title": "Lead says"})
        await here.until_quiet()
        assert here.lead_of(ids["Contact"])["title"] == "Contact"


@pytest.mark.parametrize("fate", ["delete", "keep"])
async def test_when_the_carrier_of_a_shared_person_goes_the_other_carries_on(
    tmp_path: Path, fate: Literal["delete", "keep"]
) -> None:
    rules = Rules(deletes={"Contact": fate, "Lead": fate})
    async with world(tmp_path, deliver__deletes__Contact=fate, deliver__deletes__Lead=fate) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee", Title="Lead"))
        await here.start()
        await here.until_quiet(rules)
        person = here.lead_of(contact)["id"]
        here.org.delete("Contact", contact)
        await here.until_quiet(rules)
        assert here.lead_of(lead)["id"] == person
        assert here.lead_of(lead)["title"] == "Lead"
        here.org.delete("Lead", lead)
        if fate == "delete":
            await here.until(lambda: not here.instance.leads)
        await here.until_quiet(rules)


@pytest.mark.parametrize("who", ["deleted", "merged"])
@pytest.mark.parametrize("heir", ["Lead", "Contact"])
async def test_who_comes_to_a_person_that_was_kept_clears_what_the_gone_one_had(tmp_path: Path, who: str, heir: str) -> None:
    rules = Rules(deletes={"Contact": "keep"}, merge_people=False)
    async with world(tmp_path, deliver__deletes__Contact="keep", deliver__merge_people=False) as here:
        account, winner = company(here)
        gone = here.org.create("Contact", contact_of(account, "Ito", Title="Owner", Salutation="Dr."))
        await here.start()
        await here.until_quiet(rules)
        person = here.lead_of(gone)["id"]
        if who == "deleted":
            here.org.delete("Contact", gone)
        else:
            here.org.merge("Contact", winner, gone)
        await here.until_quiet(rules)
        assert here.instance.leads[person]["salutation"] == "Dr."
        fields = lead_of("Ito") if heir == "Lead" else contact_of(account, "Ito")
        new = here.org.create(heir, fields)
        await here.until_quiet(rules)
        assert here.lead_of(new)["id"] == person
        assert (here.lead_of(new)["title"], here.lead_of(new)["salutation"]) == (None, None)
        here.instance.change_lead(person, title="Chair")  # by somebody in Marketo
        later = here.org.create("Contact", contact_of(account, "Ito"))
        await here.until_quiet(rules)
        assert here.lead_of(later if heir == "Lead" else new)["title"] == "Chair", "what is answered for once is not taken twice"


@pytest.mark.parametrize("then", ["it stays so", "the contact goes", "the lead gets another email"])
async def test_a_person_that_was_perhaps_created_for_another_is_not_taken_before_that_is_known(tmp_path: Path, then: str) -> None:
    """The answer to a contact's creation is lost; a lead with its email waits for that call."""
    rules = Rules(deletes={"Contact": "keep"})
    async with world(tmp_path, deliver__deletes__Contact="keep") as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet(rules)
        here.marketo.faults.add(Fault("reset_after", method="POST", path=SYNC, body_matches="createOnly", times=1))
        contact = here.org.create("Contact", contact_of(account, "Ito", Title="Owner", Salutation="Dr."))
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.until(lambda: any(write.changed.get("title") == "Owner" for write in here.instance.journal))
        if then == "the contact goes":
            here.org.delete("Contact", contact)
        elif then == "the lead gets another email":
            here.org.update("Lead", lead, {"Email": "apart@example.com"})
        await here.until_quiet(rules, 60)
        titles = {person.get("email"): person.get("title") for person in here.instance.leads.values()}
        assert titles["ito@example.com"] == (None if then == "the contact goes" else "Owner")
        assert titles.get("apart@example.com") is None


async def test_an_email_changes(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        person = here.lead_of(contact)["id"]
        here.org.update("Contact", contact, {"Email": "other@example.com"})
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == person
        here.org.update("Contact", contact, {"Email": None})
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == person


@pytest.mark.parametrize("who", ["Lead", "Contact"])
async def test_two_who_shared_part_when_one_gets_another_email(tmp_path: Path, who: str) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        await here.start()
        await here.until_quiet()
        assert len(here.instance.leads) == 1
        here.org.update(who, contact if who == "Contact" else lead, {"Email": "apart@example.com"})
        await here.until_quiet()
        assert here.lead_of(contact)["id"] != here.lead_of(lead)["id"]


async def test_people_without_an_email(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        leads = [here.org.create("Lead", {"LastName": f"L{n}", "Company": "C"}) for n in range(5)]
        await here.start()
        await here.until_quiet()
        here.org.update("Lead", leads[0], {"Email": "late@example.com"})
        await here.until_quiet()
        assert created(here) == 5


async def test_people_without_an_email_where_external_ids_are_no_lookup_field(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.instance.quirks.external_person_id_lookup = False
        here.touch_built_in_users()
        for number in range(3):
            here.org.create("Lead", {"LastName": f"L{number}", "Company": "C"})
        await here.start()
        await here.until_quiet()
        assert created(here) == 3
        assert not await here.dead()


async def test_external_ids_cannot_be_searched_by(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        here.instance.set_searchable(LEAD, "externalPersonId", searchable=False)
        here.instance.quirks.external_person_id_lookup = False
        known = here.instance.create_lead(email="lee@example.com")
        _, contact = company(here)
        here.org.create("Lead", {"LastName": "Nobody", "Company": "C"})
        await here.start()
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == known
        assert not await here.dead()


@pytest.mark.parametrize("when", ["live", "before", "down"])
@pytest.mark.parametrize("into", ["new", "existing"])
async def test_a_lead_is_converted(tmp_path: Path, when: str, into: str) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("Ito", Title="Lead"))
        # an existing contact that Marketo does not have yet: the lead's person becomes its own
        existing = here.org.create("Contact", contact_of(account, "Ito")) if into == "existing" else None
        if when == "before":
            made = here.org.convert_lead(lead, contact_id=existing, account_id=account, opportunity=True)
            await here.start()
        else:
            await here.start()
            await here.until_quiet()
            person = here.lead_of(existing or lead)["id"]
            if when == "down":
                await here.stop()
            made = here.org.convert_lead(lead, contact_id=existing, account_id=account, opportunity=True)
            if when == "down":
                await here.start()
        await here.until_quiet()
        if when != "before":
            assert here.lead_of(made.contact_id)["id"] == person
        assert not here.instance.leads_of(lead)
        assert not await here.dead()


async def test_a_lead_is_converted_into_a_contact_with_a_person_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__merge_people=False) as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        here.org.convert_lead(lead, contact_id=contact)
        await here.until_quiet(Rules(merge_people=False))
        assert len(here.events("conversion_left_two_people")) == 1


async def test_a_lead_marketo_got_by_another_daemon_is_converted(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        with here.org.losing_events():
            lead = here.org.create("Lead", lead_of("Ito"))
        person = here.instance.create_lead(email="old@example.com", externalPersonId=lead)
        made = here.org.convert_lead(lead, account_id=account)
        await here.start()
        await here.until_quiet()
        assert here.lead_of(made.contact_id)["id"] == person


async def test_creates_that_take_their_time_make_nobody_twice(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__batch_size=7, marketo__concurrency=8) as here:
        here.instance.quirks.create_latency_seconds = 0.8
        here.touch_built_in_users()
        for number in range(60):
            here.org.create("Contact", contact_of(None, f"P{number % 30}"))
            here.org.create("Lead", lead_of(f"P{number % 40}"))
        await here.start()
        await here.until_quiet(seconds=40)
        assert len(here.instance.leads) == 40


@pytest.mark.parametrize("action", ["reset_after", "truncate", "reset_before"])
@pytest.mark.parametrize("email", [True, False])
async def test_a_lost_answer_to_a_create_makes_nobody_twice(tmp_path: Path, action: str, email: bool) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        for number in range(10):
            fields = lead_of(f"P{number}") if email else {"LastName": f"P{number}", "Company": "C"}
            here.org.create("Lead", fields)
        body = "createOnly" if email else "externalPersonId"
        fault = Fault(action, path=SYNC, method="POST", body_matches=f'"action".*{body}', times=2)  # type: ignore[arg-type]
        here.marketo.faults.add(fault)
        await here.start()
        await here.until_quiet()
        assert fault.hits
        assert len(here.instance.leads) == 10
        assert not await here.dead()


async def test_a_create_that_marketo_calls_timed_out_makes_nobody_twice(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.instance.quirks.external_person_id_lookup = False
        here.touch_built_in_users()
        for number in range(10):
            here.org.create("Lead", {"LastName": f"P{number}", "Company": "C"})
        answer = {"requestId": "1", "success": False, "errors": [{"code": "604", "message": "Request timed out"}]}
        fault = Fault("rewrite", path=SYNC, method="POST", body_matches="createDuplicate", times=2, body=answer)
        here.marketo.faults.add(fault)
        await here.start()
        await here.until_quiet()
        assert fault.hits
        assert len(here.instance.leads) == 10


async def test_where_each_has_its_own_a_converted_leads_person_is_its_contacts(tmp_path: Path) -> None:
    """Until the contact is sent, the person carries the id of a lead that is none any more."""
    rules = Rules(shared_email="duplicate")
    async with world(tmp_path, deliver__shared_email="duplicate") as here:
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet(rules)
        person = here.lead_of(lead)["id"]
        down = here.salesforce.faults.add(Fault("respond", path="/composite/sobjects/Contact", status=503, times=None))
        with here.org.as_gaps():
            contact = here.org.convert_lead(lead, account_id=account).contact_id
        while (record := await here.record(("Contact", contact))) is None or record.marketo_id is None:
            await here.pause()
        other = here.org.create("Lead", {**lead_of("Other"), "Email": here.org.get("Contact", contact)["Email"]})
        await here.until(lambda: bool(here.instance.leads_of(other)))
        assert here.lead_of(other)["id"] != person
        down.times = 0
        await here.until_quiet(rules)
        assert here.lead_of(contact)["id"] == person


async def test_shared_email_duplicate_makes_one_each(tmp_path: Path) -> None:
    rules = Rules(shared_email="duplicate")
    async with world(tmp_path, deliver__shared_email="duplicate") as here:
        _, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        await here.start()
        await here.until_quiet(rules)
        other = here.org.create("Lead", lead_of("Lee"))
        await here.until_quiet(rules)
        assert len({here.lead_of(one)["id"] for one in (contact, lead, other)}) == 3


async def test_a_person_deleted_in_marketo_comes_back_with_the_next_change_and_with_its_roles(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        gone = here.lead_of(made.contact)["id"]
        here.instance.delete_lead(gone)
        here.org.update("Contact", made.contact, {"Title": "Back"})
        await here.until_quiet()
        assert here.lead_of(made.contact)["id"] != gone
        assert [role["leadId"] for role in here.instance.roles.values()] == [here.lead_of(made.contact)["id"]]
        assert not await here.dead()


async def test_people_merged_in_marketo_are_found_again_by_themselves(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        loser = here.lead_of(contact)["id"]
        winner = here.instance.create_lead(email="form@example.com")
        here.instance.merge_leads(winner, loser)
        here.instance.scores.change_score(winner, 7)
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == winner
        assert here.org.get("Contact", contact)["mkto_si__Priority__c"] == 7


async def test_an_email_that_is_no_ascii_is_a_dead_letter_and_the_others_go(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        bad = here.org.create("Lead", lead_of("Jürgen"))
        good = here.org.create("Lead", lead_of("Good"))
        await here.start()
        (letter,) = await here.until_dead()
        assert letter.id == bad
        assert re.search("ASCII", letter.cause)
        await here.until_quiet(Rules(excused=(bad,)))
        assert here.lead_of(good)
        here.org.update("Lead", bad, {"Email": "juergen@example.com"})
        await here.until_quiet()
        assert not await here.dead()


async def test_the_external_id_cannot_be_changed_once_it_is_set(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__max_attempts=2) as here:
        here.instance.quirks.external_person_id_updateable = False
        account, _ = company(here)
        lead = here.org.create("Lead", lead_of("Ito"))
        await here.start()
        await here.until_quiet()
        made = here.org.convert_lead(lead, account_id=account)
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (made.contact_id, "1003")
        assert "externalPersonId" in letter.cause


async def test_a_lead_converted_while_it_is_being_created_leaves_one_person(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, _ = company(here)
        await here.start()
        await here.until_quiet()
        slow = here.marketo.faults.add(Fault("delay", path=SYNC, body_matches="externalPersonId.*00Q", times=1, seconds=1.0))
        lead = here.org.create("Lead", {"LastName": "Swift", "Company": "C"})
        await here.until(lambda: slow.hits)
        made = here.org.convert_lead(lead, account_id=account)
        await here.until_quiet()
        assert here.lead_of(made.contact_id)
        assert not here.instance.leads_of(lead)
        assert created(here) == 2


async def test_a_lead_that_shared_its_person_leaves_it_to_the_others_when_it_becomes_a_contact(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        account, contact = company(here)
        lead = here.org.create("Lead", lead_of("Lee"))
        into = here.org.create("Contact", contact_of(account, "Other"))
        await here.start()
        await here.until_quiet()
        shared = here.lead_of(contact)["id"]
        here.org.convert_lead(lead, contact_id=into)
        await here.until_quiet()
        assert here.lead_of(contact)["id"] == shared
        assert here.lead_of(into)["id"] != shared
