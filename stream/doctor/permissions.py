"""What the integration user may do in Salesforce, against what the configuration needs: answers in, findings out. Pure.

Change events of an object come only to a user who has View All Records for it (of users: View All Users; where an object has no
such permission of its own: View All Data), without a word where it is missing. Source: Change Data Capture Developer Guide,
"Required Permissions for Change Event Subscribers".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from store.model import OBJECTS
from stream.config.model import ObjectModes
from stream.doctor.findings import Finding, failure, ok, some, warning

SETUP = "salesforce View Setup"
VIEW_ALL = "salesforce View All"
CONVERTED = "salesforce converted leads"
SET = "(the permission set of `msi-stream init --salesforce DIR` has it)"
NO_VIEW_ALL_OF_ITS_OWN = frozenset({"OpportunityContactRole"})


def setup_finding(held: Mapping[str, bool]) -> Finding:
    """Whether the setup may be looked at: what is not seen there cannot be checked."""
    if held.get("ViewSetup"):
        return ok(SETUP, "the setup can be looked at")
    cure = f"give the integration user View Setup and Configuration {SET}, or look in Setup yourself"
    return warning(SETUP, "not granted, so selected objects and View All were not checked", cure)


def converted_finding(held: Mapping[str, bool], modes: ObjectModes) -> Finding | None:
    """Whether converted leads may be seen and edited; no finding where leads are off."""
    if modes.of("Lead") == "off":
        return None
    if held.get("AllowViewEditConvertedLeads"):
        return ok(CONVERTED, "can be viewed and edited")
    cure = f"give the integration user View and Edit Converted Leads {SET}"
    return warning(CONVERTED, "not to be edited: a score for a lead that is just converted is refused", cure)


def view_all_finding(held: Mapping[str, bool], seen: Collection[str], modes: ObjectModes) -> Finding:
    """Whether all records, whoever owns them, are seen, and so their events come."""
    lacking = [obj for obj in OBJECTS if modes.of(obj) != "off" and not _sees(obj, held, seen)]
    silent = [obj for obj in lacking if modes.of(obj) == "stream"]
    if silent:
        return failure(VIEW_ALL, f"missing, so that no event comes of: {some(silent)}", _cure(silent))
    polled = [obj for obj in lacking if obj not in NO_VIEW_ALL_OF_ITS_OWN]
    if polled:
        return warning(VIEW_ALL, f"missing, so that records of others may be hidden: {some(polled)}", _cure(polled))
    return ok(VIEW_ALL, "granted for every object that needs it")


def _sees(obj: str, held: Mapping[str, bool], seen: Collection[str]) -> bool:
    if obj == "User":
        return held.get("ViewAllUsers", False)
    return held.get("ViewAllData", False) or obj in seen


def _cure(lacking: Sequence[str]) -> str:
    wanted = []
    if "User" in lacking:
        wanted.append("View All Users")
    if NO_VIEW_ALL_OF_ITS_OWN.intersection(lacking):
        wanted.append("View All Data")
    if {*lacking} - NO_VIEW_ALL_OF_ITS_OWN - {"User"}:
        wanted.append("View All Records of these objects")
    if not {*lacking} - NO_VIEW_ALL_OF_ITS_OWN:
        return f"give the integration user {wanted[0]}, or set {some(lacking)} to poll"
    return f"give the integration user {' and '.join(wanted)} {SET}"
