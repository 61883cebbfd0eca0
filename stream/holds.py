"""What stands still until a person ends it, as the running daemon knows it: the flows, and who left its filter with too many.

`pause`, `resume` and `dead retry` are other processes, which write into the store. Every second it is looked whether any of them
did, which costs next to nothing; only then the notes are read, and every loop is woken: nobody else looks for what others wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from store.holds import FLOWS, LEAVING, Flow, Held
from store.model import ObjectName
from store.store import Store
from stream.clock import Clock
from stream.delivery.poison import Diagnosis, Poison
from stream.marketo.codes import rule_of
from stream.watch import pulse

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
OWN_SECONDS = 10.0  # whatever else this process may have noted itself


@dataclass(slots=True)
class Holds:
    """What is held. `paused` are the flows that the operator paused, as far as they have been taken up here; `leaving` are those
    who left their filter and wait for a person, by object. `asked`: somebody here may just have noted something.

    `_told`: the note of a poisoned flow is on its way into the store; `_noted`: it is there, and only a person takes it away.
    """

    store: Store
    clock: Clock
    poison: Poison
    paused: Mapping[Flow, float] = field(default_factory=dict)
    leaving: Mapping[ObjectName, int] = field(default_factory=dict)
    asked: bool = False
    _looked_at: float = float("-inf")
    _told: bool = False
    _noted: bool = False

    def held(self, flow: Flow) -> bool:
        """Whether this flow starts nothing new."""
        return flow in self.paused or (flow == "deliver" and self.poison.stopped)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.clock.sleep(LOOK_SECONDS)
            others = await self.store.others_wrote()
            if others or self.asked or self.clock.monotonic() - self._looked_at >= OWN_SECONDS:
                await self.look()
            if others:
                self.store.wake()
            pulse.attempted()

    async def look(self) -> None:
        """Take up what the notes say now."""
        self._looked_at, self.asked = self.clock.monotonic(), False
        noted = self._noted
        found = await self.store.holds()
        self._take_pauses(found.paused)
        await self._look_who_leaves(found.leaving)
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

    @property
    def all_held(self) -> list[Held]:
        """Whatever goes on only when a person says so."""
        flows: list[Held] = [flow for flow in FLOWS if self.held(flow)]
        return [*flows, LEAVING] if self.leaving else flows

    async def _look_who_leaves(self, found: Mapping[ObjectName, int]) -> None:
        """Who left its filter waits, is let go, or was taken back because the filter was put right."""
        taken_back = [obj for obj, waiting in found.items() if not waiting]
        if taken_back:
            await self.store.leaving_taken_back(taken_back)
        before, self.leaving = self.leaving, {obj: waiting for obj, waiting in found.items() if waiting}
        for obj, waiting in self.leaving.items():
            if obj not in before:
                log.error("leaving_held", object=obj, records=waiting, cure=LEAVING_CURE)
        for obj in before:
            if obj not in self.leaving:
                log.info("leaving_goes_on", object=obj)
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


LEAVING_CURE = (
    "is a filter wrong? put it right and restart the daemon, which takes them back; "
    "if they are to go, `msi-stream resume leaving`"
)
OWN_CAUSES = {"VALUE": "a value that Marketo would not take in that field"}


def cure_of(note: Mapping[str, Any]) -> str:
    """What to do about a poisoned flow."""
    code = note["code"]
    return f"mend the cause (`msi-stream dead list --code {code}`), then `msi-stream dead retry --code {code}`"
