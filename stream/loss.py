"""How long is left until Salesforce forgets what was not read, and how that is said."""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

RETENTION_SECONDS = 72 * 3600  # how long Salesforce keeps events (CDC Developer Guide)
LOSS_MARKS_HOURS = (60.0, 48.0, 36.0, 24.0, 12.0, 6.0, 3.0, 1.0, 0.01)
LOUD_BELOW_HOURS = 24.0
REACH = "let the daemon reach Salesforce again before then; what is forgotten has to be read again, which takes calls"


@dataclass(slots=True)
class LossWarning:
    """Says, once for each mark that is passed, that Salesforce is about to forget what was not read; louder as it nears."""

    _passed: float = math.inf

    def look(self, hours: float | None) -> None:
        """So many hours are left."""
        if hours is None or hours >= LOSS_MARKS_HOURS[0]:
            self._passed = math.inf
            return
        mark = min(mark for mark in LOSS_MARKS_HOURS if hours < mark)
        if mark >= self._passed:
            return
        self._passed = mark
        if mark > LOUD_BELOW_HOURS:
            log.warning("loss_nears", hours_to_loss=hours, cure=REACH)
        else:
            log.error("loss_nears", hours_to_loss=hours, cure=REACH)


def hours_to_loss(heard_at: float | None, now: float) -> float | None:
    """How many hours are left until Salesforce forgets something that was not read; None before the first connect."""
    if heard_at is None:
        return None
    return round(max(RETENTION_SECONDS - max(now - heard_at, 0.0), 0.0) / 3600, 2)
