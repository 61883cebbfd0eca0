"""What the Salesforce admin deploys, in Metadata API format: a channel and its members, a permission set, an app for the sign-in,
and the MSI fields where no package brings them. Settings in, files out. Pure.

    package.xml ─ platformEventChannels, …Members ─ permissionsets ─ externalClientApps, extlClntApp… ─ objects

Sources: Metadata API Developer Guide (each type by its name); Change Data Capture Developer Guide, "Required Permissions". New
connected apps can no longer be made since Spring '26: the app is an external client app.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from store.model import OBJECTS, PEOPLE, ObjectName
from stream.config.model import Settings
from stream.filters import parse
from stream.mapping import wanted
from stream.score_diff import MSI_FIELDS

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
CHANNEL = "MSI_Stream__chn"
NAME = "MSI_Stream"
LABEL = "MSI Stream"
OLDEST_VERSION = 61.0  # external client apps as they are written here
CERTIFICATE = "PUT-THE-CERTIFICATE-HERE"
CONTACT = "salesforce-admin@example.com"
CALLBACK = "https://login.salesforce.com/services/oauth2/success"  # asked for by the app, and never called
READ = ("Account", "Contact", "Lead", "Opportunity")
PERMISSIONS = ("AllowViewEditConvertedLeads", "ApiEnabled", "ViewAllUsers", "ViewRoles", "ViewSetup")


def _address(prefix: str) -> dict[str, str]:
    return {f"{prefix}{part}": f"{prefix}Address" for part in ("Street", "City", "State", "PostalCode", "Country")}


SECURED: Mapping[str, Mapping[str, str]] = {
    "Account": {
        **dict.fromkeys(
            ("BillingStreet", "BillingCity", "BillingState", "BillingPostalCode", "BillingCountry"), "BillingAddress"
        ),
        **{name: name for name in ("AnnualRevenue", "Industry", "NumberOfEmployees", "Phone", "Sic", "Site", "Website")},
    },
    "Contact": {
        **dict.fromkeys(
            ("MailingStreet", "MailingCity", "MailingState", "MailingPostalCode", "MailingCountry"), "MailingAddress"
        ),
        **{name: name for name in ("AccountId", "Birthdate", "Department", "Description", "DoNotCall", "Email", "Fax")},
        **{name: name for name in ("HasOptedOutOfEmail", "LeadSource", "MobilePhone", "Phone", "Title")},
    },
    "Lead": {
        **_address(""),
        **{name: name for name in ("Description", "DoNotCall", "Email", "Fax", "HasOptedOutOfEmail", "LeadSource")},
        **{name: name for name in ("MobilePhone", "Phone", "Rating", "Title")},
    },
    "Opportunity": {
        name: name
        for name in (
            *("AccountId", "Amount", "Description", "ExpectedRevenue", "LeadSource", "NextStep", "Probability"),
            *("TotalOpportunityQuantity", "Type"),
        )
    },
}
"""Standard field → the name under which its field-level security is granted; others are always seen, and must not be named."""

KINDS: Mapping[str, Mapping[str, str]] = {
    "Last_Interesting_Moment_Type__c": {"type": "Text", "length": "100"},
    "Last_Interesting_Moment_Date__c": {"type": "DateTime"},
    "Last_Interesting_Moment_Desc__c": {"type": "TextArea"},
    "Last_Interesting_Moment_Source__c": {"type": "Text", "length": "100"},
    "Priority__c": {"type": "Number", "precision": "18", "scale": "0"},
    "Urgency_Value__c": {"type": "Number", "precision": "4", "scale": "0"},
    "Relative_Score_Value__c": {"type": "Number", "precision": "4", "scale": "0"},
}
"""The seven fields as Adobe's setup page has them (Sales Insight for Non-Native Salesforce Integrations)."""


@dataclass(slots=True)
class Deployment:
    """The files by their paths, and what the admin has to know beside them."""

    settings: Settings
    certificate: str = ""
    contact: str = CONTACT
    filters: Mapping[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _members: dict[str, list[str]] = field(default_factory=dict)

    @property
    def channel(self) -> str:
        """The channel's name: the configuration's own, or a new one."""
        name = self.settings.salesforce.channel.removeprefix("/data/")
        return name if name.endswith("__chn") else CHANNEL

    @property
    def version(self) -> str:
        """The API version to deploy with."""
        return f"{max(float(self.settings.salesforce.api_version), OLDEST_VERSION):.1f}"

    def make(self) -> None:
        """All files."""
        self._channel()
        if self.settings.scores.field_prefix == "":
            self._msi_fields()
        self._permission_set()
        self._app()
        self._package()

    def _put(self, kind: str, folder: str, name: str, suffix: str, root: ET.Element) -> None:
        self.files[f"{folder}/{name}.{suffix}"] = _text(root)
        self._members.setdefault(kind, []).append(name)

    # ── what comes on the stream

    def _channel(self) -> None:
        root = _root("PlatformEventChannel", channelType="data", label=LABEL)
        self._put("PlatformEventChannel", "platformEventChannels", self.channel, "platformEventChannel", root)
        streamed = self.settings.salesforce.objects.set_to("stream")
        for obj in streamed:
            expression = {"filterExpression": self.filters[obj]} if obj in self.filters else {}
            member = _root(
                "PlatformEventChannelMember", eventChannel=self.channel, **expression, selectedEntity=f"{obj}ChangeEvent"
            )
            name = f"{self.channel.replace('__', '_')}_{obj}ChangeEvent"
            self._put("PlatformEventChannelMember", "platformEventChannelMembers", name, "platformEventChannelMember", member)
        if self.settings.salesforce.channel != f"/data/{self.channel}":
            self.notes.append(f'set salesforce.channel = "/data/{self.channel}" in the configuration once it is deployed')
        if "OpportunityContactRole" in streamed:
            self.notes.append("events of OpportunityContactRole need View All Data: grant it, or set the object to poll")

    # ── what the integration user may do

    def _permission_set(self) -> None:
        root = _root("PermissionSet", description="What msi-stream's integration user needs, and nothing else.")
        for name, editable in sorted(self._secured()):
            _child(root, "fieldPermissions", editable=_bool(editable), field=name, readable="true")
        _child(root, "hasActivationRequired", "false")
        _child(root, "label", LABEL)
        for obj in READ:
            rights = {"allowCreate": "false", "allowDelete": "false", "allowEdit": _bool(obj in PEOPLE), "allowRead": "true"}
            _child(root, "objectPermissions", **rights, modifyAllRecords="false", object=obj, viewAllRecords="true")
        for name in PERMISSIONS:
            _child(root, "userPermissions", enabled="true", name=name)
        self._put("PermissionSet", "permissionsets", NAME, "permissionset", root)

    def _secured(self) -> Iterator[tuple[str, bool]]:
        """Each field whose security can be granted, and whether it is written."""
        names: dict[str, bool] = {}
        for obj in OBJECTS:
            for source in self._read(obj):
                held = SECURED.get(obj, {}).get(source) or (source if source.endswith("__c") else "")
                if held and obj in READ:
                    names[f"{obj}.{held}"] = False
        prefix = self.settings.scores.field_prefix
        names |= {f"{obj}.{prefix}{name}": True for obj in PEOPLE for name in MSI_FIELDS.values()}
        yield from names.items()

    def _read(self, obj: ObjectName) -> Sequence[str]:
        lead_company = self.settings.deliver.lead_company == "when_no_account"
        mapped = wanted(obj, self.settings.fields.of(obj), lead_company=lead_company)
        refs = ("AccountId",) if obj in {"Contact", "Opportunity"} else ()
        return [*mapped, *refs, *parse(self.settings.filters.of(obj), f"filters.{obj}").names]

    # ── how it signs in

    def _app(self) -> None:
        flow = self.settings.salesforce.flow
        if flow not in {"jwt", "client_credentials"}:
            self.notes.append(f'no app is written for flow "{flow}": jwt is the recommended one')
            return
        app = _root("ExternalClientApplication", contactEmail=self.contact, description="Feeds Marketo for Sales Insight.")
        _add(app, distributionState="Local", isProtected="false", label=LABEL)
        self._put("ExternalClientApplication", "externalClientApps", NAME, "eca", app)
        shared = {"externalClientApplication": NAME}
        scopes = "Api,RefreshToken" if flow == "jwt" else "Api"  # without RefreshToken Salesforce takes no pre-authorized JWT
        oauth = _root("ExtlClntAppOauthSettings", commaSeparatedOauthScopes=scopes, **shared, label=f"{LABEL} OAuth")
        self._put("ExtlClntAppOauthSettings", "extlClntAppOauthSettings", f"{NAME}_oauth", "ecaOauth", oauth)
        certificate = {"certificate": self.certificate or CERTIFICATE} if flow == "jwt" else {}
        known = _root("ExtlClntAppGlobalOauthSettings", callbackUrl=CALLBACK, **certificate, **shared)
        credentials = _bool(flow == "client_credentials")
        _add(known, isClientCredentialsFlowEnabled=credentials, isConsumerSecretOptional="false", isPkceRequired="true")
        _add(known, isSecretRequiredForRefreshToken="true", label=f"{LABEL} global OAuth")
        self._put("ExtlClntAppGlobalOauthSettings", "extlClntAppGlobalOauthSets", f"{NAME}_global", "ecaGlblOauth", known)
        self._policies(flow, shared)
        if flow == "jwt" and not self.certificate:
            self.notes.append(f"put the certificate in place of {CERTIFICATE} (one line, without BEGIN and END), or give it")
        if self.contact == CONTACT:
            self.notes.append(f"{CONTACT} stands for the admin's own address: correct it, or give --email")

    def _policies(self, flow: str, shared: Mapping[str, str]) -> None:
        user = self.settings.salesforce.username
        runs_as = {"clientCredentialsFlowUser": user} if flow == "client_credentials" and user else {}
        root = _root("ExtlClntAppOauthConfigurablePolicies", **runs_as, commaSeparatedPermissionSet=NAME, **shared)
        _add(root, ipRelaxationPolicyType="Enforce", isClientCredentialsFlowEnabled=_bool(flow == "client_credentials"))
        _add(root, label=f"{LABEL} OAuth policy", permittedUsersPolicyType="AdminApprovedPreAuthorized")
        _add(root, refreshTokenPolicyType="Infinite")
        name = f"{NAME}_oauthPlcy"
        self._put("ExtlClntAppOauthConfigurablePolicies", "extlClntAppOauthPolicies", name, "ecaOauthPlcy", root)
        if flow == "client_credentials" and not user:
            self.notes.append("name the integration user in the app's policies (Run As): the client credentials flow needs it")

    # ── the seven fields, where no package brings them

    def _msi_fields(self) -> None:
        for obj in PEOPLE:
            root = _root("CustomObject")
            for name, kind in sorted(KINDS.items()):
                label = name.removesuffix("__c").replace("_", " ")
                _child(root, "fields", fullName=name, label=label, **kind)
                self._members.setdefault("CustomField", []).append(f"{obj}.{name}")
            self.files[f"objects/{obj}.object"] = _text(root)

    def _package(self) -> None:
        root = _root("Package")
        for kind, names in sorted(self._members.items()):
            types = ET.SubElement(root, "types")
            for name in sorted(names):
                ET.SubElement(types, "members").text = name
            ET.SubElement(types, "name").text = kind
        ET.SubElement(root, "version").text = self.version
        self.files["package.xml"] = _text(root)


def _root(tag: str, **children: str) -> ET.Element:
    root = ET.Element(tag, {"xmlns": NAMESPACE})
    _add(root, **children)
    return root


def _add(parent: ET.Element, **children: str) -> None:
    for name, text in children.items():
        ET.SubElement(parent, name).text = text


def _child(parent: ET.Element, tag: str, text: str | None = None, **children: str) -> None:
    child = ET.SubElement(parent, tag)
    child.text = text
    _add(child, **children)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _text(root: ET.Element) -> str:
    ET.indent(root, "    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
