"""Node clients that nobody here wrote, against the simulated Salesforce: npm cometd and npm jsforce."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.salesforce.seed import seed_org
from sandbox.salesforce.server import SimulatedSalesforce

NODE = shutil.which("node")
ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "tests" / "sandbox" / "node"

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not (ROOT / "node_modules" / "cometd").is_dir(), reason="node_modules is missing: npm ci"),
]


class Script:
    """A running script that prints JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> dict[str, Any]:
        """The next JSON line it prints (cometd logs to standard output, too)."""
        assert self.process.stdout is not None
        raw = await self.process.stdout.readline()
        while raw and not raw.startswith(b"{"):
            raw = await self.process.stdout.readline()
        if not raw:
            assert self.process.stderr is not None
            pytest.fail(f"the script ended: {(await self.process.stderr.read()).decode()}")
        line = orjson.loads(raw)
        assert isinstance(line, dict)
        return line


@asynccontextmanager
async def script(name: str, *arguments: str) -> AsyncIterator[Script]:
    pipe = asyncio.subprocess.PIPE
    command = (str(NODE), str(SCRIPTS / name), *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)
    try:
        yield Script(process)
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def make_lead(salesforce: SimulatedSalesforce, name: str) -> None:
    salesforce.org.create("Lead", {"LastName": name, "Company": "Acme"})


async def subscribed(client: Any) -> Any:
    """The name in the first event; the client tells of it before or after it tells of its subscription, as they arrive."""
    lines = [await client.line(), await client.line()]
    assert {"subscribe": True} in lines
    (event,) = [line["event"] for line in lines if "event" in line]
    return event["payload"]["Name"]


async def test_cometd_replays_streams_and_heals_after_unknown_client(salesforce: SimulatedSalesforce) -> None:
    for name in ("Abe", "Bo"):
        make_lead(salesforce, name)
    first = salesforce.org.log.events()[0]["event"]["replayId"]
    token = salesforce.sign_in.issue()
    async with script("cometd.mjs", salesforce.base_url, token, str(first)) as client:
        assert await client.line() == {"handshake": True, "replay": True}
        assert await subscribed(client) == {"LastName": "Bo"}
        make_lead(salesforce, "Cy")
        assert (await client.line())["event"]["payload"]["Name"] == {"LastName": "Cy"}
        await salesforce.bayeux.held()
        salesforce.bayeux.drop_sessions()
        make_lead(salesforce, "Di")
        assert await client.line() == {"connect": False, "error": "403::Unknown client"}
        assert await client.line() == {"handshake": True, "replay": True}
        assert await subscribed(client) == {"LastName": "Di"}
    assert salesforce.bayeux.counts["handshake"] == 2
    assert salesforce.bayeux.counts["disconnect"] == 1


async def test_cometd_is_told_of_an_expired_replay_id(salesforce: SimulatedSalesforce) -> None:
    make_lead(salesforce, "Abe")
    first = salesforce.org.log.events()[0]["event"]["replayId"]
    make_lead(salesforce, "Bo")
    salesforce.org.log.expire_before(first + 1)
    async with script("cometd.mjs", salesforce.base_url, salesforce.sign_in.issue(), str(first)) as client:
        assert (await client.line())["handshake"]
        refused = await client.line()
        assert refused["subscribe"] is False
        assert refused["error"].startswith(f"400::The replayId {{{first}}} you provided was invalid.")


async def test_cometd_is_told_of_a_bad_token(salesforce: SimulatedSalesforce) -> None:
    async with script("cometd.mjs", salesforce.base_url, "nonsense", "-1") as client:
        assert await client.line() == {"handshake": False, "replay": True, "reason": "401::Authentication invalid"}


async def test_jsforce_signs_in_reads_writes_and_streams(salesforce: SimulatedSalesforce) -> None:
    made = seed_org(salesforce.org, contacts=2_500, leads=0, opportunities=0, roles=0)
    lines = {"Title": 'a "title",\nof two lines', "HasOptedOutOfEmail": True}
    with salesforce.org.losing_events():
        salesforce.org.update("Contact", made.contacts[0], lines)
    sign_in = salesforce.sign_in
    secrets = (sign_in.client_id, sign_in.client_secret, sign_in.username, sign_in.password)
    async with script("jsforce.mjs", salesforce.base_url, *secrets) as client:
        found = await client.line()
    assert found["contacts"] == 2_500
    assert "mkto_si__Priority__c" in found["fields"]
    assert found["made"] is True
    assert found["refused"]["statusCode"] == "INVALID_EMAIL_ADDRESS"
    assert (found["title"], found["deleted"], found["badQuery"]) == ("CEO", 1, "INVALID_FIELD")
    assert (found["bulk"], found["deletedInBulk"]) == (2_500, 1)
    assert found["titled"] == {"Id": made.contacts[0], **lines, "HasOptedOutOfEmail": "true"}
    assert "Aggregate Relationships not supported in Bulk V2 Query" in found["badBulk"]
    assert found["events"] == ["CREATE", "UPDATE", "DELETE"]
    assert found["origin"] == "com/salesforce/api/rest/62.0;client=jsforce"
    assert found["usage"]["limit"] == 100_000
