"""The setup as an integration user sees it, and the events that it hears of: as strict as Salesforce about permissions."""

from __future__ import annotations

from sandbox.salesforce.server import SimulatedSalesforce
from tests.sandbox.salesforce.wire import Wire

MEMBERS = "SELECT EventChannel, SelectedEntity, FilterExpression FROM PlatformEventChannelMember"


async def test_the_root_says_who_is_signed_in(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    answer = await wire.rest("GET", "")
    assert answer.body["identity"].endswith(f"/{salesforce.org.api_user_id}")


async def test_members_name_the_standard_channel_by_name_and_others_by_id(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.publisher.select(["Lead"])
    salesforce.org.publisher.add_channel("Own__chn", {"User": "UserType = 'Standard'"})
    found = (await wire.query("SELECT Id, DeveloperName FROM PlatformEventChannel", "tooling/query")).body["records"]
    assert [each["DeveloperName"] for each in found] == ["Own"]
    rows = (await wire.query(MEMBERS, "tooling/query")).body["records"]
    assert [(each["EventChannel"], each["SelectedEntity"], each["FilterExpression"]) for each in rows] == [
        ("ChangeEvents", "LeadChangeEvent", None),
        (found[0]["Id"], "UserChangeEvent", "UserType = 'Standard'"),
    ]


async def test_without_view_setup_the_setup_does_not_exist(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.access.permissions.discard("ViewSetup")
    assert (await wire.query(MEMBERS, "tooling/query")).code == "INVALID_TYPE"
    assert (
        await wire.query("SELECT SobjectType FROM ObjectPermissions WHERE ParentId IN ('0PS5g0000000001AAA')")
    ).code == "INVALID_TYPE"
    own = (await wire.query("SELECT PermissionsViewSetup, PermissionsApiEnabled FROM UserPermissionAccess")).body["records"][0]
    assert (own["PermissionsViewSetup"], own["PermissionsApiEnabled"]) == (False, True)
    assert (await wire.query("SELECT PermissionsFly FROM UserPermissionAccess")).code == "INVALID_FIELD"


async def test_without_the_api_nothing_is_answered(salesforce: SimulatedSalesforce, wire: Wire) -> None:
    salesforce.org.access.permissions.discard("ApiEnabled")
    answer = await wire.query("SELECT Id FROM Lead")
    assert (answer.status, answer.code) == (403, "API_DISABLED_FOR_ORG")


async def test_events_come_only_of_objects_that_are_on_the_channel_and_seen_whole(
    salesforce: SimulatedSalesforce, wire: Wire
) -> None:
    org = salesforce.org
    org.publisher.select(["Lead", "Account", "Contact"])
    org.publisher.add_channel("Own__chn", {"Lead": "", "Opportunity": ""})
    org.access.view_all.discard("Contact")
    standard, own = await wire.handshake(), await wire.handshake()
    await standard.subscribe("/data/ChangeEvents")
    await own.subscribe("/data/Own__chn")
    assert (await own.subscribe("/data/None__chn"))["error"].startswith("403:denied")
    account = org.create("Account", {"Name": "Acme"})
    org.create("Contact", {"LastName": "Lee", "AccountId": account})
    org.create("Opportunity", {"Name": "Deal", "AccountId": account, "StageName": "Prospecting", "CloseDate": "2027-01-01"})
    org.create("Lead", {"LastName": "Ito", "Company": "Bolt"})

    def names(events: list[dict[str, dict[str, str]]]) -> list[str]:
        return [each["ChangeEventHeader"]["entityName"] for each in events]

    assert names(await standard.events()) == ["Account", "Lead"]
    assert names(await own.events()) == ["Opportunity", "Lead"]
