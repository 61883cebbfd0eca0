"""The benchmark runs: its smallest size, each way into the table, and what the table says of what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import sweep
from bench.measure import Figure, Size, Target, alternate

ROOT = Path(__file__).parents[2]


def test_a_tiny_run_counts_the_calls_and_writes_table_and_plots(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--size", "tiny", "--out", str(tmp_path), "deliver", "calls"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["figures"]}
    assert rows["calls, 600 changes"]["samples"] == {"daemon": [2.0], "least": [2.0]}
    assert rows["calls, 600 changes to 60 records"]["ratio"] == 1.0
    assert rows["deliver"]["ratio"] > 0
    assert "| deliver |" in (tmp_path / "figures.md").read_text(encoding="utf-8")
    drawing = ET.parse(tmp_path / "deliver.svg")  # noqa: S314 - our own
    assert len(drawing.findall(".//{http://www.w3.org/2000/svg}circle")) == 2


@pytest.mark.timeout(240)
async def test_a_tiny_sweep_reads_everybody_once_and_writes_what_differs_in_full_calls() -> None:
    rows = {row.name: row.samples["daemon"] for row in await sweep.figures(Size("tiny"))}
    reads = {name: calls for name, calls in rows.items() if name.endswith("reads")}
    assert list(reads.values()) == [[3.0]] * 3, reads
    writes = ("sweep, all changed, writes", "sweep, none changed, writes", "sweep, 1 in 100 changed, writes")
    assert [rows[name] for name in writes] == [[4.0], [0.0], [1.0]]


@pytest.mark.parametrize(
    ("target", "ours", "verdict"),
    [
        (Target(0.5, 1_000), [1_100.0], "reached"),
        (Target(0.6, 1_000), [1_100.0], "missed"),
        (Target(0.5, 1_200), [1_100.0], "missed"),
        (Target(1.2, least=False), [2_300.0], "reached"),
        (Target(1.1, least=False), [2_300.0], "missed"),
        (Target(), [1.0], "told"),
    ],
)
def test_a_target_is_reached_or_missed(target: Target, ours: list[float], verdict: str) -> None:
    assert Figure("f", "u", "it", target, {"ours": ours, "it": [2_000.0]}).verdict == verdict


def test_noise_is_the_worst_turn_of_the_control() -> None:
    figure = Figure("f", "u", "it", Target(1.0), {"ours": [1.0, 1.0], "it": [10.0, 10.0], "control": [11.0, 8.0]})
    assert figure.noise == pytest.approx(0.2)


async def test_variants_take_turns_and_each_begins_once() -> None:
    order: list[str] = []

    async def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = await alternate({name: lambda name=name: run(name) for name in "ab"}, 2)  # type: ignore[misc] # a default binds it
    assert order == ["a", "b", "b", "a"]
    assert samples == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
