"""Person accounts: where the org has switched them on, an account may be a person, with a contact of its own behind it.

    org.enable_person_accounts()                                      # for good, as in Salesforce
    account = org.create("Account", {"LastName": "Lee", "PersonEmail": "lee@example.com"})
    contact = org.get("Account", account)["PersonContactId"]

The two records are one: a write to either changes both and stamps both, in one transaction, so each change gives an Account and a
Contact event. Sources: the CDC guide, "Change Events for Person Accounts"; the API guide, "Person Account Record Types". Record
types are left out: an account with a last name instead of a name is a person, and none turns into the other kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.database import Database
from sandbox.salesforce.errors import Refused
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.values import Row

NAME_PARTS = ("Salutation", "FirstName", "MiddleName", "LastName")
SHARED = (*NAME_PARTS, "Phone", "Fax", "OwnerId")
PREFIXED = ("Title", "Email", "MobilePhone", "HasOptedOutOfEmail", "DoNotCall", "LeadSource", "Birthdate", "Department")
ADDRESSES = ("MailingAddress", "OtherAddress")
IS_PERSON = Field("IsPersonAccount", "boolean", default=False, nillable=False, writable=False, creatable=False)
PERSON_CONTACT = Field(
    "PersonContactId",
    "reference",
    length=18,
    refers_to=("Contact",),
    relationship="PersonContact",
    writable=False,
    creatable=False,
)


class PersonAccounts(Database):
    """The database with person accounts; `person_accounts` tells whether the org has them."""

    person_accounts = False

    def enable_person_accounts(self) -> None:
        """Switch the feature on: Account and Contact get its fields, and a lead needs no company any more."""
        if self.person_accounts:
            return
        self.person_accounts = True
        contact, lead = self.types["Contact"], self.types["Lead"]
        self._add_fields("Account", _account_fields(contact))
        self._add_fields("Contact", [IS_PERSON])
        lead.fields["Company"] = replace(lead.fields["Company"], required=False, nillable=True)

    def _add_fields(self, obj: str, fields: Iterable[Field]) -> None:
        kind, added = self.types[obj], {field.name: field for field in fields}
        kind.fields.update(added)
        compounds = dict.fromkeys((*kind.compounds, *(field.compound for field in added.values() if field.compound)))
        self.types[obj] = replace(kind, compounds=tuple(compounds))
        defaults: Row = {field.name: field.default for field in added.values() if field.default is not None}
        for record_id, row in self._tables[obj].items():
            self._tables[obj][record_id] = {**defaults, **row}

    # ---- writing

    def create(self, obj: str, fields: Mapping[str, Any], by: Caller | None = None) -> str:
        """Create one record; an account with a last name instead of a name is a person, and gets its contact."""
        kind = self._writable_type(obj, by)
        named = self._named(kind, fields)
        self._check_parent(kind, named)
        if not (self.person_accounts and kind.name == "Account" and named.get("LastName") and named.get("Name") is None):
            self._check_names(kind, named, None)
            return super().create(obj, fields, by)
        if "Name" in named:
            raise _locked("Name")
        with self._atomic(by) as author:
            account = super().create(obj, fields, by)
            person = {name: value for name, value in self.as_contact(self._row("Account", account)).items() if value is not None}
            contact = super().create("Contact", {**person, "AccountId": account}, author)
            self._amend("Account", account, {"IsPersonAccount": True, "PersonContactId": contact})
            self._amend("Contact", contact, {"IsPersonAccount": True, **_stamps(self._row("Account", account))})
        return account

    def update(self, obj: str, record_id: str, fields: Mapping[str, Any], by: Caller | None = None) -> None:
        """Change one record; a person account changes together with its contact."""
        kind = self._writable_type(obj, by)
        row = self.inspect(kind.name, record_id)
        if row is None or not self.person_accounts or kind.name not in {"Account", "Contact"}:
            super().update(obj, record_id, fields, by)
            return
        named = self._named(kind, fields)
        self._check_parent(kind, named)
        self._check_names(kind, named, row)
        if not row["IsPersonAccount"]:
            super().update(obj, record_id, fields, by)
            return
        of_account = kind.name == "Account"
        account = str(row["Id"] if of_account else row["AccountId"])
        contact = str(row["PersonContactId"] if of_account else row["Id"])
        with self._atomic(by):
            self._amend("Account", account, {})  # so that its event comes first
            super().update(obj, record_id, fields, by)
            if of_account:
                person = self._row("Account", account)
                self._amend("Contact", contact, {**self.as_contact(person), **_stamps(person)})
            else:
                person = self._row("Contact", contact)
                self._amend("Account", account, {**self.as_account(person), **_stamps(person)})

    def check_deletable(self, obj: str, row: Row) -> None:
        """A person account's contact goes only together with its account."""
        if obj == "Contact" and row.get("IsPersonAccount"):
            raise Refused("INSUFFICIENT_ACCESS_OR_READONLY", "delete the person account instead of its contact")

    def person_contact(self, account_id: str) -> str | None:
        """The contact that is the account itself, where that is a person."""
        contact = (self.inspect("Account", account_id) or {}).get("PersonContactId")
        return None if contact is None else str(contact)

    def as_contact(self, account: Row) -> Row:
        """The contact's fields of a person account, by their names on the contact."""
        return {theirs: account.get(ours) for ours, theirs in self._pairs()}

    def as_account(self, contact: Row) -> Row:
        """The fields of a person, by their names on the account."""
        return {ours: contact.get(theirs) for ours, theirs in self._pairs()}

    def _pairs(self) -> list[tuple[str, str]]:
        mirrors = [(field.name, field.mirrors) for field in self.types["Account"].fields.values() if field.mirrors]
        return [*((name, name) for name in SHARED), *mirrors]

    def _row(self, obj: str, record_id: str) -> Row:
        return self._tables[obj][record_id]

    def _amend(self, obj: str, record_id: str, more: Row) -> None:
        self._write("UPDATE", obj, record_id, {**self._row(obj, record_id), **more})

    # ---- refusals

    @staticmethod
    def _named(kind: ObjectType, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What is given, by the fields' own names; what is unknown is left to the field rules."""
        found = ((kind.find(name), value) for name, value in fields.items())
        return {field.name: value for field, value in found if field is not None}

    def _check_parent(self, kind: ObjectType, named: Mapping[str, Any]) -> None:
        parent = named.get("AccountId") if kind.name == "Contact" and self.person_accounts else None
        if isinstance(parent, str) and self.person_contact(parent) is not None:
            raise Refused("FIELD_INTEGRITY_EXCEPTION", "a person account has no contact but its own", ("AccountId",))

    def _check_names(self, kind: ObjectType, named: Mapping[str, Any], row: Row | None) -> None:
        """A person account takes no Name, its contact no AccountId, and any other account nothing that makes a person."""
        if not self.person_accounts or kind.name not in {"Account", "Contact"}:
            return
        if row is not None and row["IsPersonAccount"]:
            wrong = [name for name in ("Name", "AccountId") if name in named]
        elif kind.name == "Account":
            wrong = [name for name, value in named.items() if value is not None and _makes_a_person(kind.fields[name])]
        else:
            wrong = []
        if wrong:
            message = f"Account: bad field names on insert/update call: {', '.join(wrong)}"
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, tuple(wrong))


def _stamps(row: Row) -> Row:
    """When and by whom a record was changed: the two halves of a person account tell the same."""
    return {name: row[name] for name in ("LastModifiedDate", "LastModifiedById", "SystemModstamp")}


def _makes_a_person(field: Field) -> bool:
    return bool(field.mirrors) or field.name in NAME_PARTS


def _locked(name: str) -> Refused:
    message = f"Unable to create/update fields: {name}. Please check the security settings of this field and verify that it is "
    return Refused("INVALID_FIELD_FOR_INSERT_UPDATE", f"{message}read/write for your profile or permission set.", (name,))


def _account_fields(contact: ObjectType) -> list[Field]:
    """What an account gets: the name's parts, Person… for the contact's standard fields, and …__pc for its custom ones."""
    own = contact.fields
    names = [replace(own[name], required=False, nillable=True) for name in NAME_PARTS]
    prefixed = [replace(own[name], name=f"Person{name}", mirrors=name) for name in PREFIXED]
    parts = [
        replace(field, name=f"Person{field.name}", compound=f"Person{field.compound}", mirrors=field.name)
        for field in own.values()
        if field.compound in ADDRESSES
    ]
    compounds = [replace(own[name], name=f"Person{name}") for name in ADDRESSES]
    custom = [
        replace(field, name=f"{name.removesuffix('__c')}__pc", mirrors=name)
        for name, field in own.items()
        if name.endswith("__c")
    ]
    return [replace(IS_PERSON, in_events=False), PERSON_CONTACT, *names, *prefixed, *parts, *compounds, *custom]
