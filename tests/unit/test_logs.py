"""Log lines for systemd's journal: each with its priority, and only where the journal reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from stream import logs


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Logging as it was, afterwards."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def said(path: Path, form: str, journal: str | None = None, **odd: Any) -> list[str]:
    """What stands in the file after a line of each level; `journal` None: the file is the journal's stream."""
    with path.open("w+") as stream:
        found = os.fstat(stream.fileno())
        logs.configure("debug", form, to=stream, journal=journal if journal is not None else f"{found.st_dev}:{found.st_ino}")
        log = structlog.get_logger()
        log.debug("one", **odd)
        log.info("two")
        log.warning("three")
        log.error("four")
    return path.read_text().splitlines()


def test_each_line_says_its_priority_to_the_journal(tmp_path: Path) -> None:
    lines = said(tmp_path / "log", "json")
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    assert [orjson.loads(line[3:])["event"] for line in lines] == ["one", "two", "three", "four"]


def test_a_text_of_several_lines_says_it_on_each(tmp_path: Path) -> None:
    lines = said(tmp_path / "log", "console", told="first\nsecond")
    assert len(lines) >= 4
    assert all(line[0] == "<" and line[2] == ">" for line in lines)


@pytest.mark.parametrize("journal", ["", "8:1", "nonsense"])
def test_no_other_stream_gets_a_mark(tmp_path: Path, journal: str) -> None:
    assert all(line.startswith("{") for line in said(tmp_path / "log", "json", journal))
