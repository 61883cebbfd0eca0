"""What a delivered record costs the store, at backlogs of a thousand to a million, in processor time of all threads."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.measure import Figure, Size, Target, alternate
from bench.setting import backlog, now_ms
from store.model import Ack
from store.store import Store

CLAIM = 300


async def cost(store: Store, batches: int) -> float:
    """Microseconds of processor time for each record that goes out."""
    began, gone, at_ms = time.process_time(), 0, now_ms()
    for _ in range(batches):
        claimed = await store.claim("Lead", "upsert", most=CLAIM, now_ms=at_ms, linger_ms=0)
        await store.finish([Ack(one.entry.entry_id, one.entry.key, marketo_id=one.record.marketo_id) for one in claimed], at_ms)
        gone += len(claimed)
    return 1e6 * (time.process_time() - began) / gone


def _remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


async def figures(size: Size) -> list[Figure]:
    """The dearest backlog beside the smallest."""
    counts = [10**power for power in range(3, 1 + size.of(tiny=4, quick=5, whole=6))]
    with tempfile.TemporaryDirectory() as folder:
        samples: dict[str, list[float]] = {f"{count:,}": [] for count in [*counts, 0]}
        for turn in range(size.turns):
            paths = {f"{count:,}": Path(folder) / f"{turn}-{count}.db" for count in [*counts, 0]}
            for name, count in zip(paths, [*counts, counts[0]], strict=True):
                await backlog(paths[name], count)
            stores = {name: await Store.open(path) for name, path in paths.items()}
            measured = await alternate({name: lambda store=store: cost(store, 3) for name, store in stores.items()}, 1)  # type: ignore[misc] # a default binds it
            for name, values in measured.items():
                samples[name] += values
            for name, store in stores.items():
                await store.close()
                _remove(paths[name])
    control = samples.pop("0")
    smallest, most = samples[f"{counts[0]:,}"], samples[f"{counts[-1]:,}"]
    others = {f"backlog {name}": values for name, values in samples.items() if name not in (f"{counts[0]:,}", f"{counts[-1]:,}")}
    figure = Figure(
        "scale",
        "µs/record",
        f"a backlog of {counts[0]:,}",
        Target(1.2, least=False),
        {f"backlog {counts[-1]:,}": most, f"backlog {counts[0]:,}": smallest},
        others=others,
    )
    figure.control = (control, smallest)
    return [figure]
