"""The token endpoint: every grant, and what it refuses."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from sandbox.salesforce.oauth import JWT_BEARER
from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Answer, Wire

TOKEN = "/services/oauth2/token"


def assertion(salesforce: SimulatedSalesforce, **more: Any) -> str:
    claims = {
        "iss": salesforce.sign_in.client_id,
        "sub": salesforce.sign_in.username,
        "aud": salesforce.base_url,
        "exp": int(salesforce.org.now()) + 170,
        **more,
    }
    return jwt.encode(claims, salesforce.sign_in.private_key, algorithm="RS256")


async def ask(wire: Wire, grant: str, **form: str) -> Answer:
    sign_in = wire.salesforce.sign_in
    client = {"client_id": sign_in.client_id, "client_secret": sign_in.client_secret}
    return await wire.send("POST", TOKEN, data={"grant_type": grant, **client, **form})


async def test_each_grant_gives_a_token_without_a_lifetime(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    sign_in = salesforce.sign_in
    answers = [
        await wire.send("POST", TOKEN, data={"grant_type": JWT_BEARER, "assertion": assertion(salesforce)}),
        await ask(wire, "client_credentials"),
        await ask(wire, "refresh_token", refresh_token=sign_in.refresh_token),
        await ask(wire, "password", username=sign_in.username, password=sign_in.password),
    ]
    assert salesforce.settings("jwt")["login_url"] == salesforce.base_url
    for answer in answers:
        assert answer.status == 200, answer.body
        assert answer.body["instance_url"] == salesforce.base_url
        assert answer.body["token_type"] == "Bearer"
        assert "expires_in" not in answer.body
        headers = {"Authorization": f"Bearer {answer.body['access_token']}"}
        assert (await wire.rest("GET", "/limits", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "someone"}, "invalid_client_id", "client identifier invalid"),
        ({"sub": "someone"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"aud": "https://example.com"}, "invalid_grant", "audience is invalid"),
        ({"exp": 1_000}, "invalid_grant", "expired authorization code"),
        ({"exp": 9_000_000_000}, "invalid_grant", "assertion is valid for too long"),
    ],
)
async def test_wrong_assertions(
    salesforce: SimulatedSalesforce, wire: Wire, claims: dict[str, Any], error: str, description: str
) -> None:
    answer = await wire.send("POST", TOKEN, data={"grant_type": JWT_BEARER, "assertion": assertion(salesforce, **claims)})
    assert (answer.status, answer.body) == (400, {"error": error, "error_description": description})


async def test_an_assertion_signed_with_another_key(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    forged = assertion(salesforce)[:-8] + "AAAAAAAA"
    answer = await wire.send("POST", TOKEN, data={"grant_type": JWT_BEARER, "assertion": forged})
    assert answer.body["error"] == "invalid_grant"


async def test_wrong_credentials_and_blocked_grants(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    sign_in = salesforce.sign_in
    assert (await ask(wire, "client_credentials", client_id="x")).body["error"] == "invalid_client_id"
    assert (await ask(wire, "client_credentials", client_secret="x")).body["error"] == "invalid_client"
    assert (await ask(wire, "refresh_token", refresh_token="x")).body["error_description"] == "expired access/refresh token"
    assert (await ask(wire, "authorization_code")).body["error"] == "unsupported_grant_type"
    sign_in.blocked.add("password")
    refused = await ask(wire, "password", username=sign_in.username, password=sign_in.password)
    assert refused.body == {"error": "invalid_grant", "error_description": "authentication failure"}
