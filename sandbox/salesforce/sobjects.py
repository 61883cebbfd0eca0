"""Single records over REST, and sObject collections (up to 200 written, up to 2,000 read at once)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, TypeGuard

from aiohttp import web

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused, Unreadable, unknown_field
from sandbox.salesforce.gate import Gate, read_object
from sandbox.salesforce.ids import PREFIXES, id18
from sandbox.salesforce.oauth import json_response
from sandbox.salesforce.org import Org
from sandbox.salesforce.rest import ROOT
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.values import Row, rest_value

WRITTEN_MAX = 200
READ_MAX = 2_000
CHUNKS_MAX = 10
ROLLED_BACK = (
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
Answer = dict[str, Any]


class SObjects:
    """The record endpoints."""

    def __init__(self, org: Org, gate: Gate) -> None:
        self._org = org
        self._gate = gate

    def routes(self) -> list[web.RouteDef]:
        """The HTTP endpoints."""
        one, many = f"{ROOT}/sobjects/{{object}}", f"{ROOT}/composite/sobjects"
        return [
            web.post(f"{one}{{slash:/?}}", self._create),
            web.get(f"{one}/{{id}}", self._get),
            web.patch(f"{one}/{{id}}", self._update),
            web.delete(f"{one}/{{id}}", self._delete),
            web.post(f"{many}{{slash:/?}}", self._create_many),
            web.patch(f"{many}{{slash:/?}}", self._update_many),
            web.delete(f"{many}{{slash:/?}}", self._delete_many),
            web.post(f"{many}/{{object}}{{slash:/?}}", self._get_many),
            web.get(f"{many}/{{object}}{{slash:/?}}", self._get_many),
        ]

    # ---- one record

    async def _create(self, request: web.Request) -> web.Response:
        fields = _fields_of(await read_object(request))
        record_id = self._org.create(request.match_info["object"], fields, self._gate.caller(request))
        return json_response({"id": record_id, "success": True, "errors": []}, 201)

    async def _get(self, request: web.Request) -> web.Response:
        kind = self._org.type_named(request.match_info["object"])
        row = self._live(kind, request.match_info["id"])
        asked = request.query.get("fields")
        names = ["Id", *asked.split(",")] if asked else [field.name for field in self._org.fields(kind.name)]
        return json_response(self._shown(kind, row, names, request.match_info["version"]))

    def _live(self, kind: ObjectType, record_id: str) -> Row:
        row = self._org.inspect(kind.name, record_id)
        if row is None:
            raise Refused("NOT_FOUND", "Provided external ID field does not exist or is not accessible", status=404)
        if row.get("IsDeleted"):
            raise Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    async def _update(self, request: web.Request) -> web.Response:
        kind = self._org.type_named(request.match_info["object"])
        fields = _fields_of(await read_object(request))
        self._live(kind, request.match_info["id"])
        self._org.update(kind.name, request.match_info["id"], fields, self._gate.caller(request))
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        kind = self._org.type_named(request.match_info["object"])
        self._live(kind, request.match_info["id"])
        self._org.delete(kind.name, request.match_info["id"], self._gate.caller(request))
        return web.Response(status=204)

    def _shown(self, kind: ObjectType, row: Row, names: Iterable[str], version: str) -> Answer:
        url = f"/services/data/v{version}/sobjects/{kind.name}/{row['Id']}"
        shown: Answer = {"attributes": {"type": kind.name, "url": url}}
        for name in names:
            field = self._org.field(kind.name, name.strip())
            if field is None:
                raise unknown_field(kind.name, name)
            value = self._org.value(kind.name, row, field)
            shown[field.name] = value if isinstance(value, dict) else rest_value(value)
        return shown

    # ---- collections

    async def _get_many(self, request: web.Request) -> web.Response:
        kind = self._org.type_named(request.match_info["object"])
        if request.method == "POST":
            body = await read_object(request)
            ids, names = body.get("ids"), body.get("fields")
        else:
            ids, names = [request.query.get(name, "").split(",") for name in ("ids", "fields")]
        if not _are_texts(ids) or not _are_texts(names):
            raise Unreadable("JSON_PARSER_ERROR", "ids and fields are required, each a list of strings")
        if len(ids) > READ_MAX:
            raise _too_many(READ_MAX)
        version = request.match_info["version"]
        for name in names:
            if self._org.field(kind.name, name.strip()) is None:
                raise unknown_field(kind.name, name)
        rows = [self._org.inspect(kind.name, record_id) for record_id in ids]
        live = [None if row is None or row.get("IsDeleted") else row for row in rows]
        return json_response([row and self._shown(kind, row, names, version) for row in live])

    async def _create_many(self, request: web.Request) -> web.Response:
        by = self._gate.caller(request)

        def create(record: Answer) -> str:
            return self._org.create(_type_of(record), _fields_of(record), by)

        return await self._write_all(request, by, create)

    async def _update_many(self, request: web.Request) -> web.Response:
        by = self._gate.caller(request)
        seen: set[str] = set()

        def update(record: Answer) -> str:
            record_id = self._record_id(_type_of(record), record, seen)
            self._org.update(_type_of(record), record_id, _fields_of(record), by)
            return record_id

        return await self._write_all(request, by, update)

    def _record_id(self, obj: str, record: Answer, seen: set[str]) -> str:
        text = next((value for name, value in record.items() if name.lower() == "id"), None)
        whole = id18(text) if isinstance(text, str) else None
        kind = self._org.type_named(obj)
        if whole is None or not whole.startswith(PREFIXES[kind.name]):
            raise Refused("MALFORMED_ID", f"{kind.label} ID: id value of incorrect type: {text}", ("Id",))
        if whole in seen:
            raise Refused("DUPLICATE_VALUE", f"duplicate value found: {whole} stands in this request more than once", ("Id",))
        seen.add(whole)
        row = self._org.inspect(kind.name, whole)
        if row is None:
            raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row.get("IsDeleted"):
            raise Refused("ENTITY_IS_DELETED", "entity is deleted")
        return whole

    async def _write_all(self, request: web.Request, by: Caller, write: Callable[[Answer], str]) -> web.Response:
        body = await read_object(request)
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise Unreadable("JSON_PARSER_ERROR", "records are required, a list of objects")
        _check_size(records, [_type_of(record) for record in records])
        return json_response(self._run(records, by, write, all_or_none=body.get("allOrNone") is True))

    async def _delete_many(self, request: web.Request) -> web.Response:
        by = self._gate.caller(request)
        ids = [part for part in request.query.get("ids", "").split(",") if part]
        by_prefix = {prefix: name for name, prefix in PREFIXES.items()}
        records: list[Answer] = [{"attributes": {"type": by_prefix.get(part[:3], "")}, "id": part} for part in ids]
        _check_size(records, [])
        seen: set[str] = set()

        def delete(record: Answer) -> str:
            record_id = self._record_id(_type_of(record), record, seen)
            self._org.delete(_type_of(record), record_id, by)
            return record_id

        all_or_none = request.query.get("allOrNone", "").lower() == "true"
        return json_response(self._run(records, by, delete, all_or_none=all_or_none))

    def _run(self, records: list[Answer], by: Caller, write: Callable[[Answer], str], *, all_or_none: bool) -> list[Answer]:
        """Write the rows in one transaction; refused rows leave no trace, and with allOrNone they take the others with them."""
        answers: list[Answer] = []
        try:
            with self._org.transaction(by):
                answers += [_row(write, record) for record in records]
                if all_or_none and not all(answer["success"] for answer in answers):
                    raise _RollBack
        except _RollBack:
            rolled_back = Refused(*ROLLED_BACK).row()
            return [rolled_back if answer["success"] else answer for answer in answers]
        return answers


class _RollBack(Exception):
    """Undo the whole transaction."""


def _row(write: Callable[[Answer], str], record: Answer) -> Answer:
    try:
        return {"id": write(record), "success": True, "errors": []}
    except Unreadable:
        raise
    except Refused as refused:
        return refused.row()


def _type_of(record: Answer) -> str:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str):
        raise Unreadable("INVALID_TYPE", "Each record needs attributes with its type")
    return kind


def _fields_of(record: Answer) -> Answer:
    """A record's own fields. An id in the body of a single-record call is refused by the field rules."""
    if "attributes" not in record:
        return record
    return {name: value for name, value in record.items() if name != "attributes" and name.lower() != "id"}


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _too_many(limit: int) -> Refused:
    return Refused("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {limit} records in this call")


def _check_size(records: list[Answer], types: list[str]) -> None:
    if len(records) > WRITTEN_MAX:
        raise _too_many(WRITTEN_MAX)
    if sum(1 for _ in groupby(types)) > CHUNKS_MAX:
        message = "Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking."
        raise Refused("INVALID_INPUT", message)
