"""What each path of the REST API does, by method; paths are regular expressions below `/rest/v1/` without `.json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.marketo.activities import DELETE, DELETED_LEADS_KEPT_SECONDS, TYPES, described_types, token_at
from sandbox.marketo.answers import Page, Refused
from sandbox.marketo.calls import Call
from sandbox.marketo.instance import Instance
from sandbox.marketo.lead_reads import LeadReads
from sandbox.marketo.leads import Leads
from sandbox.marketo.limits import Limits
from sandbox.marketo.objects import Objects
from sandbox.marketo.requests import batch_size, query_of, split
from sandbox.marketo.schema import COMPANY, OPPORTUNITY, ROLE, SALES_PERSON
from sandbox.marketo.values import parsed

Endpoint = Callable[[Call], Awaitable[Page]]
Routes = dict[str, dict[str, Endpoint]]


def routes(instance: Instance, limits: Limits) -> Routes:
    """All endpoints: path → method → what it does."""
    objects = {
        "salespersons": SALES_PERSON,
        "companies": COMPANY,
        "opportunities": OPPORTUNITY,
        "opportunities/roles": ROLE,
    }
    found: Routes = {}
    for path, name in objects.items():
        found |= ObjectEndpoints(Objects(instance, name)).routes(path)
    return found | LeadEndpoints(instance).routes() | ActivityEndpoints(instance, limits).routes()


class ObjectEndpoints:
    """Sales persons, companies, opportunities or roles."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def routes(self, path: str) -> Routes:
        """The object's paths."""
        return {
            path: {"GET": self._query, "POST": self._sync},
            f"{path}/delete": {"POST": self._delete},
            f"{path}/describe": {"GET": self._describe},
        }

    async def _query(self, call: Call) -> Page:
        self._objects.check_native_crm(writes=False)
        return self._objects.query(query_of(call.parameters()))

    async def _sync(self, call: Call) -> Page:
        self._objects.check_native_crm(writes=True)
        return self._objects.sync(call.json(), call.number)

    async def _delete(self, call: Call) -> Page:
        self._objects.check_native_crm(writes=True)
        return self._objects.delete(call.json(), call.number)

    async def _describe(self, _: Call) -> Page:
        return self._objects.describe()


class LeadEndpoints:
    """Leads, and the partitions they lie in."""

    def __init__(self, instance: Instance) -> None:
        self._leads = Leads(instance)
        self._reads = LeadReads(instance)

    def routes(self) -> Routes:
        """The paths of leads."""
        return {
            "leads": {"GET": self._query, "POST": self._sync},
            r"lead/(?P<id>\d+)": {"GET": self._by_id},
            "leads/delete": {"POST": self._delete},
            r"leads/(?P<id>\d+)/merge": {"POST": self._merge},
            "leads/describe": {"GET": self._describe},
            "leads/describe2": {"GET": self._describe2},
            "leads/partitions": {"GET": self._partitions},
        }

    async def _query(self, call: Call) -> Page:
        return self._reads.query(query_of(call.parameters()))

    async def _by_id(self, call: Call) -> Page:
        return self._reads.by_id(int(call.place["id"]), split(call.query.get("fields")))

    async def _sync(self, call: Call) -> Page:
        return await self._leads.sync(call.json(), call.number)

    async def _delete(self, call: Call) -> Page:
        return self._leads.delete(call.json(), call.number)

    async def _merge(self, call: Call) -> Page:
        losers = split(call.query.get("leadIds") or call.query.get("leadId"))
        if not all(one.isdigit() for one in losers):
            raise Refused("1001", "Invalid value for 'leadIds'. Required of type 'Long'")
        return self._leads.merge(int(call.place["id"]), [int(one) for one in losers], call.number)

    async def _describe(self, _: Call) -> Page:
        return self._reads.describe()

    async def _describe2(self, _: Call) -> Page:
        return self._reads.describe2()

    async def _partitions(self, _: Call) -> Page:
        return self._reads.partitions()


class ActivityEndpoints:
    """The activity feed and the usage of the day."""

    def __init__(self, instance: Instance, limits: Limits) -> None:
        self._instance = instance
        self._limits = limits

    def routes(self) -> Routes:
        """The paths of activities and usage."""
        return {
            "activities": {"GET": self._feed},
            "activities/types": {"GET": self._types},
            "activities/pagingtoken": {"GET": self._paging_token},
            "activities/deletedleads": {"GET": self._deleted},
            "stats/usage": {"GET": self._usage},
        }

    async def _types(self, _: Call) -> Page:
        return Page(described_types())

    async def _paging_token(self, call: Call) -> Page:
        since = parsed(call.required("sinceDatetime"))
        if since is None:
            raise Refused("704", "Invalid date format")
        return Page(None, token_at(since.timestamp()))

    async def _feed(self, call: Call) -> Page:
        token = call.required("nextPageToken")
        wanted = _numbers("activityTypeIds", split(call.required("activityTypeIds")), most=10)
        leads = _numbers("leadIds", split(call.parameters().get("leadIds")), most=30)
        if not wanted <= TYPES.keys():
            raise Refused("1003", "Invalid data: unknown activityTypeIds")
        size, scan = batch_size(call.parameters()), self._instance.quirks.activities_scanned
        return self._instance.activities.page(token, wanted, leads=leads, size=size, scan=scan)

    async def _deleted(self, call: Call) -> Page:
        token, since = call.required("nextPageToken"), self._instance.now() - DELETED_LEADS_KEPT_SECONDS
        size, scan = batch_size(call.parameters()), self._instance.quirks.activities_scanned
        return self._instance.activities.page(token, {DELETE}, leads=(), size=size, scan=scan, since=since)

    async def _usage(self, _: Call) -> Page:
        return Page(self._limits.usage())


def _numbers(name: str, values: tuple[str, ...], *, most: int) -> set[int]:
    if len(values) > most:
        raise Refused("1003", f"Invalid data: at most {most} {name} are allowed")
    if not all(value.isdigit() for value in values):
        raise Refused("1001", f"Invalid value for '{name}'. Required of type 'Integer'")
    return {int(value) for value in values}
