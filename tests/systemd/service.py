"""One instance of the template unit, and the services it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stream.config.template import template
from tests.flow.world import World
from tests.systemd.machine import UNITS, Machine

SECRETS = ("salesforce.client_secret", "salesforce.private_key", "marketo.client_secret")
Begin = Callable[..., Any]


@dataclass(slots=True)
class Instance:
    """One instance of the template unit, and the services it talks to."""

    machine: Machine
    here: World
    name: str

    @property
    def unit(self) -> str:
        """The service's name."""
        return f"msi-stream@{self.name}.service"

    @property
    def state(self) -> Path:
        """Its state directory, seen from outside."""
        return self.machine.root / "var/lib/private/msi-stream" / self.name

    def configure(self, **overrides: Any) -> None:
        """Write its configuration, without any secret; `deliver__batch_size=5` for deliver.batch_size."""
        self.here.overrides.update({name.replace("__", "."): value for name, value in overrides.items()})
        values = {name: value for name, value in self.here.values().items() if name not in {*SECRETS, "store.path"}}
        public = template(values, credentials=f"msi-stream.{self.name}")
        self.machine.write(f"/etc/msi-stream/{self.name}.toml", public)

    def give_credentials(self) -> None:
        """Put the secrets where only root may read them."""
        sign_in = self.here.salesforce.sign_in
        secrets = {"salesforce_private_key": sign_in.private_key, "marketo_client_secret": self.here.marketo.client_secret}
        for name, secret in secrets.items():
            self.machine.write(f"/etc/credstore/msi-stream.{self.name}.{name}", secret, 0o600)

    async def change_unit(self, text: str) -> None:
        """A drop-in of its own."""
        self.machine.write(f"{UNITS}/{self.unit}.d/test.conf", text)
        await self.machine.do("systemctl", "daemon-reload")

    async def ctl(self, verb: str) -> None:
        """`systemctl VERB` on it."""
        done = await self.machine.do("systemctl", verb, self.unit, check=False)
        assert done.returncode == 0, f"{verb}: {done.stderr}{await self.told()}"

    async def told(self) -> str:
        """How systemd says that it stands, with its last lines."""
        status = await self.machine.do("systemctl", "status", "--full", "--lines=0", self.unit, check=False)
        said = await self.machine.do("journalctl", "--no-pager", "--lines=40", "--output=cat", "--unit", self.unit, check=False)
        return status.stdout + said.stdout

    async def show(self, name: str) -> str:
        """A property of the service."""
        return await self.machine.show(self.unit, name)

    async def lines(self, event: str = "") -> list[dict[str, Any]]:
        """The daemon's own log lines in the journal, of one event or all, each with the journal's fields beside it."""
        entries = await self.machine.journal("--unit", self.unit)
        found = []
        for entry in entries:
            message = entry.get("MESSAGE")
            if isinstance(message, str) and message.startswith("{"):
                found.append({**orjson.loads(message), "journal": entry})
        return [line for line in found if not event or line["event"] == event]

    async def until_said(self, event: str) -> dict[str, Any]:
        """Wait until the daemon has said this in the journal, and return the line."""
        found: list[dict[str, Any]] = []

        async def said() -> bool:
            found[:] = await self.lines(event)
            return bool(found)

        await self.until(said, event)
        return found[-1]

    async def until(self, done: Callable[[], Awaitable[Any]], what: str, seconds: float = 30.0) -> None:
        """Wait until something is so inside."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + seconds
        while not await done():
            if clock.time() > deadline:
                raise AssertionError(f"not so after {seconds:.0f} s: {what}\n{await self.told()}")
            await asyncio.sleep(0.05)  # noqa: TID251 - polling another machine
