"""Records what the real daemon logs in each situation: `python -m tests.alerts.record [NAME …]`, into recorded/NAME.jsonl.

The simulated services and the daemon share a clock that runs fast; what is written down is what an operator's log would hold. The
memory of the machine that recorded is left out of account: nothing depends on it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.alerts.situations import SITUATIONS, play

RECORDED = Path(__file__).parent / "recorded"


def main(names: list[str]) -> None:
    """Record these situations, or all."""
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    RECORDED.mkdir(exist_ok=True)
    for name in names or SITUATIONS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log"
            asyncio.run(play(name, Path(folder), path))
            (RECORDED / f"{name}.jsonl").write_bytes(path.read_bytes())
        print(name, (RECORDED / f"{name}.jsonl").stat().st_size)  # noqa: T201 - a script's progress


if __name__ == "__main__":
    main(sys.argv[1:])
