"""What finding the people of a batch costs in calls: with the real store, and a Marketo and a Salesforce that count questions."""

# ruff: noqa: ARG002 - the resolver's signatures

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import pytest

from store.model import Key
from stream.delivery.batch import Item
from stream.delivery.people import Living, Resolver
from stream.plan import Upsert
from tests.store.outbox_steps import CONTACT, LEAD, Outbox, event

PERSON = "17"


class Asked:
    """Both services; `questions` are the fields that Marketo was searched by."""

    def __init__(self) -> None:
        self.questions: list[str] = []

    async def find(
        self, obj: Literal["leads"], filter_type: str, values: Sequence[str], fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The one person there is, still with its email from before."""
        self.questions.append(filter_type)
        return [{"id": int(PERSON), "email": "old@example.com"}] if filter_type == "id" else []

    async def living(self, keys: Sequence[Key]) -> dict[Key, Living]:
        """Nobody."""
        return {}

    async def converted_from(self, contact_ids: Sequence[str]) -> dict[str, str]:
        """Nobody."""
        return {}

    async def emails(self, keys: Collection[Key]) -> dict[Key, str]:
        """Nobody has one that is known."""
        return {}


@pytest.mark.parametrize(("shared", "questions"), [(False, ["email"]), (True, ["email", "id"])])
async def test_a_new_email_of_a_person_whom_nobody_shares_asks_only_who_has_it(
    outbox: Outbox, shared: bool, questions: list[str]
) -> None:
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id=PERSON)
    if shared:
        await outbox.synced("Lead", LEAD, {"LastName": "Lee"}, marketo_id=PERSON)
    await outbox.take(event("Contact", CONTACT, {"Email": "new@example.com"}, commit_ms=outbox.now_ms))
    item = Item(await outbox.claim("Contact"), Upsert({"email": "new@example.com"}))
    services = Asked()
    resolution = await Resolver(services, outbox.store, services, share=True, merge=True).resolve([item])
    assert (services.questions, resolution.update) == (questions, [item])
