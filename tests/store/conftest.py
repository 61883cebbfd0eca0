"""A real store on a temporary path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.outbox_steps import Outbox
from tests.store.rehearsal import Rehearsing


@pytest.fixture(params=["once", "twice"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outbox]:
    """An open store and its steps. "twice": every commit fails at its end and is made again, and nobody can tell."""
    if request.param == "twice":
        monkeypatch.setattr("store.store.Writer", Rehearsing)
    steps = Outbox(tmp_path / "store.db")
    await steps.open()
    yield steps
    await steps.close()
