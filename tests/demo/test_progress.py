"""The live view's numbers: what is there is there, and not a moment before."""

from __future__ import annotations

from sandbox.marketo.schema import ROLE
from sandbox.stage import Stage
from sandbox.stage_changes import Changes
from sandbox.stage_progress import OBJECTS, Progress


def test_the_little_org_is_as_large_as_promised_and_has_a_queue_among_its_owners() -> None:
    stage = Stage()
    stage.seed()
    expected = {one.object: one.expected for one in Progress(Changes(stage)).look()}
    people = expected["Contact"] + expected["Lead"]
    sizes = (expected["User"], expected["Account"], people, expected["Opportunity"], expected["OpportunityContactRole"])
    assert sizes == (20, 50, 500, 80, 150)
    assert any(lead["OwnerId"] == stage.seeded.queue for lead in stage.org.records("Lead"))


def test_of_what_was_never_sent_nothing_is_there() -> None:
    stage = Stage()
    stage.seed(200)
    standings = {one.object: one for one in Progress(Changes(stage)).look()}
    assert all(standings[name].expected > 0 for name in OBJECTS)
    assert {name: standings[name].there for name in OBJECTS} == dict.fromkeys(OBJECTS, 0)


def test_two_roles_that_are_one_in_marketo_are_there_together() -> None:
    stage = Stage()
    stage.seed(40)
    org, instance = stage.org, stage.instance
    contact = stage.seeded.contacts[0]
    deal = stage.seeded.opportunities[0]
    twins = [org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact, "Role": "Twin"}) for _ in "ab"]
    lead = instance.create_lead(externalPersonId=contact)
    before = Progress(Changes(stage)).look()
    instance.tables[ROLE].put((deal, lead, "Twin"), {"externalOpportunityId": deal, "leadId": lead, "role": "Twin"})
    after = Progress(Changes(stage)).look()
    assert [looked[OBJECTS.index("OpportunityContactRole")].there for looked in (before, after)] == [0, len(twins)]
