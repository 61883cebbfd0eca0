"""Processor time that an idle daemon takes: the stream open, nothing to do, the ordinary intervals; reckoned up to an hour."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.measure import Figure, Size, Target
from bench.resident import daemon_process, paused_store
from bench.services import services
from bench.setting import config_at

SETTLED_SECONDS = 5.0


async def figures(size: Size) -> list[Figure]:
    """The row: several stretches of one daemon's life, each reckoned up."""
    stretch = size.of(tiny=1, quick=3, whole=60)
    hours: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await paused_store(folder, 0)
        async with services() as remote, daemon_process(folder, config_at(folder, remote)) as running:
            await asyncio.sleep(SETTLED_SECONDS)
            for _ in range(size.turns):
                began, before = time.perf_counter(), running.processor_seconds()
                await asyncio.sleep(stretch)
                hours.append(3600 * (running.processor_seconds() - before) / (time.perf_counter() - began))
    target = Target(absolute=10.0, least=False)
    return [Figure("idle", "s of processor time an hour", "–", target, {"daemon": hours}, [f"stretches of {stretch} s"])]
