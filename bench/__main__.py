"""Measure, print the table, and write it with its plots.

python -m bench [--size tiny|quick|whole] [--turns N] [--out FOLDER] [FIGURE…]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import calls, capture, deliver, drain, first_load, freshness, idle, outbox, resident, scale, sweep
from bench.measure import RESULTS, Figure, Size, markdown, save
from bench.setting import quiet
from bench.torture import figures as torture
from stream.clock import SystemClock

MEASURES = {
    "deliver": deliver.figures,
    "capture": capture.figures,
    "outbox": outbox.figures,
    "calls": calls.figures,
    "sweep": sweep.figures,
    "scale": scale.figures,
    "resident": resident.figures,
    "first-load": first_load.figures,
    "drain": drain.figures,
    "freshness": freshness.figures,
    "torture": torture.figures,
    "idle": idle.figures,
}


def machine(size: Size) -> dict[str, Any]:
    """Where and when it was measured, and how much else the machine had to do."""
    when = datetime.fromtimestamp(SystemClock().now(), UTC).strftime("%Y-%m-%d %H:%M UTC")
    busy = os.getloadavg()[0]
    where = f"{os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}, load {busy:.1f}"
    return {"machine": where, "when": when, "size": size.name, "load": busy}


async def main() -> None:
    """Run the figures that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the daemon beside what it is compared with.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(MEASURES)}; without any, all")
    parser.add_argument("--size", choices=("tiny", "quick", "whole"), default="whole")
    parser.add_argument(
        "--turns", type=int, help="how often each variant runs, where the size's own number is too many or too few"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if unknown := sorted(set(given.figures) - MEASURES.keys()):
        parser.error(f"no such figure: {', '.join(unknown)}")
    quiet()
    size = Size(given.size, given.turns)
    about, made = machine(size), list[Figure]()
    for name in given.figures or MEASURES:
        print(f"measuring {name} …", flush=True)
        began = time.perf_counter()
        made += await MEASURES[name](size)
        save(made, about, given.out)
        print(f"    {time.perf_counter() - began:.0f} s", flush=True)
    print(markdown(made, about))


if __name__ == "__main__":
    asyncio.run(main())
