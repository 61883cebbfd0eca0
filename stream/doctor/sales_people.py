"""Whether Marketo's sales persons have the emails of Salesforce's users: MSI finds a sales person's people by it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from stream.doctor.findings import Finding, ok, some, warning

CHECK = "sales persons' emails"


def sales_people_finding(users: Mapping[str, str], held: Mapping[str, str], *, all_asked: bool) -> Finding:
    """`users`: each active user's email in Salesforce by id; `held`: that of each sales person Marketo has, by the same ids."""
    many = f"{len(users):,} active users" + ("" if all_asked else " (the first of them)")
    if not held:
        return ok(CHECK, f"{many}, none of them in Marketo yet: the first load brings them")
    other = sorted(user for user, email in users.items() if user in held and held[user].casefold() != email.casefold())
    if other:
        cure = "their Marketo tab stays empty: let the daemon send them, and ask Adobe where the API refuses (dead letters tell)"
        return warning(CHECK, f"{len(other):,} of {many} have another email in Marketo: {some(other)}", cure)
    missing = sorted(users.keys() - held.keys())
    if missing:
        cure = "let the daemon run, and ask `msi-stream why ID` where one stays away"
        return warning(CHECK, f"{len(missing):,} of {many} are not in Marketo yet: {some(missing)}", cure)
    return ok(CHECK, f"the same on both sides for all {many}")
