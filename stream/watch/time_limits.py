"""How long each loop may take from one sign of life to the next: the longest call it makes, what that may wait for, and a margin.

Waits that a loop intends (a backoff, a budget's reset) are announced by it and stand outside of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stream.config.model import Marketo
from stream.marketo.client import Timeouts
from stream.marketo.limits import WINDOW_SECONDS
from stream.salesforce.sign_in import TOTAL_SECONDS as SIGN_IN_SECONDS

LOOPS = ("capture", "reading", "reconcile", "load", "deliver", "scores")
MARGIN_SECONDS = 60.0  # a slow disk, a busy machine
STORE_SECONDS = 60.0  # the longest that writing a few facts down may take


def time_limits(
    settings: Marketo, marketo: Timeouts, *, at_once: int, salesforce_seconds: float, liveness_seconds: float
) -> Mapping[str, float]:
    """Seconds by loop. A call to Marketo may have to wait for its place, or for others who are signing in, but not for both.

    `at_once`: how many calls Marketo is given just now, which may be fewer than are set.
    """
    callers = settings.concurrency + 2  # batches, scores, describes
    turns = math.ceil(callers / min(at_once, settings.calls_per_20s))
    turn = max(marketo.sync_leads, marketo.query) + WINDOW_SECONDS
    before = max(turns * turn, callers * marketo.other)
    salesforce = 2 * SIGN_IN_SECONDS + salesforce_seconds
    longest = {
        "capture": 2 * SIGN_IN_SECONDS + liveness_seconds,
        "reading": salesforce,
        "reconcile": salesforce,
        "load": salesforce,
        "deliver": max(before + marketo.sync_leads, salesforce),
        "scores": max(before + marketo.paging_token, salesforce),
        "quota": max(salesforce, before + marketo.other),
        "heartbeat": STORE_SECONDS,
        "holds": STORE_SECONDS,
    }
    return {name: seconds + MARGIN_SECONDS for name, seconds in longest.items()}
