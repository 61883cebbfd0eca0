"""What a store of today's schema looks like after some life, written down as SQL: made once for each schema, kept for ever.

    python -m tests.upgrade.freeze > tests/upgrade/stores/000N.sql      in the checkout whose newest migration is 000N

To be run before the next migration is added. It needs nothing of the checkout but what was there from the first schema on.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from sandbox.faults import Fault
from tests.flow.scenes import Deal, contact_of, deal, lead_of
from tests.flow.world import World, world

CHANNEL = "/data/ChangeEvents"
NEVER_DELIVERED = "/rest/v1/(leads|companies|opportunities)"
MARKS = ("application_id", "user_version")
REFUSED = "Refused"


def begin(here: World) -> Deal:
    """What is delivered while all is well: a whole business, and one contact more."""
    made = deal(here)
    here.org.create("Contact", contact_of(made.account, "Berg", OwnerId=made.owner))
    return made


def refuse(here: World, made: Deal) -> str:
    """The lead that becomes a dead letter."""
    return str(here.org.create("Lead", lead_of(REFUSED, OwnerId=made.owner)))


def go_on(here: World, made: Deal) -> None:
    """What came in and was not delivered: changes of what is there, and new records that wait for each other."""
    here.org.update("Account", made.account, {"Phone": "2"})
    here.org.update("Contact", made.contact, {"Title": "Director", "Phone": None})
    here.org.update("Lead", made.lead, {"Title": "Chief"})
    account = here.org.create("Account", {"Name": "New", "OwnerId": made.owner})
    contact = here.org.create("Contact", contact_of(account, "Noor", OwnerId=made.owner))
    deal_of = {"Name": "Big", "AccountId": account, "StageName": "Prospecting", "CloseDate": "2027-02-01", "OwnerId": made.owner}
    opportunity = here.org.create("Opportunity", deal_of)
    here.org.create("OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": contact, "Role": "Buyer"})
    here.org.create("Lead", lead_of("Waiting", OwnerId=made.owner))


async def live(here: World) -> None:
    """A daemon's life, ended in good order while Marketo is away and one record is refused."""
    made = begin(here)
    await here.start()
    await here.until_equal()
    here.instance.scores.interesting_moment(here.lead_of(made.lead)["id"], "Web", "Saw the price", "Site")
    await here.until_equal()
    refused = refuse(here, made)
    no = {"status": "skipped", "reasons": [{"code": "1006", "message": "Field 'x' not found"}]}
    answer = {"requestId": "1", "success": True, "result": [no]}
    here.marketo.faults.add(Fault("respond", "/rest/v1/leads.json", "POST", f".*{refused}.*", times=None, body=answer))
    await here.until_dead()
    here.marketo.faults.add(Fault("reset_before", path=NEVER_DELIVERED, method="POST", times=None))
    go_on(here, made)
    await taken(here)
    await here.stop()


async def taken(here: World) -> None:
    """Wait until all that was published is in the store."""
    assert here.store is not None
    while (replay := await here.store.replay(CHANNEL)) is None or replay.replay_id < here.org.log.last_replay_id:
        await here.until(lambda: True)
        await asyncio.sleep(0.02)  # noqa: TID251 - polling the store


def dump(path: Path) -> str:
    """The store as SQL that makes it again; what lies in it as bytes stays readable."""
    with closing(sqlite3.connect(path)) as database:
        marks = [f"PRAGMA {name} = {database.execute(f'PRAGMA {name}').fetchone()[0]};" for name in MARKS]
        return "\n".join([*database.iterdump(), *marks]) + "\n"


async def main() -> None:
    """Live, and print what is left."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as here:
            await live(here)
        sys.stdout.write(dump(Path(folder) / "store.db"))


if __name__ == "__main__":
    asyncio.run(main())
