"""Both simulated services over one small org: what the demo drives, and what `msi-stream sandbox` offers.

stage = Stage()
await stage.start()
stage.seed(people=500)         # every record with its change event
stage.settings()               # what a daemon has to be configured with to work here
await stage.stop()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.marketo import Instance, SimulatedMarketo
from sandbox.salesforce.org import Org
from sandbox.salesforce.seed import Seeded, seed_org
from sandbox.salesforce.server import SimulatedSalesforce

PEOPLE: Final = 500
USERS: Final = 17  # with the org's own two and the community user: 20
PER_PERSON: Final[Mapping[str, float]] = {"accounts": 0.1, "opportunities": 0.16, "roles": 0.3}
FEWEST: Final = 3


@dataclass(slots=True)
class Stage:
    """A simulated Salesforce and a simulated Marketo; `seeded` tells which records are there."""

    salesforce: SimulatedSalesforce = field(default_factory=SimulatedSalesforce)
    marketo: SimulatedMarketo = field(default_factory=SimulatedMarketo)
    seeded: Seeded = field(default_factory=Seeded)

    @property
    def org(self) -> Org:
        """Salesforce's records."""
        return self.salesforce.org

    @property
    def instance(self) -> Instance:
        """Marketo's records."""
        return self.marketo.instance

    async def start(self, *, salesforce_port: int = 0, marketo_port: int = 0) -> None:
        """Listen on loopback; port 0 is any free one. Raises OSError where a port is taken; then neither listens."""
        await self.salesforce.start(port=salesforce_port)
        try:
            await self.marketo.start(port=marketo_port)
        except OSError:
            await self.salesforce.stop()
            raise

    async def stop(self) -> None:
        """Stop both."""
        try:
            await self.marketo.stop()
        finally:
            await self.salesforce.stop()

    def seed(self, people: int = PEOPLE) -> Seeded:
        """Fill the org: half of the people are contacts, half leads, and the rest goes with them. Each record has its event.

        The org's own two users are older than any event: they are edited, so that they are heard of all the same.
        """
        counts = {name: max(round(people * share), FEWEST) for name, share in PER_PERSON.items()}
        contacts = (people + 1) // 2
        self.seeded = seed_org(self.org, users=USERS, contacts=contacts, leads=people - contacts, publish=True, **counts)
        for user in (self.org.person_id, self.org.api_user_id):
            self.org.update("User", user, {"Title": "Administrator"})
        return self.seeded

    def settings(self) -> dict[str, Any]:
        """Addresses and secrets of both services, by the dotted keys of the configuration."""
        salesforce = {f"salesforce.{name}": value for name, value in self.salesforce.settings("jwt").items()}
        return {
            **salesforce,
            "marketo.base_url": self.marketo.base_url,
            "marketo.client_id": self.marketo.client_id,
            "marketo.client_secret": self.marketo.client_secret,
        }
