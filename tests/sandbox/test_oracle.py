"""The oracle passes a Marketo that is as it ought to be, and notices each kind of error that is planted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sandbox.marketo import Instance
from sandbox.marketo.leads import Leads
from sandbox.marketo.objects import Objects
from sandbox.marketo.schema import COMPANY, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.oracle import PLACES, Report, Rules, compare
from sandbox.oracle_rules import FIELDS, SCORES
from sandbox.salesforce.org import Org
from tests.sandbox.marketo_world import Moment

PERSON = {"Salutation": "Ms", "FirstName": "Ann", "LastName": "Lee", "Title": "CEO", "Phone": "1", "Description": "note"}
ROLE_KEYS = ("externalOpportunityId", "leadId", "role")


@dataclass(slots=True)
class Pair:
    """Both sides, the Salesforce ids by a short name, and Marketo's ids of the people."""

    org: Org
    marketo: Instance
    clock: Moment
    ids: dict[str, str]
    leads: dict[str, int]
    request: int = 0

    def write(self, name: str, *records: dict[str, Any]) -> None:
        """An accepted write of sales persons, companies, opportunities or roles."""
        self.request += 1
        page = Objects(self.marketo, name).sync({"input": list(records)}, self.request)
        assert all(result["status"] != "skipped" for result in page.result or []), page

    async def person(self, name: str, **fields: Any) -> None:
        """An accepted write of a person: created, or updated by Marketo id."""
        self.request += 1
        known = self.leads.get(name)
        words: dict[str, Any] = {"action": "createOnly", "lookupField": "email" if fields.get("email") else "externalPersonId"}
        if known is not None:
            fields["id"], words = known, {"action": "updateOnly", "lookupField": "id"}
        page = await Leads(self.marketo).sync({**words, "input": [fields]}, self.request)
        (result,) = page.result or []
        assert result["status"] != "skipped", result
        self.leads[name] = result["id"]

    def check(self, **rules: Any) -> Report:
        """What the oracle says."""
        return compare(self.org, self.marketo, Rules(**rules))


def salesforce(clock: Moment) -> tuple[Org, dict[str, str]]:
    """A small org with every case that has a rule of its own."""
    org = Org(now=clock)
    ids = {"user": org.create("User", {"Username": "u", "LastName": "Rep", "Email": "rep@example.com", "Title": "AE"})}
    portal = {"Username": "p", "LastName": "Partner", "Email": "p@example.com", "UserType": "PowerPartner"}
    ids["partner"] = org.create("User", portal)
    org.create("User", {**portal, "Username": "q"})
    ids["account"] = org.create(
        "Account",
        {"Name": "Acme", "OwnerId": ids["partner"], "AnnualRevenue": 5, "BillingCity": "Rome", "Sic": "12", "Phone": "9"},
    )
    owned = {**PERSON, "OwnerId": ids["user"]}
    ids["contact"] = org.create(
        "Contact",
        {**owned, "Email": "a@example.com", "AccountId": ids["account"], "MailingStreet": "Via 1", "Birthdate": "1990-02-03"},
    )
    ids["lead"] = org.create(
        "Lead", {**owned, "Email": "b@example.com", "Company": "B", "Street": "Way 1", "HasOptedOutOfEmail": True}
    )
    ids["queued"] = org.create("Lead", {"LastName": "Q", "Company": "Q", "OwnerId": org.lead_assignment_owner})
    ids["sharer"] = org.create("Lead", {"LastName": "S", "Company": "S", "OwnerId": ids["user"], "Email": "A@example.com"})
    ids["converted"] = org.create("Lead", {**owned, "LastName": "C", "Company": "C", "Email": "c@example.com"})
    made = org.convert_lead(ids["converted"], account_id=ids["account"])
    ids["became"] = made.contact_id
    deal = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-12-01", "AccountId": ids["account"], "Amount": 12.5}
    ids["deal"] = org.create("Opportunity", {**deal, "OwnerId": ids["user"], "Description": "x" * 3000})
    ids["role"] = org.create("OpportunityContactRole", {"OpportunityId": ids["deal"], "ContactId": ids["contact"]})
    for name, kind, fields in (
        ("lost deal", "Opportunity", deal),
        ("left", "Contact", {"LastName": "L", "Email": "l@example.com"}),
    ):
        ids[name] = org.create(kind, {**fields, "OwnerId": ids["user"]})
    return org, ids


async def synced() -> Pair:
    """The org, and a Marketo written by hand as it ought to be."""
    clock = Moment()
    org, ids = salesforce(clock)
    pair = Pair(org, Instance(now=clock), clock, ids, {})
    residents = [row for row in org.records("User") if row["UserType"] == "Standard" or row["Id"] == ids["partner"]]
    for row in residents:
        names = {"firstName": row["FirstName"], "lastName": row["LastName"], "title": row["Title"]}
        pair.write(SALES_PERSON, {"externalSalesPersonId": row["Id"], "email": row["Email"], **names})
    company = {
        "externalCompanyId": ids["account"],
        "externalSalesPersonId": ids["partner"],
        "company": "Acme",
        "annualRevenue": 5,
    }
    pair.write(COMPANY, {**company, "billingCity": "Rome", "sicCode": "12", "mainPhone": "9"})
    await people(pair)
    for name in ("deal", "lost deal"):
        pair.write(OPPORTUNITY, opportunity(pair, name))
    pair.write(ROLE, role(pair))
    org.delete("Opportunity", ids["lost deal"])
    org.delete("Contact", ids["left"])
    Objects(pair.marketo, OPPORTUNITY).delete({"input": [{"externalOpportunityId": ids["lost deal"]}]}, 99)
    score(pair)
    return pair


async def people(pair: Pair) -> None:
    """A contact that a lead shares, a lead, a queue's lead, a converted one, and one whose contact is deleted later."""
    ids = pair.ids
    owned = {"salutation": "Ms", "firstName": "Ann", "lastName": "Lee", "title": "CEO", "phone": "1", "mktoPersonNotes": "note"}
    owned["externalSalesPersonId"] = ids["user"]
    place = {"externalPersonId": ids["contact"], "externalCompanyId": ids["account"]}
    await pair.person("contact", email="a@example.com", address="Via 1", dateOfBirth="1990-02-03", **place, **owned)
    more = {"leadStatus": "Open - Not Contacted", "unsubscribed": True, "address": "Way 1"}
    await pair.person("lead", email="b@example.com", externalPersonId=ids["lead"], **more, **owned)
    await pair.person("queued", externalPersonId=ids["queued"], lastName="Q", leadStatus="Open - Not Contacted")
    converted = {**owned, "lastName": "C"}
    await pair.person("became", email="c@example.com", externalPersonId=ids["converted"], **converted)
    await pair.person("became", externalPersonId=ids["became"], externalCompanyId=ids["account"])
    left = {"externalPersonId": ids["left"], "externalSalesPersonId": ids["user"]}
    await pair.person("left", email="l@example.com", lastName="L", **left)


def opportunity(pair: Pair, name: str) -> dict[str, Any]:
    """An opportunity as it ought to be sent."""
    row = pair.org.get("Opportunity", pair.ids[name]) or {}
    return {
        "externalOpportunityId": row["Id"],
        "externalCompanyId": row["AccountId"],
        "externalSalesPersonId": row["OwnerId"],
        "name": "Deal",
        "description": (row["Description"] or "")[:2000],
        "stage": "Prospecting",
        "amount": 12.5,
        "expectedRevenue": row["ExpectedRevenue"],
        "closeDate": "2026-12-01",
        "probability": row["Probability"],
        "isClosed": False,
        "isWon": False,
        "forecastCategory": row["ForecastCategory"],
        "forecastCategoryName": row["ForecastCategoryName"],
        "fiscal": row["Fiscal"],
        "fiscalYear": row["FiscalYear"],
        "fiscalQuarter": row["FiscalQuarter"],
        "externalCreatedDate": "2026-11-23T12:00:00Z",
    }


def role(pair: Pair) -> dict[str, Any]:
    """The contact's role as it ought to be sent."""
    key = {"externalOpportunityId": pair.ids["deal"], "leadId": pair.leads["contact"], "role": "Unspecified"}
    return {**key, "isPrimary": False, "externalCreatedDate": "2026-11-23T12:00:00Z"}


def score(pair: Pair) -> None:
    """Scores of the shared person, written back to both of its records in Salesforce's types."""
    lead_id = pair.leads["contact"]
    pair.marketo.scores.interesting_moment(lead_id, "Web", "y" * 300, "Site")
    pair.marketo.scores.set(lead_id, priority=12.5, relativeScore=3, relativeUrgency=0)
    written = {
        "mkto_si__Last_Interesting_Moment_Type__c": "Web",
        "mkto_si__Last_Interesting_Moment_Desc__c": "y" * 255,
        "mkto_si__Last_Interesting_Moment_Source__c": "Site",
        "mkto_si__Last_Interesting_Moment_Date__c": "2026-11-23T12:00:00Z",
        "mkto_si__Priority__c": 13,
        "mkto_si__Relative_Score_Value__c": 3,
        "mkto_si__Urgency_Value__c": 0,
    }
    pair.org.update("Contact", pair.ids["contact"], written)
    pair.org.update("Lead", pair.ids["sharer"], written)


async def test_all_is_well_with_what_ought_to_be() -> None:
    report = (await synced()).check()
    assert report.ok, report.problems
    looked_at = {
        name: report.counts[name] for name in ("salesperson", "company", "lead", "opportunity", "role", "scores compared")
    }
    assert looked_at == {"salesperson": 4, "company": 1, "lead": 4, "opportunity": 1, "role": 1, "scores compared": 5}


def _remove(table: str, name: str) -> Callable[[Pair], Any]:
    return lambda pair: pair.marketo.tables[table].remove(pair.ids[name])


def _set(table: str, name: str, **fields: Any) -> Callable[[Pair], Any]:
    return lambda pair: pair.marketo.tables[table].change(pair.ids[name], fields)


def _person(name: str, **fields: Any) -> Callable[[Pair], Any]:
    return lambda pair: pair.marketo.leads.change(pair.leads[name], fields)


def _salesforce(kind: str, name: str, **fields: Any) -> Callable[[Pair], Any]:
    return lambda pair: pair.org.update(kind, pair.ids[name], fields)


PLANTED: dict[str, tuple[Callable[[Pair], Any], str]] = {
    "a sales person is missing": (_remove(SALES_PERSON, "user"), "missing: User"),
    "a portal user who owns something is missing": (_remove(SALES_PERSON, "partner"), "missing: User"),
    "a company is missing": (_remove(COMPANY, "account"), "missing: Account"),
    "an opportunity is missing": (_remove(OPPORTUNITY, "deal"), "missing: Opportunity"),
    "a person is missing": (lambda pair: pair.marketo.delete_lead(pair.leads["lead"]), "missing: Lead"),
    "a role is missing": (lambda pair: pair.marketo.roles.remove(tuple(role(pair)[key] for key in ROLE_KEYS)), "missing: Opp"),
    "a stranger's company": (lambda pair: pair.marketo.companies.put("1", {"id": 1, "externalCompanyId": "1"}), "extra: company"),
    "a stranger's person": (lambda pair: pair.marketo.create_lead(externalPersonId="0031"), "extra: lead"),
    "a role under another name": (lambda pair: pair.write(ROLE, {**role(pair), "role": "Boss"}), "extra: role"),
    "two people with one id": (lambda pair: pair.marketo.create_lead(externalPersonId=pair.ids["lead"]), "duplicate: lead"),
    "two people with one email": (lambda pair: pair.marketo.create_lead(email="B@example.com"), "duplicate: leads"),
    "a sharer with a person of its own": (
        lambda pair: pair.marketo.create_lead(externalPersonId=pair.ids["sharer"]),
        "duplicate: lead",
    ),
    "the wrong one of two sharers": (
        lambda pair: _person("contact", externalPersonId=pair.ids["sharer"])(pair),
        "duplicate: lead",
    ),
    "a wrong text": (_person("lead", title="CTO"), "wrong field: Lead"),
    "a wrong date": (_person("contact", dateOfBirth="1990-02-04"), "wrong field: Contact"),
    "a wrong number": (_set(COMPANY, "account", annualRevenue=6), "wrong field: Account"),
    "a wrong flag": (_set(OPPORTUNITY, "deal", isWon=True), "wrong field: Opportunity"),
    "a wrong moment": (_set(OPPORTUNITY, "deal", externalCreatedDate="2026-11-23T13:00:00Z"), "wrong field: Opportunity"),
    "an opt-out that did not arrive": (_person("lead", unsubscribed=None), "wrong field: Lead"),
    "an id in the wrong case": (
        lambda pair: _person("lead", externalPersonId=pair.ids["lead"].lower())(pair),
        "wrong field: Lead",
    ),
    "a change that did not arrive": (_salesforce("Contact", "contact", Title="Chair"), "wrong field: Contact"),
    "a value that was not cleared": (_salesforce("Contact", "contact", Title=None), "not cleared: Contact"),
    "a person without its owner": (_person("lead", externalSalesPersonId=None), "wrong relation: Lead"),
    "a queue's lead with an owner": (
        lambda pair: _person("queued", externalSalesPersonId=pair.ids["user"])(pair),
        "wrong relation",
    ),
    "a contact without its company": (_person("contact", externalCompanyId=None), "wrong relation: Contact"),
    "an opportunity without its company": (_set(OPPORTUNITY, "deal", externalCompanyId=None), "wrong relation: Opportunity"),
    "a conversion not followed": (
        lambda pair: pair.marketo.create_lead(externalPersonId=pair.ids["converted"]),
        "not moved: lead",
    ),
    "a deleted opportunity still there": (
        lambda pair: pair.write(OPPORTUNITY, opportunity(pair, "lost deal")),
        "not deleted: Opp",
    ),
    "a score on the contact": (_salesforce("Contact", "contact", mkto_si__Priority__c=12), "score: Contact"),
    "a score on the sharer": (_salesforce("Lead", "sharer", mkto_si__Relative_Score_Value__c=None), "score: Lead"),
    "a score by night": (lambda pair: pair.marketo.scores.set(pair.leads["lead"], relativeUrgency=2), "score: Lead"),
    "an untruncated moment": (_salesforce("Contact", "contact", mkto_si__Last_Interesting_Moment_Desc__c="y"), "score: Contact"),
}


@pytest.mark.parametrize("planted", PLANTED)
async def test_each_planted_error_is_noticed(planted: str) -> None:
    plant, expected = PLANTED[planted]
    pair = await synced()
    plant(pair)
    problems = pair.check().problems
    assert any(problem.startswith(expected) for problem in problems), problems
    for value in ("@example.com", "Lee", "Acme", "CTO", "Via 1"):
        assert value not in " ".join(problems), "problems name ids and fields, no values"


async def test_a_merge_in_salesforce_has_to_be_followed() -> None:
    pair = await synced()
    pair.org.merge("Contact", pair.ids["contact"], pair.ids["became"])
    assert [problem.split(":")[0] for problem in pair.check().problems] == ["not moved"]
    assert pair.check(merge_people=False).ok


async def test_children_before_parents_and_the_like_are_noticed() -> None:
    pair = await synced()
    pair.marketo.violated(1, "child_before_parent", "lead", "0031", "externalCompanyId 1 is not there")
    assert pair.check().problems == ["child_before_parent: lead 0031 in request 1"]
    assert pair.check(violations_allowed={"child_before_parent"}).ok


async def test_needless_resends_between_two_positions() -> None:
    pair = await synced()
    since = len(pair.marketo.journal)
    pair.write(COMPANY, {"externalCompanyId": pair.ids["account"], "company": "Acme"})
    assert pair.check(resends_between=(0, since)).ok
    report = pair.check(resends_between=(since, since + 1))
    assert report.counts["resent"] == 1
    assert len(report.problems) == 1


async def test_clears_that_nobody_asked_for() -> None:
    pair = await synced()
    pair.marketo.change_lead(pair.leads["lead"], fax="7")
    assert pair.check().ok, "Marketo's own value, where Salesforce has none, may stay"
    await pair.person("lead", fax=None)
    assert [problem.split(":")[0] for problem in pair.check().problems] == ["cleared"]
    assert pair.check(cleared={(pair.ids["lead"], "fax")}).ok


async def test_an_opt_in_that_was_sent() -> None:
    pair = await synced()
    await pair.person("queued", unsubscribed=False)
    assert pair.check().counts["unsubscribed"] == 1


async def test_a_kept_person_that_was_deleted() -> None:
    pair = await synced()
    Leads(pair.marketo).delete({"input": [{"id": pair.leads["left"]}]}, 100)
    assert pair.check().counts["deleted"] == 1
    assert pair.check(deletes={**Rules().deletes, "Contact": "delete"}).ok


async def test_deletion_settings() -> None:
    pair = await synced()
    report = pair.check(deletes={**Rules().deletes, "Contact": "delete"})
    assert report.problems == [f"not deleted: Contact {pair.ids['left']}"]
    assert pair.check(deleted_field="doNotCall").counts["wrong field"] == 1
    pair.marketo.change_lead(pair.leads["left"], doNotCall=True)
    assert pair.check(deleted_field="doNotCall").ok


async def test_two_people_for_one_email_where_that_is_the_setting() -> None:
    pair = await synced()
    assert pair.check(shared_email="duplicate").counts["missing"] == 1
    fields = {"lastName": "S", "leadStatus": "Open - Not Contacted", "externalSalesPersonId": pair.ids["user"]}
    await pair.person("sharer", externalPersonId=pair.ids["sharer"], email=None, **fields)
    _person("sharer", email="A@example.com")(pair)
    report = pair.check(shared_email="duplicate", scores=False)
    assert report.ok, report.problems
    assert not pair.check(scores=False).ok


async def test_filters_further_fields_and_excuses() -> None:
    pair = await synced()
    rules = Rules()
    nobody = {**rules.filters, "Lead": lambda row: row["Sync_to_Marketo__c"]}
    assert {problem.split(":")[0] for problem in pair.check(filters=nobody).problems} == {"extra"}
    pair.org.update("Contact", pair.ids["contact"], {"Region__c": "EMEA"})
    assert pair.check().ok
    regional = replace(rules, fields={"Contact": {"Region__c": "department"}})
    assert compare(pair.org, pair.marketo, regional).counts["wrong field"] == 1
    assert compare(pair.org, pair.marketo, replace(regional, excused={pair.ids["contact"]})).counts["wrong field"] == 0
    assert compare(pair.org, pair.marketo, replace(regional, ignored_fields={"department"})).ok


async def test_lead_companies_where_that_is_the_setting() -> None:
    pair = await synced()
    assert pair.check(lead_company="when_no_account").counts["wrong field"] == 2
    for name in ("lead", "queued"):
        _person(name, company=(pair.org.get("Lead", pair.ids[name]) or {})["Company"])(pair)
    assert pair.check(lead_company="when_no_account").ok


async def test_the_oracle_knows_only_fields_that_exist_on_both_sides() -> None:
    pair = await synced()
    for name, mapping in FIELDS.items():
        place, _ = PLACES[name]
        assert set(mapping) <= set(pair.org.types[name].fields), name
        assert set(mapping.values()) <= set(pair.marketo.schemas[place].fields), name
    for suffix, (here, _, length) in SCORES.items():
        assert here in pair.marketo.schemas["lead"].fields
        for name in ("Contact", "Lead"):
            assert pair.org.types[name].fields[f"mkto_si__{suffix}"].length == length


async def test_the_person_of_a_converted_lead_goes_as_its_contact_goes() -> None:
    """Whose id it carries still does not matter."""
    pair = await synced()
    await pair.person("became", externalPersonId=pair.ids["converted"])
    pair.org.delete("Contact", pair.ids["became"])
    Leads(pair.marketo).delete({"input": [{"id": pair.leads["became"]}]}, 100)
    assert pair.check(deletes={**Rules().deletes, "Contact": "keep", "Lead": "delete"}).counts["deleted"] == 1
    Leads(pair.marketo).delete({"input": [{"id": pair.leads["left"]}]}, 101)
    assert pair.check(deletes={**Rules().deletes, "Contact": "delete", "Lead": "keep"}).ok


async def test_the_person_of_a_lead_that_was_merged_into_a_converted_one_goes_as_leads_go() -> None:
    pair = await synced()
    pair.org.merge("Lead", pair.ids["queued"], pair.ids["lead"])
    pair.org.convert_lead(pair.ids["queued"], account_id=pair.ids["account"])
    Leads(pair.marketo).delete({"input": [{"id": pair.leads["lead"]}]}, 100)
    report = pair.check(merge_people=False, deletes={**Rules().deletes, "Contact": "keep", "Lead": "delete"})
    assert report.counts["deleted"] == 0
