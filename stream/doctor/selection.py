"""What Change Data Capture is selected for, against what is set to stream: answers in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Collection

from store.model import OBJECTS, ObjectName
from stream.config import STREAMED_OBJECTS_MAX
from stream.config.model import ObjectModes
from stream.doctor.findings import Finding, failure, ok, some, warning
from stream.salesforce.setup import EVENT, STANDARD, Selection

CHANNEL = "salesforce channel"
DEPLOY = "deploy what `msi-stream init --salesforce DIR` writes, or correct salesforce.channel"


def told(channel: str, modes: ObjectModes) -> str:
    """How the changes of each object come."""
    streamed, polled, off = (", ".join(modes.set_to(mode)) or "none" for mode in ("stream", "poll", "off"))
    return f"{channel}; streamed: {streamed}; polled: {polled}; off: {off}"


def selection_findings(channel: str, modes: ObjectModes, org: Selection) -> list[Finding]:
    """Whether the channel is there, and brings every object that is set to stream."""
    name = channel.removeprefix("/data/")
    if name.endswith("__chn") and name not in org.channels:
        return [failure(CHANNEL, f"there is no channel {name} in this org", DEPLOY)]
    here = _carried(name, org)
    selected = {each.object for each in org.members}
    found = [_channel_finding(channel, modes, here, len(selected))]
    return found + [_object_finding(obj, name, here, selected) for obj in modes.set_to("stream")]


def _carried(name: str, org: Selection) -> dict[str, str]:
    """The objects that come on the channel, each with its filter. A single object's channel has what the standard one has."""
    if name == STANDARD or name.endswith("__chn"):
        return {each.object: each.filter for each in org.members if each.channel == name}
    only = name.removesuffix(EVENT)
    return {each.object: each.filter for each in org.members if each.channel == STANDARD and each.object == only}


def _channel_finding(channel: str, modes: ObjectModes, here: dict[str, str], selected: int) -> Finding:
    add_on = ", so it has the add-on" if selected > STREAMED_OBJECTS_MAX else ""
    count = f"{selected} objects are selected in this org ({STREAMED_OBJECTS_MAX} come with every edition{add_on})"
    filters = [f"{obj} ({text})" for obj, text in sorted(here.items()) if text]
    text = f"{told(channel, modes)}; {count}" + (f"; filtered: {some(filters)}" if filters else "")
    unread = [obj for obj in OBJECTS if obj in here and modes.of(obj) != "stream"]
    if unread:
        cure = "take them off the channel in Setup, or set them to stream: their events count in the day's allowance"
        return warning(CHANNEL, f"{text}; selected, and passed over here: {some(list(unread))}", cure)
    return ok(CHANNEL, text)


def _object_finding(obj: ObjectName, name: str, here: dict[str, str], selected: Collection[str]) -> Finding:
    check = f"salesforce {obj} selection"
    if obj in here:
        return ok(check, f"selected on {name}")
    if name != STANDARD and not name.endswith("__chn"):
        cure = f'set salesforce.channel to "/data/{STANDARD}": this one brings one object only'
    elif obj not in selected and len(selected) >= STREAMED_OBJECTS_MAX:
        cure = f'set it to "poll" in [salesforce.objects], or free one of the {len(selected)} selected objects, or buy the add-on'
    elif name == STANDARD:
        cure = "select it in Setup, Change Data Capture"
    else:
        cure = "add it to the channel: `msi-stream init --salesforce DIR` writes the member to deploy"
    return failure(check, f"set to stream and not selected on {name}: its changes are found by sweeps only", cure)
