"""The commands that the documents tell people to type, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"    (?P<line>[a-z$][\w./-]*( .*)?)")
_COMMENT = re.compile(r"(?:\s{2,}|^)#.*")
_IN_TEXT = re.compile(r"`(?P<line>(?:sudo )?msi-stream [^`]+)`")
DRAWN = "─│▶▲"


@dataclass(frozen=True, slots=True)
class Command:
    """One line, and where it stands."""

    document: Path
    number: int
    line: str

    def __str__(self) -> str:
        """For the test's name."""
        return f"{self.document.name}:{self.number} {self.line}"

    @property
    def words(self) -> list[str]:
        """The line's words."""
        return self.line.split()


def in_blocks(document: Path) -> Iterator[Command]:
    """The lines of indented blocks that are commands: a `\\` at a line's end joins the next."""
    before = ""
    for number, text in enumerate(document.read_text("utf-8").splitlines(), start=1):
        found = _BLOCK.fullmatch(text) if not before else re.fullmatch(r"\s+(?P<line>.*)", text)
        if found is None or any(sign in text for sign in DRAWN):
            before = ""
            continue
        line = before + _COMMENT.sub("", found["line"]).strip()
        before = line.removesuffix("\\") if line.endswith("\\") else ""
        if line and not before:
            yield Command(document, number, line)


def in_text(document: Path) -> Iterator[Command]:
    """What stands between backticks and begins with the program's name."""
    for number, text in enumerate(document.read_text("utf-8").splitlines(), start=1):
        for found in _IN_TEXT.finditer(text):
            yield Command(document, number, found["line"])
