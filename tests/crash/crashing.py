"""The real daemon as a process of its own, and an org that does not stand still, for the crash tests."""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.salesforce.seed import Seeded
from tests.crash.nursery import ERRORS, EXIT, OUTPUT
from tests.flow.world import World


class Nursery:
    """Makes daemons, each a process of its own, without importing everything each time."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_")}
        module = [sys.executable, "-m", "tests.crash.nursery"]
        self._process = subprocess.Popen(module, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._one_at_a_time = threading.Lock()
        atexit.register(self.close)

    def bear(self, **request: Any) -> int:
        """A daemon that was asked for in this way; returns its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(orjson.dumps(request) + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """No more of them; those that still run are killed."""
        self._process.communicate()


nursery = cache(Nursery)


@dataclass(slots=True)
class Running:
    """One daemon process: what it logged so far."""

    pid: int
    folder: Path
    lines: list[dict[str, object]] = field(default_factory=list)
    _heard: int = 0

    @classmethod
    async def start(cls, config: Path, arm: Mapping[str, Any] | None = None, command: Sequence[str] = ("run",)) -> Running:
        """Start it, or another command; `arm` is where it is to kill itself (`tests/crash/deadly.py`)."""
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=config.parent))
        arguments = [*command, "--config", str(config)]
        return cls(await asyncio.to_thread(nursery().bear, arguments=arguments, folder=str(folder), arm=arm), folder)

    @property
    def errors(self) -> str:
        """What it wrote to stderr."""
        said = self.folder / ERRORS
        return said.read_text() if said.exists() else ""

    @property
    def exit_code(self) -> int | None:
        """How it ended, minus the signal's number where one killed it; None while it runs."""
        ended = self.folder / EXIT
        return int(ended.read_text()) if ended.exists() else None

    def hear(self) -> None:
        """Take what it has logged since."""
        said = self.folder / OUTPUT
        if said.exists():
            with said.open("rb") as file:
                file.seek(self._heard)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._heard += len(whole) + len(newline)
            self.lines += [orjson.loads(line) for line in whole.splitlines() if line.startswith(b'{"')]

    def logged(self, event: str) -> bool:
        """Whether it has logged this event."""
        self.hear()
        return any(line["event"] == event for line in self.lines)

    async def until_logged(self, event: str, seconds: float = 60.0) -> None:
        """Wait until it has logged this event; fails where it ends before."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.logged(event):
            code = self.exit_code
            assert code is None or self.logged(event), f"ended with {code}: {self.errors}{self.lines[-3:]}"
            assert asyncio.get_running_loop().time() < deadline, f"no {event}: {self.lines[-3:]}"
            await asyncio.sleep(0.02)  # noqa: TID251 - polling another process

    async def end(self, number: int) -> int:
        """Send a signal, and return the exit code."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return await self.wait()

    async def wait(self) -> int:
        """Return the exit code, once everything it said was read."""
        while True:
            code = self.exit_code
            if code is not None:
                self.hear()
                return code
            await asyncio.sleep(0.02)  # noqa: TID251 - polling another process


@asynccontextmanager
async def started(
    config: Path, arm: Mapping[str, Any] | None = None, command: Sequence[str] = ("run",)
) -> AsyncIterator[Running]:
    """A daemon that does not outlive the test, come what may."""
    running = await Running.start(config, arm, command)
    try:
        yield running
    finally:
        await running.end(signal.SIGKILL)


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


def written(here: World) -> int:
    """How many writes have come to Marketo."""
    return sum(number for call, number in here.marketo.calls.items() if call.startswith("POST /rest/"))


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own, or a skip where nobody may mount one."""
    place.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Somebody has taken all that was left of the disk."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


def remount(disk: Path, option: str) -> None:
    """Change the disk under the daemon's feet."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def states_of(store: Path, *record_ids: str) -> list[str]:
    """What the store says of these records."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        known = dict(database.execute("SELECT record_id, state FROM record").fetchall())
    return [known.get(record_id, "") for record_id in record_ids]


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
            self._merge,
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

    def _merge(self) -> None:
        """Two leads, contacts or accounts become one, and may exchange a value."""
        kind, pool = self._chance.choice(
            (("Lead", self._leads), ("Contact", self._contacts), ("Account", list(self._made.accounts)))
        )
        if len(pool) > 12:
            loser, winner = self._chance.sample(pool, 2)
            told = {"Phone": f"{self.number}"} if self._chance.random() < 0.5 else {}
            self._org.merge(kind, winner, loser, told)
            (self._made.accounts if kind == "Account" else pool).remove(loser)

    def _owner(self) -> None:
        owner = self._chance.choice([*self._made.users, self._made.queue])
        self._org.update("Lead", self._chance.choice(self._leads), {"OwnerId": owner})

    def _score(self) -> None:
        self._here.instance.scores.busy_day(0.05, self.number)
