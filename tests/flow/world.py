"""Both simulated services and the real daemon between them, for the flow tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.marketo.server import SimulatedMarketo
from sandbox.oracle import compare
from sandbox.oracle_journal import Report
from sandbox.oracle_rules import Rules
from sandbox.salesforce.server import SimulatedSalesforce
from store.store import Store
from stream.config import load
from stream.config_template import template
from stream.daemon import Daemon

FAST: Mapping[str, Any] = {
    "salesforce.flow": "jwt",
    "marketo.calls_per_20s": 100_000,
    "deliver.linger_seconds": 0.05,
    "deliver.settle_seconds": 0.3,
    "scores.interval_seconds": 0.2,
    "scores.sweep_interval_seconds": 0.5,
    "reconcile.poll_interval_seconds": 0.1,
}


@dataclass(slots=True)
class World:
    """Salesforce, Marketo, and where the daemon's files are."""

    salesforce: SimulatedSalesforce
    marketo: SimulatedMarketo
    folder: Path
    overrides: dict[str, Any] = field(default_factory=dict)
    daemon: Daemon | None = None
    _task: asyncio.Task[None] | None = None
    _session: aiohttp.ClientSession | None = None
    store: Store | None = None

    @property
    def org(self) -> Any:
        """The simulated Salesforce's records."""
        return self.salesforce.org

    @property
    def instance(self) -> Any:
        """The simulated Marketo's records."""
        return self.marketo.instance

    @property
    def running(self) -> Daemon:
        """The daemon that runs now."""
        assert self.daemon is not None
        return self.daemon

    def touch_built_in_users(self) -> None:
        """The org's own two users are older than any event: edit them, so that they are heard of without a first load."""
        for user in (self.salesforce.org.person_id, self.salesforce.org.api_user_id):
            self.salesforce.org.update("User", user, {"Title": "Administrator"})

    def write_config(self) -> Path:
        """A configuration file for the daemon, as `init` writes it, filled in for this world."""
        sign_in = self.salesforce.sign_in
        values = {
            **FAST,
            "salesforce.login_url": self.salesforce.base_url,
            "salesforce.client_id": sign_in.client_id,
            "salesforce.client_secret": sign_in.client_secret,
            "salesforce.private_key": sign_in.private_key,
            "salesforce.username": sign_in.username,
            "marketo.base_url": self.marketo.base_url,
            "marketo.client_id": self.marketo.client_id,
            "marketo.client_secret": self.marketo.client_secret,
            "store.path": str(self.folder / "store.db"),
            **self.overrides,
        }
        path = self.folder / "config.toml"
        path.write_text(template(values), encoding="utf-8")
        return path

    async def start(self) -> None:
        """Start the daemon in this process, on the store as the last one left it."""
        settings = load(self.write_config(), {}).settings
        self.store = await Store.open(settings.store.path)
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self.daemon = Daemon(settings, self.store, self._session)
        self._task = asyncio.create_task(self.daemon.run())

    async def stop(self) -> None:
        """Stop the daemon in good order; raises what a loop died of."""
        if self._task is None or self.daemon is None or self.store is None or self._session is None:
            return
        task, self._task = self._task, None
        self.daemon.stop()
        try:
            await task
        finally:
            await self.store.close()
            await self._session.close()

    async def until(self, done: Callable[[], Any], seconds: float = 20.0) -> None:
        """Wait until something is so; fails with what is wrong, and at once where the daemon died."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not done():
            if self._task is not None and self._task.done():
                await self._task
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not so after {seconds} s: {self.report().problems[:20]}")
            await asyncio.sleep(0.02)  # noqa: TID251 - polling the simulated services

    async def until_equal(self, rules: Rules | None = None, seconds: float = 30.0) -> None:
        """Wait until both systems agree."""
        await self.until(lambda: self.report(rules).ok, seconds)

    def report(self, rules: Rules | None = None) -> Report:
        """What the oracle says now."""
        return compare(self.salesforce.org, self.marketo.instance, rules)


@asynccontextmanager
async def world(folder: Path, **overrides: Any) -> AsyncIterator[World]:
    """A fresh world; overrides are configuration values, `deliver__max_attempts=2` for deliver.max_attempts."""
    dotted = {name.replace("__", ".", 1): value for name, value in overrides.items()}
    marketo = SimulatedMarketo()
    async with SimulatedSalesforce() as salesforce:
        await marketo.start()
        here = World(salesforce, marketo, folder, dotted)
        try:
            yield here
        finally:
            marketo.faults.clear()
            salesforce.faults.clear()
            try:
                await here.stop()
            finally:
                await marketo.stop()
