"""Contact roles on their way: where the key of one is another now, the new role is sent first, and then the old one goes.

keys noted (store) ──▶ upsert ──▶ what stands under other keys is deleted ──▶ those are forgotten (store)

All keys are written down before: a role whose answer is lost can be found, and deleted, all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from store.model import Ack, ObjectName
from store.store import Store
from stream.delivery.batch import Batch, Item, Verdict
from stream.delivery.exclusion import Exclusion
from stream.delivery.settle import Settled
from stream.marketo.outcomes import Operation
from stream.plan import Remove, Upsert, role_key

ROLE: ObjectName = "OpportunityContactRole"

Old = Mapping[str, Sequence[str]]  # role id → keys


@dataclass(frozen=True, slots=True)
class RoleCalls:
    """Sends and deletes contact roles. `held`: the keys that the batch holds; what else it touches is added."""

    store: Store
    exclusion: Exclusion
    batch: Callable[[Operation], Batch]

    async def send(self, items: Sequence[Item], held: set[str]) -> list[Verdict]:
        """Upsert the roles."""
        keys = {item.claimed.record.record_id: item.plan.key for item in items if isinstance(item.plan, Upsert)}
        old = await self.store.intend_keys(keys)
        return await self._with_old(await self.batch("upsert").send(items), old, held)

    async def remove(self, items: Sequence[Item], held: set[str], settled: Settled) -> list[Verdict]:
        """Delete the roles, unless other living records stand behind the same ones.

        First each as it stands now: should its person be merged away meanwhile, it stands under an old key afterwards.
        """
        now = {item.claimed.record.record_id: item.claimed.record.sent_key or "" for item in items}
        old = await self.store.old_role_keys(now)
        shared = [item for item in items if await self._is_shared(item, now[item.claimed.record.record_id])]
        stuck = await self._drop(shared, old, held)
        for item in [each for each in shared if each.entry_id not in stuck]:
            why = "another contact role stands behind the same role in Marketo"
            gone = item.plan.state if isinstance(item.plan, Remove) else "deleted"
            settled.add(Ack(item.entry_id, item.claimed.record.key, state=gone, why=why))
        alone = [item for item in items if item not in shared]
        verdicts = await self.batch("delete").send(alone) if alone else []
        return [*stuck.values(), *await self._with_old(verdicts, old, held)]

    async def _with_old(self, verdicts: Sequence[Verdict], old: Old, held: set[str]) -> list[Verdict]:
        """The verdicts, where what is accepted has no old role left; else that of the old one."""
        stuck = await self._drop([verdict.item for verdict in verdicts if verdict.result is not None], old, held)
        return [stuck.get(verdict.item.entry_id, verdict) for verdict in verdicts]

    async def _drop(self, items: Sequence[Item], old: Old, held: set[str]) -> dict[int, Verdict]:
        """Delete the roles as they were; returns what could not be done, by entry. What is noted meanwhile is deleted, too."""
        stuck: dict[int, Verdict] = {}
        taken: set[str] = set()
        while remaining := [each for each in items if each.claimed.record.record_id in old and each.entry_id not in stuck]:
            keys = [(each, key) for each in remaining for key in old[each.claimed.record.record_id]]
            stale = {key: _delete_of(each, key) for each, key in keys if await self._may_go(each, key, held, taken)}
            verdicts = await self.batch("delete").send(list(stale.values())) if stale else []
            stuck |= {verdict.item.entry_id: verdict for verdict in verdicts if verdict.result is None}
            done = [each.claimed.record.record_id for each in remaining if each.entry_id not in stuck]
            old = await self.store.forget_role_keys({each: old[each] for each in done})
        return stuck

    async def _may_go(self, item: Item, key: str, held: set[str], taken: set[str]) -> bool:
        """Whether nobody else stands behind a role of this key, or is just being sent under it. The key is held from now on."""
        own = key in taken or (isinstance(item.plan, Upsert) and key == item.plan.stale_key)
        if not own and not self.exclusion.extend(held, f"role:{key}"):
            return False
        taken.add(key)
        return not await self._is_shared(item, key)

    async def _is_shared(self, item: Item, key: str) -> bool:
        """Whether another living record stands behind the role with this key."""
        return bool(key and await self.store.sharing_role(key, item.claimed.record.record_id))


def _delete_of(item: Item, key: str) -> Item:
    """The delete of a role under one of its old keys."""
    return Item(item.claimed, Remove(role_key(key)), role_key(key))
