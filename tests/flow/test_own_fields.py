"""Fields of the configuration's own: constants, conversions and policies, over real sockets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.marketo.schema import LEAD as LEADS
from sandbox.marketo.schema import Field
from sandbox.oracle_rules import Rules
from tests.flow.scenes import lead_of
from tests.flow.test_audit import audited
from tests.flow.world import World, world

LEAD: Mapping[str, Any] = {
    "Rating": {"to": "rating", "map": {"Hot": "A", "Cold": "C"}},
    "Title": {"to": "title", "policy": "if_empty"},
    "LeadSource": {"to": "leadSource", "policy": "never_clear"},
    "City": {"to": "city", "convert": ["trim", "upper"], "length": 5},
    "Fax": "",
    "=Salesforce": "personSource",
}
CHANGED = ("rating", "title", "leadSource", "city", "fax", "personSource")
RULES = Rules(ignored_fields=CHANGED)


def ready(here: World) -> None:
    """A Marketo with a field that says where people come from, and users that were heard of."""
    here.instance.add_field(LEADS, Field("personSource", "string", 255))
    here.touch_built_in_users()


def fields(here: World, lead: str) -> dict[str, Any]:
    """What Marketo holds of the lead in the fields that are the configuration's own."""
    found = here.lead_of(lead)
    return {name: found.get(name) for name in CHANGED}


async def test_constants_conversions_and_policies(tmp_path: Path) -> None:
    async with world(tmp_path, fields__Lead=LEAD) as here:
        ready(here)
        told = {"Rating": "Hot", "Title": "Boss", "LeadSource": "Web", "City": " Hamburg", "Fax": "1"}
        lead = here.org.create("Lead", lead_of("Ito", **told))
        await here.start()
        await here.until_quiet(RULES)
        first = {"rating": "A", "title": "Boss", "leadSource": "Web", "city": "HAMBU", "fax": None, "personSource": "Salesforce"}
        assert fields(here, lead) == first
        here.org.update("Lead", lead, {"Rating": "Warm", "Title": "Chief", "LeadSource": None, "City": "Ulm", "Phone": "2"})
        await here.until_quiet(RULES)
        assert fields(here, lead) == first | {"rating": "Warm", "city": "ULM"}
        here.instance.change_lead(here.lead_of(lead)["id"], title=None)
        before = len(here.instance.journal)
        here.org.update("Lead", lead, {"Title": "Chair", "City": None})
        await here.until_quiet(RULES)
        assert fields(here, lead) == first | {"rating": "Warm", "city": None, "title": "Chair"}
        assert len(here.instance.journal) == before + 1
        _, found = await audited(here)
        assert found == {}


MADE: Mapping[str, Any] = {
    "rating": lambda row: {"Hot": "A", "Cold": "C"}.get(row["Rating"], row["Rating"]),
    "city": lambda row: (row["City"] or "").strip().upper()[:5] or None,
    "personSource": lambda row: "Salesforce",  # noqa: ARG005 - of every record the same
    "fax": lambda row: None,  # noqa: ARG005 - left out
}
"""What the rules above have to make, in the oracle's own words."""


async def test_the_oracle_finds_in_marketo_what_conversions_have_to_make(tmp_path: Path) -> None:
    rules = Rules(ignored_fields=CHANGED, made={"Lead": MADE})
    chance = random.Random(7)  # noqa: S311 - values of a test
    async with world(tmp_path, fields__Lead=LEAD) as here:
        ready(here)

        def some() -> dict[str, Any]:
            city = chance.choice([None, "Ulm", "  Berlin ", "Frankfurt am Main", "köln"])
            return {"Rating": chance.choice([None, "Hot", "Warm", "Cold"]), "City": city, "Fax": chance.choice([None, "1"])}

        leads = [here.org.create("Lead", lead_of(f"L{number}", **some())) for number in range(30)]
        await here.start()
        await here.until_quiet(rules)
        for lead in chance.sample(leads, 20):
            here.org.update("Lead", lead, some())
        await here.until_quiet(rules)
        here.instance.change_lead(here.lead_of(leads[0])["id"], city="ELSE", rating="Z")
        assert len([each for each in here.report(rules).problems if leads[0] in each]) == 2, "the oracle looks at them"


async def test_what_marketo_filled_before_is_left_alone_also_where_a_person_is_adopted(tmp_path: Path) -> None:
    async with world(tmp_path, fields__Lead=LEAD, fields__Account={"Industry": {"to": "industry", "policy": "if_empty"}}) as here:
        ready(here)
        known = here.instance.create_lead(email="ito@example.com", title="Known")
        lead = here.org.create("Lead", lead_of("Ito", Title="Boss", Rating="Hot"))
        account = here.org.create("Account", {"Name": "Acme", "Industry": "Steel"})
        await here.start()
        rules = Rules(ignored_fields=(*CHANGED, "industry"))
        await here.until_quiet(rules)
        assert here.lead_of(lead)["id"] == known
        assert here.lead_of(lead)["title"] == "Known"
        assert here.instance.companies[account]["industry"] == "Steel"
        here.org.update("Account", account, {"Industry": "Glass"})
        await here.until_quiet(rules)
        assert here.instance.companies[account]["industry"] == "Steel"


async def test_a_rule_that_was_changed_sends_the_records_again(tmp_path: Path) -> None:
    async with world(tmp_path, fields__Lead=LEAD) as here:
        ready(here)
        lead = here.org.create("Lead", lead_of("Ito", City="Ulm"))
        await here.start()
        await here.until_quiet(RULES)
        await here.stop()
        here.overrides["fields.Lead"] = {**LEAD, "City": {"to": "city", "convert": "lower"}}
        here.overrides["fields.Lead"].pop("=Salesforce")
        here.overrides["fields.Lead"]["=CRM"] = "personSource"
        await here.start()
        await here.until(lambda: here.lead_of(lead)["city"] == "ulm" and here.lead_of(lead)["personSource"] == "CRM")
        await here.until_quiet(RULES)


async def test_an_own_field_that_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    own = {"Company": {"to": "numberOfEmployees"}, "Rating": {"to": "rating"}}
    async with world(tmp_path, fields__Lead=own) as here:
        ready(here)
        lead = here.org.create("Lead", lead_of("Ito", Rating="Hot"))
        await here.start()
        await here.until_quiet()
        assert here.lead_of(lead)["rating"] == "Hot"
        assert [line["field"] for line in here.events("field_unfit")][:1] == ["Company"]
        assert not await here.dead()
