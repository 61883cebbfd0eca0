"""The outbox machine once more, where every commit fails the first time: each piece of work is done twice and counts once."""

from __future__ import annotations

from unittest.mock import patch

from store.store import Store
from tests.property.depth import steps
from tests.property.test_outbox_machine import OutboxMachine
from tests.store.rehearsal import Rehearsing


class OutboxRunAgain(OutboxMachine):
    """The same rules and the same model."""

    async def _opened(self) -> Store:
        with patch("store.store.Writer", Rehearsing):
            return await super()._opened()

    def teardown(self) -> None:
        """Every commit was made twice, or this would show nothing."""
        writer = self.store.writer
        super().teardown()
        assert isinstance(writer, Rehearsing)
        assert writer.rehearsals >= writer.commits > 0


OutboxRunAgain.TestCase.settings = steps(usual=10, deep=40, each=40)
TestOutboxRunAgain = OutboxRunAgain.TestCase
