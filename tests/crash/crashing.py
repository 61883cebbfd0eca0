"""The real daemon as a process of its own, and an org that does not stand still, for the crash tests."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from sandbox.salesforce.seed import Seeded
from tests.flow.world import World

MODULE = [sys.executable, "-m", "stream", "run", "--config"]


@dataclass(slots=True)
class Running:
    """One daemon process: what it logged so far."""

    process: Process
    lines: list[dict[str, object]] = field(default_factory=list)
    errors: str = ""
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, config: Path) -> Running:
        """Start it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_")}
        process = await asyncio.create_subprocess_exec(*MODULE, str(config), stdout=PIPE, stderr=PIPE, env=environment)
        running = cls(process)
        running._reader = asyncio.create_task(running._read())
        return running

    async def _read(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async for line in self.process.stdout:
            self.lines.append(orjson.loads(line))
        self.errors = (await self.process.stderr.read()).decode()

    def logged(self, event: str) -> bool:
        """Whether it has logged this event."""
        return any(line["event"] == event for line in self.lines)

    async def until_logged(self, event: str, seconds: float = 60.0) -> None:
        """Wait until it has logged this event; fails where it ends before."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.logged(event):
            assert self.process.returncode is None, f"ended with {self.process.returncode}: {self.errors}{self.lines[-3:]}"
            assert asyncio.get_running_loop().time() < deadline, f"no {event}: {self.lines[-3:]}"
            await asyncio.sleep(0.005)  # noqa: TID251 - polling another process

    async def end(self, number: int) -> int:
        """Send a signal, and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        """Return the exit code, once everything it said was read."""
        code = await self.process.wait()
        if self._reader is not None:
            await self._reader
        return code


def state_of(store: Path, running: Running) -> str:
    """In which state the daemon was when it died."""
    if not running.logged("daemon_started"):
        return "starting"
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        asked = "SELECT state, kind, read <> '', object IN ('Contact', 'Lead') FROM entry WHERE state <> 'dead'"
        rows = database.execute(asked).fetchall()
    flying = [row for row in rows if row[0] == "in_flight"]
    if any(row[2] for row in flying):
        return "reading from Salesforce"
    if any(row[1] == "delete" for row in flying):
        return "a delete in flight"
    if flying:
        return "people in flight" if any(row[3] for row in flying) else "others in flight"
    return "work waiting" if rows else "nothing to do"


class Restless:
    """Changes an org again and again, as people do, the same for the same seed."""

    def __init__(self, here: World, made: Seeded, seed: int) -> None:
        self._here = here
        self._org = here.org
        self._made = made
        self._chance = random.Random(seed)  # noqa: S311 - reproducible changes
        self._leads = list(made.leads)
        self._opportunities = list(made.opportunities)
        self._contacts = list(made.contacts)
        self.number = 0

    async def run(self, pause_seconds: float) -> None:
        """Change something until cancelled."""
        while True:
            self.step()
            await asyncio.sleep(pause_seconds)  # noqa: TID251 - the pace of the changes

    def step(self) -> None:
        """One change."""
        self.number += 1
        steps = (
            self._new_lead,
            self._new_customer,
            self._edit,
            self._edit,
            self._edit,
            self._convert,
            self._delete,
            self._role,
            self._owner,
            self._score,
            self._share,
            self._part,
            self._move,
        )
        self._chance.choice(steps)()

    def _new_lead(self) -> None:
        fields = {"LastName": f"Kill{self.number}", "Company": "K", "Email": f"kill{self.number}@example.com"}
        if self._chance.random() < 0.2:
            fields["Email"] = ""
        self._leads.append(self._org.create("Lead", fields))

    def _new_customer(self) -> None:
        with self._org.transaction():
            account = self._org.create("Account", {"Name": f"Firm {self.number}"})
            person = {"LastName": f"C{self.number}", "AccountId": account, "Email": f"contact{self.number}@example.com"}
            self._contacts.append(self._org.create("Contact", person))

    def _edit(self) -> None:
        text = f"Edit {self.number}" if self._chance.random() < 0.8 else None
        kind = self._chance.randrange(4)
        if kind == 0:
            self._org.update("Account", self._chance.choice(self._made.accounts), {"Industry": text})
        elif kind == 1:
            self._org.update("Opportunity", self._chance.choice(self._opportunities), {"NextStep": text})
        elif kind == 2:
            self._org.update("Contact", self._chance.choice(self._contacts), {"Title": text})
        else:
            self._org.update("Lead", self._chance.choice(self._leads), {"Title": text})

    def _convert(self) -> None:
        if len(self._leads) > 10:
            lead = self._leads.pop(self._chance.randrange(len(self._leads)))
            self._contacts.append(self._org.convert_lead(lead, opportunity=self._chance.random() < 0.5).contact_id)

    def _delete(self) -> None:
        if self._chance.random() < 0.5 and len(self._opportunities) > 5:
            gone = self._opportunities.pop(self._chance.randrange(len(self._opportunities)))
            self._org.delete("Opportunity", gone)
            if self._chance.random() < 0.5:
                self._org.undelete("Opportunity", gone)
                self._opportunities.append(gone)
        elif len(self._leads) > 10:
            self._org.delete("Lead", self._leads.pop(self._chance.randrange(len(self._leads))))

    def _role(self) -> None:
        pair = {"OpportunityId": self._chance.choice(self._opportunities), "ContactId": self._chance.choice(self._contacts)}
        self._org.create("OpportunityContactRole", {**pair, "Role": self._chance.choice(("Buyer", "User", None))})

    def _share(self) -> None:
        """A lead comes with the email of a contact."""
        email = self._org.get("Contact", self._chance.choice(self._contacts))["Email"]
        if email and not email.startswith("fresh"):  # one that may not have reached Marketo yet would have to be merged there
            self._leads.append(self._org.create("Lead", {"LastName": f"S{self.number}", "Company": "K", "Email": email}))

    def _part(self) -> None:
        """Somebody gets an email that nobody had."""
        kind = self._chance.choice(("Contact", "Lead"))
        someone = self._chance.choice(self._contacts if kind == "Contact" else self._leads)
        self._org.update(kind, someone, {"Email": f"fresh{self.number}@example.com"})

    def _move(self) -> None:
        """A contact or an opportunity changes its account, a role its name."""
        account = self._chance.choice(self._made.accounts)
        self._org.update("Contact", self._chance.choice(self._contacts), {"AccountId": account})
        self._org.update("Opportunity", self._chance.choice(self._opportunities), {"AccountId": account})
        roles = self._org.records("OpportunityContactRole")
        if roles:
            self._org.update("OpportunityContactRole", self._chance.choice(roles)["Id"], {"Role": f"R{self.number % 3}"})

    def _owner(self) -> None:
        owner = self._chance.choice([*self._made.users, self._made.queue])
        self._org.update("Lead", self._chance.choice(self._leads), {"OwnerId": owner})

    def _score(self) -> None:
        self._here.instance.scores.busy_day(0.05, self.number)
