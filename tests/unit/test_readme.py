"""The README names every dependency with its reason."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dependencies() -> list[str]:
    """Everything that is installed by name, without what that brings along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    node = json.loads((ROOT / "package.json").read_text("utf-8"))
    pinned = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [*(one.partition("==")[0] for one in pinned), *node.get("dependencies", {}), *node.get("devDependencies", {})]


@pytest.mark.parametrize("name", dependencies())
def test_a_dependency_has_its_row_and_its_reason(name: str) -> None:
    rows = [
        line.strip("| ").split(" | ") for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("|")
    ]
    (reason,) = [row[1] for row in rows if name in re.split(r"[,;:]? (?:from npm )?", row[0])]
    assert len(reason.split()) >= 4
