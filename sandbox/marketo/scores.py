"""The Sales Insight values of people, which change by themselves: at night without a trace, and with activities by day."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sandbox.marketo.activities import CHANGE_SCORE, INTERESTING_MOMENT
from sandbox.marketo.values import stamp

if TYPE_CHECKING:
    from sandbox.marketo.instance import Instance

MOMENTS = (
    ("Web", "Visited the pricing page", "Pricing page"),
    ("Email", "Clicked a link in the newsletter", "Newsletter"),
    ("Milestone", "Attended the product webinar", "Webinar programme"),
)


class Scores:
    """Changes scores of an instance; what a seed decides is the same in every run."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def recalculate(self, share: float = 1.0, seed: int = 0) -> list[int]:
        """The nightly run: new stars and flames (0 to 3) for a share of all, no activity, no updatedAt. Returns whose changed."""
        changed = []
        for lead_id, lead in self._instance.leads.items():
            chance = random.Random(f"{seed}:{lead_id}")
            if chance.random() >= share:
                continue
            name = self._instance.relative_score
            before = (lead.get(name), lead.get("relativeUrgency"))
            after = before
            while after == before:
                after = (chance.randint(0, 3), chance.randint(0, 3))
            lead[name], lead["relativeUrgency"] = after
            changed.append(int(lead_id))
        return changed

    def interesting_moment(
        self,
        lead_id: int,
        kind: str = "Web",
        description: str = "Visited the pricing page",
        source: str = "Pricing page",
        *,
        when: float | None = None,
        late_seconds: float | None = None,
    ) -> None:
        """An interesting moment happens: the four moment fields change, activity 46 tells."""
        at = self._instance.now() if when is None else when
        self._instance.leads.change(
            lead_id,
            {
                "msiLastInterestingMomentType": kind,
                "msiLastInterestingMomentDesc": description,
                "msiLastInterestingMomentSource": source,
                "msiLastInterestingMomentDate": stamp(at),
            },
        )
        attributes = {"Date": stamp(at), "Description": description, "Source": source}
        self._instance.activities.add(INTERESTING_MOMENT, lead_id, kind, attributes, date=at, late_seconds=late_seconds)

    def change_score(self, lead_id: int, priority: float, *, late_seconds: float | None = None) -> None:
        """A scoring campaign runs: the engagement (priority) changes, activity 22 tells."""
        old = self._instance.leads[lead_id].get("priority")
        self._instance.leads.change(lead_id, {"priority": priority})
        attributes = {"Old Value": old, "New Value": priority, "Priority": priority}
        self._instance.activities.add(CHANGE_SCORE, lead_id, "Lead Score", attributes, late_seconds=late_seconds)

    def set(self, lead_id: int, **values: object) -> None:
        """Set MSI fields outright, without any activity."""
        self._instance.leads.change(lead_id, values)

    def busy_day(self, share: float = 0.1, seed: int = 0) -> list[int]:
        """Moments and scores for a share of all people, with their activities. Returns whose changed."""
        changed = []
        for lead_id in list(self._instance.leads):
            chance = random.Random(f"{seed}:{lead_id}")
            if chance.random() >= share:
                continue
            if chance.random() < 0.5:
                self.interesting_moment(lead_id, *chance.choice(MOMENTS))
            else:
                self.change_score(lead_id, chance.randint(0, 100))
            changed.append(int(lead_id))
        return changed
