"""A real store on a temporary path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.outbox_steps import Outbox


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    """An open store and its steps."""
    steps = Outbox(tmp_path / "store.db")
    await steps.open()
    yield steps
    await steps.close()
