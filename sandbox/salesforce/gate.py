"""The gate in front of the REST API: sizes, sign-in, the daily allocation, and Salesforce's error bodies."""

from __future__ import annotations

import re
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandbox.salesforce.caller import Caller
from sandbox.salesforce.errors import Refused, Unreadable
from sandbox.salesforce.oauth import SignIn, json_response
from sandbox.salesforce.org import Org

BYTES_MAX = 16_384
VERSIONS = tuple(f"{number}.0" for number in range(45, 67))
EXPIRED = Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
DISABLED = Refused("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner", status=403)
EXHAUSTED = Refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)


class Gate:
    """The middleware of `/services/data/vNN.N/…`, and what endpoints need to know of a request."""

    def __init__(self, org: Org, sign_in: SignIn) -> None:
        self._org = org
        self._sign_in = sign_in

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware."""

        @web.middleware
        async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
            if too_long := _too_long(request):
                return too_long
            if not re.match(r"/services/data/v", request.path):
                return await handler(request)
            try:
                self._admit(request)
                response = await handler(request)
            except Refused as refused:
                response = json_response(refused.body(), refused.status)
            except web.HTTPNotFound:
                response = json_response(Refused("NOT_FOUND", "The requested resource does not exist").body(), 404)
            except web.HTTPMethodNotAllowed as error:
                message = f"HTTP Method '{request.method}' not allowed. Allowed are {','.join(sorted(error.allowed_methods))}"
                response = json_response(Refused("METHOD_NOT_ALLOWED", message).body(), 405)
            calls = self._org.api_calls
            response.headers["Sforce-Limit-Info"] = f"api-usage={calls.used}/{calls.limit}"
            return response

        return pass_through

    def _admit(self, request: web.Request) -> None:
        if self._sign_in.token_of(request) is None:
            raise EXPIRED
        if "ApiEnabled" not in self._org.access.permissions:
            raise DISABLED
        if self._org.api_calls.exhausted:
            raise EXHAUSTED
        self._org.api_calls.use()
        version = request.match_info.get("version")
        if version is not None and version not in VERSIONS:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)

    def caller(self, request: web.Request) -> Caller:
        """Who writes, and what its headers ask for."""
        token = self._sign_in.token_of(request)
        if token is None:
            raise EXPIRED
        options = read_options(request.headers.get("Sforce-Call-Options", ""))
        rule = read_options(request.headers.get("Sforce-Duplicate-Rule-Header", ""))
        return Caller(
            user_id=self._sign_in.user_of(token),
            client=options.get("client", ""),
            api=f"rest/{request.match_info['version']}",
            auto_assign=request.headers.get("Sforce-Auto-Assign", "TRUE").strip().lower() != "false",
            allow_duplicates=rule.get("allowsave", "").lower() == "true",
        )


async def read_json(request: web.Request) -> Any:
    """The JSON body of a request; raises `Refused` JSON_PARSER_ERROR."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Unreadable("JSON_PARSER_ERROR", f"The HTTP entity body is required, but this one is no JSON: {error}") from error


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request's body."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise Unreadable("JSON_PARSER_ERROR", "Unexpected character: an object is expected at the start of the body")
    return body


def read_options(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split(","))
    return {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}


def _too_long(request: web.Request) -> web.Response | None:
    """URI and headers may each have 16,384 bytes."""
    if len(request.raw_path) > BYTES_MAX:
        return web.Response(status=414, text="URI Too Long")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > BYTES_MAX:
        return web.Response(status=431, text="Request Header Fields Too Large")
    return None
