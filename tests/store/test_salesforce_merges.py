"""What the store makes of merges in Salesforce: relations follow, and an account's delete waits for the children that move."""

from __future__ import annotations

from store.model import Record
from tests.store.outbox_steps import ACCOUNT, CONTACT, OPPORTUNITY, OWNER, ROLE, Outbox, gone, owned_by, row, sf_id

OTHER_ACCOUNT, OTHER_CONTACT = sf_id("Account", 2), sf_id("Contact", 2)


async def business(outbox: Outbox) -> None:
    """Two accounts; one of them has a contact and an opportunity with a role."""
    await outbox.synced("User", OWNER)
    for account in (ACCOUNT, OTHER_ACCOUNT):
        await outbox.synced("Account", account, {"Name": account}, refs=owned_by())
    await outbox.synced("Contact", CONTACT, {"LastName": "Lee"}, refs=owned_by(account=ACCOUNT), marketo_id="17")
    await outbox.synced("Opportunity", OPPORTUNITY, {"Name": "Deal"}, refs=owned_by(account=ACCOUNT))
    refs = {"opportunity": OPPORTUNITY, "contact": CONTACT}
    await outbox.synced("OpportunityContactRole", ROLE, {"Role": "Buyer"}, refs=refs, sent_key=f'["{OPPORTUNITY}",17,"Buyer"]')


async def test_an_accounts_delete_waits_until_its_children_were_sent_with_the_winner(outbox: Outbox) -> None:
    await business(outbox)
    await outbox.take(gone("Account", ACCOUNT, commit_ms=outbox.now_ms))
    claimed = await outbox.claim("Account", "delete")
    assert await outbox.store.follow_merges("Account", {ACCOUNT: OTHER_ACCOUNT}, outbox.now_ms) == 2
    await outbox.retry(claimed, outbox.now_ms, tried=False)
    assert await outbox.ready() == []
    second = outbox.now_ms // 1000 + 1
    refs = owned_by(account=OTHER_ACCOUNT)
    await outbox.read(row("Contact", CONTACT, second, {"LastName": "Lee", "AccountId": OTHER_ACCOUNT}, refs=refs))
    contact = await outbox.claim("Contact")
    assert contact.entry.pending.fields == {"AccountId": OTHER_ACCOUNT}
    assert contact.parents["account"].record_id == OTHER_ACCOUNT
    await outbox.ack(contact, marketo_id="17")
    assert await outbox.ready() == []
    await outbox.read(row("Opportunity", OPPORTUNITY, second, {"Name": "Deal", "AccountId": OTHER_ACCOUNT}, refs=refs))
    await outbox.ack(await outbox.claim("Opportunity"))
    assert await outbox.ready() == [("Account", ACCOUNT)]
    assert (await outbox.claim("Account", "delete")).record.merged_into == OTHER_ACCOUNT


async def test_a_contacts_roles_name_the_winner_and_are_read(outbox: Outbox) -> None:
    await business(outbox)
    await outbox.take(gone("Contact", CONTACT, commit_ms=outbox.now_ms))
    assert await outbox.store.follow_merges("Contact", {CONTACT: OTHER_CONTACT}, outbox.now_ms) == 1
    assert (await outbox.record("OpportunityContactRole", ROLE)).contact == OTHER_CONTACT
    assert ("OpportunityContactRole", ROLE) in await outbox.to_read()


async def test_whoever_was_merged_into_a_record_follows_it_into_the_next(outbox: Outbox) -> None:
    await business(outbox)
    third = sf_id("Account", 3)
    await outbox.store.follow_merges("Account", {ACCOUNT: OTHER_ACCOUNT}, outbox.now_ms)
    await outbox.store.follow_merges("Account", {OTHER_ACCOUNT: third}, outbox.now_ms)
    assert (await outbox.record("Account", ACCOUNT)).merged_into == third
    assert (await outbox.record("Contact", CONTACT)).account == third


async def test_a_record_that_comes_back_is_merged_no_more(outbox: Outbox) -> None:
    await business(outbox)
    await outbox.store.follow_merges("Account", {ACCOUNT: OTHER_ACCOUNT}, outbox.now_ms)
    await outbox.take(row("Account", ACCOUNT, outbox.now_ms // 1000 + 1, {"Name": "Back"}))
    record: Record = await outbox.record("Account", ACCOUNT)
    assert record.merged_into is None


async def test_what_was_given_up_is_not_read_for_a_merge(outbox: Outbox) -> None:
    await business(outbox)
    await outbox.take(gone("Opportunity", OPPORTUNITY, commit_ms=outbox.now_ms))
    await outbox.ack(await outbox.claim("Opportunity", "delete"), state="deleted")
    assert await outbox.store.follow_merges("Account", {ACCOUNT: OTHER_ACCOUNT}, outbox.now_ms) == 1
    assert await outbox.store.parents_among([ACCOUNT, OTHER_ACCOUNT]) == {OTHER_ACCOUNT}
