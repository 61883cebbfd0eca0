"""The org's records and the change events they cause, without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused, Unreadable
from sandbox.salesforce.ids import id18, mint_id
from sandbox.salesforce.org import Org
from tests.sandbox.salesforce.wire import START, Moment, header


def payloads(org: Org) -> list[dict[str, Any]]:
    return [event["payload"] for event in org.log.events()]


def body(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "ChangeEventHeader"}


def lead(org: Org, **more: Any) -> str:
    return org.create("Lead", {"LastName": "Lee", "Company": "Acme", **more})


def test_ids_have_the_suffix_that_salesforce_computes() -> None:
    assert id18("0013000001IPBNT") == "0013000001IPBNTAA5"  # capitals only in the last group: all five bits
    assert id18("00130a0001aPBnT") == "00130a0001aPBnTAAW"
    assert id18("0013000001IPBNTAA4") is None
    assert id18("too short") is None
    assert mint_id("00Q", 1) != mint_id("00Q", 2)


def test_create_carries_every_filled_field_and_nests_compounds(org: Org) -> None:
    account = org.create("Account", {"Name": "  Acme ", "BillingCity": "Oslo", "AnnualRevenue": 119, "Phone": ""})
    contact = org.create("Contact", {"FirstName": "Ada", "LastName": "Lee", "AccountId": account, "MailingCity": "Rom"})
    first, second = payloads(org)
    assert first["Name"] == "Acme", "surrounding blanks go, as in Salesforce"
    assert first["BillingAddress"] == {"City": "Oslo"}
    assert "Phone" not in first
    assert second["Name"] == {"FirstName": "Ada", "LastName": "Lee"}
    assert second["HasOptedOutOfEmail"] is False
    assert header(second)["recordIds"] == [contact]
    assert header(second)["changedFields"] == []
    assert header(second)["changeType"] == "CREATE"


def test_events_lack_what_change_data_capture_never_carries(org: Org) -> None:
    account = org.create("Account", {"Name": "Acme"})
    org.create("Opportunity", {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-05-01", "AccountId": account})
    for payload in payloads(org):
        assert not {"Id", "SystemModstamp", "IsDeleted", "Fiscal", "FiscalYear", "LastActivityDate"} & payload.keys()
    assert org.records("Opportunity")[0]["Fiscal"] == "2026 2"


def test_update_carries_only_what_changed_with_nulls_for_cleared_fields(org: Org) -> None:
    contact = org.create("Contact", {"FirstName": "Ada", "LastName": "Lee", "Email": "a@b.co", "MailingCity": "Rom"})
    org.update("Contact", contact, {"FirstName": "Eva", "Email": None, "MailingCity": "Pisa", "Title": None})
    update = payloads(org)[-1]
    assert set(header(update)["changedFields"]) == {"LastModifiedDate", "Name.FirstName", "Email", "MailingAddress.City"}
    assert body(update) == {
        "LastModifiedDate": update["LastModifiedDate"],
        "Name": {"FirstName": "Eva"},
        "Email": None,
        "MailingAddress": {"City": "Pisa"},
    }
    assert "nulledFields" not in header(update)


def test_commit_time_is_in_milliseconds_and_not_before_the_modstamp(org: Org, moment: Moment) -> None:
    account = org.create("Account", {"Name": "Acme"})
    stamp = (org.get("Account", account) or {})["SystemModstamp"]
    assert stamp.endswith(".000+0000"), "REST shows whole seconds, with a zone without a colon"
    assert header(payloads(org)[0])["commitTimestamp"] == int(START * 1000)
    assert payloads(org)[0]["CreatedDate"].endswith(".000Z")
    org.publisher.milliseconds = False
    moment.seconds += 5
    org.update("Account", account, {"Phone": "1"})
    assert payloads(org)[-1]["LastModifiedDate"].count(":") == 2
    assert ".000" not in payloads(org)[-1]["LastModifiedDate"]


def test_equal_updates_of_one_transaction_are_one_event_with_several_records(org: Org) -> None:
    ids = [lead(org) for _ in range(3)]
    org.update_many("Lead", ids, {"Rating": "Hot"})
    assert header(payloads(org)[-1])["recordIds"] == ids
    with org.transaction():
        org.update("Lead", ids[0], {"Rating": "Cold"})
        org.update("Lead", ids[1], {"Rating": "Warm"})
        org.update("Lead", ids[0], {"Title": "CEO"})
    last, before = header(payloads(org)[-1]), header(payloads(org)[-2])
    assert (before["recordIds"], last["recordIds"]) == ([ids[0]], [ids[1]])
    assert before["transactionKey"] == last["transactionKey"]
    assert [before["sequenceNumber"], last["sequenceNumber"]] == [1, 2]
    assert payloads(org)[-2]["Title"] == "CEO", "two edits of one record in one transaction are one event"


def test_commit_numbers_exceed_what_a_double_holds(org: Org) -> None:
    lead(org)
    assert header(payloads(org)[0])["commitNumber"] > 2**53


def test_a_trigger_writes_into_the_same_event(org: Org) -> None:
    one = lead(org)
    org.on_update.append(lambda obj, _id, _before, after: {"Rating": "Hot"} if obj == "Lead" and after["Title"] else None)
    by = Caller(org.api_user_id, client="msi-stream", auto_assign=False)
    org.update("Lead", one, {"Title": "CEO"}, by)
    update = payloads(org)[-1]
    assert header(update)["changeOrigin"] == "com/salesforce/api/rest/62.0;client=msi-stream"
    assert {"Title", "Rating"} <= set(header(update)["changedFields"])


def test_a_change_in_the_browser_has_an_empty_origin(org: Org) -> None:
    lead(org)
    assert header(payloads(org)[0])["changeOrigin"] == ""


def test_delete_has_only_a_header_and_takes_the_children_along(org: Org) -> None:
    account = org.create("Account", {"Name": "Acme"})
    contact = org.create("Contact", {"LastName": "Lee", "AccountId": account})
    org.delete("Account", account)
    gone = payloads(org)[-2:]
    assert [header(event)["changeType"] for event in gone] == ["DELETE", "DELETE"]
    assert [body(event) for event in gone] == [{}, {}]
    assert not org.records("Contact")
    org.undelete("Account", account)
    assert [header(event)["changeType"] for event in payloads(org)[-2:]] == ["UNDELETE", "UNDELETE"]
    assert payloads(org)[-1]["Name"] == {"LastName": "Lee"}
    assert [row["Id"] for row in org.records("Contact")] == [contact]


def test_purge_leaves_no_event_and_no_trace(org: Org) -> None:
    one = lead(org)
    org.delete("Lead", one)
    count = len(payloads(org))
    org.purge("Lead", one)
    assert len(payloads(org)) == count
    assert org.get("Lead", one) is None


def test_conversion_is_one_transaction_and_nothing_but_the_lead_names_its_parts(org: Org) -> None:
    one = lead(org, Email="a@b.co", City="Oslo")
    made = org.convert_lead(one, opportunity=True)
    events = [header(event) for event in payloads(org)[1:]]
    assert [event["entityName"] for event in events] == ["Account", "Contact", "Opportunity", "Lead"]
    assert len({event["transactionKey"] for event in events}) == 1
    assert [event["sequenceNumber"] for event in events] == [1, 2, 3, 5], "the role is not selected and leaves a hole"
    last = payloads(org)[-1]
    assert (last["IsConverted"], last["ConvertedContactId"]) == (True, made.contact_id)
    assert (org.get("Contact", made.contact_id) or {})["MailingCity"] == "Oslo"


def test_conversion_into_existing_records_creates_nothing(org: Org) -> None:
    account = org.create("Account", {"Name": "Acme"})
    contact = org.create("Contact", {"LastName": "Lee", "AccountId": account})
    made = org.convert_lead(lead(org), contact_id=contact)
    assert (made.contact_id, made.account_id, made.opportunity_id) == (contact, account, None)
    assert header(payloads(org)[-1])["changeType"] == "UPDATE"


def test_a_converted_lead_takes_no_update_from_the_api(org: Org) -> None:
    one = lead(org)
    org.convert_lead(one)
    with pytest.raises(Refused, match="CANNOT_UPDATE_CONVERTED_LEAD"):
        org.update("Lead", one, {"Title": "CEO"}, Caller(org.api_user_id))


def test_a_merge_looks_like_a_delete_and_an_update(org: Org) -> None:
    winner, loser = (org.create("Contact", {"LastName": name}) for name in ("Lee", "Leigh"))
    deal = org.create("Opportunity", {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-05-01"})
    role = org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": loser})
    org.merge("Contact", winner, loser, {"Title": "CEO"})
    kinds = [(header(event)["changeType"], header(event)["recordIds"]) for event in payloads(org)[-2:]]
    assert kinds == [("DELETE", [loser]), ("UPDATE", [winner])]
    assert (org.get("Contact", loser) or {})["MasterRecordId"] == winner
    assert (org.get("OpportunityContactRole", role) or {})["ContactId"] == winner


def test_only_selected_objects_have_events_and_no_more_than_five_can_be(org: Org) -> None:
    deal = org.create("Opportunity", {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-05-01"})
    contact = org.create("Contact", {"LastName": "Lee"})
    count = len(payloads(org))
    org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contact})
    assert len(payloads(org)) == count
    with pytest.raises(ValueError, match="allows 5"):
        org.publisher.select([*org.publisher.selected, "OpportunityContactRole"])


def test_events_can_be_lost_gapped_doubled_and_garbled(org: Org) -> None:
    with org.losing_events():
        one = lead(org)
    assert payloads(org) == []
    with org.as_gaps():
        org.update("Lead", one, {"Title": "CEO"})
    assert header(payloads(org)[0])["changeType"] == "GAP_UPDATE"
    assert body(payloads(org)[0]) == {}
    org.publisher.wildcard("Account")
    assert header(payloads(org)[-1])["recordIds"] == ["001*"]
    org.publisher.gap("Lead", [], "GAP_OVERFLOW")
    assert header(payloads(org)[-1])["recordIds"] == ["000000000000000AAA"]
    again = org.publisher.duplicate(org.log.events()[0]["event"]["replayId"])
    assert again == org.log.last_replay_id
    org.publisher.inject({"payload": {"ChangeEventHeader": None}})
    assert payloads(org)[-1] == {"ChangeEventHeader": None}


def test_a_huge_transaction_overflows(org: Org) -> None:
    org.publisher.overflow_from = 3
    with org.transaction():
        for _ in range(4):
            lead(org)
    assert [header(event)["changeType"] for event in payloads(org)] == ["GAP_OVERFLOW"]


def test_long_text_changes_as_a_diff(org: Org) -> None:
    text = "\n".join(f"line {number}" for number in range(200))
    one = lead(org, Description=text)
    org.update("Lead", one, {"Description": text.replace("line 7\n", "LINE 7\n")})
    assert "+LINE 7" in payloads(org)[-1]["Description"]["diff"]


def test_hidden_fields_vanish_from_events(org: Org) -> None:
    org.hide_field("Lead", "Email")
    one = lead(org, Email="a@b.co")
    org.update("Lead", one, {"Email": "c@d.co"})
    assert all("Email" not in payload for payload in payloads(org))
    assert header(payloads(org)[-1])["changedFields"] == ["LastModifiedDate"]


def test_replay_ids_are_not_contiguous_and_expire_after_three_days(org: Org, moment: Moment) -> None:
    for _ in range(30):
        lead(org)
    ids = [event["event"]["replayId"] for event in org.log.events()]
    assert ids == sorted(ids)
    assert ids[-1] - ids[0] > len(ids)
    assert org.log.after(ids[3]) is not None
    assert org.log.after(ids[0] - 1) is None, "an id that was never given out is invalid"
    org.log.expire_before(ids[4])
    assert org.log.after(ids[3]) is None
    moment.seconds += 72 * 3600 + 1
    assert org.log.events() == []
    assert org.log.after(ids[-1]) is None


def test_a_failed_transaction_leaves_nothing(org: Org) -> None:
    one = lead(org)
    count = len(payloads(org))
    by = Caller(org.api_user_id)
    with pytest.raises(Refused):
        org.update_many("Lead", [one, "00Q000000000000AAA"], {"Title": "CEO"}, by)
    assert (org.get("Lead", one) or {})["Title"] is None
    assert len(payloads(org)) == count
    assert len(org.records("Lead")) == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Title": "x" * 129}, "STRING_TOO_LONG"),
        ({"Email": "nobody"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": " "}, "REQUIRED_FIELD_MISSING"),
        ({"OwnerId": "005000000000000"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"OwnerId": "0010000000000001"}, "MALFORMED_ID"),
        ({"mkto_si__Urgency_Value__c": 10_000}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"DoNotCall": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
    ],
)
def test_values_are_refused_in_salesforces_words(org: Org, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        org.update("Lead", lead(org), fields, Caller(org.api_user_id))
    assert refused.value.code == code


@pytest.mark.parametrize("fields", [{"Title": 5}, {"DoNotCall": "maybe"}, {"mkto_si__Priority__c": "high"}, {"Nope__c": "x"}])
def test_what_json_can_not_mean_fails_the_whole_request(org: Org, fields: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        org.update("Lead", lead(org), fields, Caller(org.api_user_id))


def test_numbers_are_rounded_to_the_fields_scale(org: Org) -> None:
    one = lead(org, mkto_si__Priority__c=12.5)
    assert (org.get("Lead", one) or {})["mkto_si__Priority__c"] == 13.0
