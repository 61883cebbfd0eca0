"""A Salesforce and a Marketo of a few records, as plain as can be: what the outbox is measured against.

The records change in Salesforce; raw events and rows come out of it. Plans go into Marketo, which is strict: a relation to what
is not there, or a role whose opportunity or person is missing, is an error of whoever sent it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from store.model import OBJECTS, PEOPLE, Key, ObjectName
from stream.filters import parse
from stream.mapping import REF_FIELD, REFS_OF, ObjectMapping, SourceFields, Target, ref_object, source_fields
from stream.plan import Remove, Rules, Upsert
from tests.store.outbox_steps import NOON, SECOND, sf_id

FIELDS = {"A__c": "a", "B__c": "b"}
SOURCE = SourceFields({obj: source_fields(obj, FIELDS) for obj in OBJECTS})
FILTERED = SourceFields(
    SOURCE.by_object,
    {obj: parse("A__c != '2'" if obj != "OpportunityContactRole" else "B__c != '2' AND A__c != '3'", obj) for obj in OBJECTS},
)
MAPPING = ObjectMapping({source: Target(name, "string", 255) for source, name in FIELDS.items()}, frozenset(FIELDS.values()))
RULES = Rules(deletes=dict.fromkeys(OBJECTS, "delete"), sales_person_filter=parse("UserType = 'Standard'", "filters.User"))

USERS: tuple[Key, ...] = (("User", sf_id("User", 1)), ("User", sf_id("User", 2)))
ACCOUNTS: tuple[Key, ...] = (("Account", sf_id("Account", 1)), ("Account", sf_id("Account", 2)))
CONTACT: Key = ("Contact", sf_id("Contact", 1))
OPPORTUNITY: Key = ("Opportunity", sf_id("Opportunity", 1))
ROLE: Key = ("OpportunityContactRole", sf_id("OpportunityContactRole", 1))
RECORDS: tuple[Key, ...] = (*USERS, *ACCOUNTS, CONTACT, OPPORTUNITY, ROLE)


@dataclass
class Held:
    """One record in Salesforce."""

    fields: dict[str, Any]
    alive: bool = True
    modified_ms: int = 0


@dataclass
class Event:
    """One event on its way, and whether Salesforce loses it."""

    key: Key
    data: dict[str, Any]
    lost: bool = False


@dataclass
class Salesforce:
    """The records as they are, and every event there was."""

    records: dict[Key, Held] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    now_ms: int = NOON
    filtered: bool = False

    def parents(self, key: Key) -> list[Key]:
        """The parents that a record names."""
        held = self.records[key]
        return [(ref_object(ref), parent) for ref in REFS_OF[key[0]] if (parent := held.fields.get(REF_FIELD[ref]))]

    def lives(self, key: Key) -> bool:
        """Whether the record is there."""
        return key in self.records and self.records[key].alive

    def has_children(self, key: Key) -> bool:
        """Whether a living record names this one."""
        return any(held.alive and key in self.parents(other) for other, held in self.records.items())

    def owns(self, key: Key) -> bool:
        """Whether a living record that is inside of its filter has this owner."""
        return any(held.fields.get("OwnerId") == key[1] and self.is_inside(other) for other, held in self.records.items())

    def is_inside(self, key: Key) -> bool:
        """Whether the record lives, and passes FILTERED, written down once more."""
        if not self.lives(key):
            return False
        fields = self.records[key].fields
        if not self.filtered or key[0] == "User":
            return True
        if key[0] == "OpportunityContactRole":
            own = fields.get("B__c") != "2" and fields.get("A__c") != "3"
            return own and all(self.is_inside(parent) for parent in self.parents(key))
        return fields.get("A__c") != "2"

    def create(self, key: Key, fields: Mapping[str, Any]) -> None:
        """A new record."""
        control = {"UserType": "Standard", "IsActive": True} if key[0] == "User" else {}
        named = {"Name": "Deal"} if key[0] == "Opportunity" else {}
        filled = {name: value for name, value in {**control, **named, **fields}.items() if value is not None}
        self.records[key] = Held(filled)
        self._happened(key, "CREATE", filled)

    def update(self, key: Key, fields: Mapping[str, Any], how: str) -> None:
        """Fields change; `how`: whether the event says what, says only that, or of a text only the difference."""
        held = self.records[key]
        held.fields = {name: value for name, value in {**held.fields, **fields}.items() if value is not None}
        if how == "gap":
            self._happened(key, "GAP_UPDATE", {})
        elif how == "diff":
            self._happened(key, "UPDATE", {name: {"diff": "@@"} for name in fields}, list(fields))
        else:
            self._happened(key, "UPDATE", dict(fields), list(fields))

    def delete(self, key: Key) -> None:
        """Into the recycle bin."""
        self.records[key].alive = False
        self._happened(key, "DELETE", {})

    def undelete(self, key: Key) -> None:
        """And out of it."""
        held = self.records[key]
        held.alive = True
        self._happened(key, "UNDELETE", dict(held.fields))

    def row(self, key: Key) -> dict[str, Any]:
        """The record as a query brings it."""
        held = self.records[key]
        stamp = datetime.fromtimestamp(held.modified_ms // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        return {"Id": key[1], "SystemModstamp": stamp, "IsDeleted": not held.alive, **held.fields}

    def _happened(self, key: Key, change_type: str, body: dict[str, Any], changed: list[str] | None = None) -> None:
        self.records[key].modified_ms = self.now_ms
        header = {
            "entityName": key[0],
            "recordIds": [key[1]],
            "changeType": change_type,
            "transactionKey": f"t{len(self.events)}",
            "sequenceNumber": 1,
            "commitTimestamp": self.now_ms,
            "changedFields": changed or [],
        }
        data = {"payload": {"ChangeEventHeader": header, **body}, "event": {"replayId": len(self.events) + 1}}
        self.events.append(Event(key, data))


@dataclass
class Marketo:
    """What was accepted. People by Marketo id, roles by their key as text, the rest by external id."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: dict[Key, dict[str, Any]] = field(default_factory=dict)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_id: int = 0

    def of(self, key: Key) -> dict[str, Any] | None:
        """What Marketo holds of a Salesforce record other than a role."""
        if key[0] in PEOPLE:
            return next((person for person in self.people.values() if person["externalPersonId"] == key[1]), None)
        return self.others.get(key)

    def upsert(self, key: Key, planned: Upsert) -> str | None:
        """Accept a plan; returns the Marketo id of a person."""
        self._relations(planned.fields)
        if planned.key:
            self._accept(self.roles.setdefault(planned.key, {}), planned.fields)
            return None
        if key[0] not in PEOPLE:
            self._accept(self.others.setdefault(key, {}), planned.fields)
            return None
        found = next((each for each, person in self.people.items() if person["externalPersonId"] == key[1]), None)
        if found is None:
            self.last_id += 1
            found = str(self.last_id)
            self.people[found] = {}
        self._accept(self.people[found], planned.fields)
        return found

    def remove(self, obj: ObjectName, planned: Remove, role_key: str = "", living: Collection[Key] = ()) -> None:
        """Delete; what is not there is a success. The roles of an opportunity or person go with it, and who names a company loses
        it: `living` are those who are in Salesforce still, so they belong elsewhere by now, and that has only not been sent yet.
        """
        if obj in PEOPLE:
            named = {str(planned.key.get("id")), str(planned.key.get("externalPersonId"))}
            gone = [each for each, person in self.people.items() if {each, person["externalPersonId"]} & named]
            self.people = {each: person for each, person in self.people.items() if each not in gone}
            self.roles = {key: role for key, role in self.roles.items() if str(role["leadId"]) not in gone}
        elif obj == "OpportunityContactRole":
            self.roles.pop(role_key, None)
        else:
            (record_id,) = planned.key.values()
            for key, held in self.others.items():
                loses = key[0] == "Opportunity" and (planned.state == "excluded" or key in living)
                if obj == "Account" and loses and held.get("externalCompanyId") == record_id:
                    del held["externalCompanyId"]
            assert not self._named(obj, record_id), f"{obj} {record_id} is deleted before its children"
            self.others.pop((obj, record_id), None)
            if obj == "Opportunity":
                self.roles = {key: role for key, role in self.roles.items() if role["externalOpportunityId"] != record_id}

    def _named(self, obj: ObjectName, record_id: str) -> bool:
        """Whether an opportunity still names this company. (A person keeps its last company: null does not clear it.)"""
        holders = [held for key, held in self.others.items() if key[0] == "Opportunity"]
        return obj == "Account" and any(held.get("externalCompanyId") == record_id for held in holders)

    def _relations(self, fields: Mapping[str, Any]) -> None:
        for name, obj in (("externalSalesPersonId", "User"), ("externalOpportunityId", "Opportunity")):
            own = name == "externalOpportunityId" and "leadId" not in fields
            if fields.get(name) and not own and (obj != "User" or "externalSalesPersonId" not in _own_key(fields)):
                assert (obj, fields[name]) in self.others, f"sent before its {obj}"
        if fields.get("externalCompanyId") and "externalCompanyId" not in _own_key(fields):
            assert ("Account", fields["externalCompanyId"]) in self.others, "sent before its Account"
        if "leadId" in fields:
            assert str(fields["leadId"]) in self.people, "sent before its Contact"

    @staticmethod
    def _accept(held: dict[str, Any], fields: Mapping[str, Any]) -> None:
        held.update(fields)
        for name in [name for name, value in held.items() if value is None]:
            del held[name]


def _own_key(fields: Mapping[str, Any]) -> set[str]:
    """The record's own external id among the fields, which names no relation."""
    if "externalPersonId" in fields or "externalOpportunityId" in fields:
        return set()
    return {"externalCompanyId"} if "externalCompanyId" in fields else {"externalSalesPersonId"}


def expected(salesforce: Salesforce, key: Key) -> dict[str, Any]:
    """What Marketo should hold of a living record, its keys aside."""
    held = salesforce.records[key]
    wanted = {name: held.fields[source] for source, name in FIELDS.items() if held.fields.get(source) is not None}
    if held.fields.get("OwnerId"):
        wanted["externalSalesPersonId"] = held.fields["OwnerId"]
    if held.fields.get("AccountId") and salesforce.is_inside(("Account", held.fields["AccountId"])):
        wanted["externalCompanyId"] = held.fields["AccountId"]
    return wanted


def differences(salesforce: Salesforce, marketo: Marketo, key: Key) -> list[str]:
    """In what the two sides differ about one record; nothing where they agree."""
    obj = key[0]
    if obj == "OpportunityContactRole":
        return _role_differences(salesforce, marketo, key)
    found = marketo.of(key)
    if not salesforce.is_inside(key):
        return [] if found is None or obj == "User" else [f"{key} is in Marketo, and gone or outside in Salesforce"]
    if found is None:
        needed = obj != "User" or salesforce.records[key].fields["IsActive"] or salesforce.owns(key)
        return [f"{key} is not in Marketo"] if needed else []
    names = [*FIELDS.values(), *([] if obj == "User" else ["externalSalesPersonId"])]
    wanted = expected(salesforce, key)
    if obj == "Opportunity" or (obj == "Contact" and "externalCompanyId" in wanted):
        names.append("externalCompanyId")
    return [
        f"{key} {name}: {wanted.get(name)!r} in Salesforce, {found.get(name)!r} in Marketo"
        for name in names
        if wanted.get(name) != found.get(name)
    ]


def _role_differences(salesforce: Salesforce, marketo: Marketo, key: Key) -> list[str]:
    if not salesforce.is_inside(key):
        return [f"roles are left over: {marketo.roles}"] if marketo.roles else []
    fields = salesforce.records[key].fields
    person = marketo.of(("Contact", fields["ContactId"]))
    if person is None or len(marketo.roles) != 1:
        return [f"one role is expected, found {len(marketo.roles)}"]
    (role,) = marketo.roles.values()
    wanted = {
        "externalOpportunityId": fields["OpportunityId"],
        "leadId": int(next(each for each, held in marketo.people.items() if held is person)),
        "role": fields.get("Role") or "Unspecified",
        **{name: fields[source] for source, name in FIELDS.items() if fields.get(source) is not None},
    }
    return [] if role == wanted else [f"the role is {role}, expected {wanted}"]
