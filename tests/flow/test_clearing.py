"""Nothing is cleared in Marketo that Salesforce did not clear."""

from __future__ import annotations

from pathlib import Path

from sandbox.faults import Fault
from tests.flow.scenes import company, contact_of, lead_of
from tests.flow.world import world


async def test_a_first_read_leaves_what_marketo_has(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        here.instance.create_lead(email="lee@example.com", title="From a form", phone="123", department="Kept")
        contact = here.org.create("Contact", contact_of(None, "Lee", Phone="456"))
        await here.start()
        await here.until_quiet()
        lead = here.lead_of(contact)
        assert (lead["title"], lead["phone"], lead["department"]) == ("From a form", "456", "Kept")


async def test_what_salesforce_clears_becomes_null_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        here.org.update("Contact", contact, {"Title": "Boss", "MailingCity": "Oslo", "Phone": "1"})
        await here.start()
        await here.until_quiet()
        here.instance.change_lead(here.lead_of(contact)["id"], department="By Marketo")
        mark = len(here.instance.journal)
        here.org.update("Contact", contact, {"Title": None, "MailingCity": None})
        await here.until_quiet()
        lead = here.lead_of(contact)
        assert (lead.get("title"), lead.get("city"), lead["phone"]) == (None, None, "1")
        assert lead["department"] == "By Marketo"
        sent = [name for write in here.instance.journal[mark:] for name, value in write.fields.items() if value is None]
        assert sorted(sent) == ["city", "title"]


async def test_what_was_cleared_while_events_were_lost_is_cleared_by_the_read(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        here.org.update("Contact", contact, {"Title": "Boss"})
        await here.start()
        await here.until_quiet()
        with here.org.as_gaps():
            here.org.update("Contact", contact, {"Title": None})
        await here.until(lambda: here.lead_of(contact).get("title") is None)
        await here.until_quiet()


async def test_unsubscribed_is_sent_only_when_true(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("Out", HasOptedOutOfEmail=True))
        await here.start()
        await here.until_quiet()
        assert here.lead_of(lead)["unsubscribed"] is True
        here.org.update("Lead", lead, {"HasOptedOutOfEmail": False, "Title": "Back"})
        await here.until(lambda: here.lead_of(lead).get("title") == "Back")
        await here.until_quiet()
        assert here.lead_of(lead)["unsubscribed"] is True


async def test_many_quick_changes_end_with_the_last(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        for number in range(60):
            here.org.update("Account", account, {"Phone": f"{number}"})
            here.org.update("Contact", contact, {"Title": f"T{number}" if number % 3 != 2 else None})
            if number % 7 == 0:
                with here.org.as_gaps():
                    here.org.update("Contact", contact, {"Department": f"D{number}"})
            await here.clock.sleep(0.01)
        await here.until_quiet()
        assert here.instance.companies[account]["mainPhone"] == "59"
        assert here.lead_of(contact).get("title") is None


async def test_what_is_cleared_after_a_create_whose_answer_was_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        queue = here.org.create("Group", {"Name": "Desk", "DeveloperName": "Desk"})
        lead = here.org.create("Lead", lead_of("Lost", Title="Boss", City="Oslo"))
        fault = Fault("reset_after", path=r"/leads\.json", body_matches="createOnly", times=1)
        here.marketo.faults.add(fault)
        await here.start()
        await here.until(lambda: fault.hits)
        here.org.update("Lead", lead, {"Title": None, "OwnerId": queue})
        with here.org.as_gaps():
            here.org.update("Lead", lead, {"City": None})
        await here.until_quiet()
        assert [here.lead_of(lead).get(name) for name in ("title", "city", "externalSalesPersonId")] == [None, None, None]


async def test_what_is_cleared_after_a_lost_create_of_a_lead_that_became_a_contact(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.touch_built_in_users()
        lead = here.org.create("Lead", lead_of("Lost", Title="Boss"))
        fault = here.marketo.faults.add(Fault("reset_after", path=r"/leads\.json", body_matches="createOnly", times=1))
        await here.start()
        await here.until(lambda: fault.hits)
        here.org.update("Lead", lead, {"Title": None})
        contact = here.org.convert_lead(lead).contact_id
        await here.until_quiet()
        assert here.lead_of(contact).get("title") is None


async def test_what_is_cleared_after_an_update_whose_answer_was_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        _, contact = company(here)
        await here.start()
        await here.until_quiet()
        fault = here.marketo.faults.add(Fault("reset_after", path=r"/leads\.json", body_matches="updateOnly", times=1))
        here.org.update("Contact", contact, {"Department": "IT"})
        await here.until(lambda: fault.hits)
        with here.org.as_gaps():
            here.org.update("Contact", contact, {"Department": None})
        await here.until_quiet()
        assert here.lead_of(contact).get("department") is None
