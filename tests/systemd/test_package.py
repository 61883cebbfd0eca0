"""The Debian package's life on a real systemd: installed, configured, upgraded, gone back from, removed, purged."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from store.sql import migrations
from tests.docs.documents import in_blocks
from tests.flow.scenes import company, lead_of
from tests.systemd.conftest import beginning
from tests.systemd.machine import CHECKOUT, Machine
from tests.systemd.service import Instance

NAME = "packaged"
INSTALL_SECONDS = 240.0  # it compiles two thousand files
DOCUMENT = CHECKOUT / "docs" / "package.md"
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "--no-install-recommends")
SCHEMA = len(migrations())
STATE = ("/var/lib/msi-stream", "/var/lib/private/msi-stream")
TIMER = f"msi-stream-backup@{NAME}.timer"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this checkout, as `make deb` makes it, packed faster."""
    missing = [name for name in ("apt-get", "dpkg-deb", "/usr/bin/python3") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no Debian packages can be made here (missing: {', '.join(missing)})")
    folder = tmp_path_factory.mktemp("package")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    [wheel] = folder.glob("*.whl")
    pip = Path(sys.executable).with_name("pip")
    environment = {**os.environ, "PIP": str(pip), "DPKG_DEB_COMPRESSOR_TYPE": "none"}
    run(str(CHECKOUT / "packaging" / "deb"), str(wheel), str(folder), environment=environment)
    [made] = folder.glob("*.deb")
    return made


def run(*words: str, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end, in the checkout."""
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def newer(package: Path, folder: Path) -> Path:
    """The same program as a later version whose store has one more table."""
    tree = folder / "tree"
    run("dpkg-deb", "-R", str(package), str(tree))
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0-1", control.read_text()))
    [steps] = tree.glob("usr/lib/msi-stream/lib/*/site-packages/store/migrations")
    (steps / f"{SCHEMA + 1:04}.sql").write_text("CREATE TABLE later (name TEXT) STRICT;")
    environment = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "none"}
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / "newer.deb"), environment=environment)
    return folder / "newer.deb"


async def install(machine: Machine, package: Path) -> str:
    """As the document says; returns what was said."""
    shutil.copy(package, machine.root / "root/msi-stream.deb")
    return (await machine.do(*APT, "install", "--allow-downgrades", "/root/msi-stream.deb", seconds=INSTALL_SECONDS)).stdout


@pytest.mark.timeout(900)
async def test_the_packages_life(package: Path, bare_machine: Machine, tmp_path: Path) -> None:
    machine = bare_machine
    said = await install(machine, package)
    assert "not configured yet, and so not started" in said
    assert await machine.show("msi-stream.service", "ActiveState") == "inactive"
    assert "disabled" in (await machine.do("systemctl", "is-enabled", "msi-stream.service", check=False)).stdout
    assert "msi-stream, version " in (await machine.do("msi-stream", "--version")).stdout
    assert "configuration" in (await machine.do("msi-stream", "status", check=False)).stderr
    await type_the_document(machine)
    example = "/usr/share/doc/msi-stream/examples/config.toml"
    assert (await machine.do("cat", example)).stdout.startswith("# The configuration of msi-stream.")
    later = newer(package, tmp_path)
    (tmp_path / "services").mkdir()
    async with beginning(machine, tmp_path / "services", NAME) as service:
        company(service.here)
        await starts_and_delivers(service)
        await upgrades(service, later)
        await goes_back(service, package)
        await is_removed_and_purged(service)


async def type_the_document(machine: Machine) -> None:
    """What it says under "Installing", after the package itself: the file is then one that the service reads, without secrets."""
    lines = [command.line for command in in_blocks(DOCUMENT)]
    assert [line.split()[:2] for line in lines if line.startswith("apt-get")] == [
        ["apt-get", verb] for verb in ("install", "remove", "purge")
    ]
    config = machine.root / "etc/msi-stream/config.toml"
    typed = [line for line in lines if not line.startswith(("make", "apt-get"))]
    assert [" ".join(line.split()[:2]) for line in typed] == ["msi-stream init"]
    for line in typed:
        await machine.do("sh", "-c", line)
    assert stat.S_IMODE(config.stat().st_mode) == 0o644
    said = await machine.do("msi-stream-as", "-", "doctor", check=False)
    assert "client_id: found nothing, expected a value" in said.stderr + said.stdout
    assert "_file" not in said.stderr + said.stdout
    await machine.do(
        "rm", "-rf", str(Path("/") / config.relative_to(machine.root)), *STATE
    )  # the single service, or the template


async def starts_and_delivers(service: Instance) -> None:
    """It runs from its own environment, compiled, with its units."""
    done = await service.machine.do("systemctl", "enable", "--now", service.unit, TIMER, check=False)
    assert done.returncode == 0, done.stderr + await service.told()
    await service.here.until_equal()
    pid = await service.show("MainPID")
    mapped = (await service.machine.do("cat", f"/proc/{pid}/maps")).stdout
    assert re.search(r"/usr/lib/msi-stream/lib/\S+/orjson", mapped)
    assert "msi-stream-test" not in mapped, "nothing comes from the checkout"
    assert list((service.machine.root / "usr/lib/msi-stream/lib").rglob("__pycache__"))
    assert await service.show("FragmentPath") == "/lib/systemd/system/msi-stream@.service"
    checked = await service.machine.do("msi-stream-as", NAME, "doctor", check=False)
    assert checked.returncode in {0, 1}, checked.stderr


async def upgrades(service: Instance, later: Path) -> None:
    """The running daemon goes on as the new version, its store copied and brought to the new schema."""
    before = await service.show("MainPID")
    service.here.org.create("Lead", lead_of("Meanwhile"))
    await install(service.machine, later)
    assert await service.show("ActiveState") == "active"
    assert await service.show("MainPID") != before
    [told] = await service.lines("store_upgraded")
    assert (told["schema_before"], told["schema"]) == (SCHEMA, SCHEMA + 1)
    copy = service.state / f"store-schema-{SCHEMA}.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    service.here.org.create("Lead", lead_of("Upgraded"))
    await service.here.until_equal()


async def goes_back(service: Instance, package: Path) -> None:
    """The older version refuses the newer store and names the copy; with that in its place it goes on."""
    machine = service.machine
    await install(machine, package)

    async def refused() -> bool:
        return bool(await service.show("ActiveState") == "failed")

    await service.until(refused, "the older version refuses")
    assert await service.show("ExecMainStatus") == "2"
    errors = await machine.journal("--unit", service.unit, "--priority", "err")
    assert any(f"store-schema-{SCHEMA}.db" in str(entry["MESSAGE"]) for entry in errors)
    state = f"/var/lib/msi-stream/{NAME}"
    await machine.do("sh", "-c", f"cd {state} && rm store.db-wal store.db-shm; mv store-schema-{SCHEMA}.db store.db")
    await service.ctl("start")
    service.here.org.create("Lead", lead_of("Back"))
    await service.here.until_equal()


async def is_removed_and_purged(service: Instance) -> None:
    """Removing stops it and leaves what is the operator's; purging takes the configuration too, and says what it keeps."""
    machine = service.machine
    config, wants = machine.root / "etc/msi-stream", machine.root / "etc/systemd/system"
    await machine.do(*APT, "remove", "msi-stream")
    assert (await service.lines())[-1]["event"] == "daemon_stopped"
    assert await service.show("ActiveState") == "inactive"
    assert await machine.show(TIMER, "ActiveState") == "inactive"
    assert not (machine.root / "usr/lib/msi-stream").exists()
    assert (config / f"{NAME}.toml").exists()
    assert list(wants.glob("*.wants/msi-stream*"))
    said = (await machine.do(*APT, "purge", "msi-stream")).stdout
    assert not config.exists()
    assert [path for path in wants.rglob("msi-stream*") if path.is_symlink()] == []
    assert (service.state / "store.db").exists()
    for kept in ("/var/lib/private/msi-stream", f"/etc/credstore/msi-stream.{NAME}.marketo_client_secret"):
        assert f"kept, delete it if nobody needs it any more: {kept}" in said
