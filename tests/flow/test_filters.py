"""A filter for each object: what is outside costs nothing, what enters goes whole with its parents, what leaves goes as deleted.

The oracle judges by predicates of its own, which know nothing of the daemon's filters.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.oracle_rules import Fate, Rules
from tests.flow.scenes import Deal, company, contact_of, deal, lead_of, opportunity_of
from tests.flow.world import World, world

OBJECTS = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")
FILTERS: dict[str, str] = {
    "Account": "Industry != 'Secret'",
    "Contact": "Department = 'Sales' AND DoNotCall = false",
    "Lead": "Sync_to_Marketo__c = true",
    "Opportunity": "Amount >= 100",
}
RULES = Rules(
    deletes=dict.fromkeys(OBJECTS, "delete"),
    filters={
        "User": lambda row: row.get("UserType") == "Standard",
        "Account": lambda row: row.get("Industry") != "Secret",
        "Contact": lambda row: row.get("Department") == "Sales" and not row.get("DoNotCall"),
        "Lead": lambda row: bool(row.get("Sync_to_Marketo__c")),
        "Opportunity": lambda row: (row.get("Amount") or 0) >= 100,
    },
)
IN: dict[str, dict[str, Any]] = {
    "Account": {"Industry": "Steel"},
    "Contact": {"Department": "Sales"},
    "Lead": {"Sync_to_Marketo__c": True},
    "Opportunity": {"Amount": 100},
}
OUT: dict[str, dict[str, Any]] = {
    "Account": {"Industry": "Secret"},
    "Contact": {"Department": None},
    "Lead": {"Sync_to_Marketo__c": False},
    "Opportunity": {"Amount": 99},
}


def settings(choice: Fate) -> dict[str, Any]:
    """The daemon's filters, and everything deleted or everything kept."""
    return {f"filters__{name}": text for name, text in FILTERS.items()} | {
        f"deliver__deletes__{name}": choice for name in OBJECTS
    }


def business(here: World, sides: dict[str, dict[str, Any]]) -> Deal:
    """One of each, inside or outside of its filter."""
    made = deal(here)
    for name, record_id in of(made).items():
        here.org.update(name, record_id, sides[name])
    return made


def of(made: Deal) -> dict[str, str]:
    """The filtered objects' records."""
    return {"Account": made.account, "Contact": made.contact, "Lead": made.lead, "Opportunity": made.opportunity}


def writes(here: World) -> int:
    """How many records Marketo was sent."""
    return len(here.instance.journal)


@pytest.mark.parametrize("choice", ["delete", "keep"])
@pytest.mark.parametrize("name", list(FILTERS))
async def test_what_leaves_follows_the_delete_setting_and_comes_back_whole(tmp_path: Path, name: str, choice: Fate) -> None:
    rules = replace(RULES, deletes=dict.fromkeys(OBJECTS, choice))
    async with world(tmp_path, **settings(choice)) as here:
        made = business(here, IN)
        await here.start()
        await here.until_quiet(rules)
        here.org.update(name, of(made)[name], OUT[name])
        left = replace(rules, left=(*of(made).values(), made.role))
        await here.until_quiet(left)
        record = await here.record((name, of(made)[name]))  # type: ignore[arg-type] # one of the objects
        assert record is not None
        assert record.state == "excluded"
        here.org.update(name, of(made)[name], IN[name] | ({"Phone": "77"} if name != "Opportunity" else {}))
        await here.until_quiet(rules)
        assert not await here.dead()


async def test_what_never_was_inside_costs_no_call_and_leaves_no_entry(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("delete")) as here:
        made = business(here, OUT)
        await here.start()
        await here.until_quiet(RULES)
        before = writes(here)
        for name, record_id in of(made).items():
            here.org.update(name, record_id, {"Description": "news"} if name != "Opportunity" else {"NextStep": "news"})
        lead = here.org.create("Lead", lead_of("Out"))
        await here.until_quiet(RULES)
        assert writes(here) == before
        assert await here.record(("Lead", lead)) is not None
        assert not here.instance.leads


async def test_a_child_goes_without_a_parent_that_is_outside_and_gets_it_once_it_enters(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("delete")) as here:
        made = business(here, IN | {"Account": OUT["Account"]})
        await here.start()
        await here.until_quiet(RULES)
        assert here.lead_of(made.contact).get("externalCompanyId") is None
        here.org.update("Account", made.account, IN["Account"])
        await here.until_quiet(RULES)
        assert here.lead_of(made.contact)["externalCompanyId"] == made.account


async def test_a_first_load_and_a_reread_judge_as_events_do(tmp_path: Path) -> None:
    for bulk_above in (1, 20000):
        folder = tmp_path / str(bulk_above)
        folder.mkdir()
        first = {"reconcile__backfill_on_first_start": True, "reconcile__bulk_above": bulk_above}
        async with world(folder, **settings("delete"), **first) as here:
            account, contact = company(here)
            here.org.update("Contact", contact, IN["Contact"])
            there = [here.org.create("Contact", contact_of(account, f"C{number}")) for number in range(6)]
            for one in there[::2]:
                here.org.update("Contact", one, IN["Contact"])
            here.org.create("Opportunity", opportunity_of(account, Amount=5))
            await here.start()
            await here.until_quiet(RULES)
            before = writes(here)
            assert here.store is not None
            await here.store.cut([here.hole("Contact")])
            await here.until_quiet(RULES)
            assert writes(here) == before
            with here.org.losing_events():
                here.org.update("Contact", there[0], OUT["Contact"])
                here.org.update("Contact", there[1], IN["Contact"])
            await here.store.cut([here.hole("Contact")])
            await here.until_quiet(RULES)
            inside = {contact, there[1], there[2], there[4]}
            assert {person.get("externalPersonId") for person in here.instance.leads.values()} == inside


async def test_a_sweep_finds_what_left_and_what_entered_unheard(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("delete"), reconcile__interval_seconds=1.0) as here:
        made = business(here, IN | {"Contact": OUT["Contact"]})
        await here.start()
        await here.until_quiet(RULES)
        with here.org.losing_events():
            here.org.update("Lead", made.lead, OUT["Lead"])
            here.org.update("Contact", made.contact, IN["Contact"])
        await here.until_quiet(RULES)
        assert not await here.dead()


async def test_another_filter_at_the_next_start_judges_all_records_again(tmp_path: Path) -> None:
    async with world(tmp_path, deliver__deletes__Lead="delete") as here:
        made = deal(here)
        leads = [here.org.create("Lead", lead_of(f"L{number}", Sync_to_Marketo__c=number % 2 == 0)) for number in range(4)]
        await here.start()
        await here.until_quiet()
        assert len(here.instance.leads) == 6
        await here.stop()
        here.overrides["filters.Lead"] = FILTERS["Lead"]
        await here.start()
        only = {"User": RULES.filters["User"], "Lead": RULES.filters["Lead"]}
        rules = Rules(filters=only, deletes={**Rules().deletes, "Lead": "delete"})
        await here.until_quiet(rules)
        assert not here.instance.leads_of(leads[1])
        assert not here.instance.leads_of(made.lead)
        assert [line["object"] for line in here.events("filter_changed")] == ["Lead"]
        await here.stop()
        del here.overrides["filters.Lead"]
        await here.start()
        await here.until_quiet(Rules(deletes=rules.deletes))
        assert len(here.instance.leads) == 6


async def test_a_filter_whose_field_is_hidden_lets_nothing_leave(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("delete")) as here:
        made = business(here, IN)
        await here.start()
        await here.until_quiet(RULES)
        here.org.hide_field("Lead", "Sync_to_Marketo__c")
        await here.restart()
        assert here.store is not None
        await here.store.cut([here.hole("Lead")])
        await here.until(lambda: here.events("load_failed"))
        assert "filters.Lead: Sync_to_Marketo__c" in here.events("load_failed")[0]["cause"]
        assert here.lead_of(made.lead)
        here.org.show_field("Lead", "Sync_to_Marketo__c")
        await here.until_quiet(RULES)
        assert here.lead_of(made.lead)


async def test_conversions_and_merges_meet_filters(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("delete")) as here:
        made = business(here, IN)
        outside = here.org.create("Lead", lead_of("Out"))
        loser = here.org.create("Contact", contact_of(made.account, "Loser", Department="Sales"))
        await here.start()
        await here.until_quiet(RULES)
        here.org.convert_lead(outside)
        converted = here.org.convert_lead(made.lead)
        here.org.merge("Contact", made.contact, loser)
        await here.until_quiet(RULES)
        for row in here.org.records("Contact"):
            here.org.update("Contact", row["Id"], IN["Contact"])
        await here.until_quiet(RULES)
        here.org.update("Contact", made.contact, OUT["Contact"])
        await here.until_quiet(RULES)
        assert not await here.dead()
        assert converted


async def test_a_lead_carries_the_shared_person_on_when_the_contact_leaves(tmp_path: Path) -> None:
    async with world(tmp_path, **settings("keep")) as here:
        made = business(here, IN)
        here.org.update("Lead", made.lead, {"Email": "lee@example.com"})
        rules = replace(RULES, deletes=dict.fromkeys(OBJECTS, "keep"))
        await here.start()
        await here.until_quiet(rules)
        assert len(here.instance.leads) == 1
        here.org.update("Contact", made.contact, OUT["Contact"])
        await here.until_quiet(replace(rules, left=(made.role,)))
        assert here.lead_of(made.lead)
        here.org.update("Contact", made.contact, IN["Contact"])
        await here.until_quiet(rules)
        assert here.lead_of(made.contact)
