"""How a record stands, in one sentence, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from store.model import WAITS_TO_LEAVE, Entry, Record
from store.tales import Link, Tale
from stream.holds import LEAVING_CURE, cure_of

MEND = "Mend that; it goes on by itself."


def state_of(record: Record | None, entry: Entry | None) -> str:
    """One word for how a record stands: what is open for it, else what it is."""
    if entry is None:
        return record.state if record is not None else "unknown"
    if entry.state != "open":
        return "reading" if entry.state == "in_flight" and entry.pending.read else entry.state
    if entry.waits:
        return "waiting"
    if entry.pending.read:
        return "to_read"
    return "retrying" if entry.cause else "ready"


def why_waiting(link: Link) -> str:
    """How a record that is waited for stands, in half a sentence."""
    entry = link.entry
    if link.again:
        return "it is told above: they wait for each other"
    if entry is None:
        return "nothing is open for it: it is not in Marketo, and nobody is about to send it"
    match state_of(link.record, entry):
        case "dead":
            return f"it is a dead letter ({entry.code}): {entry.cause}"
        case "in_flight":
            return "it is being sent to Marketo"
        case "reading":
            return "it is being read from Salesforce"
        case "waiting":
            return f"it waits for {entry.waits} other record{'' if entry.waits == 1 else 's'} itself"
        case "to_read":
            return f"it waits to be read from Salesforce ({entry.pending.read})"
        case "retrying":
            return f"it waits to be tried again: {entry.cause}"
    return "it waits to be sent to Marketo"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The last sentence: how it stands, and what to do."""

    found: Tale
    now_ms: int
    running: bool

    def sentence(self) -> tuple[str, str]:
        """How it stands, and what to do ("" where nothing needs anybody)."""
        entry = self.found.entry
        if entry is None:
            return self._settled()
        if entry.state == "dead":
            return f"It is a dead letter ({entry.code}): {entry.cause}.", _cure_of(entry, self.found.record)
        if not self.running:
            return f"{self._open(entry)}, and the daemon is stopped.", "Start the daemon."
        if entry.waits:
            return self._waiting(entry)
        if entry.code == WAITS_TO_LEAVE:
            return (
                "It left its filter together with too many others, and stays in Marketo for now.",
                f"{LEAVING_CURE[:1].upper()}{LEAVING_CURE[1:]}.",
            )
        return self._stopped_flow(entry) or (f"{self._open(entry)}.", "")

    def _settled(self) -> tuple[str, str]:
        """Nothing is open for it."""
        record, letter = self.found.record, self.found.refused_scores
        if letter is not None:
            return f"It is in Marketo, and Salesforce refuses its scores ({letter.code}): {letter.cause}.", letter.cure
        match record.state:
            case "synced":
                return "It is in Marketo as Salesforce told it last; nothing is open.", ""
            case "excluded" if record.object != "User":
                return "It is outside of its filter, or what it cannot be without is: nothing of it is sent.", ""
            case "excluded":
                return "It is no sales person: it goes to Marketo when it owns something that is synced.", ""
            case "deleted":
                return "Salesforce has deleted it, and nothing is left to be done.", ""
            case "dropped":
                return "It was given up by the operator; its next change in Salesforce tries it again.", ""
            case "converted":
                return "It was converted in Salesforce: its Marketo person belongs to the contact.", ""
        return "It is not in Marketo, and nothing is open for it.", "A change of it in Salesforce sends it."

    def _open(self, entry: Entry) -> str:
        match state_of(self.found.record, entry):
            case "waiting":
                return f"It waits for {entry.waits} other record{'' if entry.waits == 1 else 's'}"
            case "in_flight":
                return "It is on its way to Marketo"
            case "reading":
                return "It is just being read from Salesforce"
            case "to_read":
                return f"It is to be read from Salesforce ({entry.pending.read})" + self._again(entry)
            case "retrying":
                return f"It goes to Marketo again{self._when(entry)}: {entry.cause}" + (f" ({entry.code})" if entry.code else "")
        return f"It goes to Marketo with the next batch{self._when(entry)}"

    def _again(self, entry: Entry) -> str:
        return f"{self._when(entry)}: {entry.cause}" if entry.cause else ""

    def _when(self, entry: Entry) -> str:
        seconds = (entry.due_ms - self.now_ms) / 1000
        return f" in {seconds:,.0f} seconds" if seconds >= 1 else ""

    def _waiting(self, entry: Entry) -> tuple[str, str]:
        """What holds it up in the end is what has to be seen to."""
        ends = list(_ends(self.found.waits_for))
        worst = next((link for link in ends if link.entry is not None and link.entry.state == "dead"), ends[0] if ends else None)
        if worst is None:
            return f"{self._open(entry)}.", ""
        name = " ".join(worst.key)
        cure = ""
        if worst.entry is not None and worst.entry.state == "dead" and worst.record is not None:
            cure = _cure_of(worst.entry, worst.record)
        elif worst.entry is not None and not worst.again:
            _, cure = self._stopped_flow(worst.entry) or ("", "")
        elif worst.entry is None:
            cure = f"Change {name} in Salesforce: that sends it."
        return f"It waits for {name}: {why_waiting(worst)}.", cure

    def _stopped_flow(self, entry: Entry) -> tuple[str, str] | None:
        """Where the whole flow stands still, that is why."""
        stopped = self._what_reads_not() if entry.pending.read else self._what_delivers_not()
        return (f"{self._open(entry)}, and {stopped[0]}.", stopped[1]) if stopped is not None else None

    def _what_reads_not(self) -> tuple[str, str] | None:
        error = (self.found.heartbeat or {}).get("errors", {}).get("reading")
        return (f"reading does not work: {error}", MEND) if error else None

    def _what_delivers_not(self) -> tuple[str, str] | None:
        beat, holds = self.found.heartbeat or {}, self.found.holds
        error, paused, poisoned = beat.get("errors", {}).get("deliver"), beat.get("paused"), holds.poisoned
        if poisoned is not None:
            refused = f"{poisoned['refused']:,} of the last {poisoned['judged']:,} records were refused ({poisoned['code']})"
            cure = cure_of(poisoned)
            return f"delivery has stopped itself, since {refused}", f"{cure[:1].upper()}{cure[1:]}."
        if "deliver" in holds.paused:
            return "deliveries are paused by the operator", "`msi-stream resume deliver` ends that."
        if error:
            return f"nothing goes to Marketo: {error}", MEND
        return (f"deliveries are paused: {paused['cause']} ({paused['code']})", paused["cure"]) if paused else None


def _ends(links: Sequence[Link]) -> Iterator[Link]:
    """The far ends of the chain: what waits for nothing more."""
    for link in links:
        if link.waits_for:
            yield from _ends(link.waits_for)
        else:
            yield link


def _cure_of(entry: Entry, record: Record) -> str:
    cure = entry.cure[:1].upper() + entry.cure[1:].rstrip(".")
    return f"{cure}. `msi-stream dead retry {record.record_id}` tries it again."
