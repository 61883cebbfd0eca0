"""A plan foretells what the daemon then does, record by record and field by field; it sends nothing and changes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from sandbox.salesforce.seed import seed_org
from store.beside import Beside
from store.model import Change, Key
from store.store import Store
from stream.comparing.asking import asking
from stream.comparing.foreseen import Foreseen, Nothing
from stream.comparing.preview import Planned, Preview
from stream.comparing.preview_sources import FirstLoad, Outbox, cost
from stream.config import load
from tests.flow.scenes import company, contact_of, deal, lead_of, opportunity_of, user
from tests.flow.world import World, world

QUIET: dict[str, Any] = {
    "scores__interval_seconds": 36000.0,
    "scores__sweep_interval_seconds": 36000.0,
    "reconcile__interval_seconds": 36000.0,
}
NOWHERE = "http://127.0.0.1:9"


async def planned(here: World, *, first_load: bool = False) -> dict[Key, Planned]:
    """What the plan says now."""
    settings = load(here.write_config(), {}).settings
    async with asking(settings, here.machine) as ask:
        beside = Beside(settings.store.path)
        preview = Preview(settings, ask, Foreseen(Nothing(), everything=True) if first_load else Foreseen(beside))
        objects = [*settings.salesforce.objects.set_to("stream"), *settings.salesforce.objects.set_to("poll")]
        source: Any = FirstLoad(preview, ask, objects=objects) if first_load else Outbox(preview, ask, beside=beside)
        counts = await source.counts() if first_load else await beside.backlog()
        found = [each async for each in source.planned()]
        assert len({each.key for each in found}) == len(found), "each record once"
        assert sum(sum(counter.values()) for counter in preview.totals.values()) == len(found)
        made, most = ask.made(), cost(counts, first_load=first_load)
        assert made.salesforce <= most.salesforce + 10, "what it takes is said rightly (but for counting, and who still lives)"
        assert made.marketo <= most.marketo + (4 if first_load else 1)
    return {each.key: each for each in found}


async def buffered(here: World) -> None:
    """A daemon that hears of everything and can send nothing; stopped once all is in its outbox."""
    here.overrides["marketo.base_url"] = NOWHERE
    await here.start()
    assert here.store is not None
    while (replay := await here.store.replay("/data/ChangeEvents")) is None or replay.replay_id < here.org.log.last_replay_id:
        await here.until(lambda: True)
        await here.clock.sleep(0.5)
    polled = dict(here.running.reconcile.polled_at)
    await here.until(lambda: here.running.reconcile.polled_at != polled)
    await here.until(lambda: here.running.deliver.not_ready)
    await here.stop()
    del here.overrides["marketo.base_url"]


def actions(found: dict[Key, Planned]) -> dict[str, int]:
    return dict(Counter(each.action for each in found.values()))


def dump(here: World) -> list[str]:
    """All that the store holds."""
    with closing(sqlite3.connect(here.folder / "store.db")) as database:
        return list(database.iterdump())


NAMES = {"User": "salesperson", "Account": "company", "Contact": "lead", "Lead": "lead", "Opportunity": "opportunity"}


def sent(here: World, since: int) -> dict[str, list[Any]]:
    """What was written to Marketo since then, by the Salesforce id that it carries."""
    found: dict[str, list[Any]] = {}
    for write in here.instance.journal[since:]:
        own = next((write.fields[name] for name in OWN if name in write.fields), None)
        if own is not None and write.object != "opportunityRole":
            found.setdefault(str(own), []).append(write)
    return found


OWN = ("externalPersonId", "externalOpportunityId", "externalCompanyId", "externalSalesPersonId")


def check(here: World, found: dict[Key, Planned], since: int) -> None:
    """What was planned for each record is what was sent of it, and nothing else was sent."""
    writes = sent(here, since)
    for key, each in found.items():
        if key[0] == "OpportunityContactRole":
            continue
        of_it = writes.pop(key[1], [])
        if each.action in {"create", "update", "adopt"}:
            assert of_it, f"{key} was planned ({each.action}) and not sent"
            made = {"create": "created", "update": "updated", "adopt": "updated"}[each.action]
            assert of_it[0].action == made, (key, each, of_it[0])
            if made == "updated":
                changed = [name for name, value in of_it[0].changed.items() if value != key[1] and value is not False]
                told = {one.field for one in each.fields if one.salesforce != key[1]}
                assert told == set(changed), (key, told, of_it[0].changed)
        else:
            assert not of_it, f"{key} was planned as {each.action}, and sent: {of_it}"
    assert not writes, f"sent and not planned: {writes}"


async def test_a_first_load_is_foretold(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET, reconcile__backfill_on_first_start=True) as here:
        with here.org.losing_events():
            seed_org(here.org, scale=0.1, publish=False)
            both = here.org.create("Contact", contact_of(None, "Both"))
            here.org.create("Lead", lead_of("Other", Email="both@example.com"))
            here.org.create("Contact", contact_of(None, "Known", Title="Chief"))
        known = here.instance.create_lead(lastName="Known", email="known@example.com", title="Clerk", city="Oslo")
        for _ in range(2):
            here.instance.create_lead(lastName="Double", email="double@example.com")
        with here.org.losing_events():
            double = here.org.create("Lead", lead_of("Double"))
        calls = len(here.instance.journal)
        found = await planned(here, first_load=True)
        assert len(here.instance.journal) == calls, "nothing was sent"
        assert not (tmp_path / "store.db").exists()
        assert found["Lead", double].action == "conflict"
        adopted = next(each for each in found.values() if each.action == "adopt")
        assert adopted.marketo_id == str(known)
        told = {one.field: (one.marketo, one.salesforce) for one in adopted.fields}
        assert told["title"] == ("Clerk", "Chief")
        assert "city" not in told
        assert found["Contact", both].action == "create"
        assert actions(found)["share"] >= 1
        await here.start()
        await here.until_dead()
        await here.until(lambda: here.instance.roles, 30)
        while sum((await here.store.backlog() if here.store else {}).values()) or not await loaded(here):
            await here.clock.sleep(0.5)
        check(here, found, calls)


async def loaded(here: World) -> bool:
    """Whether the first load is over."""
    assert here.store is not None
    for obj in ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"):
        if not await here.store.intervals(obj):
            return False
    return True


async def test_what_waits_in_the_outbox_is_foretold_and_the_store_left_as_it_is(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        here.org.update("Contact", made.contact, {"Title": "Chief", "Phone": "1"})
        here.org.update("Account", made.account, {"Phone": None})
        here.org.update("Opportunity", made.opportunity, {"Amount": 2000})
        here.org.delete("Lead", made.lead)
        new = here.org.create("Account", {"Name": "New", "OwnerId": user(here, "fresh")})
        person = here.org.create("Contact", contact_of(new, "Fresh"))
        business = here.org.create("Opportunity", opportunity_of(new))
        role = here.org.create("OpportunityContactRole", {"OpportunityId": business, "ContactId": person, "Role": "Buyer"})
        await buffered(here)
        before, journal = dump(here), len(here.instance.journal)
        found = await planned(here)
        assert dump(here) == before
        assert len(here.instance.journal) == journal
        contact = found["Contact", made.contact]
        assert (contact.action, contact.marketo_id) == ("update", str(here.lead_of(made.contact)["id"]))
        assert {one.field: (one.source, one.marketo, one.salesforce) for one in contact.fields} == {
            "title": ("Title", None, "Chief"),
            "phone": ("Phone", None, "1"),
        }
        assert [(one.field, one.marketo, one.salesforce) for one in found["Account", made.account].fields] == [
            ("mainPhone", "1", None)
        ]
        assert found["Lead", made.lead].action == "nothing", "kept, as the settings ask"
        assert [found[key].action for key in (("Account", new), ("Contact", person), ("Opportunity", business))] == ["create"] * 3
        planned_role = found["OpportunityContactRole", role]
        assert planned_role.action == "create"
        assert "new" in planned_role.cause
        await here.start()
        await here.until_quiet()
        check(here, found, journal)


async def test_what_marketo_has_already_is_nothing_to_do(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        account, contact = company(here)
        await here.start()
        await here.until_quiet()
        with here.org.losing_events():
            here.org.update("Contact", contact, {"Title": "Chief"})
        await here.stop()
        store = await Store.open(tmp_path / "store.db")
        await store.take([Change("Account", account, read="gap"), Change("Contact", contact, read="gap")], None, 1000)
        await store.close()
        journal = len(here.instance.journal)
        found = await planned(here)
        assert (found["Account", account].action, found["Account", account].cause) == ("nothing", "Marketo has all of it already")
        assert [(one.field, one.marketo, one.salesforce) for one in found["Contact", contact].fields] == [
            ("title", None, "Chief")
        ]
        await here.start()
        await here.until_quiet()
        check(here, found, journal)


async def test_people_found_by_email_are_adopted_and_new_ones_with_one_email_are_one(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        here.touch_built_in_users()
        await here.start()
        await here.until_quiet()
        await here.stop()
        known = here.instance.create_lead(lastName="Old", email="known@example.com")
        adopted = here.org.create("Lead", lead_of("Known"))
        first = here.org.create("Contact", contact_of(None, "Twin"))
        second = here.org.create("Lead", lead_of("Other", Email="TWIN@example.com"))
        await buffered(here)
        journal = len(here.instance.journal)
        found = await planned(here)
        assert (found["Lead", adopted].action, found["Lead", adopted].marketo_id) == ("adopt", str(known))
        assert ("lastName", "Old", "Known") in [(one.field, one.marketo, one.salesforce) for one in found["Lead", adopted].fields]
        assert (found["Contact", first].action, found["Lead", second].action) == ("create", "share")
        await here.start()
        await here.until_quiet()
        check(here, found, journal)


async def test_owners_outside_the_filter_and_parents_that_are_off_are_part_of_a_first_load(tmp_path: Path) -> None:
    off = {"salesforce__objects__Account": "off"}
    async with world(tmp_path, **{**QUIET, **off}) as here:
        owner, idle = user(here, "owner", IsActive=False), user(here, "idle", IsActive=False)
        account = here.org.create("Account", {"Name": "Acme", "OwnerId": owner})
        alone = here.org.create("Account", {"Name": "Alone"})
        contact = here.org.create("Contact", contact_of(account, "Lee"))
        found = await planned(here, first_load=True)
        assert found["User", owner].action == "create"
        assert found["User", idle].action == "nothing"
        assert found["Account", account].action == "create"
        assert ("Account", alone) not in found
        assert ("externalCompanyId", account) in [(one.field, one.salesforce) for one in found["Contact", contact].fields]


async def test_what_waits_for_a_dead_letter_is_blocked_all_the_way_down(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET) as here:
        account, contact = company(here)
        business = here.org.create("Opportunity", opportunity_of(account))
        here.org.create("OpportunityContactRole", {"OpportunityId": business, "ContactId": contact, "Role": "Buyer"})
        here.instance.refuse("company", account, "1006", "Field 'company' not found", times=None)
        await here.start()
        await here.until_dead()
        await here.clock.sleep(5.0)
        found = await planned(here)
        kinds = {key[0]: each.action for key, each in found.items()}
        assert kinds == {"Contact": "blocked", "Opportunity": "blocked", "OpportunityContactRole": "blocked"}
        assert account in found["Contact", contact].cause


async def test_deletes_are_planned_where_the_settings_delete(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET, deliver__deletes__Lead="delete", deliver__deletes__Contact="delete") as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        for obj, record_id in (("Lead", made.lead), ("Contact", made.contact), ("Opportunity", made.opportunity)):
            here.org.delete(obj, record_id)
        await buffered(here)
        found = await planned(here)
        assert {key[0]: each.action for key, each in found.items() if key[0] != "OpportunityContactRole"} == {
            "Lead": "delete",
            "Contact": "delete",
            "Opportunity": "delete",
        }


async def test_a_deleted_records_person_that_another_one_carries_is_not_planned_to_be_deleted(tmp_path: Path) -> None:
    async with world(tmp_path, **QUIET, deliver__deletes__Lead="delete") as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        await here.stop()
        person = here.lead_of(made.lead)["id"]
        with here.org.losing_events():
            other = here.org.create("Contact", contact_of(None, "Other"))
        here.instance.change_lead(person, externalPersonId=other)
        here.org.delete("Lead", made.lead)
        await buffered(here)
        found = await planned(here)
        assert found["Lead", made.lead].action == "nothing"
        assert other in found["Lead", made.lead].cause


async def test_what_is_outside_of_its_filter_is_planned_as_nothing_and_so_it_is(tmp_path: Path) -> None:
    filters: dict[str, Any] = {"filters__Lead": "Sync_to_Marketo__c = true", "filters__Account": "Industry != 'Secret'"}
    async with world(tmp_path, **QUIET, **filters, reconcile__backfill_on_first_start=True) as here:
        made = deal(here)
        here.org.update("Account", made.account, {"Industry": "Secret"})
        inside = here.org.create("Lead", lead_of("In", Sync_to_Marketo__c=True))
        found = await planned(here, first_load=True)
        assert found["Lead", made.lead].action == found["Account", made.account].action == "nothing"
        assert found["Lead", inside].action == "create"
        assert "externalCompanyId" not in {each.field for each in found["Contact", made.contact].fields}
        await here.start()
        await here.until(lambda: bool(here.instance.leads_of(inside) and here.instance.leads_of(made.contact)))
        assert not here.instance.leads_of(made.lead)
        assert made.account not in here.instance.companies
