"""What docs/systemd.md tells root to type is typed, in its order, into a shell on a machine with a real systemd.

What names an instance of the template comes last: one machine has the single service, or the template.
"""

from __future__ import annotations

import stat

import pytest

from tests.docs.documents import ROOT, in_blocks
from tests.flow.scenes import company
from tests.systemd.machine import Machine
from tests.systemd.service import Begin

DOCUMENT = ROOT / "docs" / "systemd.md"
STATE = ("/var/lib/msi-stream", "/var/lib/private/msi-stream")
NORTH = "north"
FOUND = {0, 1}
"""Exit codes: 1 is "something was found", and here doctor finds a little."""


@pytest.mark.timeout(180)
async def test_what_the_document_says_works_in_the_order_in_which_it_says_it(machine: Machine, instance: Begin) -> None:
    async with instance() as service:
        company(service.here)
        await machine.do("rm", "-rf", *STATE, "/etc/credstore")
        public = (machine.root / "etc/msi-stream" / f"{service.name}.toml").read_text()
        await machine.do("rm", "-f", "/etc/msi-stream/config.toml")
        machine.write("/root/server.key", service.here.salesforce.sign_in.private_key, 0o600)
        # The only part that asks a person: here the answer is there.
        machine.write(
            "/usr/local/sbin/systemd-ask-password", f"#!/bin/sh\nprintf %s {service.here.marketo.client_secret}\n", 0o755
        )
        units = ("msi-stream.service", "msi-stream-backup.timer")
        try:
            wrong, of_north = [], False
            for command in sorted(in_blocks(DOCUMENT), key=lambda command: NORTH in command.line):
                if NORTH in command.line and not of_north:
                    await machine.do("systemctl", "stop", *units)
                    await machine.do("rm", "-rf", *STATE)  # the single service or the template, not both
                    await set_up_north(machine, public)
                    of_north = True
                done = await machine.do("sh", "-c", f"cd /root && {command.line}", check=False)
                if done.returncode not in FOUND or "Traceback" in done.stderr:
                    wrong.append(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
                if command.line.startswith("msi-stream init"):
                    config = machine.root / "etc/msi-stream/config.toml"
                    assert stat.S_IMODE(config.stat().st_mode) == 0o644
                    config.write_text(public)  # filled in, as it stands
                if command.line.startswith("systemctl enable"):
                    await service.here.until_equal()
            assert not wrong, "\n".join(wrong)
        finally:
            await machine.do("systemctl", "disable", "--now", *units, check=False)
            await machine.do("systemctl", "stop", f"msi-stream@{NORTH}.service", check=False)
            await machine.do("rm", "-rf", *STATE)


async def set_up_north(machine: Machine, public: str) -> None:
    """An instance of the template beside the others, with the same secrets."""
    machine.write(f"/etc/msi-stream/{NORTH}.toml", public)
    for name in ("salesforce_private_key", "marketo_client_secret"):
        await machine.do("cp", f"/etc/credstore/msi-stream.{name}", f"/etc/credstore/msi-stream.{NORTH}.{name}")
    await machine.do("systemctl", "start", f"msi-stream@{NORTH}.service")
