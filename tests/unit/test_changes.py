"""Change events as Salesforce sends them over CometD, and what the outbox is told of each (facts: CDC Developer Guide)."""

from __future__ import annotations

from typing import Any

import pytest

from store.model import OBJECTS, Change, ObjectName
from stream.changes import Echo, asked_of, changes_of, seconds_of, snapshot
from stream.ids import PREFIX
from stream.mapping import SourceFields, source_fields, wanted
from stream.model import ChangeEvent, DecodeError, decode, subject
from stream.score_diff import salesforce_names

SOURCE = SourceFields({obj: source_fields(obj, wanted(obj, {})) for obj in OBJECTS})
CONTACT, WIDE = "003000000000001", "003000000000001AAA"
OWNER, QUEUE, ACCOUNT = "005000000000001AAA", "00G000000000001EAA", "001000000000001AAA"
COMMIT_MS = 1_790_000_000_123


def message(
    obj: str = "Contact", change_type: str = "UPDATE", body: dict[str, Any] | None = None, **header: Any
) -> dict[str, Any]:
    """The `data` of a Bayeux message, as in the Guide."""
    head = {
        "entityName": obj,
        "recordIds": [f"{PREFIX[obj]}000000000001"] if obj in OBJECTS else [CONTACT],
        "changeType": change_type,
        "changeOrigin": "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/",
        "transactionKey": "00003ee0-7b7f-23e5-6b0e-3c9cee2a3a8b",
        "sequenceNumber": 1,
        "commitTimestamp": COMMIT_MS,
        "commitUser": OWNER,
        "commitNumber": 10_585_193_272_713_400_000,
        "changedFields": [],
    }
    return {
        "schema": "IeRuaY6cbI_HsV8Rv1Mc5g",
        "payload": {"ChangeEventHeader": {**head, **header}, **(body or {})},
        "event": {"replayId": 6},
    }


def event(obj: str = "Contact", change_type: str = "UPDATE", body: dict[str, Any] | None = None, **header: Any) -> ChangeEvent:
    return decode(message(obj, change_type, body, **header))


def changes(
    obj: ObjectName = "Contact", change_type: str = "UPDATE", body: dict[str, Any] | None = None, **header: Any
) -> list[Change]:
    return changes_of(event(obj, change_type, body, **header), obj, SOURCE)


def change(obj: ObjectName = "Contact", change_type: str = "UPDATE", body: dict[str, Any] | None = None, **header: Any) -> Change:
    (only,) = changes(obj, change_type, body, **header)
    return only


# ── decoding


def test_the_header_becomes_typed_values() -> None:
    found = event(body={"Title": "CTO"}, changedFields=["Title", "LastModifiedDate"])
    assert (found.entity, found.record_ids, found.change_type) == ("Contact", (CONTACT,), "UPDATE")
    assert (found.commit_ms, found.sequence) == (COMMIT_MS, 1)
    assert found.transaction == "00003ee0-7b7f-23e5-6b0e-3c9cee2a3a8b"
    assert found.changed == {"Title", "LastModifiedDate"}
    assert found.fields == {"Title": "CTO"}


def test_compound_fields_are_flat() -> None:
    body = {
        "Name": {"FirstName": "Lee", "LastName": "Ng", "Salutation": None},
        "MailingAddress": {"Street": "1 Main\nSt", "City": "Bonn", "Country": None},
    }
    found = event(body=body, changedFields=["Name.FirstName", "Name.LastName", "Name.Salutation", "MailingAddress.Street"])
    assert found.fields == {
        "FirstName": "Lee",
        "LastName": "Ng",
        "Salutation": None,
        "MailingStreet": "1 Main\nSt",
        "MailingCity": "Bonn",
        "MailingCountry": None,
    }
    assert found.changed == {"FirstName", "LastName", "Salutation", "MailingStreet"}


def test_a_leads_address_has_flat_names_without_a_prefix() -> None:
    assert event("Lead", body={"Address": {"Street": "1 Main", "PostalCode": "53111"}}).fields == {
        "Street": "1 Main",
        "PostalCode": "53111",
    }


def test_an_accounts_name_is_a_text_and_a_person_accounts_a_struct() -> None:
    assert event("Account", body={"Name": "Acme"}).fields == {"Name": "Acme"}
    assert event("Account", body={"Name": {"FirstName": "Lee", "LastName": "Ng"}}).fields == {
        "FirstName": "Lee",
        "LastName": "Ng",
    }


def test_a_compound_that_is_null_is_null_in_all_its_parts() -> None:
    found = event(body={"MailingAddress": None}, changedFields=["MailingAddress"])
    assert {"MailingStreet", "MailingCity", "MailingState", "MailingPostalCode", "MailingCountry"} <= found.fields.keys()
    assert set(found.fields.values()) == {None}
    assert found.fields.keys() <= found.changed


def test_of_a_long_text_only_the_difference_may_come() -> None:
    found = event(body={"Description": {"diff": "--- \n+++ \n@@ -1 +1 @@"}, "Title": "x"}, changedFields=["Description", "Title"])
    assert found.diffs == {"Description"}
    assert found.fields == {"Title": "x"}


@pytest.mark.parametrize(
    ("header", "sweeping"),
    [
        ({"recordIds": ["001*"]}, True),
        ({"recordIds": ["000000000000000AAA"], "changeType": "GAP_OVERFLOW"}, True),
        ({"changeType": "GAP_OVERFLOW"}, True),
        ({"changeType": "GAP_UPDATE"}, False),
        ({}, False),
    ],
)
def test_some_events_speak_of_any_record(header: dict[str, Any], sweeping: bool) -> None:
    assert event(**{"change_type": header.pop("changeType", "UPDATE"), **header}).is_sweeping is sweeping


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "ChangeEventHeader"),
        ({"payload": None}, "ChangeEventHeader"),
        ({"payload": {"ChangeEventHeader": "x"}}, "ChangeEventHeader"),
        (message(entityName=None), "entityName"),
        (message(change_type="EXPLODE"), "EXPLODE"),
        (message(recordIds=[]), "recordIds"),
        (message(recordIds="003000000000001"), "recordIds"),
        (message(recordIds=[7]), "recordIds"),
        (message(commitTimestamp="yesterday"), "commitTimestamp"),
        (message(commitTimestamp=2**63), "commitTimestamp"),
        (message(commitTimestamp=253_402_300_800_000), "commitTimestamp"),
        (message(commitTimestamp=-1), "commitTimestamp"),
        (message(commitTimestamp=float("nan")), "commitTimestamp"),
        (message(sequenceNumber=float("inf")), "sequenceNumber"),
        (message(entityName="\ud800"), "entityName"),
        (message(entityName="Contact; DROP"), "entityName"),
        (message(changedFields=["Title", 7]), "changedFields"),
        (message(sequenceNumber=True), "sequenceNumber"),
        (message(changedFields="Title"), "changedFields"),
    ],
)
def test_what_cannot_be_understood_is_named(data: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode(data)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ({"Email": "lee@example.com"}, {"commitTimestamp": "lee@example.com"}),
        ({}, {"recordIds": ["lee@example.com"]}),
        ({}, {"change_type": "lee@example.com"}),
        ({}, {"entityName": "lee@example.com"}),
        ({"OwnerId": "lee@example.com"}, {"changedFields": ["OwnerId"]}),
    ],
)
def test_a_refusal_tells_no_values(body: dict[str, Any], header: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as refusal:
        changes(body=body, **header)
    assert "lee" not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "entity", "ids"),
    [
        (message(change_type="EXPLODE"), "Contact", (CONTACT,)),
        (message(recordIds=CONTACT), "Contact", ()),
        (message(entityName=[]), "", ()),
        ({"payload": []}, "", ()),
        ("text", "", ()),
        (None, "", ()),
    ],
)
def test_what_an_event_that_cannot_be_understood_still_names(data: Any, entity: str, ids: tuple[str, ...]) -> None:
    assert subject(data) == (entity, ids)


def test_what_header_fields_may_be_missing() -> None:
    data = message()
    for name in ("changeOrigin", "transactionKey", "sequenceNumber", "commitTimestamp", "changedFields", "commitNumber"):
        del data["payload"]["ChangeEventHeader"][name]
    del data["event"]
    found = decode(data)
    assert (found.origin, found.transaction, found.sequence, found.commit_ms) == ("", "", 0, 0)


# ── changes


def test_one_change_for_each_record_of_a_merged_event() -> None:
    found = changes(body={"Title": "CTO"}, recordIds=[CONTACT, "003000000000002AAA"], changedFields=["Title"])
    assert [each.record_id for each in found] == [WIDE, "003000000000002AAA"]
    assert all(each.fields == {"Title": "CTO"} and each.commit_ms == COMMIT_MS for each in found)


def test_a_created_record_is_whole_and_needs_no_read() -> None:
    body = {
        "Name": {"LastName": "Ng"},
        "OwnerId": OWNER,
        "AccountId": ACCOUNT,
        "CreatedDate": "2026-01-31T12:00:00.000Z",
        "X__c": 1,
    }
    found = change(change_type="CREATE", body=body)
    assert (found.whole, found.read) == (True, "")
    assert found.fields == {"LastName": "Ng", "OwnerId": OWNER, "AccountId": ACCOUNT}
    assert found.refs == {"owner": OWNER, "account": ACCOUNT}
    assert found.created == "2026-01-31T12:00:00.000Z"


def test_a_created_record_without_a_key_is_read() -> None:
    found = change(change_type="CREATE", body={"Name": {"LastName": "Ng"}})
    assert (found.whole, found.read) == (False, "OwnerId was not in the event")


def test_a_queue_is_no_sales_person() -> None:
    assert change("Lead", "CREATE", {"OwnerId": QUEUE, "Name": {"LastName": "Ng"}}).refs == {"owner": None}
    assert change("Lead", body={"OwnerId": QUEUE}, changedFields=["OwnerId"]).refs == {"owner": None}


def test_an_update_has_what_changed_and_says_what_was_cleared() -> None:
    body = {"Title": None, "Phone": "1", "LastModifiedDate": "2026-01-31T12:00:00.000Z"}
    found = change(body=body, changedFields=["Title", "Phone", "LastModifiedDate"])
    assert (found.fields, found.whole, found.read, found.relevant) == ({"Title": None, "Phone": "1"}, False, "", True)


def test_a_null_that_changedfields_does_not_name_clears_nothing() -> None:
    assert change(body={"Title": None, "Phone": "1"}, changedFields=["Phone"]).fields == {"Phone": "1"}


def test_fields_that_nobody_maps_matter_not() -> None:
    assert not change(body={"X__c": 1, "LastModifiedDate": "x"}, changedFields=["X__c", "LastModifiedDate"]).relevant


def test_a_mapped_field_matters_even_if_it_is_salesforces_own_housekeeping() -> None:
    body = {"LastActivityDate": "2026-01-31", "LastModifiedDate": "x"}
    assert change("Opportunity", body=body, changedFields=list(body), recordIds=["006000000000001"]).relevant


def test_a_relation_taken_off_is_none() -> None:
    assert change(body={"AccountId": None}, changedFields=["AccountId"]).refs == {"account": None}


@pytest.mark.parametrize(("change_type", "kind", "read"), [
    ("DELETE", "delete", ""),
    ("UNDELETE", "upsert", "undeleted"),
    ("GAP_CREATE", "upsert", "gap"),
    ("GAP_UPDATE", "upsert", "gap"),
    ("GAP_DELETE", "upsert", "gap"),
    ("GAP_UNDELETE", "upsert", "gap"),
])  # fmt: skip
def test_what_comes_without_fields_is_read(change_type: str, kind: str, read: str) -> None:
    found = change(change_type=change_type)
    assert (found.kind, found.read, found.fields, found.whole) == (kind, read, {}, False)


def test_a_difference_of_a_mapped_text_is_read() -> None:
    found = change(body={"Description": {"diff": "@@"}}, changedFields=["Description"])
    assert found.read == "only a difference came of Description"
    assert found.relevant


@pytest.mark.parametrize(
    ("body", "unclear"),
    [
        ({"Title": ["x"]}, "Title"),
        ({"Title": {"a": 1}}, "Title"),
        ({"Title": "half \ud83d"}, "Title"),
        ({"Fax": float("inf")}, "Fax"),
        ({"Fax": float("nan")}, "Fax"),
        ({"Fax": 2**64}, "Fax"),
        ({"Name": "Lee Ng"}, "FirstName, LastName, MiddleName, Salutation"),
        ({"Name": 5}, "FirstName, LastName, MiddleName, Salutation"),
        ({"Name": ["Lee"]}, "FirstName, LastName, MiddleName, Salutation"),
        ({"Name": {"diff": "@@"}}, "FirstName, LastName, MiddleName, Salutation"),
        ({"Name": {"LastName": ["Ng"]}}, "LastName"),
        ({"MailingAddress": "1 Main"}, "MailingCity, MailingCountry, MailingPostalCode, MailingState, MailingStreet"),
    ],
)
def test_a_value_in_no_form_that_is_known_is_read(body: dict[str, Any], unclear: str) -> None:
    for change_type, fields in (("UPDATE", {}), ("CREATE", {"OwnerId": OWNER})):
        found = change(change_type=change_type, body={**body, **fields}, changedFields=list(body))
        assert found.read == f"{unclear} changed, and the event does not tell to what"
        assert found.relevant
        assert found.fields == fields
        assert not found.whole


@pytest.mark.parametrize(
    ("name", "unclear"), [("Title", "Title"), ("Name.FirstName", "FirstName"), ("MailingAddress", "MailingCity")]
)
def test_a_field_that_changed_and_did_not_come_is_read(name: str, unclear: str) -> None:
    found = change(body={"Phone": "1"}, changedFields=[name, "Phone"])
    assert unclear in found.read
    assert found.fields == {"Phone": "1"}


def test_a_part_of_a_compound_that_nobody_knows_names_no_field_of_ours() -> None:
    assert not change("Lead", body={"Office__c": {"City": "Bonn"}}, changedFields=["Office__c.City"]).relevant


@pytest.mark.parametrize("missing", ["commitTimestamp", "transactionKey", "sequenceNumber"])
@pytest.mark.parametrize("change_type", ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_UPDATE"])
def test_an_event_that_does_not_say_when_it_was_turns_nothing_back(missing: str, change_type: str) -> None:
    for nothing in (None, "", 0):
        odd: dict[str, Any] = {missing: nothing}
        found = change("Contact", change_type, {"Title": "CTO", "OwnerId": OWNER}, **odd)
        assert (found.kind, found.read) == ("upsert", "the event does not say when it was")
        assert (found.fields, found.whole, found.transaction, found.commit_ms) == ({}, False, "", 0)


@pytest.mark.parametrize("key", [7, ["t"], "x" * 300, "\ud800"])
def test_a_transaction_key_that_cannot_be_compared_is_none(key: Any) -> None:
    assert change(body={"Title": "CTO"}, transactionKey=key).read == "the event does not say when it was"


def test_a_difference_of_another_text_is_nobodys_business() -> None:
    found = change(body={"X__c": {"diff": "@@"}, "Title": "x"}, changedFields=["X__c", "Title"])
    assert (found.read, found.fields) == ("", {"Title": "x"})


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"StageName": "Closed Won"}, "IsClosed, IsWon, ForecastCategory, ForecastCategoryName follow from StageName"),
        ({"CloseDate": "2026-01-31"}, "Fiscal, FiscalYear, FiscalQuarter follow from CloseDate"),
        ({"Amount": None}, "ExpectedRevenue follow from Amount"),
        ({"StageName": "Closed Won", "IsClosed": True, "IsWon": True}, ""),
        ({"NextStep": "call"}, ""),
    ],
)
def test_what_follows_from_a_changed_field_is_read_where_it_did_not_come(body: dict[str, Any], read: str) -> None:
    found = change("Opportunity", body=body, changedFields=list(body), recordIds=["006000000000001"])
    assert found.read.startswith(read)
    assert bool(found.read) is bool(read)


@pytest.mark.parametrize("part", [{"FirstName": "Ann"}, {"FirstName": None}, {"MiddleName": "May"}, {"Suffix": None}])
def test_a_person_accounts_name_is_read_when_a_part_of_it_changed(part: dict[str, Any]) -> None:
    changed = [f"Name.{name}" for name in part]
    found = change("Account", body={"Name": part}, changedFields=changed, recordIds=["001000000000001"])
    assert found.read.startswith("Name follow from")


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(DecodeError, match="recordIds: expected a Salesforce id"):
        changes(recordIds=["nobody"])
    for name in ("OwnerId", "AccountId"):
        with pytest.raises(DecodeError, match=f"{name}: expected a Salesforce id"):
            changes(body={name: "nobody"}, changedFields=[name])


def test_an_id_of_another_object_is_refused() -> None:
    """Asked for by it, Salesforce would refuse the call, and with it every other record of that call."""
    with pytest.raises(DecodeError, match=r"recordIds: expected .* begins with 003"):
        changes(recordIds=[CONTACT, "00Q000000000001"])
    with pytest.raises(DecodeError, match=r"AccountId: expected .* begins with 001"):
        changes(body={"AccountId": "006000000000001"}, changedFields=["AccountId"])


def test_of_ids_those_that_are_some_are_asked_for() -> None:
    asked = asked_of("Contact", [CONTACT, "001*", "lee@example.com", "00Q000000000001"], "why")
    assert asked == [Change("Contact", WIDE, read="why")]


# ── rows


def test_a_row_is_whole_as_of_its_stamp() -> None:
    row = {"Id": CONTACT, "SystemModstamp": "2026-01-31T12:00:00.000+0000", "LastName": "Ng", "Title": None, "OwnerId": OWNER}
    found = snapshot("Contact", row, SOURCE)
    assert (found.record_id, found.whole, found.read_s) == (WIDE, True, 1_769_860_800)
    assert found.fields == {"LastName": "Ng", "OwnerId": OWNER}
    assert found.refs == {"owner": OWNER, "account": None}


def test_a_deleted_row_is_a_delete() -> None:
    found = snapshot("Contact", {"Id": CONTACT, "SystemModstamp": "2026-01-31T12:00:00Z", "IsDeleted": True}, SOURCE)
    assert (found.kind, found.read_s, found.fields) == ("delete", 1_769_860_800, {})


STAMP = "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "Id"),
        ({"Id": 7, "SystemModstamp": STAMP}, "Id"),
        ({"Id": "x", "SystemModstamp": STAMP}, "Id"),
        ({"Id": ACCOUNT, "SystemModstamp": STAMP}, "begins with 003"),
        ({"Id": CONTACT}, "SystemModstamp"),
        ({"Id": CONTACT, "SystemModstamp": "2026-01-31T12:00:00"}, "SystemModstamp"),
        ({"Id": CONTACT, "SystemModstamp": 20260131}, "SystemModstamp"),
        ({"Id": CONTACT, "SystemModstamp": "0001-01-01T00:00:00+01:00"}, "SystemModstamp"),
        ({"Id": CONTACT, "SystemModstamp": STAMP, "Title": {"a": 1}}, "Title has parts"),
        ({"Id": CONTACT, "SystemModstamp": STAMP, "Title": ["x"], "Fax": float("nan")}, "Fax, Title"),
        ({"Id": CONTACT, "SystemModstamp": STAMP, "OwnerId": "nobody"}, "OwnerId"),
        ({"Id": CONTACT, "SystemModstamp": STAMP, "AccountId": OWNER}, "AccountId"),
    ],
)
def test_a_row_that_cannot_be_understood_is_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        snapshot("Contact", row, SOURCE)


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.999+0000", "2026-01-31T04:00:00-08:00"])
def test_stamps_come_in_several_forms(text: str) -> None:
    assert seconds_of(text) == 1_769_860_800


# ── our own writes coming back

ECHO = Echo("msi-stream", salesforce_names("mkto_si__"))
OURS = "com/salesforce/api/rest/62.0;client=msi-stream"
URGENCY = "mkto_si__Urgency_Value__c"


@pytest.mark.parametrize(
    ("origin", "changed", "echo"),
    [
        pytest.param(OURS, [URGENCY, "LastModifiedDate"], True, id="our own write"),
        pytest.param(OURS, [URGENCY, "LastModifiedDate", "LastModifiedById", "SystemModstamp"], True, id="with its housekeeping"),
        pytest.param(OURS, [URGENCY, "Rating", "LastModifiedDate"], False, id="a trigger edited something in it"),
        pytest.param(OURS, ["Rating"], False, id="our client, another field"),
        pytest.param("com/salesforce/api/rest/62.0;client=other", [URGENCY], False, id="another client"),
        pytest.param("com/salesforce/api/rest/62.0;client=msi-stream-2", [URGENCY], False, id="a client of a similar name"),
        pytest.param("com/salesforce/api/rest/62.0", [URGENCY], False, id="no client"),
        pytest.param("", [URGENCY], False, id="a person in the browser"),
        pytest.param(OURS, [], False, id="nobody says what changed"),
    ],
)  # fmt: skip
def test_an_echo_is_our_client_and_only_our_fields(origin: str, changed: list[str], echo: bool) -> None:
    assert ECHO.is_echo(event("Lead", changeOrigin=origin, changedFields=changed)) is echo


def test_without_changedfields_the_fields_themselves_tell() -> None:
    assert ECHO.is_echo(event("Lead", body={URGENCY: 3}, changeOrigin=OURS))
    assert not ECHO.is_echo(event("Lead", body={URGENCY: 3, "Rating": "Hot"}, changeOrigin=OURS))


@pytest.mark.parametrize("change_type", ["CREATE", "DELETE", "UNDELETE", "GAP_UPDATE"])
def test_only_an_update_can_be_an_echo(change_type: str) -> None:
    assert not ECHO.is_echo(event("Lead", change_type, {URGENCY: 3}, changeOrigin=OURS, changedFields=[URGENCY]))


def test_a_text_of_ours_that_came_as_a_difference_is_an_echo_too() -> None:
    described = "mkto_si__Last_Interesting_Moment_Desc__c"
    assert ECHO.is_echo(event("Lead", body={described: {"diff": "@@"}}, changeOrigin=OURS, changedFields=[described]))
