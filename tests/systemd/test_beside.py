"""What runs beside the service: the nightly backup, commands with and without its secrets, and who is told when it fails."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.flow.scenes import company, lead_of
from tests.systemd.machine import Machine
from tests.systemd.service import Begin

STATE = ("/var/lib/msi-stream", "/var/lib/private/msi-stream")


@pytest.mark.timeout(90)
async def test_a_backup_is_made_beside_the_service_and_the_timer_waits_for_the_next(instance: Begin, tmp_path: Path) -> None:
    async with instance() as service:
        company(service.here)
        await service.ctl("start")
        await service.here.until_equal()
        backup = service.unit.replace("msi-stream@", "msi-stream-backup@")
        await service.machine.do("systemctl", "start", backup)
        [copy] = (service.state / "backups").iterdir()
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert copy.stat().st_uid == service.state.stat().st_uid != 0
        (tmp_path / "copy.db").write_bytes(copy.read_bytes())
        with closing(sqlite3.connect(tmp_path / "copy.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("SELECT count(*) FROM record WHERE marketo_id IS NOT NULL").fetchone()[0] >= 1
        timer = backup.replace(".service", ".timer")
        await service.machine.do("systemctl", "start", timer)
        listed = orjson.loads((await service.machine.do("systemctl", "list-timers", "--output=json", timer)).stdout)
        assert [(each["unit"], each["activates"]) for each in listed] == [(timer, backup)]
        assert listed[0]["next"]
        await service.machine.do("systemctl", "stop", timer)
        assert await service.show("ActiveState") == "active", "the daemon goes on"


@pytest.mark.timeout(90)
async def test_commands_need_no_secrets_for_the_store_and_have_the_services_own_where_they_do(instance: Begin) -> None:
    async with instance() as service:
        company(service.here)
        lead = service.here.org.create("Lead", lead_of("Asked"))
        await service.ctl("start")
        await service.here.until_equal()
        config = ("--config", f"/etc/msi-stream/{service.name}.toml")
        told = await service.machine.do("msi-stream", "why", lead, "--json", *config)
        assert orjson.loads(told.stdout)["state"] == "synced"
        status = await service.machine.do("msi-stream", "status", "--json", *config, check=False)
        assert orjson.loads(status.stdout)["state"] in {"ok", "degraded"}, status.stderr
        checked = await service.machine.do("msi-stream-as", service.name, "doctor", "--json", check=False)
        results = {each["check"]: each["result"] for each in orjson.loads(checked.stdout)}
        sign_ins = {check: result for check, result in results.items() if "sign-in" in check.lower()}
        assert sign_ins
        assert set(sign_ins.values()) == {"ok"}, checked.stdout


@pytest.mark.timeout(60)
async def test_a_configuration_that_cannot_be_used_is_no_restart_but_an_alarm(instance: Begin) -> None:
    async with instance() as service:
        service.machine.write(f"/etc/msi-stream/{service.name}.toml", "[deliver]\nbatch_size = 0\n")
        await service.machine.do("systemctl", "start", service.unit, check=False)
        assert await service.show("ActiveState") == "failed"
        assert (await service.show("ExecMainStatus"), await service.show("NRestarts")) == ("2", "0")
        errors = await service.machine.journal("--unit", service.unit, "--priority", "err")
        assert any("deliver.batch_size: found 0" in str(entry["MESSAGE"]) for entry in errors)

        async def told() -> bool:
            return bool(await service.machine.journal("--identifier", "msi-stream-failure", "--grep", service.name))

        await service.until(told, "somebody is told")
        alarm = f"msi-stream-failure@{service.unit.removesuffix('.service')}.service"
        first = await service.machine.show(alarm, "InvocationID")
        await service.machine.do("systemctl", "start", service.unit, check=False)  # it fails again
        await service.machine.do(
            "systemctl", "start", alarm
        )  # as that has asked for; for a quarter of an hour it is told already
        assert await service.machine.show(alarm, "InvocationID") == first
        service.configure()
        await service.ctl("start")
        assert await service.show("ActiveState") == "active"


@pytest.mark.timeout(90)
async def test_two_instances_run_beside_each_other_and_have_nothing_in_common(instance: Begin) -> None:
    async with instance("north") as north, instance("south") as south:
        for service in (north, south):
            company(service.here)
            await service.ctl("start")
        north.here.org.create("Lead", lead_of("North"))
        for service in (north, south):
            await service.here.until_equal()
        assert [len(service.here.instance.leads) for service in (north, south)] == [2, 1]
        owners = {service.state.stat().st_uid for service in (north, south)}
        assert len(owners) == 2
        assert 0 not in owners
        await north.ctl("stop")
        south.here.org.create("Lead", lead_of("South"))
        await south.here.until_equal()
        assert await south.show("ActiveState") == "active"


@pytest.mark.timeout(60)
async def test_the_single_service_does_the_same_from_its_own_places(machine: Machine, instance: Begin) -> None:
    async with instance() as service:
        await machine.do("rm", "-rf", *STATE)  # not both on one machine
        config = machine.root / "etc/msi-stream" / f"{service.name}.toml"
        machine.write("/etc/msi-stream/config.toml", config.read_text())
        for name in ("salesforce_private_key", "marketo_client_secret"):
            secret = (machine.root / "etc/credstore" / f"msi-stream.{service.name}.{name}").read_text()
            machine.write(f"/etc/credstore/msi-stream.{name}", secret, 0o600)
        company(service.here)
        try:
            await machine.do("systemctl", "start", "msi-stream.service")
            await service.here.until_equal()
            assert (machine.root / "var/lib/private/msi-stream/store.db").exists()
            await machine.do("systemctl", "start", "msi-stream-backup.service")
            assert len(list((machine.root / "var/lib/private/msi-stream/backups").iterdir())) == 1
            checked = await machine.do("msi-stream-as", "-", "doctor", "--json", check=False)
            assert "ok" in {each["result"] for each in orjson.loads(checked.stdout)}
            await machine.do("systemctl", "stop", "msi-stream.service")
            assert await machine.show("msi-stream.service", "Result") == "success"
        finally:
            await machine.do("systemctl", "stop", "msi-stream.service")
            await machine.do("rm", "-rf", *STATE)
