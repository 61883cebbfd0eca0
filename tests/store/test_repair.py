"""What an audit queues: no more than what nothing is open for, parents before children, and each read and sent whole."""

from __future__ import annotations

from store.repair import Repair, queue
from tests.store.outbox_steps import ACCOUNT, CONTACT, LEAD, NOON, SECOND, Outbox, event, owned_by, row, whole


async def queued(outbox: Outbox, repair: Repair) -> int:
    return await outbox.store.submit(lambda tx: queue(tx, repair, outbox.now_ms))


async def test_what_differs_is_read_and_sent_whole_though_nothing_is_new(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme", "Phone": "1"})
    assert await queued(outbox, Repair(again=[("Account", ACCOUNT)])) == 1
    await outbox.read(row("Account", ACCOUNT, NOON // SECOND + 9, {"Name": "Acme", "Phone": "1"}))
    pending = (await outbox.claim("Account")).entry.pending
    assert (pending.whole, pending.fields) == (True, {"Name": "Acme", "Phone": "1"})


async def test_what_is_open_by_now_is_left_to_what_is_open(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme"})
    await outbox.synced("Lead", LEAD, {"LastName": "Ito"}, marketo_id="7")
    await outbox.take(event("Account", ACCOUNT, {"Phone": "2"}, commit_ms=NOON + 1))
    await outbox.take(event("Lead", LEAD, {"Phone": "2"}, commit_ms=NOON + 1))
    assert await queued(outbox, Repair([("Account", ACCOUNT)], [("Lead", LEAD)], {("Lead", LEAD): "7"})) == 0
    assert (await outbox.claim("Account")).entry.pending.fields == {"Phone": "2"}
    assert (await outbox.record("Lead", LEAD)).marketo_id == "7"


async def test_what_marketo_lacks_is_looked_for_and_its_children_wait_for_it(outbox: Outbox) -> None:
    await outbox.synced("Account", ACCOUNT, {"Name": "Acme"})
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, marketo_id="7", refs=owned_by(None, account=ACCOUNT))
    missing = Repair(anew=[("Account", ACCOUNT), ("Contact", CONTACT)])
    assert await queued(outbox, missing) == 2
    assert (await outbox.record("Contact", CONTACT)).marketo_id is None
    await outbox.read(row("Contact", CONTACT, NOON // SECOND + 9, {"LastName": "Lee"}, refs=owned_by(None, account=ACCOUNT)))
    assert await outbox.ready() == []
    await outbox.read(row("Account", ACCOUNT, NOON // SECOND + 9, {"Name": "Acme"}))
    await outbox.ack(await outbox.claim("Account"))
    assert await outbox.ready() == [("Contact", CONTACT)]


async def test_what_should_not_be_there_is_deleted_by_the_id_that_was_found(outbox: Outbox) -> None:
    await outbox.synced("Lead", LEAD, {"LastName": "Ito"}, marketo_id="7")
    await outbox.take(event("Lead", LEAD, kind="delete", commit_ms=NOON + 1))
    await outbox.ack(await outbox.claim("Lead", "delete"), state="deleted", forget_marketo_id=True)
    assert await queued(outbox, Repair(unexpected={("Lead", LEAD): "8"})) == 1
    claimed = await outbox.claim("Lead", "delete")
    assert claimed.record.marketo_id == "8"


async def test_a_record_that_is_not_known_any_more_is_passed_over(outbox: Outbox) -> None:
    await outbox.take(whole("Account", ACCOUNT, {"Name": "Acme"}))
    assert await queued(outbox, Repair(anew=[("Contact", CONTACT)])) == 0
