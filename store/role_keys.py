"""Under which keys a contact role stands in Marketo, or perhaps does.

A role's key is made of its name and its person too: where one changes, it is another role there. The new one is sent first, then
the old one is deleted; until that is done its key is noted, so that no kill, and no lost answer, leaves it behind.

Where two people become one in Marketo, the roles of the one that goes are the other's from then on, under another key that nobody
has sent. Nobody can tell at which moment: from when it is intended until it is known, a role perhaps stands under both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

from store.rows import list_json
from store.writer import Transaction


def old_note(record_id: str) -> str:
    """The note that holds the old keys of a role."""
    return f"old_role_keys:{record_id}"


def _merging_note(marketo_id: str) -> str:
    """The note into whom a Marketo person is about to be merged."""
    return f"merging:{marketo_id}"


async def intend(tx: Transaction, keys: Mapping[str, str]) -> dict[str, list[str]]:
    """Roles are about to be sent under these keys (role id → key); returns under which others they perhaps stand there."""
    old = await old_keys(tx, keys)
    await _note(tx, {each: old.get(each, ()) for each in keys})
    await tx.run_many("put_sent_key", [(key, record_id) for record_id, key in keys.items()])
    return old


async def old_keys(tx: Transaction, now: Mapping[str, str]) -> dict[str, list[str]]:
    """Under which keys these roles perhaps stand besides those they have now (role id → key); only those for whom there are some.

    In the order in which they are to be deleted: a person that is about to be merged into another comes before that other.
    """
    noted = await _noted(tx, now)
    sent = {row["record_id"]: row["sent_key"] for row in await tx.rows("sent_keys", list_json(now))}
    known = {each: [*noted.get(each, ()), sent.get(each, ""), key] for each, key in now.items()}
    into = await _merging(tx, [key for keys in known.values() for key in keys])
    found = {each: [key for key in _and_moved(keys, into) if key != now[each]] for each, keys in known.items()}
    return {each: keys for each, keys in found.items() if keys}


async def forget_old(tx: Transaction, gone: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """These roles do not stand under these old keys any more; returns what was noted of them meanwhile."""
    noted = await _noted(tx, gone)
    left = {each: [key for key in keys if key not in set(gone[each])] for each, keys in noted.items()}
    await _note(tx, left)
    return {each: keys for each, keys in left.items() if keys}


async def forget_all(tx: Transaction, record_ids: Iterable[str]) -> None:
    """Nothing is known of these roles any more."""
    await tx.run_many("delete_note", [(old_note(each),) for each in record_ids])


async def foresee(tx: Transaction, winner: str, losers: Sequence[str]) -> None:
    """These Marketo people are about to be merged: their roles may become the winner's at any moment."""
    await tx.run_many("put_note", [(_merging_note(loser), winner) for loser in losers])
    await _follow(tx, winner, losers)


async def moved(tx: Transaction, winner: str, losers: Sequence[str]) -> None:
    """They were merged."""
    await _follow(tx, winner, losers)
    await tx.run_many("delete_note", [(_merging_note(loser),) for loser in losers])


async def _follow(tx: Transaction, winner: str, losers: Sequence[str]) -> None:
    """Note for each role that stands under a key of a loser, or perhaps does, that it stands under the winner's, too."""
    if not losers:
        return
    rows = await tx.rows("roles_of_people", list_json(int(loser) for loser in losers))
    sent = {row["record_id"]: [row["sent_key"]] for row in rows}
    noted = {row["record_id"]: orjson.loads(row["value"]) for row in await tx.rows("all_old_keys")}
    into = dict.fromkeys(losers, winner)
    grown = dict[str, list[str]]()
    for each in {**sent, **noted}:
        keys = [*noted.get(each, ()), *sent.get(each, ())]
        if fresh := [key for key in _and_moved(keys, into) if key not in keys]:
            grown[each] = [*noted.get(each, ()), *fresh]
    await _note(tx, grown)


def _and_moved(keys: Sequence[str], into: Mapping[str, str]) -> list[str]:
    """The keys, and those under which they stand once these people are merged (loser → winner); a loser's before its winner's."""
    found = dict[str, int]()
    for key in filter(None, keys):
        opportunity, person, name = orjson.loads(key)
        people = [str(person)]
        while (following := into.get(people[-1])) is not None and following not in people:
            people.append(following)
        for ahead, each in enumerate(reversed(people)):
            moved_key = orjson.dumps([opportunity, int(each), name]).decode()
            found[moved_key] = max(ahead, found.get(moved_key, 0))
    return sorted(found, key=lambda key: -found[key])


async def _merging(tx: Transaction, keys: Iterable[str]) -> dict[str, str]:
    """Into whom the people of these keys are about to be merged, and those into whom they are (loser → winner)."""
    into = dict[str, str]()
    people = {str(orjson.loads(key)[1]) for key in keys if key}
    while people:
        rows = await tx.rows("notes", list_json(_merging_note(person) for person in people))
        found = {row["name"].removeprefix(_merging_note("")): row["value"] for row in rows}
        people = set(found.values()) - into.keys() - found.keys()
        into |= found
    return into


async def _noted(tx: Transaction, record_ids: Iterable[str]) -> dict[str, list[str]]:
    """The old keys that are noted for these roles."""
    rows = await tx.rows("notes", list_json(map(old_note, record_ids)))
    return {row["name"].removeprefix(old_note("")): orjson.loads(row["value"]) for row in rows}


async def _note(tx: Transaction, keys: Mapping[str, Sequence[str]]) -> None:
    """Note these keys of the roles; where there are none, nothing is noted."""
    held = {each: list_json(old) for each, old in keys.items() if old}
    await tx.run_many("put_note", [(old_note(each), text) for each, text in held.items()])
    await forget_all(tx, [each for each in keys if each not in held])
