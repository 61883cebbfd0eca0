"""One real systemd for all tests here, and instances of the service in it, each with a Salesforce and a Marketo of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flow.world import world
from tests.systemd.machine import CHECKOUT, CannotBoot, Machine, boot
from tests.systemd.service import UNITS, Begin, Instance


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The units are installed in it, as the documents say."""
    try:
        made = boot()
    except CannotBoot as error:
        pytest.skip(f"no real systemd here: {error}")
    try:
        for file in sorted(each for each in (CHECKOUT / "systemd").iterdir() if each.is_file()):
            if file.suffix in {".service", ".timer"}:
                made.write(f"{UNITS}/{file.name}", file.read_text(encoding="utf-8"))
            else:
                made.write(f"/usr/local/sbin/{file.name}", file.read_text(encoding="utf-8"), 0o755)
        made.run("systemctl", "daemon-reload")
        yield made
    finally:
        made.end()


@pytest.fixture
def instance(machine: Machine, tmp_path: Path, request: pytest.FixtureRequest) -> Begin:
    """Begins an instance with services of its own, configured and not started; ended with the block."""

    @asynccontextmanager
    async def begin(**overrides: Any) -> AsyncIterator[Instance]:
        name = re.sub(r"\W", "", request.node.name.lower().removeprefix("test_"))[:20]
        async with AsyncExitStack() as stack:
            with machine.network():
                here = await stack.enter_async_context(world(tmp_path, speed=1.0, **overrides))
            made = Instance(machine, here, name)
            made.configure()
            made.give_credentials()
            try:
                yield made
            finally:
                await machine.do("systemctl", "stop", made.unit, check=False)

    return begin
