"""The flows that stand still until a person ends it, as the running daemon knows them.

`pause`, `resume` and `dead retry` are other processes: they write notes into the store, which are looked for every second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from store.holds import FLOWS, Flow
from store.store import Store
from stream import pulse
from stream.clock import Clock
from stream.marketo.codes import rule_of
from stream.poison import Diagnosis, Poison

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Holds:
    """What is held. `paused` are the flows that the operator paused, as far as they have been taken up here.

    `_told`: the note of a poisoned flow is on its way into the store; `_noted`: it is there, and only a person takes it away.
    """

    store: Store
    clock: Clock
    poison: Poison
    paused: Mapping[Flow, float] = field(default_factory=dict)
    _told: bool = False
    _noted: bool = False

    def held(self, flow: Flow) -> bool:
        """Whether this flow starts nothing new."""
        return flow in self.paused or (flow == "deliver" and self.poison.stopped)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.clock.sleep(LOOK_SECONDS)
            await self.look()
            pulse.attempted()

    async def look(self) -> None:
        """Take up what the notes say now."""
        noted = self._noted
        found = await self.store.holds()
        self._take_pauses(found.paused)
        if found.poisoned is not None and not self.poison.stopped:
            self._told = self._noted = True
            self.poison.stop(Diagnosis(*(found.poisoned[name] for name in ("refused", "judged", "code"))))
            self._say(found.poisoned)
        elif found.poisoned is None and noted:
            self._told = self._noted = False
            self.poison.clear()
            log.info("deliver_resumed", code="poisoned")
            self.store.wake()

    def _take_pauses(self, paused: Mapping[Flow, float]) -> None:
        before, self.paused = self.paused, paused
        for flow in FLOWS:
            if flow in paused and flow not in before:
                log.warning("flow_paused", flow=flow, cure=f"`msi-stream resume {flow}` lets it go on")
            elif flow in before and flow not in paused:
                log.info("flow_resumed", flow=flow)
                self.store.wake()

    def news(self) -> dict[str, Any] | None:
        """What the store has to be told of a flow that has just been poisoned; said loudly, and given out once."""
        diagnosis = self.poison.diagnosis
        if diagnosis is None or self._told:
            return None
        self._told = True
        told = {"refused": diagnosis.refused, "judged": diagnosis.judged, "code": diagnosis.code}
        note = {"since": self.clock.now(), **told, "cause": OWN_CAUSES.get(diagnosis.code) or rule_of(diagnosis.code).cause}
        self._say(note)
        return note

    def noted(self) -> None:
        """The store has been told."""
        self._noted = True

    @staticmethod
    def _say(note: Mapping[str, Any]) -> None:
        log.error(
            "deliver_poisoned",
            refused=note["refused"],
            judged=note["judged"],
            code=note["code"],
            cause=note["cause"],
            cure=cure_of(note),
        )


OWN_CAUSES = {"VALUE": "a value that Marketo would not take in that field"}


def cure_of(note: Mapping[str, Any]) -> str:
    """What to do about a poisoned flow."""
    code = note["code"]
    return f"mend the cause (`msi-stream dead list --code {code}`), then `msi-stream dead retry --code {code}`"
