"""Describe: what the org tells of its objects and fields to this user."""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.ids import PREFIXES
from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import Field, ObjectType


def describe_global(org: Org, version: str) -> dict[str, Any]:
    """All objects this user may see."""
    shown = [kind for kind in org.types.values() if kind.name not in org.hidden_objects]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_object(kind, version) for kind in shown]}


def describe_object(org: Org, kind: ObjectType, version: str) -> dict[str, Any]:
    """One object with the fields this user may see."""
    fields = [_field(field) for field in org.fields(kind.name)]
    return {**_object(kind, version), "fields": fields, "childRelationships": [], "recordTypeInfos": []}


def _object(kind: ObjectType, version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{kind.name}"
    return {
        "name": kind.name,
        "label": kind.label,
        "labelPlural": f"{kind.label}s",
        "keyPrefix": PREFIXES[kind.name],
        "custom": False,
        "createable": True,
        "updateable": True,
        "deletable": kind.deletable,
        "undeletable": kind.deletable,
        "mergeable": "MasterRecordId" in kind.fields,
        "queryable": True,
        "retrieveable": True,
        "replicateable": True,
        "searchable": True,
        "triggerable": True,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "type": field.type,
        "soapType": _soap_type(field),
        "length": field.length,
        "byteLength": field.length * 3,
        "precision": 0 if field.type == "int" else field.precision,
        "digits": field.precision if field.type == "int" else 0,
        "scale": field.scale,
        "createable": field.creatable,
        "updateable": field.writable,
        "nillable": field.nillable and not field.required,
        "defaultedOnCreate": field.default is not None or field.name == "OwnerId",
        "filterable": field.filterable,
        "sortable": field.filterable,
        "groupable": field.filterable and field.type not in {"datetime", "textarea"},
        "custom": field.name.endswith("__c"),
        "calculated": False,
        "unique": False,
        "externalId": False,
        "idLookup": field.type == "id",
        "nameField": field.name == "Name",
        "namePointing": len(field.refers_to) > 1,
        "polymorphicForeignKey": len(field.refers_to) > 1,
        "referenceTo": list(field.refers_to),
        "relationshipName": field.relationship or None,
        "compoundFieldName": field.compound or None,
        "extraTypeInfo": None,
        "picklistValues": [],
        "restrictedPicklist": False,
    }


def _soap_type(field: Field) -> str:
    names = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "date": "xsd:date"}
    names |= {"datetime": "xsd:dateTime", "address": "urn:address"}
    names |= dict.fromkeys(("double", "currency", "percent"), "xsd:double")
    return names.get(field.type, "xsd:string")
