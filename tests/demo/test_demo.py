"""The demo from the outside: its exit code, its table, what it leaves behind, and what it says when the daemon fails."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import demo, demo_story
from tests.demo.commands import Command

FEW = "40"
DEAF = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"


def said_in(path: str) -> str:
    return Path(path).read_text("utf-8")


async def test_a_small_demo_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = Command(tmp_path, "demo")
    try:
        await run.start("demo", "--records", FEW)
        code = await run.ended(110)
    finally:
        await run.close()
    assert code == 0, run.said
    assert run.said.count("✓") >= 17  # six acts and eleven lines
    assert "✗" not in run.said
    for claim in ("every record is in Marketo", "no child before its parent", "kill -9 loses nothing", "Marketo's limits kept"):
        assert f"✓ {claim}" in run.said
    assert run.left_behind == []
    assert run.processes() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_demo_cleans_up(number: signal.Signals, code: int, tmp_path: Path) -> None:
    run = Command(tmp_path, "demo")
    try:
        await run.start("demo", "--records", FEW)
        await run.until(lambda: "the whole backlog is in Marketo" in run.said)
        assert run.processes()
        run.send(number)
        assert await run.ended() == code
    finally:
        await run.close()
    assert "interrupted" in run.said
    assert "Traceback" not in run.said
    assert run.processes() == []
    assert run.left_behind == []


async def test_a_daemon_that_ends_by_itself_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = (sys.executable, "-c", "print('no way'); raise SystemExit(7)")
    assert await demo.play(40, command) == 1
    told = capsys.readouterr().out
    assert "the daemon ended by itself, exit code 7" in told
    assert said_in(told.rpartition("the daemon's log: ")[2].strip()) == "no way\n"


async def test_a_daemon_that_does_nothing_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo_story, "PATIENCE_SECONDS", 0.5)
    assert await demo.play(40, (sys.executable, "-c", DEAF)) == 1
    told = capsys.readouterr().out
    assert "the two systems still differ" in told
    assert "missing: " in told
    assert "… and " in told


@pytest.mark.parametrize("records", ["0", "39", "many"])
def test_too_few_records_are_a_wrong_usage(records: str) -> None:
    result = CliRunner().invoke(demo.demo, ["--records", records])
    assert result.exit_code == 2
    assert "--records" in result.output
