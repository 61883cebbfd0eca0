"""`status --watch` in a real terminal: it draws, follows the store, the window and the keys, and leaves no trace."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from store.model import Change
from store.store import Store
from stream.ids import widen
from tests.cli.shell import config_file, here_and_now
from tests.cli.terminal import terminal

FRAMES_MOST = 8  # the ones begun for the wide window, and some
CONTACT = widen("0035g00000000C1")


async def changed(path: Path) -> None:
    store = await Store.open(path)
    await store.take([Change("Contact", CONTACT, fields={"LastName": "Lee"}, whole=True)], None, 1_790_000_000_000)
    await store.close()


async def made(path: Path) -> None:
    await (await Store.open(path)).close()


def test_it_follows_the_store_and_the_window_until_q(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    asyncio.run(made(tmp_path / "store.db"))
    with terminal("status", "--watch", "--config", str(config)) as screen:
        first = screen.until("scores swept until")
        assert "the daemon is stopped" in first
        assert "q quits" in first
        assert "nothing" in first
        asyncio.run(changed(tmp_path / "store.db"))
        screen.until("Contact 1")
        screen.resize(columns=50)
        for _ in range(FRAMES_MOST):
            narrow = screen.until("scores swept").replace("\r", "\n").splitlines()
            if max(len(line) for line in narrow) <= 50:
                break
        else:
            raise AssertionError(narrow)
        screen.press(b"x")
        screen.until("q quits")
        screen.press(b"q")
        assert screen.ended() == 1


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_ctrl_c_and_a_signal_end_it_with_the_code_of_status(tmp_path: Path, how: str) -> None:
    config = config_file(tmp_path)
    with terminal("status", "--watch", "--config", str(config)) as screen:
        drawn = screen.until("people").replace("\r\n", " ")
        assert "there is no store at" in drawn
        screen.press(b"\x03") if how == "Ctrl-C" else screen.process.send_signal(signal.SIGTERM)
        assert screen.ended() == 1


def test_it_needs_a_terminal_and_goes_without_json(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    for words in (["--watch"], ["--watch", "--json"]):
        said = here_and_now("status", *words, "--config", str(config))
        assert said.code == 2
        assert "--watch" in said.err
