"""The REST endpoints of the simulated Marketo over `Instance`: parsing, sign-in, limits, and the envelope."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from sandbox.marketo.activities import DELETE, DELETED_LEADS_KEPT_SECONDS, TYPES, described_types, token_at
from sandbox.marketo.answers import Page, Refused, envelope, refusal
from sandbox.marketo.identity import Identity
from sandbox.marketo.instance import Instance
from sandbox.marketo.lead_reads import LeadReads
from sandbox.marketo.leads import Leads
from sandbox.marketo.limits import Limits, Ticket
from sandbox.marketo.objects import Objects
from sandbox.marketo.requests import batch_size, query_of, split
from sandbox.marketo.schema import COMPANY, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.values import parsed

URI_BYTES_MAX: Final = 8192
BODY_BYTES_MAX: Final = 1024 * 1024
CODE: Final = web.ResponseKey("marketo_code", str)

Endpoint = Callable[["Call"], Awaitable[Page]]
Pause = Callable[[str], Awaitable[None]]


class Call:
    """One request, taken apart: its own number, query, form and JSON body."""

    def __init__(self, request: web.Request, number: int, body: bytes) -> None:
        self.number = number
        self.path = request.path
        self._content_type = request.content_type
        self._body = body
        self.query: dict[str, Any] = _joined(request.query.items())
        self.form: dict[str, Any] = form_of(request, body)
        self.method = effective_method(request, self.form)

    def json(self) -> Any:
        """The body. Raises Refused: 612 not sent as JSON, 609 no JSON."""
        if self._content_type != "application/json":
            raise Refused("612", "Invalid Content Type")
        try:
            return orjson.loads(self._body)
        except orjson.JSONDecodeError:
            raise Refused("609", "Invalid JSON") from None

    def parameters(self) -> dict[str, Any]:
        """What a query asks: from the URI, from a form, or (compound keys) from a JSON body."""
        if not self.form and self._body and self._content_type == "application/json":
            body = self.json()
            return {**self.query, **(body if isinstance(body, Mapping) else {})}
        return {**self.query, **self.form}

    def required(self, name: str) -> str:
        """A parameter. Raises Refused 1002 when it is missing."""
        value = self.parameters().get(name)
        if value is None or value == "":
            raise Refused("1002", f"Missing value for the required parameter '{name}'")
        return str(value)


class Api:
    """Routes of one instance."""

    def __init__(self, instance: Instance, identity: Identity, limits: Limits, pause: Pause) -> None:
        self._instance = instance
        self._identity = identity
        self._limits = limits
        self._pause = pause
        self._leads = Leads(instance)
        self._reads = LeadReads(instance)
        self._routes: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = []
        for path, name in (
            ("salespersons", SALES_PERSON),
            ("companies", COMPANY),
            ("opportunities", OPPORTUNITY),
            ("opportunities/roles", ROLE),
        ):
            self._add_object(path, Objects(instance, name))
        self._add_leads()
        self._add_activities()

    async def answer(self, request: web.Request, number: int, ticket: Ticket) -> web.Response:
        """Answer one REST call; whatever is refused is refused with HTTP 200."""
        request_id = f"{number:x}#{int(self._instance.now() * 1000):x}"
        quirks = self._instance.quirks
        try:
            call = Call(request, number, await request.read())
            self._admit(request, call, ticket)
            await self._pause(call.path)
            page = await self._endpoint(call)(call)
        except Refused as refused:
            response = _json(refusal(refused, request_id, integer_codes=quirks.integer_codes))
            response[CODE] = refused.code
            return response
        return _json(envelope(page, request_id, sparse=quirks.sparse))

    def _admit(self, request: web.Request, call: Call, ticket: Ticket) -> None:
        header = request.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else None
        in_query = call.query.get("access_token") or call.form.get("access_token")
        if in_query:
            self._instance.violated(call.number, "token_in_query", "", None, "the access_token parameter has been withdrawn")
            if token is None and self._instance.quirks.accept_query_token:
                token = in_query
        self._identity.check(token)
        self._limits.check(ticket)
        if any(re.search(path, call.path) for path in self._instance.quirks.denied_paths):
            raise Refused("603", "Access denied")

    def _endpoint(self, call: Call) -> Endpoint:
        for path, methods in self._routes:
            match = path.fullmatch(call.path)
            if match is None:
                continue
            call.query |= {f"path.{name}": value for name, value in match.groupdict().items()}
            if call.method not in methods:
                raise Refused("605", f"HTTP Method '{call.method}' not supported")
            return methods[call.method]
        raise Refused("610", "Requested resource not found")

    def _add(self, path: str, **methods: Endpoint) -> None:
        self._routes.append((re.compile("/rest/v1/" + path + r"\.json"), methods))

    def _add_object(self, path: str, objects: Objects) -> None:
        async def query(call: Call) -> Page:
            objects.check_native_crm(writes=False)
            return objects.query(query_of(call.parameters()))

        async def sync(call: Call) -> Page:
            objects.check_native_crm(writes=True)
            return objects.sync(call.json(), call.number)

        async def delete(call: Call) -> Page:
            objects.check_native_crm(writes=True)
            return objects.delete(call.json(), call.number)

        async def describe(_: Call) -> Page:
            return objects.describe()

        self._add(path, GET=query, POST=sync)
        self._add(f"{path}/delete", POST=delete)
        self._add(f"{path}/describe", GET=describe)

    def _add_leads(self) -> None:
        async def query(call: Call) -> Page:
            return self._reads.query(query_of(call.parameters()))

        async def by_id(call: Call) -> Page:
            return self._reads.by_id(int(call.query["path.id"]), split(call.query.get("fields")))

        async def sync(call: Call) -> Page:
            return await self._leads.sync(call.json(), call.number)

        async def delete(call: Call) -> Page:
            return self._leads.delete(call.json(), call.number)

        async def merge(call: Call) -> Page:
            losers = split(call.query.get("leadIds") or call.query.get("leadId"))
            if not all(one.isdigit() for one in losers):
                raise Refused("1001", "Invalid value for 'leadIds'. Required of type 'Long'")
            return self._leads.merge(int(call.query["path.id"]), [int(one) for one in losers], call.number)

        async def described(call: Call) -> Page:
            return {"describe": self._reads.describe, "describe2": self._reads.describe2}.get(
                call.query["path.what"], self._reads.partitions
            )()

        self._add("leads", GET=query, POST=sync)
        self._add(r"lead/(?P<id>\d+)", GET=by_id)
        self._add("leads/delete", POST=delete)
        self._add(r"leads/(?P<id>\d+)/merge", POST=merge)
        self._add(r"leads/(?P<what>describe2?|partitions)", GET=described)

    def _add_activities(self) -> None:
        log, quirks = self._instance.activities, self._instance.quirks

        async def types(_: Call) -> Page:
            return Page(described_types())

        async def paging_token(call: Call) -> Page:
            since = parsed(call.required("sinceDatetime"))
            if since is None:
                raise Refused("704", "Invalid date format")
            return Page(None, token_at(since.timestamp()))

        async def feed(call: Call) -> Page:
            token = call.required("nextPageToken")
            wanted = _numbers("activityTypeIds", split(call.required("activityTypeIds")), most=10)
            leads = _numbers("leadIds", split(call.parameters().get("leadIds")), most=30)
            if not wanted <= TYPES.keys():
                raise Refused("1003", "Invalid data: unknown activityTypeIds")
            size = batch_size(call.parameters())
            return log.page(token, wanted, leads=leads, size=size, scan=quirks.activities_scanned)

        async def deleted(call: Call) -> Page:
            since = self._instance.now() - DELETED_LEADS_KEPT_SECONDS
            size, scan = batch_size(call.parameters()), quirks.activities_scanned
            return log.page(call.required("nextPageToken"), {DELETE}, leads=(), size=size, scan=scan, since=since)

        async def usage(_: Call) -> Page:
            return Page(self._limits.usage())

        self._add("activities/types", GET=types)
        self._add("activities/pagingtoken", GET=paging_token)
        self._add("activities", GET=feed)
        self._add("activities/deletedleads", GET=deleted)
        self._add("stats/usage", GET=usage)


def _numbers(name: str, values: tuple[str, ...], *, most: int) -> set[int]:
    if len(values) > most:
        raise Refused("1003", f"Invalid data: at most {most} {name} are allowed")
    if not all(value.isdigit() for value in values):
        raise Refused("1001", f"Invalid value for '{name}'. Required of type 'Integer'")
    return {int(value) for value in values}


def _joined(pairs: Any) -> dict[str, Any]:
    """Parameters by name; one that is repeated becomes one list between commas."""
    joined: dict[str, Any] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def form_of(request: web.Request, body: bytes) -> dict[str, Any]:
    """The body's parameters, where it is a form."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    return _joined(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def effective_method(request: web.Request, form: Mapping[str, Any]) -> str:
    """GET for a query sent as POST with `_method=GET` (in the URI or in the form)."""
    tunnelled = str(request.query.get("_method") or form.get("_method") or "").upper()
    return "GET" if request.method == "POST" and tunnelled == "GET" else request.method


def _json(answer: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")
