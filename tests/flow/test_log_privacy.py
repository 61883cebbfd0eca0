"""The whole scenario at info level: no secret and nobody's name, email or phone stands in what is logged, in whatever form."""

from __future__ import annotations

import base64
import logging
import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
import structlog
from aiohttp import web

from sandbox.faults import Fault
from stream.cli.run import _tell
from stream.logs.output import take_libraries
from tests.cli.shell import ask
from tests.flow.log_file import lines_of, log_file
from tests.flow.scenes import CLOSE
from tests.flow.world import World, world

NAMES = ("Quixonne", "Zephyrine", "Ångervall", "Marquette'Öz", "Tvrdohlavý")
PHONES = ("+49 30 9182736", "+1 415 5550187", "0044-7700-900461")
ACCOUNT = 'Wunderlich & Söhne "Feinmechanik"'


def email_of(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().replace("'", "")
    return f"{plain.lower()}.privat@mailbox.example"


EMAILS = tuple(email_of(name) for name in NAMES)
PERSONAL = (*NAMES, *EMAILS, *PHONES, ACCOUNT)
ECHO = f"Value '{EMAILS[0]}' of {NAMES[0]} {NAMES[2]} ({PHONES[0]}) is not valid for lead {ACCOUNT}"


def forms(value: str) -> Iterator[str]:
    """A value as it may stand in a log: plain, escaped, in an address, in base64 at any offset."""
    yield from (value, value.lower(), value.upper(), quote(value), quote(value, safe=""), quote_plus(value))
    yield orjson.dumps(value).decode()[1:-1]
    yield value.encode("unicode_escape").decode()
    yield repr(value)[1:-1]
    yield repr(value.encode())[2:-1]
    for offset in range(3):
        whole = base64.b64encode(b"x" * offset + value.encode())
        inner = whole[(offset * 8 + 5) // 6 : len(whole) // 4 * 4 - 4].decode()
        if len(inner) >= 8:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def secrets_of(here: World) -> list[str]:
    """Everything that signs somebody in, and what signing in has brought."""
    sign_in = here.salesforce.sign_in
    key_lines = [line for line in sign_in.private_key.splitlines() if not line.startswith("-----") and len(line) > 20]
    return [
        sign_in.client_secret,
        here.marketo.client_secret,
        *key_lines,
        *sign_in._tokens,
        *filter(None, [here.marketo.identity._token]),
    ]


def found(text: str, values: tuple[str, ...] | list[str]) -> list[str]:
    """Those of the values that stand in the text in some form, each with the first line where it does."""
    hits = []
    for value in values:
        line = next((line for form in set(forms(value)) for line in text.splitlines() if form in line), None)
        if line is not None:
            hits.append(f"{value[:12]}…: {line[:300]}")
    return hits


def person(number: int, **more: Any) -> dict[str, Any]:
    name = NAMES[number % len(NAMES)]
    return {
        "FirstName": NAMES[(number + 1) % len(NAMES)],
        "LastName": name,
        "Email": EMAILS[number % len(NAMES)],
        "Phone": PHONES[number % 3],
        **more,
    }


def populate(here: World) -> dict[str, list[str]]:
    """People of every kind, with companies and deals."""
    here.touch_built_in_users()
    org = here.org
    owner = org.create("User", {"Username": EMAILS[4], "Email": EMAILS[4], "LastName": NAMES[4], "FirstName": NAMES[3]})
    accounts = [org.create("Account", {"Name": ACCOUNT, "Phone": PHONES[0], "OwnerId": owner}) for _ in range(2)]
    contacts = [org.create("Contact", person(number, AccountId=accounts[number % 2], OwnerId=owner)) for number in range(4)]
    leads = [org.create("Lead", person(number, Company=ACCOUNT, OwnerId=owner)) for number in range(5)]
    deal = org.create("Opportunity", {"Name": ACCOUNT, "AccountId": accounts[0], "StageName": "New", "CloseDate": CLOSE})
    org.create("OpportunityContactRole", {"OpportunityId": deal, "ContactId": contacts[0], "Role": "Buyer"})
    return {"Account": accounts, "Contact": contacts, "Lead": leads, "Opportunity": [deal]}


MARKETO_CODES = ("1003", "1006", "1011", "1029", "606", "607", "610", "611", "713", "601", "602", "604", "1077", "9876")
WRITES = r"/rest/v1/(leads|companies)\.json$"


def refusing(code: str) -> dict[str, Any]:
    """The whole call is refused."""
    return {"requestId": "a#1", "success": False, "errors": [{"code": code, "message": ECHO}]}


def skipping(_: web.Request, text: str) -> dict[str, Any]:
    """Every record of this write is refused for itself."""
    skipped = {"status": "skipped", "reasons": [{"code": "1003", "message": ECHO}]}
    return {"requestId": "a#1", "success": True, "result": [skipped] * len(orjson.loads(text)["input"])}


def marketo_faults() -> Iterator[Fault]:
    """Whatever Marketo can refuse, in words that echo what it was sent: of anybody, of delivery, and some of who reads."""
    for meets in (partial(Fault, path="/rest/v1/"), partial(Fault, path=WRITES, method="POST")):
        for code in MARKETO_CODES:
            yield meets("respond", status=200, body=refusing(code))
        for status in (400, 403, 413, 429, 500, 502):
            yield meets("respond", status=status, body=f"<html>{ECHO}</html>")
        yield meets("reset_before")
        yield meets("truncate")
    yield Fault("respond", path=WRITES, method="POST", status=200, body=skipping)
    yield Fault("respond", path="/rest/v1/", method="GET", status=200, body=refusing("1003"))
    yield Fault("respond", path="/rest/v1/", method="GET", status=403, body=f"<html>{ECHO}</html>")


def salesforce_faults(secret: str) -> Iterator[Fault]:
    """The same of Salesforce; its sign-in gives back the secret that it was given."""
    error = [{"errorCode": "MALFORMED_QUERY", "message": ECHO, "fields": ["Email"]}]
    for status in (400, 403, 404, 500, 503):
        yield Fault("respond", path="/services/data/", status=status, body=error)
    yield Fault(
        "respond",
        path="/services/data/.*composite",
        method="PATCH",
        status=200,
        body=[{"success": False, "errors": [{"statusCode": "DUPLICATE_VALUE", "message": ECHO, "fields": ["Email"]}]}],
    )
    yield Fault("reset_before", path="/services/data/")
    yield Fault("truncate", path="/services/data/")
    yield Fault(
        "respond",
        path="/oauth2/token",
        status=400,
        body={"error": "invalid_grant", "error_description": f"wrong secret {secret}"},
    )


async def through_refusals(here: World, ids: dict[str, list[str]]) -> None:
    """Every refusal while changes flow; whatever the loops did before, each has something to do for the next one."""
    wrong = {"error": "unauthorized", "error_description": f"{ECHO} {here.marketo.client_secret}"}
    signing_in = here.marketo.faults.add(Fault("respond", path="/identity/", status=401, body=wrong))
    faults = [(here.marketo.faults, fault) for fault in marketo_faults()]
    faults += [(here.salesforce.faults, fault) for fault in salesforce_faults(here.salesforce.sign_in.client_secret)]
    for number, (script, fault) in enumerate(faults):
        script.add(fault)
        for lead_id in list(here.instance.leads):
            here.instance.scores.change_score(int(lead_id), 1000 + number)  # a score that nobody had before
        if "oauth2" in fault.path:
            here.salesforce.sign_in.revoke_tokens()
        here.org.update("Contact", ids["Contact"][number % 4], {"Title": f"{number}"})
        here.org.update("Account", ids["Account"][number % 2], {"Phone": PHONES[number % 3]})
        await here.until(lambda fault=fault: fault.hits, 180.0)  # type: ignore[misc] # bound at once
    assert signing_in.hits == 1
    here.marketo.faults.clear()
    here.salesforce.faults.clear()


def publish_nonsense(here: World) -> None:
    """Events that nobody can understand, full of somebody's data."""
    header = {"entityName": "Lead", "recordIds": ["00Q000000000001AAA"], "changeType": "UPDATE"}
    for payload in (
        {"ChangeEventHeader": {**header, "changeType": EMAILS[1]}, "Email": EMAILS[1]},
        {"ChangeEventHeader": {**header, "commitTimestamp": PHONES[1]}, "LastName": NAMES[1]},
        {"ChangeEventHeader": {**header, "recordIds": [EMAILS[2]]}, "Phone": PHONES[2]},
        {"ChangeEventHeader": {**header, "changedFields": NAMES[3]}, "Name": NAMES[3]},
        {"ChangeEventHeader": {**header, "entityName": NAMES[2]}},
        {"Email": EMAILS[0]},
    ):
        here.org.publisher.inject({"schema": "x", "payload": payload})


@pytest.mark.timeout(300)
async def test_no_secret_and_nobodys_data_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with world(tmp_path, scores__daily_writes=10_000_000, speed=30.0, deliver__max_attempts=2) as here:
        with log_file(here, path):
            ids = populate(here)
            await here.start()
            await here.until_equal()
            org = here.org
            org.convert_lead(ids["Lead"][0], ids["Contact"][0])
            org.merge("Lead", ids["Lead"][1], ids["Lead"][2])
            org.merge("Contact", ids["Contact"][2], ids["Contact"][3])
            org.delete("Lead", ids["Lead"][3])
            ids["Contact"] = [*ids["Contact"][:3], ids["Contact"][0]]
            publish_nonsense(here)
            await through_refusals(here, ids)
            said = [
                await ask(here, *words)
                for words in (("why", ids["Contact"][0]), ("plan",), ("audit", "--all"), ("status",), ("dead", "list"))
            ]
            await here.stop()
            crash(here)
            secrets = secrets_of(here)
    text = path.read_text("utf-8")
    lines = lines_of(path)
    events = {line["event"] for line in lines}
    assert {"dead_letter", "deliver_paused", "lead_converted", "daemon_failed", "library_warning", "daemon_stopped"} <= events, (
        events
    )
    assert not [line for line in lines if "log_fault" in line]
    assert not found(text, secrets), "a secret is in the log"
    assert not found(text, PERSONAL), "personal data are in the log"
    assert not found("".join(each.err for each in said), [*secrets, *PERSONAL]), "or in what commands say beside their answer"


def crash(here: World) -> None:
    """The daemon dies of something unexpected, whose words hold data, on top of an HTTP error whose address holds a token."""
    token = here.marketo.identity._token
    try:
        try:
            raise ConnectionError(f"GET http://marketo/rest/v1/leads.json?access_token={token}&email={quote(EMAILS[0])}")
        except ConnectionError as error:
            raise KeyError(EMAILS[0], {"LastName": NAMES[0]}) from error
    except KeyError as error:
        _tell(error)
        with take_libraries(shows_words=False):
            logging.getLogger("asyncio").error("Task exception was never retrieved: %r", error, exc_info=error)


def test_the_search_finds_what_it_is_for() -> None:
    for value in PERSONAL:
        for form in forms(value):
            assert found(f"…{form}…", (value,)), form
    whole = base64.b64encode(f'{{"email": "{EMAILS[0]}"}}'.encode()).decode()
    assert found(whole, (EMAILS[0],))
    assert not found(structlog.__name__, PERSONAL)
