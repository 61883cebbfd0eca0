"""`run`: how it ends. What a loop died of is a line in the log with what to do; a signal is no failure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import stream.cli.run as command
from sandbox.faults import Fault
from store.errors import StoreBlocked, StoreBusy, StoreUnusable
from stream.errors import AuthRefused
from tests.cli.shell import Said, config_file, here_and_now
from tests.flow.world import world


def ended_by(monkeypatch: pytest.MonkeyPatch, folder: Path, error: BaseException | None, **more: Any) -> tuple[Said, list[Any]]:
    """What `run` says where the daemon ends so, and its log lines."""

    async def daemon(_: object, **_beside: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(command, "run_daemon", daemon)
    said = here_and_now("run", "--config", str(config_file(folder, **more)))
    return said, [orjson.loads(line) for line in said.out.splitlines()]


def test_a_good_end_is_0_and_what_is_odd_about_the_settings_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said, lines = ended_by(monkeypatch, tmp_path, None, salesforce__objects__OpportunityContactRole="stream")
    assert (said.code, said.err) == (0, "")
    assert [line["event"] for line in lines] == ["config_warning"]
    assert "6 objects are set to stream" in lines[0]["cause"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreBlocked("the disk is full", hint="free some space"), 1),
        (StoreUnusable("cannot write", hint="make it writable"), 1),
        (AuthRefused("refused", hint="look at the app"), 1),
        (StoreBusy("another one", hint="stop it"), 3),
    ],
)
def test_what_a_loop_died_of_is_a_line_with_its_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Any, code: int
) -> None:
    nested = BaseExceptionGroup("loops", [BaseExceptionGroup("deliver", [error])])
    said, (line,) = ended_by(monkeypatch, tmp_path, nested)
    assert (said.code, said.err) == (code, "")
    assert (line["event"], line["level"]) == ("daemon_failed", "error")
    assert (line["cause"], line["cure"]) == (error.message, error.hint)
    assert "trace" not in line


def test_every_cause_has_its_line_and_an_unexpected_one_its_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    group = ExceptionGroup("loops", [KeyError("odd"), StoreBlocked("the disk is full", hint="free some space")])
    said, lines = ended_by(monkeypatch, tmp_path, group)
    assert said.code == 1
    assert [line["cause"] for line in lines] == ["unexpected KeyError", "the disk is full"]
    assert lines[0]["trace"] == "KeyError"
    assert "report" in lines[0]["cure"]


@pytest.mark.parametrize(("error", "code"), [(StoreBlocked("the disk is full"), 1), (StoreUnusable("no directory"), 2)])
def test_a_store_that_cannot_be_opened_is_one_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: StoreUnusable, code: int
) -> None:
    said, lines = ended_by(monkeypatch, tmp_path, error)
    assert said.code == code
    assert error.message in said.message
    assert lines == []


@pytest.fixture
def background() -> Iterator[None]:
    """As a shell starts what it puts in the background: without Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("background")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_daemon_listens_is_a_good_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    async def daemon(_: object, **_beside: object) -> None:
        signal.raise_signal(number)
        await asyncio.Event().wait()

    monkeypatch.setattr(command, "run_daemon", daemon)
    said = here_and_now("run", "--config", str(config_file(tmp_path)))
    assert (said.code, said.err) == (0, "")
    assert orjson.loads(said.out)["event"] == "daemon_stopped"


async def test_a_terminal_shows_a_bar_while_something_is_loaded(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, reconcile__backfill_on_first_start=True, log__format="console") as here:
        here.org.create("Lead", {"LastName": "Old", "Company": "Before"})
        here.salesforce.faults.add(Fault("delay", path=r"/query\?q=SELECT\+(?!COUNT).*FROM\+Lead", seconds=1.5))
        terminal, other = pty.openpty()
        command = [sys.executable, "-m", "stream", "run", "--config", str(here.write_config())]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=other, stderr=other, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        )
        os.close(other)
        said = asyncio.create_task(asyncio.to_thread(read_all, terminal))
        await here.until(lambda: bool(here.instance.leads), seconds=60.0)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        text = await said
        assert "reading Lead" in text
        assert "0 of 1" in text
        assert "load_finished" in text, "the log goes on above it"


async def test_a_terminal_that_hangs_up_ends_the_daemon_in_good_order(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0, log__format="console") as here:
        terminal, other = pty.openpty()
        command = [sys.executable, "-m", "stream", "run", "--config", str(here.write_config())]
        process = await asyncio.create_subprocess_exec(*command, stdout=other, stderr=other)
        os.close(other)
        said = asyncio.create_task(asyncio.to_thread(read_all, terminal))
        here.touch_built_in_users()
        await here.until_equal()
        process.send_signal(signal.SIGHUP)
        assert await process.wait() == 0
        assert "daemon_stopped" in await said


def read_all(terminal: int) -> str:
    """What was written to a terminal, until it is closed."""
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
        while piece := os.read(terminal, 65536):
            parts.append(piece)
    os.close(terminal)
    return b"".join(parts).decode(errors="replace")
