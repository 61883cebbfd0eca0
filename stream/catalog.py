"""What both sides say of their fields: Salesforce's describe decides what is read, Marketo's what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from store.model import OBJECTS, ObjectName
from stream.config.closest import closest
from stream.config.model import Settings
from stream.delivery.dispatch import MARKETO_OBJECT
from stream.errors import FilterFieldHidden
from stream.filters import RecordFilter
from stream.fitting import clashes
from stream.mapping import ObjectMapping, SourceFields, bind, source_fields, wanted
from stream.marketo.answers import Describe
from stream.marketo.client import MarketoClient, MarketoObject
from stream.salesforce.rest import SalesforceClient
from stream.salesforce.rest_answers import ObjectDescribe

log = structlog.get_logger(__name__)

ALWAYS = frozenset({"Id", "CreatedDate", "SystemModstamp"})


@dataclass(slots=True)
class Catalog:
    """Describes, fetched when first needed."""

    settings: Settings
    salesforce: SalesforceClient
    marketo: MarketoClient
    filters: Mapping[ObjectName, RecordFilter]
    _fields: SourceFields | None = None
    _salesforce: dict[ObjectName, ObjectDescribe] = field(default_factory=dict)
    _marketo: dict[MarketoObject, Describe] = field(default_factory=dict)

    def fields(self) -> SourceFields:
        """The Salesforce fields that matter, by the configuration alone."""
        if self._fields is None:
            by_object = {obj: source_fields(obj, self._wanted(obj), self.filters[obj].names) for obj in OBJECTS}
            self._fields = SourceFields(by_object, self.filters)
        return self._fields

    def _wanted(self, obj: ObjectName) -> Mapping[str, str]:
        lead_company = self.settings.deliver.lead_company == "when_no_account"
        return wanted(obj, self.settings.fields.of(obj), lead_company=lead_company)

    async def salesforce_describe(self, obj: ObjectName) -> ObjectDescribe:
        """The Salesforce object as the integration user sees it. Raises what the call raises."""
        if obj not in self._salesforce:
            self._salesforce[obj] = await self.salesforce.describe(obj)
            wanted_names = self.fields().of(obj) - self.fields().constants(obj).keys()
            unseen = sorted(wanted_names - self._salesforce[obj].fields.keys())
            if unseen:
                log.warning("salesforce_fields_missing", object=obj, fields=unseen)
        return self._salesforce[obj]

    def forget_salesforce(self, obj: ObjectName) -> None:
        """Ask again next time: the fields have changed."""
        self._salesforce.pop(obj, None)

    def forget_all_salesforce(self) -> None:
        """Ask again next time, whatever the object."""
        self._salesforce.clear()

    async def readable(self, obj: ObjectName) -> list[str]:
        """The fields to ask of Salesforce for one record of the object.

        Raises FilterFieldHidden where a filter's field is not to be seen: all records would seem to have left the filter.
        """
        describe = await self.salesforce_describe(obj)
        if hidden := sorted(self.filters[obj].names - describe.fields.keys()):
            self.forget_salesforce(obj)
            raise FilterFieldHidden(obj, hidden, closest(hidden[0], describe.fields))
        return sorted((self.fields().of(obj) | ALWAYS) & describe.fields.keys())

    async def marketo_describe(self, obj: ObjectName) -> Describe:
        """The Marketo object as the instance describes it. Raises what the call raises."""
        name = MARKETO_OBJECT[obj]
        if name not in self._marketo:
            self._marketo[name] = await self.marketo.describe(name)
        return self._marketo[name]

    def forget_marketo(self) -> None:
        """Ask again next time: the fields have changed."""
        self._marketo.clear()

    async def mappings(self) -> dict[ObjectName, ObjectMapping]:
        """The mapping of all objects, narrowed to what this Marketo knows.

        Once one describe has come, all others are asked for at once; before that, nobody knows whether Marketo answers at all.
        """
        await self.marketo_describe("Lead")
        others = {MARKETO_OBJECT[obj]: obj for obj in OBJECTS}.values()
        for found in await asyncio.gather(*map(self.marketo_describe, others), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
        return {obj: await self.mapping(obj) for obj in OBJECTS}

    async def mapping(self, obj: ObjectName) -> ObjectMapping:
        """The mapping of one object, narrowed likewise."""
        rules = self.settings.fields.rules_of(obj)
        bound = bind(obj, self._wanted(obj), (await self.marketo_describe(obj)).fields, rules)
        if bound.missing:
            log.warning("marketo_fields_missing", object=obj, fields=list(bound.missing))
        return await self._fitting(obj, bound) if rules else bound

    async def _fitting(self, obj: ObjectName, bound: ObjectMapping) -> ObjectMapping:
        """Without those of the user's own fields whose values Marketo would refuse, one and all."""
        wrong = clashes(bound, (await self.salesforce_describe(obj)).fields)
        own = {source: told for source, told in wrong.items() if source in self.settings.fields.rules_of(obj)}
        for source, told in own.items():
            log.error("field_unfit", object=obj, field=source, cause=told)
        left = {source: target for source, target in bound.targets.items() if source not in own}
        return replace(bound, targets=left) if own else bound
