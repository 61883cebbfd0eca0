"""How long to look: a little in each run of the tests, or for as long as it takes (`HYPOTHESIS_PROFILE=deep`)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


def examples(usual: int, deep: int) -> settings:
    """So many examples of a property whose examples take a while: what is found is made smaller only in a deep look."""
    return settings(
        max_examples=deep if DEEP else usual,
        deadline=None,
        derandomize=not DEEP,
        phases=tuple(Phase) if DEEP else (Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
