"""An audit finds what was planted on either side, nothing else, and what it queues heals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.oracle_rules import Rules
from sandbox.salesforce.seed import seed_org
from store import repair
from store.beside import Beside
from store.model import Key
from store.repair import Repair
from stream.comparing.asking import asking
from stream.comparing.audit import Audit
from stream.comparing.difference import Difference, repair_of
from stream.config import load
from tests.flow.scenes import Deal, contact_of, deal, lead_of
from tests.flow.world import World, world

QUIET: dict[str, Any] = {
    "scores__interval_seconds": 36000.0,
    "scores__sweep_interval_seconds": 36000.0,
    "reconcile__interval_seconds": 36000.0,
}
"""Nothing finds by itself what was planted."""
NO_GRACE = float("-inf")  # what is planted just now counts at once
ROLES: dict[str, Any] = {"Opportunity": "delete", "OpportunityContactRole": "delete"}


async def audited(here: World, *, grace_s: float = NO_GRACE) -> tuple[Audit, dict[Key, Difference]]:
    """What an audit finds now."""
    settings = load(here.write_config(), {}).settings
    async with asking(settings, here.machine) as ask:
        audit = Audit(settings, ask, Beside(settings.store.path), grace_s=grace_s)
        chosen = await audit.choose(None)
        found = {difference.key: difference async for difference in audit.differences(chosen)}
        made, cost = ask.made(), chosen.cost()
        assert made.salesforce <= cost.salesforce + 6, "what it takes is said rightly (but for records that are missing)"
        assert made.marketo <= cost.marketo + 6
    return audit, found


async def healed(here: World, found: dict[Key, Difference], rules: Rules | None = None) -> None:
    """What was found is queued, goes out, and a second audit finds nothing."""
    assert here.store is not None
    queued = await here.store.submit(lambda tx: repair.queue(tx, repair_of(list(found.values())), int(here.machine.now() * 1000)))
    assert queued == len(found)
    here.store.wake()
    await here.until_quiet(rules)
    _, left = await audited(here)
    assert left == {}


def fields_of(difference: Difference) -> dict[str, tuple[Any, Any]]:
    return {each.field: (each.salesforce, each.marketo) for each in difference.fields}


async def settled(here: World) -> Deal:
    """A small business on both sides."""
    made = deal(here)
    await here.start()
    await here.until_quiet()
    return made


async def test_two_sides_that_agree_agree_to_the_last_field(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        here.instance.quirks.assorted_datetimes = True
        seed_org(here.org, scale=0.1, publish=True)
        here.touch_built_in_users()
        await here.start()
        await here.until_quiet(seconds=60)
        audit, found = await audited(here)
        assert found == {}
        assert sum(tally.agree for tally in audit.tallies.values()) > 50
        assert all(tally.agree for tally in audit.tallies.values()), audit.tallies


async def test_what_was_edited_in_marketo_behind_our_back_is_found_and_put_right(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        person = here.lead_of(made.contact)["id"]
        here.instance.change_lead(person, title="Nobody", lastName="Other", externalCompanyId=None)
        here.instance.companies.change(made.account, {"mainPhone": None})
        here.instance.opportunities.change(made.opportunity, {"amount": 5, "externalSalesPersonId": None})
        here.instance.sales_persons.change(made.owner, {"lastName": "Unknown"})
        _, found = await audited(here)
        assert set(found) == {
            ("Contact", made.contact),
            ("Account", made.account),
            ("Opportunity", made.opportunity),
            ("User", made.owner),
        }
        contact = found["Contact", made.contact]
        assert (contact.kind, contact.marketo_id) == ("differs", str(person))
        assert fields_of(contact) == {"lastName": ("Lee", "Other"), "externalCompanyId": (made.account, None)}
        assert [each.source for each in contact.fields] == ["", "LastName"]
        assert fields_of(found["Account", made.account]) == {"mainPhone": ("1", None)}
        assert fields_of(found["Opportunity", made.opportunity]) == {
            "amount": (1000.0, 5),
            "externalSalesPersonId": (made.owner, None),
        }
        await healed(here, found)
        assert here.instance.leads[person]["title"] == "Nobody", "what Salesforce never filled is Marketo's own"


async def test_what_was_deleted_in_marketo_is_missing_and_made_again_with_its_roles(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        here.instance.delete_lead(here.lead_of(made.contact)["id"])
        here.instance.opportunities.remove(made.opportunity)
        _, found = await audited(here)
        kinds = {key: difference.kind for key, difference in found.items()}
        assert kinds == {
            ("Contact", made.contact): "missing",
            ("Opportunity", made.opportunity): "missing",
            ("OpportunityContactRole", made.role): "missing",
        }
        await healed(here, found)
        assert len(here.instance.leads_of(made.contact)) == 1


async def test_an_event_that_was_lost_is_found(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        with here.org.losing_events():
            here.org.update("Lead", made.lead, {"Title": "Chief", "Email": None})
            here.org.update("Opportunity", made.opportunity, {"StageName": "Closed Won"})
            here.org.update("Contact", made.contact, {"OwnerId": here.org.person_id})
        _, found = await audited(here)
        assert fields_of(found["Lead", made.lead]) == {"title": ("Chief", None), "email": (None, "ito@example.com")}
        assert fields_of(found["Opportunity", made.opportunity])["isWon"] == (True, False)
        assert fields_of(found["Contact", made.contact]) == {"externalSalesPersonId": (here.org.person_id, made.owner)}
        await healed(here, found)


async def test_an_event_that_may_still_come_is_no_difference(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        with here.org.losing_events():
            here.org.update("Lead", made.lead, {"Title": "Chief"})
        audit, found = await audited(here, grace_s=3600.0)
        assert found == {}
        assert audit.tallies["Lead"].under_way == 1


async def test_a_delete_that_was_lost_is_unexpected_where_marketo_was_to_delete_too(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET, deliver__deletes__Contact="delete", deliver__deletes__Account="keep") as here:
        made = await settled(here)
        rules = Rules(deletes={"Contact": "delete", "Lead": "keep", "Account": "keep", **ROLES})
        other = here.org.create("Account", {"Name": "Gone"})
        await here.until_quiet()
        with here.org.losing_events():
            here.org.delete("OpportunityContactRole", made.role)
            here.org.delete("Contact", made.contact)
            here.org.delete("Opportunity", made.opportunity)
            here.org.delete("Account", other)
        _, found = await audited(here)
        kinds = {key: difference.kind for key, difference in found.items()}
        assert kinds.pop(("OpportunityContactRole", made.role), "unexpected") == "unexpected"
        assert kinds == {("Contact", made.contact): "unexpected", ("Opportunity", made.opportunity): "unexpected"}
        await healed(here, found, rules)
        assert not here.instance.leads_of(made.contact)
        assert made.opportunity not in here.instance.opportunities
        assert other in here.instance.companies


async def test_a_record_that_was_deleted_for_good_while_no_event_came_is_found_in_marketo(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        with here.org.losing_events():
            here.org.delete("Lead", made.lead)
            here.org.purge("Lead", made.lead)
        _, found = await audited(here)
        assert {key: difference.kind for key, difference in found.items()} == {("Lead", made.lead): "unseen"}
        assert here.store is not None
        await here.store.submit(lambda tx: repair.queue(tx, repair_of(list(found.values())), int(here.machine.now() * 1000)))
        here.store.wake()
        (letter,) = await here.until_dead()
        assert (letter.id, letter.code) == (made.lead, "UNREADABLE_RECORD")


async def test_a_deleted_record_that_marketo_got_back_is_unexpected(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET, deliver__deletes__Lead="delete") as here:
        made = await settled(here)
        rules = Rules(deletes={"Lead": "delete", "Contact": "keep", "Account": "keep", **ROLES})
        here.org.delete("Lead", made.lead)
        await here.until_quiet(rules)
        assert not here.instance.leads_of(made.lead)
        here.instance.create_lead(lastName="Ito", email="ito@example.com", externalPersonId=made.lead)
        _, found = await audited(here)
        assert {key: difference.kind for key, difference in found.items()} == {("Lead", made.lead): "unexpected"}
        await healed(here, found, rules)
        assert not here.instance.leads_of(made.lead)


async def test_two_people_with_one_id_are_told_and_left_to_the_operator(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        copy = here.instance.create_lead(lastName="Lee", email="lee2@example.com", externalPersonId=made.contact)
        _, found = await audited(here)
        (difference,) = found.values()
        assert difference.kind == "several"
        assert str(copy) in difference.cause
        assert repair_of([difference]) == Repair([], [], {})


async def test_a_record_that_another_one_carries_agrees_while_the_person_is_there(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        here.touch_built_in_users()
        contact = here.org.create("Contact", contact_of(None, "Both"))
        await here.start()
        await here.until_quiet()
        lead = here.org.create("Lead", lead_of("Other", Email="both@example.com", Title="Mine"))
        await here.until(lambda: here.events("person_shared"))
        audit, found = await audited(here)
        assert found == {}
        assert audit.tallies["Lead"].agree == 1
        here.instance.delete_lead(here.lead_of(contact)["id"])
        _, found = await audited(here)
        assert {key: difference.kind for key, difference in found.items()} == {
            ("Contact", contact): "missing",
            ("Lead", lead): "missing",
        }


async def test_what_is_under_way_is_counted_and_not_judged(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = await settled(here)
        here.instance.refuse("company", made.account, "1006", "Field 'company' not found", times=None)
        here.org.update("Account", made.account, {"Phone": "9"})
        await here.until_dead()
        await here.stop()
        here.org.update("Contact", made.contact, {"Title": "Chief"})
        here.overrides["marketo.base_url"] = "http://127.0.0.1:9"
        await here.start()
        while not (await here.store.backlog() if here.store else {}).get("Contact"):
            await here.clock.sleep(0.1)
        here.overrides.clear()
        here.overrides.update({name.replace("__", "."): value for name, value in QUIET.items()})
        audit, found = await audited(here)
        assert found == {}
        assert (audit.tallies["Account"].dead, audit.tallies["Contact"].under_way) == (1, 1)


async def test_a_sample_is_as_large_as_asked_for_and_drawn_from_all_objects(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        here.touch_built_in_users()
        for number in range(40):
            here.org.create("Lead", lead_of(f"L{number}"))
            here.org.create("Account", {"Name": f"A{number}"})
        await here.start()
        await here.until_quiet()
        seen: set[str] = set()
        settings = load(here.write_config(), {}).settings
        async with asking(settings, here.machine) as ask:
            audit = Audit(settings, ask, Beside(settings.store.path))
            for _ in range(30):
                chosen = await audit.choose(10)
                assert chosen.ids is not None
                drawn = [record_id for ids in chosen.ids.values() for record_id in ids]
                assert len(drawn) == len(set(drawn)) == 10
                seen.update(drawn)
            everything = await audit.choose(1000)
            assert everything.total == everything.known == 82
        assert len(seen) > 60, "each as likely as any other: 300 draws of 82"


async def test_what_is_outside_of_its_filter_is_not_missing_and_what_left_unheard_is_found(tmp_path: Path) -> None:
    filters: dict[str, Any] = {"filters__Lead": "Sync_to_Marketo__c = true", "deliver__deletes__Lead": "delete"}
    rules = Rules(
        filters={**Rules().filters, "Lead": lambda row: bool(row.get("Sync_to_Marketo__c"))},
        deletes={**Rules().deletes, "Lead": "delete"},
    )
    async with world(tmp_path, **QUIET, **filters) as here:
        made = deal(here)
        inside = here.org.create("Lead", lead_of("In", Sync_to_Marketo__c=True))
        await here.start()
        await here.until_quiet(rules)
        audit, found = await audited(here)
        assert found == {}
        assert audit.tallies["Lead"].missing == 0
        with here.org.losing_events():
            here.org.update("Lead", inside, {"Sync_to_Marketo__c": False})
        _, found = await audited(here)
        assert {key: difference.kind for key, difference in found.items()} == {("Lead", inside): "unexpected"}
        await healed(here, found, rules)
        assert not here.instance.leads_of(inside)
        here.org.update("Lead", made.lead, {"Sync_to_Marketo__c": True})
        await here.until_quiet(rules)
