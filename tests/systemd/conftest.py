"""One real systemd for all tests here, and instances of the service in it, each with a Salesforce and a Marketo of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import world
from tests.systemd.machine import CannotBoot, Machine, boot, install_checkout
from tests.systemd.service import Begin, Instance


def booted() -> Machine:
    """A machine with nothing installed on it, or a skip."""
    try:
        return boot()
    except CannotBoot as error:
        pytest.skip(f"no real systemd here: {error}")


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The units are installed in it, as the documents say."""
    made = booted()
    try:
        install_checkout(made)
        yield made
    finally:
        made.end()


@pytest.fixture
def bare_machine() -> Iterator[Machine]:
    """Nothing is installed in it."""
    made = booted()
    try:
        yield made
    finally:
        made.end()


@asynccontextmanager
async def beginning(machine: Machine, folder: Path, name: str, **overrides: Any) -> AsyncIterator[Instance]:
    """An instance with services of its own, configured and not started; ended with the block."""
    async with AsyncExitStack() as stack:
        with machine.network():
            here = await stack.enter_async_context(world(folder, speed=1.0, **overrides))
        made = Instance(machine, here, name)
        made.configure()
        made.give_credentials()
        try:
            yield made
        finally:
            await machine.do("systemctl", "stop", made.unit, check=False)


@pytest.fixture
def instance(machine: Machine, tmp_path: Path, request: pytest.FixtureRequest) -> Begin:
    """Begins one."""

    def begin(name: str = "", **overrides: Any) -> Any:
        name = name or re.sub(r"\W", "", request.node.name.lower().removeprefix("test_"))[:20]
        folder = tmp_path / name
        folder.mkdir()
        return beginning(machine, folder, name, **overrides)

    return begin
