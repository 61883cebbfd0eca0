"""What is asked of Salesforce before a person is created in Marketo or a record deleted there, and of what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from store.model import Key, ObjectName
from stream.changes import seconds_of
from stream.delivery.people import Living, LookupFailed
from stream.errors import SalesforceError, StreamError
from stream.ids import widen
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.soql import in_chunks, in_list, select

log = structlog.get_logger(__name__)

READ_MOST = 2000
HOPS_MOST = 10  # a chain of merges longer than that is followed by the deletes that come with it


@dataclass(slots=True)
class SalesforcePeople:
    """Answers the resolver's questions; every error comes as LookupFailed."""

    salesforce: SalesforceClient

    async def living(self, keys: Sequence[Key]) -> dict[Key, Living]:
        """Those of the people that exist, with what a converted lead has become."""
        found: dict[Key, Living] = {}
        try:
            for obj in ("Contact", "Lead"):
                ids = [record_id for each, record_id in keys if each == obj]
                fields = ["Id", "CreatedDate", *(["IsConverted", "ConvertedContactId"] if obj == "Lead" else [])]
                for start in range(0, len(ids), READ_MOST):
                    for row in await self.salesforce.read(obj, ids[start : start + READ_MOST], fields):
                        if row is not None:
                            key: Key = (obj, widen(str(row["Id"])))
                            converted = row.get("ConvertedContactId") if row.get("IsConverted") else None
                            found[key] = Living(key, row.get("CreatedDate"), converted)
        except StreamError as error:
            raise LookupFailed(f"Salesforce could not be asked who still exists: {error.message}") from error
        return found

    async def emails(self, keys: Collection[Key]) -> dict[Key, str]:
        """The emails of those that exist and have one, as Marketo compares them; of a converted lead none."""
        found: dict[Key, str] = {}
        try:
            for obj in ("Contact", "Lead"):
                ids = sorted(record_id for each, record_id in keys if each == obj)
                fields = ["Id", "Email", *(["IsConverted"] if obj == "Lead" else [])]
                for start in range(0, len(ids), READ_MOST):
                    for row in await self.salesforce.read(obj, ids[start : start + READ_MOST], fields):
                        if row is not None and row.get("Email") and not row.get("IsConverted"):
                            found[obj, widen(str(row["Id"]))] = str(row["Email"]).strip().lower()
        except StreamError as error:
            raise LookupFailed(f"Salesforce could not be asked whose email is whose: {error.message}") from error
        return found

    async def merged_into(self, obj: ObjectName, ids: Sequence[str]) -> dict[str, str]:
        """Deleted record → the one into which it was merged in the end, for those of the records that were merged."""
        found: dict[str, str] = {}
        asked, hops = set(ids), 0
        try:
            while asked and hops < HOPS_MOST:
                links = await self._masters(obj, sorted(asked))
                found.update(links)
                asked, hops = set(links.values()) - found.keys(), hops + 1
        except SalesforceError as error:
            if error.code != "INVALID_FIELD":
                raise LookupFailed(f"Salesforce could not be asked what was merged: {error.message}") from error
            log.warning("merges_not_visible", object=obj, cure="let the integration user see MasterRecordId")
        except StreamError as error:
            raise LookupFailed(f"Salesforce could not be asked what was merged: {error.message}") from error
        return {record_id: _end(record_id, found) for record_id in ids if record_id in found}

    async def _masters(self, obj: ObjectName, ids: Sequence[str]) -> dict[str, str]:
        fields, found = ["Id", "MasterRecordId"], dict[str, str]()
        for chunk in in_chunks(ids, beside=select(fields, obj, "Id IN () AND IsDeleted = true")):
            asked = select(fields, obj, f"{in_list('Id', chunk)} AND IsDeleted = true")
            async for page in self.salesforce.query(asked, deleted=True):
                found.update(
                    {widen(str(row["Id"])): widen(str(row["MasterRecordId"])) for row in page if row.get("MasterRecordId")}
                )
        return found

    async def converted_from(self, contact_ids: Sequence[str]) -> dict[str, str]:
        """Contact id → the lead that was converted into it, where there is one."""
        found: dict[str, str] = {}
        fields = ["Id", "ConvertedContactId"]
        try:
            for chunk in in_chunks(contact_ids, beside=select(fields, "Lead", "IsConverted = true AND ConvertedContactId IN ()")):
                where = f"IsConverted = true AND {in_list('ConvertedContactId', chunk)}"
                async for page in self.salesforce.query(select(fields, "Lead", where, "Id")):
                    found.update({widen(str(row["ConvertedContactId"])): widen(str(row["Id"])) for row in page})
        except StreamError as error:
            raise LookupFailed(f"Salesforce could not be asked for converted leads: {error.message}") from error
        return found


async def in_recycle_bin(salesforce: SalesforceClient, obj: ObjectName, ids: Sequence[str]) -> dict[str, int]:
    """Those of the ids that Salesforce has in its recycle bin, with the second of their SystemModstamp.

    Others that are missing are not to be seen by this user.
    """
    fields, deleted = ["Id", "SystemModstamp"], "IsDeleted = true"
    gone: dict[str, int] = {}
    for chunk in in_chunks(ids, beside=select(fields, obj, f"Id IN () AND {deleted}")):
        asked = select(fields, obj, f"{in_list('Id', chunk)} AND {deleted}")
        async for page in salesforce.query(asked, deleted=True):
            gone.update({widen(str(row["Id"])): seconds_of(row["SystemModstamp"]) for row in page})
    return gone


def _end(record_id: str, links: Mapping[str, str]) -> str:
    seen = {record_id}
    while (following := links.get(record_id)) is not None and following not in seen:
        seen.add(following)
        record_id = following
    return record_id
