"""Under which keys a contact role stands in Marketo, or perhaps does.

A role's key is made of its name and its person too: where one changes, it is another role there. The new one is sent first, then
the old one is deleted; until that is done its key is noted, so that no kill, and no lost answer, leaves it behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

from store.writer import Transaction


def old_note(record_id: str) -> str:
    """The note that holds the old keys of a role."""
    return f"old_role_keys:{record_id}"


async def intend(tx: Transaction, keys: Mapping[str, str], old: Mapping[str, Sequence[str]]) -> None:
    """Roles are about to be sent under these keys (role id → key), while they perhaps stand there under these old ones."""
    await tx.run_many("put_sent_key", [(key, record_id) for record_id, key in keys.items()])
    await tx.run_many("put_note", [(old_note(each), orjson.dumps(list(held)).decode()) for each, held in old.items()])


async def old_keys(tx: Transaction, record_ids: Iterable[str]) -> dict[str, list[str]]:
    """The old keys of these roles, where there are some."""
    held = {each: await tx.value("get_note", old_note(each)) for each in record_ids}
    return {each: orjson.loads(text) for each, text in held.items() if text is not None}


async def forget_old(tx: Transaction, record_ids: Iterable[str]) -> None:
    """These roles stand under no old key any more."""
    await tx.run_many("delete_note", [(old_note(each),) for each in record_ids])
