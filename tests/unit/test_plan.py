"""What is sent for each object, example by example (facts: Adobe, MSI for non-native integrations, required fields)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from store.model import OBJECTS, REF_OBJECT, Claimed, Entry, ObjectName, Pending, Record, Ref
from stream.filters import parse
from stream.mapping import Target, bind, convert, wanted
from stream.marketo.answers import FieldDescribe
from stream.plan import Converted, Done, Plan, Refuse, Remove, Reread, Rules, Upsert, plan

KINDS = {
    "boolean": {"unsubscribed", "doNotCall", "isPrimary", "isClosed", "isWon", "gone"},
    "currency": {"amount", "annualRevenue", "expectedRevenue"},
    "integer": {"numberOfEmployees", "probability", "fiscalYear", "fiscalQuarter"},
    "date": {"dateOfBirth", "closeDate", "lastActivityDate"},
    "datetime": {"externalCreatedDate"},
    "email": {"email"},
}


def described(names: set[str]) -> dict[str, FieldDescribe]:
    def kind(name: str) -> str:
        return next((each for each, members in KINDS.items() if name in members), "string")

    return {name: FieldDescribe(name, kind(name), 255, True) for name in names}


MAPPINGS = {obj: bind(obj, wanted(obj, {}), described(set(wanted(obj, {}).values()))) for obj in OBJECTS}
RULES = Rules(deletes=dict.fromkeys(OBJECTS, "delete"), sales_person_filter=parse("UserType = 'Standard'", "filters.User"))
IDS = {
    "User": "005000000000001AAA",
    "Account": "001000000000001AAA",
    "Contact": "003000000000001AAA",
    "Lead": "00Q000000000001EAA",
    "Opportunity": "006000000000001AAA",
    "OpportunityContactRole": "00K000000000001EAA",
}
OWNER, ACCOUNT, CONTACT, OPPORTUNITY = IDS["User"], IDS["Account"], IDS["Contact"], IDS["Opportunity"]


def claim(
    obj: ObjectName,
    fields: dict[str, Any] | None = None,
    *,
    kind: Any = "upsert",
    whole: bool = True,
    parents: dict[Ref, str] | None = None,
    referenced: bool = False,
    **record: Any,
) -> Claimed:
    """A claimed entry; `parents`: relation → the parent's state."""
    known = Record(obj, IDS[obj], **record)
    others: dict[Ref, Record] = {}
    for ref, state in (parents or {}).items():
        parent = REF_OBJECT[ref]
        setattr(known, ref, IDS[parent])
        others[ref] = Record(parent, IDS[parent], state=state, marketo_id="88" if parent == "Contact" else None)  # type: ignore[arg-type] # a state
    return Claimed(Entry(1, obj, IDS[obj], Pending(kind, fields or {}, whole=whole)), known, others, referenced=referenced)


def planned(claimed: Claimed, rules: Rules = RULES) -> Plan:
    return plan(claimed, MAPPINGS[claimed.record.object], rules)


def upsert(claimed: Claimed, rules: Rules = RULES) -> Upsert:
    found = planned(claimed, rules)
    assert isinstance(found, Upsert), found
    return found


# ── one example for each object


def test_a_sales_person() -> None:
    fields = {
        "UserType": "Standard",
        "IsActive": True,
        "Email": "a@x.com",
        "FirstName": "Ada",
        "LastName": "L",
        "MobilePhone": "1",
    }
    assert upsert(claim("User", fields)).fields == {
        "externalSalesPersonId": OWNER,
        "email": "a@x.com",
        "firstName": "Ada",
        "lastName": "L",
        "mobilePhone": "1",
    }


def test_a_company_with_its_owner() -> None:
    found = upsert(
        claim("Account", {"Name": "Acme", "NumberOfEmployees": 12.0, "AnnualRevenue": 1e6}, parents={"owner": "synced"})
    )
    assert found.fields == {
        "externalCompanyId": ACCOUNT,
        "externalSalesPersonId": OWNER,
        "company": "Acme",
        "numberOfEmployees": 12,
        "annualRevenue": 1e6,
    }
    assert found.filled == {"company", "numberOfEmployees", "annualRevenue", "externalSalesPersonId"}


def test_a_contact_with_owner_and_company() -> None:
    fields = {"LastName": "Ng", "Email": "ng@x.com", "HasOptedOutOfEmail": True, "MailingCity": "Bonn", "Birthdate": "1990-01-31"}
    assert upsert(claim("Contact", fields, parents={"owner": "synced", "account": "synced"})).fields == {
        "externalPersonId": CONTACT,
        "externalSalesPersonId": OWNER,
        "externalCompanyId": ACCOUNT,
        "lastName": "Ng",
        "email": "ng@x.com",
        "unsubscribed": True,
        "city": "Bonn",
        "dateOfBirth": "1990-01-31",
    }


def test_a_lead_has_no_company_and_perhaps_no_owner() -> None:
    found = upsert(claim("Lead", {"LastName": "Ng", "Status": "Open", "Company": "Acme", "IsConverted": False}))
    assert found.fields == {"externalPersonId": IDS["Lead"], "lastName": "Ng", "leadStatus": "Open"}


def test_an_opportunity_with_company_and_owner() -> None:
    fields = {
        "Name": "Deal",
        "Amount": 5,
        "CloseDate": "2026-01-31",
        "IsWon": False,
        "CreatedDate": "2026-01-02T03:04:05.000+0000",
    }
    assert upsert(claim("Opportunity", fields, parents={"owner": "synced", "account": "synced"})).fields == {
        "externalOpportunityId": OPPORTUNITY,
        "externalCompanyId": ACCOUNT,
        "externalSalesPersonId": OWNER,
        "name": "Deal",
        "amount": 5.0,
        "closeDate": "2026-01-31",
        "isWon": False,
        "externalCreatedDate": "2026-01-02T03:04:05+00:00",
    }


ROLE_PARENTS: dict[Ref, str] = {"opportunity": "synced", "contact": "synced"}


def test_a_role_carries_the_marketo_id_of_its_contact() -> None:
    found = upsert(claim("OpportunityContactRole", {"Role": "Decider", "IsPrimary": True}, parents=ROLE_PARENTS))
    assert found.fields == {"externalOpportunityId": OPPORTUNITY, "leadId": 88, "role": "Decider", "isPrimary": True}
    assert orjson.loads(found.key) == [OPPORTUNITY, 88, "Decider"]
    assert found.stale_key == ""


@pytest.mark.parametrize("role", [{}, {"Role": None}, {"Role": ""}])
def test_a_role_without_a_name_gets_one(role: dict[str, Any]) -> None:
    assert upsert(claim("OpportunityContactRole", role, parents=ROLE_PARENTS)).fields["role"] == "Unspecified"


def test_a_roles_name_is_no_longer_than_marketo_takes() -> None:
    assert len(upsert(claim("OpportunityContactRole", {"Role": "x" * 80}, parents=ROLE_PARENTS)).fields["role"]) == 50


def test_a_role_that_changes_its_name_leaves_the_old_one_to_be_deleted() -> None:
    sent = orjson.dumps([OPPORTUNITY, 88, "Decider"]).decode()
    renamed = claim("OpportunityContactRole", {"Role": "Buyer"}, parents=ROLE_PARENTS, state="synced", sent_key=sent)
    assert upsert(renamed).stale_key == sent
    kept = claim("OpportunityContactRole", {"IsPrimary": True}, whole=False, parents=ROLE_PARENTS, state="synced", sent_key=sent)
    assert (upsert(kept).fields["role"], upsert(kept).stale_key) == ("Decider", "")


def test_a_role_whose_key_is_another_now_is_sent_whole() -> None:
    """It is a new role to Marketo: what did not change has to be in it too."""
    sent = orjson.dumps([OPPORTUNITY, 88, "Decider"]).decode()
    renamed = claim("OpportunityContactRole", {"Role": "Buyer"}, whole=False, parents=ROLE_PARENTS, state="synced", sent_key=sent)
    assert isinstance(planned(renamed), Reread)
    moved = claim(
        "OpportunityContactRole", {}, whole=False, parents=ROLE_PARENTS, state="synced", sent_key=sent.replace("88", "87")
    )
    assert isinstance(planned(moved), Reread)


def test_a_role_is_nothing_without_its_opportunity_or_person() -> None:
    found = planned(claim("OpportunityContactRole", {"Role": "Buyer"}, parents={"opportunity": "dropped", "contact": "synced"}))
    assert isinstance(found, Refuse)
    assert (found.code, "opportunity" in found.cause) == ("PARENT_GONE", True)


# ── what is cleared


def test_a_first_read_clears_nothing() -> None:
    assert None not in upsert(claim("Contact", {"LastName": "Ng", "Title": None})).fields.values()


def test_an_event_that_says_so_clears() -> None:
    found = upsert(claim("Contact", {"Title": None}, whole=False, state="synced", marketo_id="7"))
    assert found.fields == {"externalPersonId": CONTACT, "title": None}
    assert found.emptied == {"title"}


def test_a_later_read_clears_what_was_filled_and_nothing_else() -> None:
    found = upsert(claim("Contact", {"LastName": "Ng"}, state="synced", marketo_id="7", filled=frozenset({"title", "lastName"})))
    assert found.fields == {"externalPersonId": CONTACT, "lastName": "Ng", "title": None}


def test_an_opportunity_never_loses_its_name() -> None:
    assert "name" not in upsert(claim("Opportunity", {"Name": None}, whole=False, state="synced")).fields


@pytest.mark.parametrize("value", [False, None])
def test_opting_in_again_is_marketos_business(value: Any) -> None:
    held = claim("Contact", {"HasOptedOutOfEmail": value}, whole=False, state="synced", filled=frozenset({"unsubscribed"}))
    assert "unsubscribed" not in upsert(held).fields


def test_an_owner_that_became_a_queue_is_cleared_where_it_was_filled() -> None:
    held = claim(
        "Lead", {"OwnerId": "00G000000000001EAA"}, whole=False, state="synced", filled=frozenset({"externalSalesPersonId"})
    )
    assert upsert(held).fields["externalSalesPersonId"] is None
    assert "externalSalesPersonId" not in upsert(claim("Lead", {}, whole=False, state="synced")).fields


def test_a_person_leaves_a_company_only_for_another_one() -> None:
    held = claim("Contact", {"AccountId": None}, whole=False, state="synced", filled=frozenset({"externalCompanyId"}))
    assert "externalCompanyId" not in upsert(held).fields
    held = claim("Opportunity", {"AccountId": None}, whole=False, state="synced", filled=frozenset({"externalCompanyId"}))
    assert upsert(held).fields["externalCompanyId"] is None


@pytest.mark.parametrize("state", ["deleted", "dropped"])
def test_a_parent_that_is_gone_or_given_up_is_left_out(state: str) -> None:
    fields = upsert(claim("Contact", {"LastName": "Ng"}, parents={"owner": "synced", "account": state})).fields
    assert ("externalSalesPersonId" in fields, "externalCompanyId" in fields) == (True, False)


# ── what is not sent


@pytest.mark.parametrize(
    ("fields", "referenced", "sent"),
    [
        ({"UserType": "Standard", "IsActive": True}, False, True),
        ({"UserType": "Standard", "IsActive": False}, False, False),
        ({"UserType": "Guest", "IsActive": True}, False, False),
        ({"UserType": "Guest", "IsActive": False}, True, True),
    ],
)
def test_who_is_a_sales_person(fields: dict[str, Any], referenced: bool, sent: bool) -> None:
    found = planned(claim("User", fields, referenced=referenced))
    assert isinstance(found, Upsert) is sent
    assert sent or (isinstance(found, Done) and found.state == "excluded")


def test_a_sales_person_stays_one() -> None:
    assert isinstance(planned(claim("User", {"IsActive": False}, whole=False, state="synced")), Upsert)


def test_a_converted_lead_lives_on_as_its_contact() -> None:
    fields = {"IsConverted": True, "ConvertedContactId": CONTACT[:15]}
    assert planned(claim("Lead", fields, whole=False, state="synced")) == Converted(CONTACT)


def test_a_converted_lead_whose_contact_did_not_come_is_read_once() -> None:
    in_part = claim("Lead", {"IsConverted": True}, whole=False, state="synced")
    assert isinstance(planned(in_part), Reread)
    read = planned(claim("Lead", {"IsConverted": True, "LastName": "Ng"}))
    assert isinstance(read, Done), "reading it again would say the same, for ever"
    assert read.state == "converted"


def test_a_part_of_a_record_that_is_not_in_marketo_is_not_sent() -> None:
    assert planned(claim("Account", {"Phone": "1"}, whole=False)) == Reread("first time in Marketo")


def test_a_value_marketo_would_refuse_is_named_without_the_value() -> None:
    found = planned(claim("Contact", {"Email": "jürgen@x.com"}))
    assert isinstance(found, Refuse)
    assert ("email" in found.cause, "rgen" in found.cause) == (True, False)


def test_a_text_too_long_is_cut_and_told() -> None:
    found = upsert(claim("Account", {"Name": "x" * 300}))
    assert (len(found.fields["company"]), found.shortened) == (255, ("company",))


# ── deletes


def test_who_is_deleted_by_which_key() -> None:
    assert planned(claim("Account", kind="delete", state="synced")) == Remove({"externalCompanyId": ACCOUNT})
    assert planned(claim("Opportunity", kind="delete", state="synced")) == Remove({"externalOpportunityId": OPPORTUNITY})
    assert planned(claim("Contact", kind="delete", state="synced", marketo_id="88")) == Remove({"id": 88})
    key = orjson.dumps([OPPORTUNITY, 88, "Buyer"]).decode()
    found = planned(claim("OpportunityContactRole", kind="delete", state="synced", sent_key=key))
    assert found == Remove({"externalOpportunityId": OPPORTUNITY, "leadId": 88, "role": "Buyer"})


@pytest.mark.parametrize("obj", OBJECTS)
def test_what_never_was_in_marketo_needs_no_call(obj: ObjectName) -> None:
    found = planned(claim(obj, kind="delete"))
    assert isinstance(found, Done)
    assert found.state == "deleted"


def test_sales_persons_are_never_deleted() -> None:
    found = planned(claim("User", kind="delete", state="synced"))
    assert isinstance(found, Done)
    assert found.state == "synced"


def test_what_is_kept_is_left_alone_but_for_the_mark() -> None:
    keep = Rules(deletes=dict.fromkeys(OBJECTS, "keep"))
    assert isinstance(planned(claim("Contact", kind="delete", state="synced", marketo_id="7"), keep), Done)
    marking = Rules(deletes=dict.fromkeys(OBJECTS, "keep"), deleted_field="gone")
    assert upsert(claim("Contact", kind="delete", state="synced", marketo_id="7"), marking).fields == {"gone": True}
    assert isinstance(planned(claim("Opportunity", kind="delete", state="synced"), marking), Done)


# ── values


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        (119.0, "string", "119"),
        (True, "string", "true"),
        (2.5, "integer", 2),
        ("12.5", "float", 12.5),
        ("TRUE", "boolean", True),
        ("2026-01-31T12:00:00.000+0000", "date", "2026-01-31"),
        ("2026-01-31", "datetime", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T12:00:00.000Z", "datetime", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00-08:00", "datetime", "2026-01-31T20:00:00+00:00"),
        ("0999-01-31T12:00:00Z", "datetime", "0999-01-31T12:00:00+00:00"),
    ],
)
def test_a_value_takes_the_form_of_its_field(value: Any, kind: str, sent: Any) -> None:
    assert convert(value, Target("x", kind, 255)) == sent


# ── the mapping


def test_the_mapping_is_narrowed_to_what_the_instance_has() -> None:
    found = bind("Account", {"Name": "company", "Site": "SITE", "Fax": "fax"}, described({"company", "site"}))
    assert {source: target.name for source, target in found.targets.items()} == {"Name": "company", "Site": "site"}
    assert found.missing == ("fax",)


def test_what_marketo_calls_read_only_is_missing_but_a_sales_persons_email_is_tried() -> None:
    locked = {"email": FieldDescribe("email", "email", 255, False)}
    assert bind("Contact", {"Email": "email"}, locked).missing == ("email",)
    assert bind("User", {"Email": "email"}, locked).missing == ()


@pytest.mark.parametrize("name", ["priority", "Priority", "leadScore", "RelativeScore", "msilastinterestingmomentdesc"])
def test_marketos_own_scores_are_never_written(name: str) -> None:
    known = described({"priority", "leadScore", "relativeScore", "msiLastInterestingMomentDesc"})
    assert bind("Lead", wanted("Lead", {"Mine__c": name}), known).targets == {}


def test_configured_fields_override_and_take_away() -> None:
    fields = wanted("Contact", {"Title": "jobTitle", "Fax": "", "Region__c": "region"})
    assert (fields["Title"], fields["Region__c"], "Fax" in fields) == ("jobTitle", "region", False)


def test_a_leads_company_goes_only_where_the_setting_allows_it() -> None:
    assert "Company" not in wanted("Lead", {})
    assert wanted("Lead", {}, lead_company=True)["Company"] == "company"
