"""The simulated org: everything a test, the demo or the API does to its records, and the change events that follow.

    org = Org(now=clock)
    account = org.create("Account", {"Name": "Acme"})
    with org.transaction():                         # one transactionKey
        contact = org.create("Contact", {"LastName": "Lee", "AccountId": account})
        org.update("Account", account, {"Phone": "1"})
    with org.losing_events():                       # the record changes, and no event tells
        org.update("Contact", contact, {"Title": "CEO"})

Everything is synchronous and takes its time from the injected clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused, missing_record
from sandbox.salesforce.ids import id18
from sandbox.salesforce.person_accounts import PersonAccounts
from sandbox.salesforce.schema import ObjectType, msi_fields
from sandbox.salesforce.values import Row, from_epoch

CASCADES: dict[str, tuple[tuple[str, str], ...]] = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId")),
    "Contact": (("OpportunityContactRole", "ContactId"),),
    "Opportunity": (("OpportunityContactRole", "OpportunityId"),),
}
REPARENTED: dict[str, tuple[tuple[str, str], ...]] = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId")),
    "Contact": (("OpportunityContactRole", "ContactId"),),
}
CONVERTED_STATUS = "Closed - Converted"
CARRIED = (
    "Salutation", "FirstName", "MiddleName", "LastName", "Title", "Email", "Phone", "MobilePhone", "Fax", "LeadSource",
    "HasOptedOutOfEmail", "DoNotCall", "Description", "Sync_to_Marketo__c",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a lead became."""

    contact_id: str
    account_id: str
    opportunity_id: str | None


class Org(PersonAccounts):
    """One Salesforce org. `now` gives epoch seconds; `seed` makes ids and strides reproducible."""

    # ---- the recycle bin

    def delete(self, obj: str, record_id: str, by: Caller | None = None) -> None:
        """Put a record and its children into the recycle bin; raises `Refused`."""
        self.delete_many(obj, [record_id], by)

    def delete_many(self, obj: str, ids: Iterable[str], by: Caller | None = None) -> None:
        """Delete several records in one transaction: one event with several recordIds."""
        kind = self._writable_type(obj, by)
        if not kind.deletable:
            raise Refused("INSUFFICIENT_ACCESS_OR_READONLY", f"{kind.name} can not be deleted", status=403)
        for_all = list(ids)
        with self._atomic(by) as author:
            for record_id in for_all:
                row = self._live_row(kind, record_id)
                self.check_deletable(kind.name, row)
                self.row_faults.check(str(row["Id"]), author)
                self._bin(kind, row, author)

    def _bin(self, kind: ObjectType, row: Row, by: Caller | None, more: Row | None = None) -> None:
        gone: Row = {**row, "IsDeleted": True, **(more or {})}
        self._stamp(gone, by)
        self._write("DELETE", kind.name, str(row["Id"]), gone)
        for child, parent_field in CASCADES.get(kind.name, ()):
            for orphan in self._children(child, parent_field, str(row["Id"])):
                self._binned_with[str(orphan["Id"])] = str(row["Id"])
                self._bin(self.types[child], orphan, by)

    def _children(self, obj: str, parent_field: str, parent_id: str) -> list[Row]:
        return [row for row in self.rows(obj) if row.get(parent_field) == parent_id]

    def undelete(self, obj: str, record_id: str) -> None:
        """Take a record, and the children that went with it, out of the recycle bin."""
        kind = self._writable_type(obj, None)
        row = self.inspect(kind.name, record_id)
        if row is None or not row.get("IsDeleted"):
            raise Refused("UNDELETE_FAILED", "entity is not in the recycle bin")
        with self._atomic(None):
            self._restore(kind, row)

    def _restore(self, kind: ObjectType, row: Row) -> None:
        back: Row = {**row, "IsDeleted": False}
        back.pop("MasterRecordId", None)
        self._stamp(back, None)
        self._write("UNDELETE", kind.name, str(row["Id"]), back)
        for child, parent_field in CASCADES.get(kind.name, ()):
            for orphan in list(self.rows(child, deleted=True)):
                binned_with = self._binned_with.get(str(orphan["Id"]))
                if orphan.get("IsDeleted") and orphan.get(parent_field) == row["Id"] and binned_with == row["Id"]:
                    del self._binned_with[str(orphan["Id"])]
                    self._restore(self.types[child], orphan)

    def purge(self, obj: str, record_id: str) -> None:
        """Empty the recycle bin of one record: it is gone even from queryAll, and no event says so."""
        whole = id18(record_id) or record_id
        row = self.inspect(obj, whole)
        if row is None or not row.get("IsDeleted"):
            raise missing_record()
        del self._tables[obj][whole]

    # ---- merge and conversion

    def merge(self, obj: str, winner: str, loser: str, fields: Mapping[str, Any] | None = None) -> None:
        """Merge two records: the loser is deleted with its MasterRecordId set, its children move, the winner is updated.

        Nothing in the events says that it was a merge.
        """
        kind = self._writable_type(obj, None)
        if "MasterRecordId" not in kind.fields:
            raise Refused("INVALID_TYPE", f"{kind.name} can not be merged")
        with self.transaction():
            lost, kept = self._live_row(kind, loser), self._live_row(kind, winner)
            self._check_mergeable(kind, lost, kept)
            self._merge_people(lost, kept)
            for child, parent_field in REPARENTED.get(kind.name, ()):
                for row in self._children(child, parent_field, str(lost["Id"])):
                    self.update(child, str(row["Id"]), {parent_field: kept["Id"]})
            self._bin(kind, self._live_row(kind, loser), None, {"MasterRecordId": kept["Id"]})
            self.update(kind.name, str(kept["Id"]), fields or {})

    @staticmethod
    def _check_mergeable(kind: ObjectType, lost: Row, kept: Row) -> None:
        people = [row.get("IsPersonAccount", False) for row in (lost, kept)]
        if people[0] != people[1] or (kind.name == "Contact" and any(people)):
            raise Refused("INVALID_OPERATION", "a person account can be merged with person accounts only, and as an account")

    def _merge_people(self, lost: Row, kept: Row) -> None:
        """The contacts of two person accounts are merged with them."""
        gone, stays = lost.get("PersonContactId"), kept.get("PersonContactId")
        if gone is None or stays is None:
            return
        for child, parent_field in REPARENTED["Contact"]:
            for row in self._children(child, parent_field, str(gone)):
                self.update(child, str(row["Id"]), {parent_field: stays})
        contact = self.types["Contact"]
        self._bin(contact, self._live_row(contact, str(gone)), None, {"MasterRecordId": stays})

    def convert_lead(
        self,
        lead_id: str,
        contact_id: str | None = None,
        account_id: str | None = None,
        opportunity: Mapping[str, Any] | bool | None = None,
    ) -> Conversion:
        """Convert a lead into new or existing records, in one transaction; True makes an opportunity with usual fields."""
        kind = self.types["Lead"]
        with self.transaction():
            lead = self._live_row(kind, lead_id)
            if lead.get("IsConverted"):
                raise Refused("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            owner = self._person_owner(lead)
            if account_id is None and contact_id is not None:
                account_id = str((self.inspect("Contact", contact_id) or {}).get("AccountId") or "") or None
            account = account_id or self._account_of(lead, owner)
            contact = contact_id or self._contact_of(lead, account, owner)
            made = Conversion(contact, account, self._opportunity_of(lead, account, contact, owner, opportunity))
            row: Row = {
                **lead,
                "IsConverted": True,
                "Status": CONVERTED_STATUS,
                "ConvertedDate": from_epoch(self.now()).date(),
                "ConvertedContactId": made.contact_id,
                "ConvertedAccountId": made.account_id,
                "ConvertedOpportunityId": made.opportunity_id,
            }
            self._stamp(row, None)
            self._write("UPDATE", "Lead", str(lead["Id"]), row)
        return made

    def _person_owner(self, lead: Row) -> str:
        """Contacts and accounts are owned by users: a queue's lead goes to whoever converts it."""
        owner = str(lead["OwnerId"])
        return owner if owner.startswith("005") else self.person_id

    def _account_of(self, lead: Row, owner: str) -> str:
        if lead.get("Company") is None:
            return self.create("Account", {**_given(self.as_account(self._carried(lead))), "OwnerId": owner})
        address = {f"Billing{part}": lead.get(part) for part in ("Street", "City", "State", "PostalCode", "Country")}
        more = {name: lead.get(name) for name in ("Phone", "Website", "Industry")}
        return self.create("Account", {"Name": lead["Company"], "OwnerId": owner, **more, **address})

    def _contact_of(self, lead: Row, account: str, owner: str) -> str:
        carried = {**self._carried(lead), "AccountId": account, "OwnerId": owner}
        return self.person_contact(account) or self.create("Contact", carried)

    def _carried(self, lead: Row) -> Row:
        """What of a lead goes on in the contact, by the contact's names."""
        address = {f"Mailing{part}": lead.get(part) for part in ("Street", "City", "State", "PostalCode", "Country")}
        names = [*CARRIED, *(field.name for field in msi_fields(self.msi_prefix))]
        return {**{name: lead[name] for name in names if lead.get(name) is not None}, **address}

    def _opportunity_of(
        self, lead: Row, account: str, contact: str, owner: str, wanted: Mapping[str, Any] | bool | None
    ) -> str | None:
        if not wanted:
            return None
        given = {} if isinstance(wanted, bool) else dict(wanted)
        usual = {
            "Name": f"{lead.get('Company') or lead['LastName']}-",
            "StageName": "Prospecting",
            "CloseDate": from_epoch(self.now() + 90 * 86_400).date(),
            "AccountId": account,
            "OwnerId": owner,
            "LeadSource": lead.get("LeadSource"),
        }
        opportunity = self.create("Opportunity", usual | given)
        self.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "IsPrimary": True})
        return opportunity

    # ---- events that go wrong

    def losing_events(self) -> AbstractContextManager[None]:
        """Changes committed inside are not published: the rare loss that the CDC guide admits."""
        return self.publisher.mode("lost")

    def as_gaps(self) -> AbstractContextManager[None]:
        """Changes committed inside are published as GAP_CREATE, GAP_UPDATE ... without a body."""
        return self.publisher.mode("gap")


def _given(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}
