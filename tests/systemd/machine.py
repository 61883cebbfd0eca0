"""A real systemd for the tests, booted as root in namespaces of its own, and what is needed of it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PLACE = Path("/opt/msi-stream-test")  # where the checkout and the interpreter are seen inside: no home, no /tmp
NEEDED = ("unshare", "nsenter", "systemctl", "journalctl", "systemd-run", "systemd-analyze")
SYSTEMS_OWN = {Path("/usr"), Path("/usr/local")}
UNITS = "/etc/systemd/system"
ROOTS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as after a login, whatever that of the tests is
BOOT_SECONDS = 30.0
CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
PREFIX = "msi-stream-systemd-"


class CannotBoot(Exception):
    """This machine cannot do it; the message says why."""


@dataclass(slots=True)
class Machine:
    """The running systemd. `root` is its file tree, as it is seen from outside."""

    pid: int
    root: Path
    folder: Path
    cgroup: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    async def do(self, *words: str, check: bool = True, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """The same, beside the simulated services of this process."""
        return await asyncio.to_thread(self.run, *words, check=check, seconds=seconds)

    def run(self, *words: str, check: bool = True, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        done = subprocess.run(self._enter(words), capture_output=True, text=True, timeout=seconds, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def _enter(self, words: Sequence[str]) -> list[str]:
        return [
            "nsenter",
            "-t",
            str(self.pid),
            "-m",
            "-p",
            "-u",
            "-i",
            "-n",
            "-C",
            "--",
            "env",
            "SYSTEMD_PAGER=",
            f"PATH={ROOTS_PATH}",
            *words,
        ]

    async def show(self, unit: str, name: str) -> str:
        """A unit's property."""
        return (await self.do("systemctl", "show", "--value", "--property", name, unit)).stdout.strip()

    async def journal(self, *words: str) -> list[dict[str, Any]]:
        """Journal entries, oldest first, with all that was said until now."""
        await self.do("journalctl", "--sync")
        said = (await self.do("journalctl", "--no-pager", "--output", "json", "--all", *words)).stdout
        return [orjson.loads(line) for line in said.splitlines() if line]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there, inside."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that are made in here belong to its network, and stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{self.pid}/ns/net").open() as theirs:
            if libc.setns(theirs.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
            try:
                yield
            finally:
                if libc.setns(ours.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "cannot leave the network namespace")

    def end(self) -> None:
        """End it with all that runs in it; what was written inside is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        _remove(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


def boot() -> Machine:
    """Boot it; raises CannotBoot where this machine cannot."""
    _check()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    cgroup = _own_cgroup(folder.name)
    log = folder.with_name(folder.name + ".log")
    places = [str(part) for pair in _places() for part in pair]
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--net", "--cgroup"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, str(HERE / "inside.sh"), str(folder), *places],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=lambda: _prepare(cgroup),  # noqa: PLW1509 - two system calls
        )
    try:
        machine = _wait(process, folder, cgroup)
    except CannotBoot as error:
        process.kill()
        process.wait()
        _remove(cgroup)
        shutil.rmtree(folder, ignore_errors=True)
        raise CannotBoot(f"systemd did not come up: {error}; {log.read_text()[-300:].strip()}") from error
    finally:
        log.unlink(missing_ok=True)
    return machine


def _prepare(cgroup: Path) -> None:
    """Before `unshare` begins: into its control group, and dead as soon as these tests are, however they end."""
    (cgroup / "cgroup.procs").write_text("0")
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _check() -> None:
    if sys.platform != "linux":
        raise CannotBoot("this is no Linux")
    if os.geteuid():
        raise CannotBoot("only root may boot a systemd in namespaces of its own")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        raise CannotBoot(f"systemd is not installed (missing: {', '.join(missing) or '/lib/systemd/systemd'})")


def _own_cgroup(name: str) -> Path:
    """A control group of its own, so that what runs in it can be told from everything else, and ended."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    trees = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"]
    if not trees:
        raise CannotBoot("no cgroup2 file system is mounted")
    own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    made = trees[0] / own.lstrip("/") / name
    for left in made.parent.glob(f"{PREFIX}*-*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():  # of tests that were killed; others' may be running beside these
            _remove(left)
    try:
        made.mkdir()
    except OSError as error:
        raise CannotBoot(f"no control group can be made: {error.strerror}") from error
    return made


def _places() -> list[tuple[Path, Path]]:
    """What is seen inside: the checkout, the environment's packages, and the interpreter where it is not the system's."""
    places = [(CHECKOUT, PLACE / "checkout"), (Path(sys.prefix), PLACE / "environment")]
    if Path(sys.base_prefix) not in SYSTEMS_OWN:
        places.append((Path(sys.base_prefix).resolve(), PLACE / "python"))
    return places


def install_checkout(machine: Machine) -> None:
    """`msi-stream` as somebody would have installed it by hand: the command, and the units."""
    for file in sorted(each for each in (CHECKOUT / "systemd").iterdir() if each.is_file()):
        unit = file.suffix in {".service", ".timer"}
        machine.write(
            f"{UNITS if unit else '/usr/local/sbin'}/{file.name}", file.read_text(encoding="utf-8"), 0o644 if unit else 0o755
        )
    machine.run("systemctl", "daemon-reload")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    home = base if base in SYSTEMS_OWN else PLACE / "python"
    packages = PLACE / "environment" / "lib" / version / "site-packages"
    environment = f"PYTHONPATH={PLACE}/checkout:{packages} PYTHONDONTWRITEBYTECODE=1"
    if base not in SYSTEMS_OWN:
        environment += f" LD_LIBRARY_PATH={home}/lib"  # a libpython of its own is looked for where it was built
    python = f'#!/bin/sh\n{environment} exec {home}/bin/{version} "$@"\n'
    machine.write("/usr/local/bin/msi-stream-python", python, 0o755)
    machine.write("/usr/local/bin/msi-stream", '#!/bin/sh\nexec /usr/local/bin/msi-stream-python -m stream "$@"\n', 0o755)


def _wait(process: subprocess.Popen[bytes], folder: Path, cgroup: Path) -> Machine:
    deadline = time.monotonic() + BOOT_SECONDS  # noqa: TID251 - another machine's time
    machine: Machine | None = None
    while process.poll() is None and time.monotonic() < deadline:  # noqa: TID251 - see above
        time.sleep(0.02)
        pid = _pid_in(process.pid)
        if machine is None and pid and Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
            machine = Machine(pid, Path(f"/proc/{pid}/root"), folder, cgroup, process)
        if machine is not None:
            state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
            if state in {"running", "degraded"}:
                return machine
    raise CannotBoot("it took too long")


def _pid_in(parent: int) -> int:
    """The child of `unshare`; 0 while there is none."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                return int(stat.parent.name)
    return 0


def _remove(cgroup: Path) -> None:
    """End everything in the control group, and remove it."""
    with suppress(OSError):
        (cgroup / "cgroup.kill").write_text("1")
    for _ in range(200):
        for each in sorted(cgroup.rglob("*"), key=lambda path: -len(path.parts)):
            if each.is_dir():
                with suppress(OSError):
                    each.rmdir()
        try:
            cgroup.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
