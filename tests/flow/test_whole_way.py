"""The whole way on real parts: a change in Salesforce reaches Marketo, its score comes back."""

from __future__ import annotations

from pathlib import Path

from sandbox.marketo.schema import COMPANY, LEAD, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.salesforce.seed import seed_org
from tests.flow.scenes import deal
from tests.flow.world import world


async def test_a_whole_org_arrives(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        seed_org(here.org, publish=True)
        here.touch_built_in_users()
        await here.start()
        await here.until_equal(seconds=60)


async def test_every_upsert_names_its_record_and_its_parents(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until_quiet()
        here.org.update("User", made.owner, {"Title": "Partner"})
        here.org.update("Account", made.account, {"Phone": "2"})
        for person in (made.contact, made.lead):
            here.org.update("Contact" if person == made.contact else "Lead", person, {"Title": "CEO"})
        here.org.update("Opportunity", made.opportunity, {"NextStep": "Call"})
        here.org.update("OpportunityContactRole", made.role, {"IsPrimary": True})
        await here.until_quiet()
        owner, company = {"externalSalesPersonId": made.owner}, {"externalCompanyId": made.account}
        contact, lead = here.lead_of(made.contact)["id"], here.lead_of(made.lead)["id"]
        expected = {
            (SALES_PERSON, made.owner): owner,
            (COMPANY, made.account): {**company, **owner},
            (LEAD, contact): {"externalPersonId": made.contact, **company, **owner},
            (LEAD, lead): {"externalPersonId": made.lead, **owner},
            (OPPORTUNITY, made.opportunity): {"externalOpportunityId": made.opportunity, **company, **owner},
            (ROLE, (made.opportunity, contact, "Buyer")): {
                "externalOpportunityId": made.opportunity,
                "leadId": contact,
                "role": "Buyer",
            },
        }
        writes = [write for write in here.instance.journal if (write.object, write.key) in expected]
        assert {write.action for write in writes} == {"created", "updated"}
        for write in writes:
            named = expected[write.object, write.key]
            assert {name: write.fields.get(name) for name in named} == named, write
            ids = [value for name, value in named.items() if name.startswith("external")]
            assert {len(value) for value in ids} == {18}
        assert len(writes) == 2 * len(expected)
