"""What a person sees who runs the daemon in a terminal: lines in words and colours, none of them where the person wants none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.shell import config_file
from tests.cli.terminal import Terminal, terminal

CTRL_C = b"\x03"
NOWHERE = "http://127.0.0.1:9"  # discard: nobody listens


def config(folder: Path, **settings: Any) -> str:
    """Salesforce and Marketo cannot be reached: the daemon says so, and goes on."""
    return str(config_file(folder, salesforce__login_url=NOWHERE, marketo__base_url=NOWHERE, **settings))


def said(window: Terminal) -> str:
    """All that was drawn until it was ended by Ctrl-C, which is a good end."""
    window.until("stream_lost")
    drawn = window.raw
    window.press(CTRL_C)
    window.until("daemon_stopped")
    drawn += window.raw
    assert window.ended() == 0
    return drawn.replace("^C", "")  # the terminal's echo, wherever it came


def test_a_person_reads_words_and_colours(tmp_path: Path) -> None:
    with terminal("run", "--config", config(tmp_path)) as window:
        drawn = said(window)
    assert "\x1b[" in drawn
    assert '{"' not in drawn
    [line] = [line for line in drawn.splitlines() if "stream_lost" in line]
    assert "\x1b[33m" in line  # a warning is yellow


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal("run", "--config", config(tmp_path), environ=environ) as window:
        drawn = said(window)
    assert "\x1b" not in drawn
    assert '{"' not in drawn


def test_who_asks_for_json_gets_it_in_a_terminal_too(tmp_path: Path) -> None:
    with terminal("run", "--config", config(tmp_path, log__format="json")) as window:
        drawn = said(window)
    lines = [orjson.loads(line) for line in drawn.splitlines() if line.startswith("{")]
    assert {"daemon_started", "stream_lost", "daemon_stopped"} <= {line["event"] for line in lines}
