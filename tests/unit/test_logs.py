"""Log lines for systemd's journal: each with its priority, and only where the journal reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from stream.logs.output import Form, configure


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Logging as it was, afterwards."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def said(path: Path, form: Form, journal: str | None = None, cause: str = "odd") -> list[str]:
    """What stands in the file after a line of each level; `journal` None: the file is the journal's stream."""
    with path.open("w+") as stream:
        found = os.fstat(stream.fileno())
        configure("debug", form, to=stream, journal=journal if journal is not None else f"{found.st_dev}:{found.st_ino}")
        log = structlog.get_logger()
        log.debug("nothing_to_send", object="Lead", id="00Q", why="nothing new")
        log.info("daemon_stopping")
        log.warning("config_warning", cause=cause)
        log.error("reload_refused", cause="no such key", cure="mend it")
    return path.read_text().splitlines()


def test_each_line_says_its_priority_to_the_journal(tmp_path: Path) -> None:
    lines = said(tmp_path / "log", "json")
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    events = [orjson.loads(line[3:])["event"] for line in lines]
    assert events == [
        "nothing_to_send",
        "daemon_stopping",
        "config_warning",
        "reload_refused",
    ]


def test_a_text_of_several_lines_says_it_on_each(tmp_path: Path) -> None:
    lines = said(tmp_path / "log", "console", cause="first\nsecond")
    assert len(lines) >= 4
    assert all(line[0] == "<" and line[2] == ">" for line in lines)


@pytest.mark.parametrize("journal", ["", "8:1", "nonsense"])
def test_no_other_stream_gets_a_mark(tmp_path: Path, journal: str) -> None:
    assert all(line.startswith("{") for line in said(tmp_path / "log", "json", journal))
