"""What a request is called in the matrix: the service, what is done, to which object, and by what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from sandbox.marketo.calls import effective_method, form_of

WHO_LIVES = frozenset({"Id", "CreatedDate", "IsConverted", "ConvertedContactId"})
WHOSE_EMAIL = frozenset({"Id", "Email", "IsConverted"})


def marketo_call(request: web.Request, body: str) -> str:
    """`marketo sync leads createOnly`, `marketo find leads by email`, `marketo token` …"""
    form = form_of(request, body.encode())
    method = effective_method(request, form)
    path = re.sub(r"/\d+/", "/…/", request.path.removeprefix("/rest/v1/").removesuffix(".json"))
    if path == "/identity/oauth/token":
        return "marketo token"
    obj, _, rest = path.rpartition("/")
    if rest.startswith("describe"):
        return f"marketo describe {obj}"
    if rest == "delete":
        return f"marketo delete {obj}"
    if path.startswith("activities"):
        return f"marketo {path}"
    if method == "GET":
        asked: Mapping[str, Any] = form or _json(body) or dict(request.query)
        return f"marketo find {path} by {asked.get('filterType')}" if "filterType" in asked else f"marketo GET {path}"
    if rest != "merge" and method == "POST" and "input" in (sent := _json(body)):
        return f"marketo sync {path}" + (f" {sent.get('action')} by {sent.get('lookupField')}" if path == "leads" else "")
    return f"marketo {method} {path}"


def salesforce_call(request: web.Request, body: str) -> str:
    """`salesforce read Contact`, `salesforce queryAll Lead`, `salesforce /meta/connect` …"""
    path = re.sub(r"^/services/data/v\d+\.\d+/", "", request.path)
    parts = path.split("/")
    if request.path.startswith("/cometd/"):
        messages = orjson.loads(body)
        return f"salesforce {messages[0]['channel']}" + (" (first)" if "advice" in messages[0] else "")
    if path == "/services/oauth2/token":
        return "salesforce token"
    if parts[0] == "sobjects":
        return f"salesforce {' '.join([*parts[2:], parts[1]])}"
    if parts[:2] == ["composite", "sobjects"] and len(parts) > 2:
        fields = _json(body).get("fields", [])
        why = " (who lives)" if WHO_LIVES.issuperset(fields) else " (whose email)" if WHOSE_EMAIL.issuperset(fields) else ""
        return f"salesforce read {parts[2]}{why}"
    if parts[:2] == ["composite", "sobjects"]:
        return f"salesforce update {_types(body)}"
    if parts[0] in {"query", "queryAll"} and len(parts) == 1:
        soql = request.query.get("q", "")
        verb = "count" if "COUNT()" in soql else parts[0]
        found = re.search(r"FROM (\w+)(?: WHERE (\w+))?", soql)
        obj, by = (found[1], f" by {found[2]}" if found[2] and verb != "count" else "") if found else ("?", "")
        return f"salesforce {verb} {obj}{by}"
    if parts[0] in {"query", "queryAll"}:
        return f"salesforce {parts[0]} next page"
    return f"salesforce {request.method} {re.sub(r'750[A-Za-z0-9]{12,15}', '…', path)}"


def _json(body: str) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _types(body: str) -> str:
    return "+".join(sorted({record["attributes"]["type"] for record in _json(body).get("records", [])}))
