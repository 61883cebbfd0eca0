"""Answers, and the requests that are accepted, checked against the description that Adobe publishes of its API.

The description is not part of this project; it is looked for beside the checkout.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from sandbox.marketo.server import Exchange
from tests.sandbox.marketo_world import World, running

PLACE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
OPENAPI, IDENTITY = PLACE / "marketo-openapi.json", PLACE / "marketo-identity-openapi.json"
pytestmark = pytest.mark.skipif(not OPENAPI.exists(), reason=f"Adobe's API description is not at {OPENAPI}")

# Where Adobe's description contradicts its own examples, which the simulator follows.
RELAXED = {
    "ObjectMetaData": {"status", "version"},  # the examples of standard objects have neither
    "CompanyResponse": {"id", "seq"},  # one type for requests, skipped records and queries
    "CustomObject": {"marketoGUID", "seq"},
    "Lead": set(),
}
ENVELOPE = {"errors", "warnings", "result"}  # required by the description, absent in every example


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(keep_exchanges=True) as one:
        yield one


def description() -> dict[str, Any]:
    """The description, its requirements relaxed where its examples do not meet them."""
    whole: dict[str, Any] = json.loads(OPENAPI.read_text())
    for name, definition in whole["definitions"].items():
        loose = ENVELOPE if name.startswith("ResponseOf") else RELAXED.get(name, set())
        required = [one for one in definition.get("required", []) if one not in loose]
        definition.pop("required", None)
        if required:
            definition["required"] = required
    whole["definitions"]["Attribute"]["properties"]["value"] = {}  # "object", where the examples have text and numbers
    return whole


def checked(whole: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise where the value is not what the schema says."""
    Draft4Validator({**copy.deepcopy(schema), "definitions": whole["definitions"]}).validate(value)


def operation(whole: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """The described operation that a call belongs to; a tunnelled query is the GET it stands for."""
    tunnelled = b"_method=GET" in exchange.body or "_method=GET" in exchange.query
    method = "get" if tunnelled else exchange.method.lower()
    paths = sorted(whole["paths"], key=lambda path: "{" in path)
    path = next(one for one in paths if re.fullmatch(re.sub(r"\{\w+\}", r"\\d+", one), exchange.path))
    return dict(whole["paths"][path][method])


def check_exchange(whole: dict[str, Any], exchange: Exchange) -> None:
    """The answer, the JSON body that was accepted, and the names of parameters."""
    described = operation(whole, exchange)
    answer = json.loads(exchange.answer)
    checked(whole, described["responses"]["200"]["schema"], answer)
    parameters = described.get("parameters", [])
    body = next((one for one in parameters if one["in"] == "body"), None)
    if exchange.headers.get("Content-Type") == "application/json" and body is not None and answer["success"]:
        checked(whole, body["schema"], json.loads(exchange.body))
    known = {one["name"] for one in parameters if one["in"] == "query"} | {"_method"}
    assert {pair.partition("=")[0] for pair in exchange.query.split("&") if pair} <= known


async def make_everything(world: World) -> None:
    """Call every endpoint at least once, with records accepted and skipped."""
    for name in ("salespersons", "companies", "opportunities", "opportunities/roles"):
        await world.get(f"{name}/describe")
    await world.sync("salespersons", {"externalSalesPersonId": "5", "email": "s@example.com"}, action="createOrUpdate")
    await world.sync("companies", {"externalCompanyId": "1", "company": "Acme"}, {"company": "x"}, dedupeBy="dedupeFields")
    leads = await world.sync(
        "leads",
        {"email": "a@example.com"},
        {"email": "b@example.com"},
        {"email": "bad"},
        lookupField="email",
        action="createOnly",
    )
    await world.sync("opportunities", {"externalOpportunityId": "6", "name": "n"}, {"externalOpportunityId": "7"})
    role = {"externalOpportunityId": "6", "leadId": leads[0]["id"], "role": "Boss", "isPrimary": True}
    await world.sync("opportunities/roles", role, {**role, "leadId": 5})
    for path, key in (("salespersons", "externalSalesPersonId"), ("companies", "externalCompanyId")):
        await world.get(path, filterType=key, filterValues="1,5", fields=key, batchSize="10")
    compound = {"filterType": "dedupeFields", "fields": ["role"], "input": [role]}
    await world.raw("POST", "/rest/v1/opportunities/roles.json?_method=GET", json=compound)
    form = {"_method": "GET", "filterType": "email", "filterValues": "a@example.com", "fields": "email,createdAt"}
    await world.raw("POST", "/rest/v1/leads.json", data=form)
    await world.get(f"lead/{leads[0]['id']}", fields="email,priority")
    for path in ("leads/describe", "leads/describe2", "leads/partitions", "activities/types", "stats/usage"):
        await world.get(path)
    await world.raw("POST", f"/rest/v1/leads/{leads[0]['id']}/merge.json?leadId={leads[1]['id']}")
    token = (await world.get("activities/pagingtoken", sinceDatetime="2026-01-01T00:00:00Z"))["nextPageToken"]
    await world.get("activities", nextPageToken=token, activityTypeIds="12,32,46")
    await world.sync("leads/delete", {"id": leads[0]["id"]}, {"id": 5})
    await world.get("activities/deletedleads", nextPageToken=token)
    for path, key in (("opportunities", "externalOpportunityId"), ("companies", "externalCompanyId")):
        await world.sync(f"{path}/delete", {key: "6"}, {key: "1"}, deleteBy="dedupeFields")
    await world.post("leads", {"input": [{}] * 301})


async def test_answers_and_accepted_requests_are_as_described(world: World) -> None:
    whole = description()
    await make_everything(world)
    exchanges = [one for one in world.marketo.exchanges if one.path.startswith("/rest/")]
    for exchange in exchanges:
        check_exchange(whole, exchange)
    assert len({(one.method, one.path) for one in exchanges}) > 20


async def test_the_check_itself_can_fail(world: World) -> None:
    whole = description()
    await world.sync("companies", {"externalCompanyId": "1"})
    exchange = next(one for one in world.marketo.exchanges if one.path.endswith("companies.json"))
    answer = json.loads(exchange.answer)
    answer["result"][0]["status"] = "done"
    with pytest.raises(Exception, match="done"):
        checked(whole, operation(whole, exchange)["responses"]["200"]["schema"], answer)


async def test_the_token_answer_is_as_described(world: World) -> None:
    whole = json.loads(IDENTITY.read_text())
    checked(whole, {"$ref": "#/definitions/ResponseOfIdentity"}, await world.sign_in())
