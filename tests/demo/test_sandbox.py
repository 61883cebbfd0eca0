"""The sandbox from the outside: its configuration works as it is, a change made by HTTP arrives, and it ends in good order."""

from __future__ import annotations

import asyncio
import signal
import socket
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.demo.commands import CLOCK, Command


async def ready(command: Command) -> dict[str, Any]:
    """Wait until it has said everything; its configuration."""
    await command.until(lambda: "see it in Marketo" in command.said)
    return tomllib.loads(command.out.read_text("utf-8"))


async def salesforce_token(http: aiohttp.ClientSession, config: dict[str, Any]) -> str:
    form = {"grant_type": "client_credentials", "client_id": config["salesforce"]["client_id"]}
    form["client_secret"] = "simulated-client-secret"
    async with http.post(f"{config['salesforce']['login_url']}/services/oauth2/token", data=form) as answer:
        return str((await answer.json())["access_token"])


async def marketo_token(http: aiohttp.ClientSession, config: dict[str, Any]) -> str:
    asked = {"grant_type": "client_credentials"} | {name: config["marketo"][name] for name in ("client_id", "client_secret")}
    async with http.get(f"{config['marketo']['base_url']}/identity/oauth/token", params=asked) as answer:
        return str((await answer.json())["access_token"])


async def found_in_marketo(http: aiohttp.ClientSession, config: dict[str, Any], salesforce_id: str) -> list[dict[str, Any]]:
    asked = {"filterType": "externalPersonId", "filterValues": salesforce_id, "fields": "title,lastName"}
    headers = {"Authorization": f"Bearer {await marketo_token(http, config)}"}
    async with http.get(f"{config['marketo']['base_url']}/rest/v1/leads.json", params=asked, headers=headers) as answer:
        return list((await answer.json())["result"])


async def test_a_change_by_http_arrives_with_the_printed_configuration(tmp_path: Path) -> None:
    services, daemon = Command(tmp_path, "sandbox"), Command(tmp_path, "run")
    try:
        await services.start("sandbox", "--records", "20")
        config = await ready(services)
        await daemon.start("run", "--config", str(services.out))
        async with aiohttp.ClientSession() as http:
            leads = f"{config['salesforce']['login_url']}/services/data/v62.0/sobjects/Lead"
            headers = {"Authorization": f"Bearer {await salesforce_token(http, config)}", "Sforce-Auto-Assign": "FALSE"}
            lead = {"LastName": "Newcomer", "Company": "New Ltd", "Email": "new@example.com"}
            async with http.post(leads, json=lead, headers=headers) as answer:
                made = (await answer.json())["id"]
            async with http.patch(f"{leads}/{made}", json={"Title": "CEO"}, headers=headers) as answer:
                assert answer.status == 204
            deadline = CLOCK.monotonic() + 40
            while [row["title"] for row in await found_in_marketo(http, config, made)] != ["CEO"]:
                assert CLOCK.monotonic() < deadline, daemon.said
                await CLOCK.sleep(0.1)
        daemon.send(signal.SIGTERM)
        assert await daemon.ended() == 0
        services.send(signal.SIGTERM)
        assert await services.ended() == 0
        assert services.left_behind == []
    finally:
        await asyncio.gather(daemon.close(), services.close())


async def test_the_configuration_goes_to_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    services, config = Command(tmp_path, "sandbox"), tmp_path / "config.toml"
    config.touch(0o644)
    try:
        await services.start("sandbox", "--records", "0", "--config-out", str(config))
        await services.until(lambda: "see it in Marketo" in services.said)
        assert services.out.read_text("utf-8") == ""
        assert config.stat().st_mode & 0o777 == 0o600
        assert "BEGIN PRIVATE KEY" in tomllib.loads(config.read_text("utf-8"))["salesforce"]["private_key"]
        services.send(signal.SIGINT)
        assert await services.ended() == 0
    finally:
        await services.close()


@pytest.mark.parametrize("port", ["--salesforce-port", "--marketo-port"])
async def test_a_taken_port_is_one_sentence(port: str, tmp_path: Path) -> None:
    services = Command(tmp_path, "sandbox")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await services.start("sandbox", port, str(taken.getsockname()[1]))
        assert await services.ended() == 2
    assert "cannot listen" in services.said
    assert "Traceback" not in services.said


async def test_a_configuration_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    services = Command(tmp_path, "sandbox")
    await services.start("sandbox", "--records", "0", "--config-out", str(tmp_path))
    assert await services.ended() == 2
    assert "cannot be written" in services.said
    assert "Traceback" not in services.said
