"""The check of the dependencies fails where a vulnerability is known, and never says more than it saw."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parents[2] / "requirements" / "vulnerabilities.py"


def verdict(*dependencies: dict[str, Any]) -> tuple[int, str]:
    """Its exit code and text."""
    spec = importlib.util.spec_from_file_location("vulnerabilities", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    code, lines = module.verdict(dependencies)
    return code, "\n".join(lines)


SOUND = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
SKIPPED = {"name": "click", "skip_reason": "not found"}
BAD = {
    "name": "orjson",
    "version": "3.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3.1"]}, {"id": "CVE-2", "fix_versions": []}],
}


def test_a_known_one_fails_and_names_its_cure() -> None:
    code, text = verdict(SOUND, BAD, SKIPPED)
    assert code == 1
    assert text.splitlines() == ["orjson 3.0: CVE-1, mended in 3.1", "orjson 3.0: CVE-2, mended in no version yet"]


def test_none_is_said_only_of_what_was_checked() -> None:
    assert verdict(SOUND, SOUND) == (0, "vulnerabilities: none known of 2 dependencies")
    code, text = verdict(SOUND, SKIPPED)
    assert code == 0
    assert "1 of 2 dependencies checked" in text
