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


def steps(usual: int, deep: int, each: int) -> settings:
    """So many examples of a state machine, with so many steps in each.

    To make one smaller takes minutes: `MSI_SHRINK=1` in a deep look does it once one was found.
    """
    phases = tuple(Phase) if DEEP and "MSI_SHRINK" in os.environ else (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(
        examples(usual, deep),
        stateful_step_count=each,
        phases=phases if DEEP else (Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
