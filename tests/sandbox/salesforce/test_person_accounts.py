"""Person accounts: one record in two objects, the events of each change, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused
from sandbox.salesforce.org import Org
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Moment, Wire, header

MARTHA = {"Salutation": "Ms.", "FirstName": "Martha", "LastName": "Brown", "PersonEmail": "martha@example.com", "Phone": "1"}


@pytest.fixture
def org(moment: Moment) -> Org:
    made = Org(moment)
    made.enable_person_accounts()
    return made


def person(org: Org, **more: Any) -> tuple[str, str]:
    """A person account and its contact."""
    account = org.create("Account", {**MARTHA, **more})
    return account, str(shown(org, "Account", account)["PersonContactId"])


def shown(org: Org, obj: str, record_id: str) -> dict[str, Any]:
    found = org.get(obj, record_id)
    assert found is not None
    return found


def told(org: Org, since: int = 0) -> list[tuple[str, str, int]]:
    """Object, kind and place of all events after the first so many."""
    headers = [header(event["payload"]) for event in org.log.events()[since:]]
    return [(one["entityName"], one["changeType"], one["sequenceNumber"]) for one in headers]


def payloads(org: Org, since: int = 0) -> list[dict[str, Any]]:
    return [event["payload"] for event in org.log.events()[since:]]


def test_a_new_person_is_an_account_and_a_contact_in_one_transaction(org: Org) -> None:
    account, contact = person(org, PersonMailingCity="Oslo", mkto_si__Priority__pc=3)
    assert told(org) == [("Account", "CREATE", 1), ("Contact", "CREATE", 2)]
    first, second = payloads(org)
    assert header(first)["transactionKey"] == header(second)["transactionKey"]
    assert first["Name"] == second["Name"] == {"Salutation": "Ms.", "FirstName": "Martha", "LastName": "Brown"}
    assert first["PersonContactId"] == contact
    assert (first["PersonEmail"], first["PersonMailingAddress"], first["PersonDoNotCall"]) == (
        "martha@example.com",
        {"City": "Oslo"},
        False,
    )
    assert first["mkto_si__Priority__pc"] == second["mkto_si__Priority__c"] == 3.0
    assert "IsPersonAccount" not in first
    assert (second["AccountId"], second["IsPersonAccount"]) == (account, True)
    assert (second["Email"], second["Phone"], second["MailingAddress"]) == ("martha@example.com", "1", {"City": "Oslo"})


def test_rest_shows_the_name_as_a_text(org: Org) -> None:
    account, contact = person(org)
    row = shown(org, "Account", account)
    assert (row["Name"], row["IsPersonAccount"], row["FirstName"]) == ("Martha Brown", True, "Martha")
    assert shown(org, "Contact", contact)["Name"] == "Martha Brown"
    business = shown(org, "Account", org.create("Account", {"Name": "Acme"}))
    assert (business["Name"], business["IsPersonAccount"], business["LastName"], business["PersonContactId"]) == (
        "Acme",
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("obj", "change", "of_account", "of_contact"),
    [
        ("Account", {"Industry": "Retail"}, {"Industry"}, set()),
        ("Account", {"PersonTitle": "CEO"}, {"PersonTitle"}, {"Title"}),
        ("Account", {"FirstName": None}, {"Name.FirstName"}, {"Name.FirstName"}),
        ("Account", {"Phone": "2"}, {"Phone"}, {"Phone"}),
        ("Account", {"Region__pc": "North"}, {"Region__pc"}, {"Region__c"}),
        ("Contact", {"Email": "m@example.com"}, {"PersonEmail"}, {"Email"}),
        ("Contact", {"MailingCity": "Rome"}, {"PersonMailingAddress.City"}, {"MailingAddress.City"}),
        ("Contact", {"LastName": "Lee"}, {"Name.LastName"}, {"Name.LastName"}),
        ("Contact", {"mkto_si__Priority__c": 2}, {"mkto_si__Priority__pc"}, {"mkto_si__Priority__c"}),
        ("Contact", {"Description": "d"}, set(), {"Description"}),
    ],
)
def test_each_change_changes_both_and_gives_two_events(
    org: Org, obj: str, change: dict[str, Any], of_account: set[str], of_contact: set[str]
) -> None:
    account, contact = person(org)
    org.update(obj, account if obj == "Account" else contact, change)
    assert told(org, 2) == [("Account", "UPDATE", 1), ("Contact", "UPDATE", 2)]
    first, second = payloads(org, 2)
    assert set(header(first)["changedFields"]) == of_account | {"LastModifiedDate"}
    assert set(header(second)["changedFields"]) == of_contact | {"LastModifiedDate"}
    assert first["LastModifiedDate"] == second["LastModifiedDate"]
    rows = (shown(org, "Account", account), shown(org, "Contact", contact))
    assert rows[0]["SystemModstamp"] == rows[1]["SystemModstamp"]
    for ours, theirs in (("PersonEmail", "Email"), ("LastName", "LastName"), ("PersonTitle", "Title"), ("Phone", "Phone")):
        assert rows[0][ours] == rows[1][theirs]


def test_a_business_account_tells_nothing_of_a_person(org: Org) -> None:
    account = org.create("Account", {"Name": "Acme"})
    org.update("Account", account, {"Phone": "2"})
    assert told(org) == [("Account", "CREATE", 1), ("Account", "UPDATE", 1)]
    assert payloads(org)[0]["Name"] == "Acme"
    assert not [name for event in payloads(org) for name in event if name.startswith("Person") or name.endswith("__pc")]


def test_without_captured_contacts_an_update_does_not_tell_what_is_theirs(org: Org) -> None:
    org.publisher.select(("Account",))
    account, _ = person(org)
    org.update("Account", account, {"PersonTitle": "CEO", "LastName": "Lee"})
    created, updated = payloads(org)
    assert created["PersonEmail"] == "martha@example.com"
    assert set(header(updated)["changedFields"]) == {"Name.LastName", "LastModifiedDate"}


def test_delete_and_undelete_take_both(org: Org) -> None:
    account, contact = person(org)
    org.delete("Account", account)
    assert told(org, 2) == [("Account", "DELETE", 1), ("Contact", "DELETE", 2)]
    assert shown(org, "Contact", contact)["IsDeleted"]
    org.undelete("Account", account)
    assert told(org, 4) == [("Account", "UNDELETE", 1), ("Contact", "UNDELETE", 2)]
    assert payloads(org, 4)[0]["Name"]["LastName"] == "Brown"
    assert not shown(org, "Contact", contact)["IsDeleted"]


def test_merged_people_are_merged_as_contacts_too(org: Org) -> None:
    kept, stays = person(org)
    lost, gone = person(org, LastName="Braun")
    deal = org.create("Opportunity", {"Name": "D", "StageName": "Prospecting", "CloseDate": "2027-01-01", "AccountId": lost})
    role = org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": gone})
    org.merge("Account", kept, lost, {"PersonTitle": "CEO"})
    assert shown(org, "Contact", gone)["MasterRecordId"] == stays
    assert shown(org, "Account", lost)["MasterRecordId"] == kept
    assert shown(org, "Opportunity", deal)["AccountId"] == kept
    assert shown(org, "OpportunityContactRole", role)["ContactId"] == stays
    assert shown(org, "Contact", stays)["Title"] == "CEO"
    with pytest.raises(Refused):
        org.merge("Account", org.create("Account", {"Name": "Acme"}), kept)
    with pytest.raises(Refused):
        org.merge("Contact", org.create("Contact", {"LastName": "Lee"}), stays)


def test_a_lead_without_a_company_becomes_a_person(org: Org) -> None:
    lead = org.create("Lead", {"FirstName": "Ann", "LastName": "Lee", "Email": "ann@example.com", "City": "Oslo"})
    made = org.convert_lead(lead, opportunity=True)
    account = shown(org, "Account", made.account_id)
    assert (account["Name"], account["PersonContactId"]) == ("Ann Lee", made.contact_id)
    assert (account["PersonEmail"], account["PersonMailingCity"]) == ("ann@example.com", "Oslo")
    again = org.create("Lead", {"LastName": "Lee", "Company": "Acme"})
    assert org.convert_lead(again, account_id=made.account_id).contact_id == made.contact_id


CALLER = Caller("005000000000002AAA")
BAD_NAMES = "Account: bad field names on insert/update call"


@pytest.mark.parametrize("by", [None, CALLER])
@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"Name": "Acme", "LastName": "Lee"}, "INVALID_FIELD_FOR_INSERT_UPDATE", f"{BAD_NAMES}: LastName"),
        ({"Name": "Acme", "PersonEmail": "a@b.co"}, "INVALID_FIELD_FOR_INSERT_UPDATE", f"{BAD_NAMES}: PersonEmail"),
        ({"Name": None, "LastName": "Lee"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name"),
        ({"Phone": "1"}, "REQUIRED_FIELD_MISSING", "[Name]"),
    ],
)
def test_an_account_is_a_person_or_a_business(org: Org, by: Caller | None, fields: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        org.create("Account", fields, by)
    assert refused.value.code == code
    assert words in refused.value.message
    assert org.count("Account") == org.count("Contact") == 0
    assert told(org) == []


def test_what_one_half_may_not_be_told(org: Org) -> None:
    account, contact = person(org)
    business = org.create("Account", {"Name": "Acme"})
    refusals: list[tuple[str, str, dict[str, Any]]] = [
        ("Account", account, {"Name": "Martha"}),
        ("Account", account, {"LastName": None}),
        ("Account", business, {"LastName": "Lee"}),
        ("Account", business, {"PersonContactId": contact}),
        ("Contact", contact, {"AccountId": business}),
        ("Contact", org.create("Contact", {"LastName": "Lee"}), {"AccountId": account}),
    ]
    events = len(org.log.events())
    for obj, record_id, fields in refusals:
        with pytest.raises(Refused):
            org.update(obj, record_id, fields, CALLER)
    for make in ({"LastName": "Lee", "AccountId": account}, {"LastName": "Lee", "IsPersonAccount": True}):
        with pytest.raises(Refused):
            org.create("Contact", make, CALLER)
    with pytest.raises(Refused, match="delete the person account"):
        org.delete("Contact", contact)
    assert len(org.log.events()) == events
    assert shown(org, "Account", account)["Name"] == "Martha Brown"


def test_the_fields_are_there_only_where_the_feature_is(moment: Moment) -> None:
    org = Org(moment)
    old = org.create("Account", {"Name": "Acme"})
    for name in ("LastName", "PersonEmail", "IsPersonAccount", "PersonContactId", "Region__pc"):
        assert org.field("Account", name) is None
    with pytest.raises(Refused):
        org.create("Account", {"LastName": "Lee"})
    org.enable_person_accounts()
    org.enable_person_accounts()
    assert org.field("Contact", "IsPersonAccount")
    assert shown(org, "Account", old)["IsPersonAccount"] is False
    org.update("Account", old, {"Name": "Acme & Sons"})
    assert payloads(org)[-1]["Name"] == "Acme & Sons"


async def test_over_the_wire_they_are_described_queried_and_written(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    described = (await wire.rest("GET", "/sobjects/Account/describe")).body["fields"]
    assert "PersonEmail" not in {field["name"] for field in described}
    salesforce.org.enable_person_accounts()
    fields = {field["name"]: field for field in (await wire.rest("GET", "/sobjects/Account/describe")).body["fields"]}
    assert fields["PersonEmail"]["updateable"]
    assert fields["PersonMailingCity"]["compoundFieldName"] == "PersonMailingAddress"
    assert fields["mkto_si__Priority__pc"]["type"] == "double"
    assert not fields["IsPersonAccount"]["createable"]
    made = await wire.rest("POST", "/sobjects/Account", json=MARTHA)
    assert made.status == 201
    soql = "SELECT Name, PersonContact.Email FROM Account WHERE IsPersonAccount = true AND Name = 'martha brown'"
    [row] = (await wire.query(soql)).body["records"]
    assert (row["Name"], row["PersonContact"]["Email"]) == ("Martha Brown", "martha@example.com")
    contact = shown(salesforce.org, "Account", made.body["id"])["PersonContactId"]
    scores = {"attributes": {"type": "Contact"}, "Id": contact, "mkto_si__Priority__c": 5}
    answer = await wire.rest("PATCH", "/composite/sobjects", json={"allOrNone": False, "records": [scores]})
    assert [one["success"] for one in answer.body] == [True]
    assert (await wire.rest("GET", f"/sobjects/Account/{made.body['id']}")).body["mkto_si__Priority__pc"] == 5.0
    assert (await wire.rest("DELETE", f"/sobjects/Contact/{contact}")).status == 400
    assert (await wire.rest("DELETE", f"/sobjects/Account/{made.body['id']}")).status == 204
