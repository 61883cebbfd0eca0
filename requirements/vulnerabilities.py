"""Checks what is installed for users against the known vulnerabilities: `make vulnerabilities`.

Exit code 1 only where one is known. An index that tells of none of them (a mirror, no network) is said, and no failure: a check
that depends on somebody else's service must not stop a change that has nothing to do with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCKED = Path(__file__).with_name("run.txt")
SECONDS_MOST = 300


def verdict(dependencies: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """The exit code, and what to print, of pip-audit's findings: `name`, and `version` and `vulns`, or `skip_reason`."""
    lines = [
        f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for each in dependencies
        for found in each.get("vulns", ())
    ]
    if lines:
        return 1, lines
    checked = sum("skip_reason" not in each for each in dependencies)
    if checked < len(dependencies):
        return 0, [
            f"vulnerabilities: {checked} of {len(dependencies)} dependencies checked; the index tells nothing of the others"
        ]
    return 0, [f"vulnerabilities: none known of {checked} dependencies"]


def main() -> int:
    """Ask, and tell."""
    words = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json")
    asked = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCKED), *words]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)
        dependencies = json.loads(answer.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, LookupError):
        print("vulnerabilities: not checked, the index does not answer")
        return 0
    code, lines = verdict(dependencies)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
