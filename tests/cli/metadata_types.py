"""Salesforce's own description of its metadata (npm: @salesforce/types), read for what the tests ask: members, kinds, choices."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

TYPES = Path(__file__).parents[2] / "node_modules/@salesforce/types/lib/metadata.d.ts"
SPACE = "{http://soap.sforce.com/2006/04/metadata}"

PLACES: Mapping[str, tuple[str, str]] = {
    "CustomObject": ("objects", "object"),
    "ExternalClientApplication": ("externalClientApps", "eca"),
    "ExtlClntAppGlobalOauthSettings": ("extlClntAppGlobalOauthSets", "ecaGlblOauth"),
    "ExtlClntAppOauthConfigurablePolicies": ("extlClntAppOauthPolicies", "ecaOauthPlcy"),
    "ExtlClntAppOauthSettings": ("extlClntAppOauthSettings", "ecaOauth"),
    "PermissionSet": ("permissionsets", "permissionset"),
    "PlatformEventChannel": ("platformEventChannels", "platformEventChannel"),
    "PlatformEventChannelMember": ("platformEventChannelMembers", "platformEventChannelMember"),
}
"""Folder and suffix of each type's files, as Salesforce's tools look for them (the registry of its source-deploy-retrieve)."""


@cache
def described() -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, frozenset[str]]]:
    """Each type's members (`name`, or `name?` where it may be missing, → kind), and each choice's values."""
    text = TYPES.read_text("utf-8")
    members = {
        name: {"fullName?": "string"} | dict(re.findall(r"(?m)^ {4}(\w+\??): ([\w\[\]]+);$", body))
        for name, body in re.findall(r"(?ms)^export type (\w+) = (?:\w+ & )?\{$(.*?)^\};$", text)
    }
    values = {
        name: frozenset(re.findall(r"'([^']*)'", body)) for name, body in re.findall(r"(?m)^export type (\w+) = ('.*');$", text)
    }
    return members, values


def wrong(kind: str, element: ET.Element) -> Iterator[str]:
    """What Salesforce would not take in this element of that type."""
    members, _ = described()
    if kind not in members:
        yield f"there is no type {kind}"
        return
    asked = {name.rstrip("?"): (of, name.endswith("?")) for name, of in members[kind].items()}
    found = [child.tag.removeprefix(SPACE) for child in element]
    for name in dict.fromkeys(found):
        if name not in asked:
            yield f"{kind}.{name}: there is no such member"
        elif found.count(name) > 1 and not asked[name][0].endswith("[]"):
            yield f"{kind}.{name}: only one"
    yield from (
        f"{kind}.{name}: missing"
        for name, (of, may_be_missing) in asked.items()
        if not may_be_missing and not of.endswith("[]") and name not in found
    )
    for child in element:
        name = child.tag.removeprefix(SPACE)
        if name in asked:
            yield from _wrong_value(asked[name][0].removesuffix("[]"), child, f"{kind}.{name}")


def _wrong_value(kind: str, element: ET.Element, where: str) -> Iterator[str]:
    text, (members, values) = element.text or "", described()
    if kind in members:
        yield from wrong(kind, element)
    elif len(element):
        yield f"{where}: has parts, and is a {kind}"
    elif kind in values and text not in values[kind]:
        yield f"{where}: {text} is none of {sorted(values[kind])}"
    elif kind == "boolean" and text not in {"true", "false"}:
        yield f"{where}: {text} is no boolean"
    elif kind == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", text):
        yield f"{where}: {text} is no number"
