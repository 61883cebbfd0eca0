"""Scripted refusals of single records, and of every batch that holds a certain record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.marketo.answers import Refused, Skipped

Which = str | int | Callable[[Mapping[str, Any]], bool]
OWN_KEYS = {
    "salesperson": ("externalSalesPersonId", "id"),
    "company": ("externalCompanyId", "id"),
    "lead": ("id", "externalPersonId", "email"),
    "opportunity": ("externalOpportunityId", "marketoGUID"),
    "role": ("externalOpportunityId", "leadId", "marketoGUID"),
}


@dataclass(slots=True)
class Refusal:
    """One scripted refusal. `times=None` goes on until it is taken back; `hits` counts what it refused."""

    object: str
    which: Which
    code: str
    message: str
    times: int | None
    hits: int = 0

    def meets(self, object_name: str, record: Mapping[str, Any]) -> bool:
        """Whether this record is to be refused. Does not count."""
        if self.object != object_name or (self.times is not None and self.hits >= self.times):
            return False
        if callable(self.which):
            return bool(self.which(record))
        wanted = str(self.which).casefold()
        return any(str(record.get(name)).casefold() == wanted for name in OWN_KEYS[object_name])


class Refusals:
    """What is refused on purpose. `object_name` is one of salesperson, company, lead, opportunity, role."""

    def __init__(self) -> None:
        self._records: list[Refusal] = []
        self._batches: list[Refusal] = []

    def refuse(
        self,
        object_name: str,
        which: Which,
        code: str,
        message: str = "scripted refusal",
        times: int | None = 1,
    ) -> Refusal:
        """Skip records of this object: by a key (a lead: id, externalPersonId or email) or by a predicate over what was sent."""
        refusal = Refusal(object_name, which, str(code), message, times)
        self._records.append(refusal)
        return refusal

    def refuse_batch_containing(
        self,
        object_name: str,
        which: Which,
        code: str,
        message: str = "scripted refusal",
        times: int | None = None,
    ) -> Refusal:
        """Refuse every sync call whose input holds such a record, as a whole and naming nobody."""
        refusal = Refusal(object_name, which, str(code), message, times)
        self._batches.append(refusal)
        return refusal

    def clear(self) -> None:
        """Refuse nothing any more."""
        self._records.clear()
        self._batches.clear()

    def check_record(self, object_name: str, record: Mapping[str, Any]) -> None:
        """Raise Skipped where this record is refused."""
        for refusal in self._records:
            if refusal.meets(object_name, record):
                refusal.hits += 1
                raise Skipped(refusal.code, refusal.message)

    def check_batch(self, object_name: str, records: Sequence[Any]) -> None:
        """Raise Refused where a record of the batch is poisonous."""
        for refusal in self._batches:
            if any(isinstance(record, Mapping) and refusal.meets(object_name, record) for record in records):
                refusal.hits += 1
                raise Refused(refusal.code, refusal.message)
