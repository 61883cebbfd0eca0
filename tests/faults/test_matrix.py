"""The fault matrix: each way to fail at each call the daemon makes.

The ordinary suite takes a covering selection, but for the steps in `NOT_ALWAYS` and most calls that are refused as a whole with a
code that blames a record; with `--covering-matrix` it takes all of the selection, with `--whole-matrix` every way at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.faults.judged import refuse_calls, refuse_record
from tests.faults.matrix import Play, play, play_all
from tests.faults.rows import BY_CALL, ROWS, SCORES, Chosen, Row, covering, groups, whole
from tests.faults.ways import Way

GROUPS = groups()
NOT_ALWAYS = frozenset({SCORES})
"""What would take a minute more, and loses least where it fails: the next sweep reads every score again."""
FINDS = "marketo find leads by "
VERDICTS: dict[str, tuple[Play, Callable[[Row], Sequence[Way]]]] = {
    "call": (refuse_calls, lambda row: row.verdicts),
    "record": (refuse_record, lambda row: row.refusals),
}


def only_whole(request: pytest.FixtureRequest, *, always: bool) -> None:
    """Skip what only a run of its own has."""
    if not always and not any(map(request.config.getoption, ("--covering-matrix", "--whole-matrix"))):
        pytest.skip("only in a run of its own: make matrix")


def chosen(table: Callable[[Row], Sequence[Way]], request: pytest.FixtureRequest) -> Chosen:
    """A covering selection, or all."""
    return whole(table) if request.config.getoption("--whole-matrix") else covering(table)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("group", GROUPS)
async def test_every_call_fails_in_every_way(tmp_path: Path, group: str, request: pytest.FixtureRequest) -> None:
    only_whole(request, always=GROUPS[group][0].step not in NOT_ALWAYS)
    await play(tmp_path, GROUPS[group], chosen(lambda row: row.ways, request))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("call", [row.call for row in ROWS if row.judges])
@pytest.mark.parametrize("level", VERDICTS)
async def test_every_code_that_blames_a_record_ends_in_its_letter_and_nowhere_else(
    tmp_path: Path, level: str, call: str, request: pytest.FixtureRequest
) -> None:
    only_whole(request, always=level == "record" or call.startswith(FINDS))
    how, table = VERDICTS[level]
    row = BY_CALL[call]
    await play_all(tmp_path, [[(row, way)] for way in chosen(table, request)[row]], how)
