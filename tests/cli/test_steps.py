"""How far a long piece of work is: lines in a pipe, at most one in ten seconds, with rate and time left."""

from __future__ import annotations

import pytest

from stream.cli.steps import steps


class HandClock:
    """A clock that is set by hand."""

    at = 0.0

    def now(self) -> float:
        """Its time."""
        return self.at

    def monotonic(self) -> float:
        """Its time."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Move it."""
        self.at += seconds


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = HandClock()
    with steps("records compared", 1000, clock) as progress:
        for done in range(0, 401, 10):
            progress.at(done)
            clock.at += 1.0
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "records compared: 100 of 1,000 (10/s, 90 s left)"


def test_what_is_short_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = HandClock()
    with steps("records looked at", None, clock) as progress:
        progress.at(5)
        clock.at += 20.0
        progress.at(9, 18)
    assert capsys.readouterr().err == "records looked at: 9 of 18 (0/s, 20 s left)\n"
