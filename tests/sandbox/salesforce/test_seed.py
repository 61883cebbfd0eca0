"""The seeded org: lifelike, reproducible and scalable."""

from __future__ import annotations

import pytest

from sandbox.salesforce.org import Org
from sandbox.salesforce.seed import seed_org
from tests.sandbox.salesforce.wire import Moment


def test_the_same_seed_gives_the_same_org() -> None:
    orgs = [Org(Moment()) for _ in range(2)]
    made = [seed_org(org, scale=0.2) for org in orgs]
    assert made[0] == made[1]
    assert orgs[0].records("Contact") == orgs[1].records("Contact")
    assert len(made[0].contacts) == 100
    assert orgs[0].log.events() == [], "what was there before is no news"


def test_the_org_holds_the_awkward_cases(org: Org) -> None:
    made = seed_org(org)
    counts = [len(ids) for ids in (made.accounts, made.contacts, made.leads, made.opportunities)]
    assert counts == [50, 500, 500, 80]
    contacts, leads = org.records("Contact"), org.records("Lead")
    emails = {person["Email"] for person in contacts} - {None}
    assert any(lead["Email"] in emails for lead in leads)
    assert any(person["Email"] is None for person in contacts)
    assert any(lead["OwnerId"] == made.queue for lead in leads)
    assert any(person["OwnerId"] == made.community_user for person in contacts)
    assert any(person["OwnerId"] in made.inactive_users for person in contacts)
    assert any(role["Role"] is None for role in org.records("OpportunityContactRole"))
    assert len(made.roles) == 150


@pytest.mark.parametrize("publish", [True, False])
def test_seeding_can_be_news(org: Org, publish: bool) -> None:
    seed_org(org, accounts=2, contacts=3, leads=4, opportunities=1, roles=1, users=2, publish=publish)
    assert len(org.log.events()) == (3 + 2 + 3 + 4 + 1 if publish else 0)
