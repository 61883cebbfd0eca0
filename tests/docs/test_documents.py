"""Every command in the documents does what it says there: typed into a shell, beside a daemon that runs against both services."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import click
import pytest

from store.model import Change, Dead
from store.store import Store
from stream.cli.main import cli
from stream.ids import widen
from tests.docs.documents import DOCUMENTS, ROOT, Command, in_blocks, in_text
from tests.flow.scenes import deal
from tests.flow.world import World, world

NOW = 1_790_000_000_000
SECONDS_MOST = 60
DEAD = {"1006": widen("0015g00000000D1"), "1003": widen("0015g00000000D2")}

ELSEWHERE: dict[str, str] = {
    r"pip install \.": "Makefile",
    r"openssl req ": "tests/cli/test_init_salesforce.py",
    r"apt-get ": "tests/systemd/test_package.py",
}
"""Commands of others, and the file in which they are run: it must name the command's first two words."""

AS_ROOT = "systemd.md"
"""The document whose commands need a machine of their own: tests/systemd/test_documents.py types them there."""

LONG = frozenset({"run", "demo", "sandbox"})
STOPPED = ("replay set", "run")
"""What is typed while no daemon runs."""

BLOCKS = [command for document in DOCUMENTS for command in in_blocks(document) if document.name != AS_ROOT]
OURS = [command for command in BLOCKS if command.words[0] == "msi-stream"]
MAKE = [command for command in BLOCKS if command.words[0] == "make"]
OTHERS = [command for command in BLOCKS if command.words[0] not in {"msi-stream", "make"}]
TEXTS = [command for document in DOCUMENTS for command in in_text(document)]


async def with_letters(path: Path) -> dict[str, int]:
    """A store with a dead letter of each code; returns their numbers."""
    store = await Store.open(path)
    await store.take([Change("Account", each, fields={"Name": "D"}, whole=True) for each in DEAD.values()], None, NOW)
    claimed = await store.claim("Account", "upsert", most=9, now_ms=NOW, linger_ms=0)
    codes = {record_id: code for code, record_id in DEAD.items()}
    dead = [Dead(each.entry.entry_id, each.entry.key, codes[each.record.record_id], "its cause", "its cure") for each in claimed]
    await store.finish(dead, NOW)
    await store.close()
    return {each.code: each.entry_id for each in dead}


def program(folder: Path) -> Path:
    """A folder in which `msi-stream` lies, as a shell finds it."""
    folder.mkdir()
    script = folder / "msi-stream"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m stream "$@"\n')
    script.chmod(0o755)
    return folder


def placed(line: str, folder: Path, contact: str, entry: int) -> str:
    """The line with this machine's own paths, a record that is there, and a dead letter's number."""
    line = re.sub(r"/(?:etc|var)/[\w./-]*", lambda path: str(folder / path[0].strip("/").replace("/", "-")), line)
    return re.sub(r"003\w{12,15}\b", contact, line).replace(" 17", f" {entry}")


async def typed(line: str, folder: Path, config: Path, *, ends: bool) -> tuple[int, str]:
    """Typed into a shell; what goes on until it is told to end gets SIGTERM once it is ready."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MSI_STREAM_")}
    environ |= {"PATH": f"{folder / 'bin'}:{environ['PATH']}", "MSI_STREAM_CONFIG": str(config)}
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"exec {line}" if not ends else line, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=folder, env=environ
    )
    assert shell.stdout is not None
    async with asyncio.timeout(SECONDS_MOST):
        begun = b""
        while not ends and b"daemon_ready" not in begun:
            begun += await shell.stdout.readline()
        if not ends:
            shell.terminate()
        out, err = await shell.communicate()
    return shell.returncode or 0, (begun + out + err).decode()


async def try_all(here: World, commands: list[Command], contact: str, entry: int, folder: Path) -> list[str]:
    """Type them one after the other; returns what was wrong with which."""
    wrong = []
    for command in commands:
        line = placed(command.line, folder, contact, entry)
        stops = any(command.line.startswith(f"msi-stream {each}") for each in STOPPED)
        if stops:
            await here.stop()
        code, said = await typed(line, folder, here.write_config(), ends=command.words[1] not in LONG)
        if code not in {0, 1} or "Traceback" in said:
            wrong.append(f"{command}: exit code {code}\n{said}")
        if stops:
            await here.start()
    return wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", sorted({command.document for command in OURS}), ids=lambda path: path.name)
async def test_every_command_in_a_block_works(document: Path, tmp_path: Path) -> None:
    commands = [command for command in OURS if command.document == document and command.words[1] not in {"demo", "sandbox"}]
    if not shutil.which("jq"):
        commands = [command for command in commands if "| jq" not in command.line]
    entries = await with_letters(tmp_path / "store.db")
    (tmp_path / "salesforce.crt").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    program(tmp_path / "bin")
    async with world(tmp_path) as here:
        made = deal(here)
        await here.start()
        await here.until(lambda: here.instance.leads_of(made.contact))
        wrong = await try_all(here, commands, made.contact, entries["1003"], tmp_path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", TEXTS, ids=str)
def test_a_command_in_the_text_is_one(command: Command) -> None:
    """Its name and its options are; what stands for something else is written in capitals."""
    words = [re.sub(r"[\[\]…]", "", word) for word in command.words[1:]]
    at: click.Command = cli
    context = click.Context(cli, info_name="msi-stream")
    while words and isinstance(at, click.Group):
        found = at.get_command(context, words[0])
        assert found is not None, f"{command}: there is no {words[0]}"
        at, words = found, words[1:]
    options = {name for each in at.params for name in each.opts}
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}] == []


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_a_command_of_others_is_tried_elsewhere(command: Command) -> None:
    (place,) = {place for shape, place in ELSEWHERE.items() if re.match(shape, command.line)} or {""}
    assert place, f"{command}: run it in a test, and name that test here"
    text = (ROOT / place).read_text("utf-8")
    assert all(word in text for word in command.words[:2]), f"{place} does not run {command}"


@pytest.mark.parametrize("command", MAKE, ids=str)
def test_make_knows_how(command: Command) -> None:
    """CI runs them; here only what they would do is asked."""
    asked = subprocess.run([*command.words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
