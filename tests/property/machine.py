"""What every state machine around a store has: a folder in memory, a loop of its own, and SQLite called where it stands.

The store itself is the real one, in a real file; only the hop into another thread for each statement is left out.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from tests.property.virtual_time import sqlite_in_this_thread

MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
SCRATCH = MEMORY if os.access(MEMORY, os.W_OK) else None


class StoreMachine(RuleBasedStateMachine):
    """`path` is where the store lies; whoever overrides `teardown` calls `put_away` in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._stack.enter_context(sqlite_in_this_thread())
        self.runner = self._stack.enter_context(asyncio.Runner())
        self.path = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH))) / "store.db"

    def _run(self, work: Any) -> Any:
        return self.runner.run(work)

    def put_away(self) -> None:
        """End the loop, and leave nothing behind."""
        self._stack.close()
