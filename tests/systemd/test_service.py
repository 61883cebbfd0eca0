"""The service under a real systemd: start, readiness, secrets, journal, reload, watchdog, kill, stop."""

from __future__ import annotations

import asyncio
import stat
from itertools import count

import orjson
import pytest

from sandbox.faults import Fault
from tests.flow.scenes import company, contact_of, lead_of
from tests.flow.world import World
from tests.systemd.service import Begin, Instance

QUICK = "[Service]\nRestartSec=100ms\n"
ERR, WARNING, INFO = "3", "4", "6"


async def until_restarted(service: Instance, before: str) -> None:
    """Wait until another process is the service, and ready."""

    async def again() -> bool:
        return await service.show("MainPID") not in {"0", before} and await service.show("ActiveState") == "active"

    await service.until(again, "started again, and ready")
    assert await service.show("NRestarts") == "1"


@pytest.mark.timeout(60)
async def test_start_is_readiness_and_the_secrets_are_the_services_alone(instance: Begin) -> None:
    async with instance() as service:
        company(service.here)
        await service.ctl("start")
        assert await service.show("ActiveState") == "active"
        assert [line["still_trying"] for line in await service.lines("daemon_ready")] == [[]], "active means ready"
        await service.here.until_equal()
        pid = await service.show("MainPID")
        status = (await service.machine.do("cat", f"/proc/{pid}/status")).stdout
        assert "Uid:\t0" not in status
        assert "CapEff:\t0000000000000000" in status
        environ = (await service.machine.do("cat", f"/proc/{pid}/environ")).stdout
        assert "CREDENTIALS_DIRECTORY=" in environ
        assert service.here.marketo.client_secret not in environ
        assert stat.S_IMODE(service.state.stat().st_mode) == 0o700
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in service.state.iterdir()}
        assert set(modes) >= {"store.db", "store.db.lock", "store.db.calls"}
        assert set(modes.values()) == {0o600}, modes

        async def told() -> bool:
            said: str = await service.show("StatusText")
            return said.startswith("ok: 0 waiting, freshness ")

        await service.until(told, "a status that a person can read")
        await service.ctl("stop")
        assert (await service.show("Result"), await service.show("ExecMainStatus")) == ("success", "0")


@pytest.mark.timeout(60)
async def test_with_both_services_away_it_starts_all_the_same_says_so_and_goes_on_when_they_are_back(instance: Begin) -> None:
    async with instance() as service:
        for faults in (service.here.salesforce.faults, service.here.marketo.faults):
            faults.add(Fault("reset_before", times=None))
        company(service.here)
        await service.ctl("start")
        assert await service.show("ActiveState") == "active"

        async def told() -> bool:
            said: str = await service.show("StatusText")
            return said.startswith("failing: 0 waiting; nothing comes from Salesforce: ")

        await service.until(told, "the outage is its status")
        for faults in (service.here.salesforce.faults, service.here.marketo.faults):
            faults.clear()
        await service.here.until_equal()
        assert await service.show("NRestarts") == "0"


@pytest.mark.timeout(60)
async def test_the_journal_has_each_lines_level_unit_and_name_and_no_secret(instance: Begin) -> None:
    async with instance() as service:
        refused = {"requestId": "1", "success": False, "errors": [{"code": "603", "message": "Access denied"}]}
        service.here.marketo.faults.add(Fault("respond", path="/rest/v1/leads.json", times=2, status=200, body=refused))
        service.here.touch_built_in_users()
        service.here.org.create("Lead", lead_of("Journal"))
        await service.ctl("start")
        await service.here.until_equal()
        lines = await service.lines()
        by_level = {line["level"]: line["journal"]["PRIORITY"] for line in lines}
        assert by_level["info"] == INFO
        assert by_level.get("warning", WARNING) == WARNING
        for line in lines:
            assert line["journal"]["_SYSTEMD_UNIT"] == service.unit
            assert line["journal"]["SYSLOG_IDENTIFIER"].startswith("msi-stream")
        service.machine.write(f"/etc/msi-stream/{service.name}.toml", "[nonsense]\n")
        await service.ctl("reload")
        await service.until_said("reload_refused")
        errors = await service.machine.journal("--unit", service.unit, "--priority", "err")
        events = [orjson.loads(entry["MESSAGE"])["event"] for entry in errors]
        assert "reload_refused" in events
        assert set(events) <= {line["event"] for line in await service.lines() if line["level"] == "error"}
        everything = (await service.machine.do("journalctl", "--no-pager", "--all", "--output=export")).stdout
        key = service.here.salesforce.sign_in.private_key.splitlines()
        for secret in (service.here.marketo.client_secret, *key[1:-1]):
            assert secret not in everything


@pytest.mark.timeout(60)
async def test_reload_takes_over_what_may_change_and_refuses_a_broken_file(instance: Begin) -> None:
    async with instance() as service:
        await service.ctl("start")
        pid = await service.show("MainPID")
        service.configure(deliver__batch_size=17)
        await service.ctl("reload")
        done = await service.until_said("config_reloaded")
        assert done["changed"] == {"deliver.batch_size": 17}
        service.machine.write(f"/etc/msi-stream/{service.name}.toml", "[deliver]\nbatch_size = 0\n")
        await service.ctl("reload")
        refused = await service.until_said("reload_refused")
        assert "deliver.batch_size: found 0" in refused["cause"]
        assert await service.show("ActiveState") == "active"
        assert await service.show("MainPID") == pid
        company(service.here)
        await service.here.until_equal()


@pytest.mark.timeout(90)
async def test_a_daemon_that_stands_still_is_ended_by_its_watchdog_and_comes_back(instance: Begin) -> None:
    async with instance() as service:
        await service.change_unit(f"{QUICK}WatchdogSec=3\n")
        await service.ctl("start")
        pid = await service.show("MainPID")
        await service.machine.do("sh", "-c", f"kill -STOP {pid}")
        company(service.here)
        await until_restarted(service, pid)
        results = [entry.get("UNIT_RESULT") for entry in await service.machine.journal("--unit", service.unit)]
        assert "watchdog" in results
        await service.here.until_equal()
        [told] = await service.machine.journal("--identifier", "msi-stream-failure", "--grep", service.name)
        assert told["PRIORITY"] == "1"
        assert "has failed" in told["MESSAGE"]


@pytest.mark.timeout(90)
async def test_one_loop_that_hangs_is_named_and_ends_the_daemon_though_all_others_go_on(instance: Begin) -> None:
    async with instance() as service:
        script = "/opt/msi-stream-test/checkout/tests/systemd/hung.py"
        command = f"msi-stream-python {script} /etc/msi-stream/%i.toml /var/lib/msi-stream/%i/hung-once"
        await service.change_unit(f"{QUICK}WatchdogSec=3\nExecStart=\nExecStart={command}\n")
        company(service.here)
        await service.ctl("start")
        pid = await service.show("MainPID")
        await service.here.until_equal()
        await until_restarted(service, pid)
        [hung] = await service.lines("loop_hangs")
        assert hung["loop"] == "reconcile"
        assert hung["journal"]["PRIORITY"] == ERR
        assert any(place.startswith("reconcile.py:") for place in hung["where"]), hung["where"]
        results = [entry.get("UNIT_RESULT") for entry in await service.machine.journal("--unit", service.unit)]
        assert "watchdog" in results
        service.here.org.create("Lead", lead_of("Afterwards"))
        await service.here.until_equal()


async def keep_busy(here: World) -> None:
    """People come and change, one every few hundredths of a second, until cancelled."""
    made: list[tuple[str, str]] = []
    for number in count():
        fields = lead_of(f"Busy{number}") if number % 2 else contact_of(None, f"Busy{number}")
        obj = "Lead" if number % 2 else "Contact"
        made.append((obj, here.org.create(obj, fields)))
        here.org.update(*made[number // 2], {"Title": f"Edit {number}"})
        await asyncio.sleep(0.02)  # noqa: TID251 - the pace of the changes


@pytest.mark.timeout(90)
async def test_killed_under_load_it_comes_back_and_stopped_under_load_it_loses_nothing(instance: Begin) -> None:
    async with instance() as service:
        await service.change_unit(QUICK)
        here = service.here
        here.marketo.latency_seconds = 0.05
        company(here)
        await service.ctl("start")
        changes = asyncio.create_task(keep_busy(here))
        await here.until(lambda: len(here.instance.leads) > 10)
        pid = await service.show("MainPID")
        await service.machine.do("sh", "-c", f"kill -KILL {pid}")
        await until_restarted(service, pid)
        there = len(here.instance.leads)
        await here.until(lambda: len(here.instance.leads) > there)
        await service.ctl("stop")
        changes.cancel()
        assert (await service.show("Result"), await service.show("ExecMainStatus")) == ("success", "0")
        assert (await service.lines())[-1]["event"] == "daemon_stopped"
        assert not here.report().ok, "it was stopped in the middle of something"
        await service.ctl("start")
        await here.until_equal(seconds=60)
