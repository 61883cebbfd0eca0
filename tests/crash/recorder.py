"""What the daemon asks of the disk, from its system calls, and what the disk would hold if it all ended between any two of them.

strace ──▶ calls, in the order in which they ended ──▶ Disk ──▶ image after a kill: all that was written
                                                          └──▶ image after a power failure: all that was synced, and of the
                                                               rest whatever the disk had got to, in pieces
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.crash.crashing import Running
from tests.crash.nursery import ERRORS, OUTPUT

SECTOR = 512
CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,sendto"

_LINE = re.compile(r"^(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>)?(?P<rest>.*)$")
_CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_TEXT = re.compile(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]')
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded: its file, the bytes it wrote, and where; when it began and ended in the recording."""

    name: str
    path: str
    data: bytes
    at: int
    begun: int
    ended: int
    creates: bool = False


def record(config: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start the daemon under strace; its output goes into the folder. Skips where nobody may trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = [sys.executable, "-m", "stream", "run", "--config", str(config)]
    may = subprocess.run(["strace", "-f", "-o", "/dev/null", "/bin/true"], check=False, capture_output=True, text=True)
    if may.returncode:
        pytest.skip(f"processes may not be traced here: {may.stderr.strip()[-200:]}")
    strace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-o", str(folder / "calls"), "-e", f"trace={CALLS}"]
    with (folder / OUTPUT).open("wb") as said, (folder / ERRORS).open("wb") as errors:
        return subprocess.Popen([*strace, *command], stdout=said, stderr=errors)


@contextmanager
def recorded(config: Path, store: Path) -> Iterator[Traced]:
    """A daemon whose system calls are recorded, as long as it runs."""
    folder = Path(tempfile.mkdtemp(prefix="recorded-", dir=config.parent))
    process = record(config, folder)
    try:
        yield Traced(0, folder, store=store, process=process)
    finally:
        process.kill()
        process.wait()


@dataclass(slots=True)
class Traced(Running):
    """A daemon under strace."""

    store: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """How it ended: strace ends as its child did."""
        assert self.process is not None
        return self.process.poll()

    async def end(self, number: int) -> int:
        """Send the daemon itself a signal, and return the exit code."""
        os.kill(int(self.store.with_name(self.store.name + ".lock").read_text().split("\n")[0]), number)
        return await self.wait()

    def calls(self, first: int) -> list[Call]:
        """What it asked of the system, its places counted from `first` on."""
        return list(parsed((self.folder / "calls").read_text().splitlines(), first))

    def said(self, call: Call) -> list[dict[str, Any]]:
        """The log lines that this call wrote."""
        if call.name != "write" or call.path != str(self.folder / OUTPUT):
            return []
        return [orjson.loads(line) for line in call.data.splitlines() if line]


def parsed(lines: Sequence[str], first: int) -> Iterator[Call]:
    """strace's lines as calls, in the order in which they ended. One that another thread interrupts stands in two lines."""
    begun: dict[str, tuple[int, str]] = {}
    for place, line in enumerate(lines, first):
        found = _LINE.match(line)
        assert found, line[:200]
        thread, rest, start = found["thread"], found["rest"], place
        if found["resumed"]:
            start, opening = begun.pop(thread)
            rest = opening + rest
        if rest.endswith(_UNFINISHED):
            begun[thread] = start, rest.removesuffix(_UNFINISHED)
        elif (made := _CALL.match(rest)) and not made["result"].startswith("-"):
            yield _call(made, start, place)


def _call(made: re.Match[str], begun: int, ended: int) -> Call:
    arguments, name = made["arguments"], made["name"]
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
    if name in {"openat", "unlink"}:
        path = texts[-1].decode()
        return Call(name, path, b"", 0, begun, ended, creates="O_CREAT" in arguments)
    path = texts[0].decode(errors="replace") if texts else ""
    at = int(arguments.rsplit(",", 1)[1]) if name in {"pwrite64", "ftruncate"} else 0
    data = texts[1][: int(made["result"])] if name in {"pwrite64", "write", "sendto"} and len(texts) > 1 else b""
    return Call(name, path, data, at, begun, ended)


@dataclass(slots=True)
class _File:
    """One file: what is certainly on the disk, and what was asked for since."""

    now: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)


def _apply(call: Call, to: bytearray, bytes_most: int | None = None) -> None:
    if call.name == "ftruncate":
        del to[call.at :]
        to.extend(bytes(call.at - len(to)))
    else:
        data = call.data[:bytes_most]
        to.extend(bytes(max(call.at + len(data) - len(to), 0)))
        to[call.at : call.at + len(data)] = data


class Disk:
    """The store's files after some of the calls. A name is safe once its folder was synced, a file's bytes once it was itself."""

    def __init__(self, store: Path) -> None:
        self._folder = str(store.parent)
        self._names = {f"{store}{side}": f"{store.name}{side}" for side in ("", "-wal", "-journal")}
        self._now: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        self._renamed: list[tuple[int, str, _File | None]] = []

    def knows(self, call: Call) -> bool:
        """Whether the call is about the store's files or their folder."""
        return call.path in self._names or (call.path == self._folder and call.name in {"fsync", "fdatasync"})

    def take(self, call: Call) -> bool:
        """Let the call happen; True where it changed what a crash would leave."""
        if not self.knows(call):
            return False
        name = self._names.get(call.path, "")
        if not name:
            self._sync_names(call.begun)
        elif call.name == "openat":
            if not call.creates or name in self._now:
                return False
            self._rename(call, name, _File())
        elif call.name == "unlink":
            self._rename(call, name, None)
        elif call.name in {"fsync", "fdatasync"}:
            self._sync(self._now[name], call.begun)
        else:
            _apply(call, self._now[name].now)
            self._now[name].pending.append(call)
        return True

    def _rename(self, call: Call, name: str, file: _File | None) -> None:
        _put(self._now, name, file)
        self._renamed.append((call.ended, name, file))

    def _sync_names(self, until: int) -> None:
        for ended, name, file in self._renamed:
            if ended < until:
                _put(self._safe, name, file)
        self._renamed = [each for each in self._renamed if each[0] >= until]

    def _sync(self, file: _File, until: int) -> None:
        for call in file.pending:
            if call.ended < until:
                _apply(call, file.safe)
        file.pending = [call for call in file.pending if call.ended >= until]

    def after_kill(self) -> dict[str, bytes]:
        """What lies there when the process ends now: the kernel has all that was written."""
        return {name: bytes(file.now) for name, file in self._now.items()}

    def synced(self) -> dict[str, bytes]:
        """What a power failure leaves at the very least."""
        return {name: bytes(file.safe) for name, file in self._safe.items()}

    def after_power_failure(self, chance: random.Random) -> dict[str, bytes]:
        """What one leaves that comes now: of what was not synced any part, each write whole, torn, or not at all."""
        names = dict(self._safe)
        for _, name, file in self._renamed[: chance.randint(0, len(self._renamed))]:
            _put(names, name, file)
        left = {}
        for name, file in names.items():
            content = bytearray(file.safe)
            for call in file.pending:
                lot = chance.choice(("lost", "whole", "torn", "only its length"))
                if lot in {"whole", "torn"}:
                    _apply(call, content, None if lot == "whole" else SECTOR * chance.randint(0, len(call.data) // SECTOR))
                elif lot == "only its length" and call.name == "pwrite64":
                    content.extend(bytes(max(call.at + len(call.data) - len(content), 0)))
            left[name] = bytes(content)
        return left


def _put(files: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        files.pop(name, None)
    else:
        files[name] = file


def lay_out(image: dict[str, bytes], folder: Path) -> Path:
    """Write an image into an empty folder; returns where the store is."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in image.items():
        (folder / name).write_bytes(content)
    return folder / "store.db"
