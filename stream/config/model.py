"""The settings: every key of the configuration with its kind, default and meaning; docs/configuration.md is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from stream.config.fields import WrongFields, rules_of
from stream.config.values import (
    ApiVersion,
    BaseUrl,
    Channel,
    ClientName,
    Count,
    FieldPrefix,
    FilterText,
    LoginUrl,
    MarketoFieldOrNone,
    Role,
    Seconds,
    SecondsOrNone,
    check_rsa_key,
)
from stream.conversions import FieldRule

ObjectName = Literal["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"]
Flow = Literal["jwt", "client_credentials", "refresh_token", "password"]
Mode = Literal["stream", "poll", "off"]
OnDelete = Literal["delete", "keep"]

OBJECTS: tuple[ObjectName, ...] = ("User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole")

SECRETS = frozenset({"client_secret", "private_key", "password", "refresh_token"})
NEEDED: dict[Flow, tuple[str, ...]] = {
    "jwt": ("client_id", "private_key", "username"),
    "client_credentials": ("client_id", "client_secret"),
    "refresh_token": ("client_id", "refresh_token"),
    "password": ("client_id", "client_secret", "username", "password"),
}


FIELD_RULES = "field_rules"  # the kind of error that carries a line for each problem of a table of [fields]
WITHOUT_SECRETS = "without secrets"  # in the validation's context: none was read, so none is missed
BEGUN = "begun"  # and likewise: nobody has filled in yet what the finished setup gives


def _path(found: Any) -> Any:
    return Path(found) if isinstance(found, str) and found and found.isprintable() else found


def _is_not_asked_for(info: ValidationInfo) -> bool:
    """A secret, where whoever loads the settings has no use for it; any credential before the setup is finished."""
    if info.context and info.context.get(BEGUN):
        return True
    return bool(info.context and info.context.get(WITHOUT_SECRETS)) and info.field_name in SECRETS


class Section(BaseModel):
    """One table of the file: frozen, no unknown keys, values of exactly the type that is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, hide_input_in_errors=True)


class ObjectModes(Section):
    """How the changes of each object come: `stream` (Change Data Capture), `poll` (queries) or `off`."""

    User: Mode = Field("stream", description="Sales persons in Marketo.")
    Account: Mode = Field("stream", description="Companies in Marketo.")
    Contact: Mode = Field("stream", description="People in Marketo.")
    Lead: Mode = Field("stream", description="People in Marketo.")
    Opportunity: Mode = Field("stream", description="Opportunities in Marketo.")
    OpportunityContactRole: Mode = Field("poll", description="Opportunity roles in Marketo, the easiest of the six to poll.")

    def of(self, name: ObjectName) -> Mode:
        """How the changes of this object come."""
        mode: Mode = getattr(self, name)
        return mode

    def set_to(self, mode: Mode) -> tuple[ObjectName, ...]:
        """The objects set to this mode, parents before children."""
        return tuple(name for name in OBJECTS if self.of(name) == mode)


class Salesforce(Section):
    """Where Salesforce is, how to sign in, and what to listen to."""

    login_url: LoginUrl = Field(
        "https://login.salesforce.com",
        description="Where the sign-in is: the login host, or the org's My Domain (client_credentials works only there). "
        "Plain http is refused except for loopback addresses.",
    )
    flow: Flow = Field("jwt", description="The OAuth flow; jwt is the recommended one.")
    client_id: str = Field("", description="The app's consumer key (an external client app, or a connected app).")
    client_secret: SecretStr | None = Field(
        None,
        description="The app's consumer secret: client_credentials, password, refresh_token if the app asks for it.",
    )
    private_key: SecretStr | None = Field(None, description="The RSA private key (PEM) to the app's certificate: jwt.")
    username: str = Field("", description="The integration user's name: jwt, password.")
    password: SecretStr | None = Field(None, description="The user's password with the security token behind it: password.")
    refresh_token: SecretStr | None = Field(None, description="A refresh token of the integration user: refresh_token.")
    api_version: ApiVersion = Field("62.0", description="The version of Salesforce's API.")
    channel: Channel = Field(
        "/data/ChangeEvents", description="The CDC channel: /data/ChangeEvents, /data/NameChangeEvent or /data/Name__chn."
    )
    client_name: ClientName = Field("msi-stream", description="Marks this daemon's own writes in changeOrigin.")
    objects: ObjectModes = Field(default_factory=ObjectModes)

    @field_validator("client_id", "client_secret", "private_key", "username", "password", "refresh_token")
    @classmethod
    def _is_given_where_needed(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        flow: Flow | None = info.data.get("flow")
        if flow is None or info.field_name not in NEEDED[flow] or _is_not_asked_for(info):
            return value
        if not value:
            raise ValueError(f'a value: flow "{flow}" needs it')
        if info.field_name == "private_key" and isinstance(value, SecretStr):
            check_rsa_key(value.get_secret_value())
        return value

    def reveal(self, key: Literal["client_secret", "private_key", "password", "refresh_token"]) -> str:
        """A secret in the clear, empty where it was not given; what the flow needs is always given."""
        secret: SecretStr | None = getattr(self, key)
        return secret.get_secret_value() if secret else ""


class Marketo(Section):
    """Where Marketo is, how to sign in, and how much of its limits may be used."""

    base_url: BaseUrl = Field("", description="The address Marketo shows under Admin, Web Services, REST API, without its /rest.")
    client_id: str = Field("", description="The client id of the LaunchPoint service.")
    client_secret: SecretStr = Field(SecretStr(""), description="The client secret of the LaunchPoint service.")
    calls_per_20s: Count = Field(50, description="Calls in any 20 seconds; Marketo allows 100 to all integrations together.")
    concurrency: Count = Field(5, description="Calls at the same time; Marketo allows 10 to all integrations together.")
    daily_calls: Count = Field(50000, description="The instance's daily quota of calls.")
    reserve_calls: int = Field(5000, ge=0, description="Daily calls left for the instance's other integrations.")

    @field_validator("client_id", "client_secret")
    @classmethod
    def _is_given(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        if not value and not _is_not_asked_for(info):
            raise ValueError("a value: Marketo's sign-in needs it")
        return value

    @field_validator("reserve_calls")
    @classmethod
    def _leaves_some(cls, value: int, info: ValidationInfo) -> int:
        daily = info.data.get("daily_calls")
        if daily is not None and value >= daily:
            raise ValueError(f"fewer than marketo.daily_calls ({daily}): no call would be left for this daemon")
        return value


class Deletes(Section):
    """What a deletion in Salesforce does in Marketo: `delete` or `keep`. Sales persons are never deleted."""

    Account: OnDelete = Field("keep", description="Companies.")
    Contact: OnDelete = Field("keep", description="People.")
    Lead: OnDelete = Field("keep", description="People.")
    Opportunity: OnDelete = Field("delete", description="Opportunities.")
    OpportunityContactRole: OnDelete = Field("delete", description="Opportunity roles.")

    def of(self, name: ObjectName) -> OnDelete:
        """What a deletion of this object does; users are always kept."""
        choice: OnDelete = "keep" if name == "User" else getattr(self, name)
        return choice


class Deliver(Section):
    """How changes are sent to Marketo."""

    linger_seconds: SecondsOrNone = Field(10.0, description="How long a batch fills; 0: it goes at once, or after one under way.")
    batch_size: int = Field(300, ge=1, le=300, description="Records in a call; Marketo takes 300.")
    max_attempts: Count = Field(8, description="Refusals after which a record becomes a dead letter; outages do not count.")
    shared_email: Literal["share", "duplicate"] = Field(
        "share", description="Two Salesforce people with one email: share makes them one Marketo person, duplicate makes two."
    )
    merge_people: bool = Field(
        True,
        description="A merge in Salesforce merges the Marketo people too, and so do the conversion of a lead into a contact "
        "that has a person of its own, and an email that becomes another person's where emails are shared. Else a lost one goes "
        "as the deletes settings say, and people with one email stay two.",
    )
    partition: str = Field("", description="The Marketo partition for new people, if any.")
    lead_company: Literal["never", "when_no_account"] = Field(
        "never", description="Whether a lead's company name is sent with the lead: never, or when_no_account."
    )
    empty_role: Role = Field("Unspecified", description="The role's name in Marketo where Salesforce's contact role has none.")
    deleted_field: MarketoFieldOrNone = Field("", description="A Marketo boolean set on kept people whose record is gone.")
    max_new_people_a_day: Count = Field(
        10000, description="New people in Marketo in a day; the rest wait: a wrong filter must not fill a Marketo."
    )
    max_leaving_a_day: Count = Field(
        1000,
        description="Records of an object that may leave their filter in 24 hours; where more do, those that are still in "
        "Marketo stay and wait for `msi-stream resume leaving`: a wrong filter must not empty a Marketo.",
    )
    poison_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="The share of refused ones in the last 1,000 records above which the flow stops and asks for help; half as "
        "many in a row suffice; 1 means never.",
    )
    settle_seconds: SecondsOrNone = Field(
        90.0,
        description="After a create whose answer was lost, how long to wait before Marketo is asked what became of it: "
        "its own time limit for leads.",
    )
    deletes: Deletes = Field(default_factory=Deletes)


class Scores(Section):
    """How scores come back to Salesforce."""

    interval_seconds: Seconds = Field(300, description="How often the activity feed is read.")
    sweep_interval_seconds: Seconds = Field(86400, description="In which time every person is read once.")
    field_prefix: FieldPrefix = Field("mkto_si__", description="The namespace of Salesforce's MSI fields, empty for none.")
    relative_score_field: MarketoFieldOrNone = Field("", description="Marketo's name of the relative score; found when empty.")
    daily_writes: Count = Field(10000, description="Score writes in a day; each comes back as an event that Salesforce counts.")


class Reconcile(Section):
    """How what the stream lost is found again."""

    interval_seconds: Seconds = Field(3600, description="How often a query by SystemModstamp looks for what the stream lost.")
    backfill_on_first_start: bool = Field(True, description="Whether everything is read once at the first start.")
    bulk_above: Count = Field(20000, description="Records above which the Bulk API reads instead of query pages.")
    daily_calls: Count = Field(10000, description="Salesforce calls this daemon may make in a day.")
    reserve_calls: int = Field(
        1000, ge=0, description="Of the org's daily calls so many are left for everything else, but no more than a tenth of them."
    )
    poll_interval_seconds: Seconds = Field(60.0, description="How often objects set to poll are queried.")


class Filters(Section):
    """Which records are synced: comparisons in SOQL's words joined by AND. Owners of synced records are always sent."""

    User: FilterText = Field("UserType = 'Standard'", description="Which users become sales persons.")
    Account: FilterText = Field("", description="Which accounts; all when empty.")
    Contact: FilterText = Field("", description="Which contacts; all when empty.")
    Lead: FilterText = Field("", description="Which leads; all when empty.")
    Opportunity: FilterText = Field("", description="Which opportunities; all when empty.")
    OpportunityContactRole: FilterText = Field(
        "",
        description="Which contact roles; all when empty, but those whose opportunity or contact is outside of its own filter.",
    )

    def of(self, name: ObjectName) -> str:
        """The filter of this object, empty where everything is synced."""
        text: str = getattr(self, name)
        return text


FieldMap = dict[str, FieldRule]


class Fields(Section):
    """Fields added to, or overriding, the built-in mapping: `SalesforceField = "marketoField"`, a table for each object."""

    User: FieldMap = Field(default_factory=dict)
    Account: FieldMap = Field(default_factory=dict)
    Contact: FieldMap = Field(default_factory=dict)
    Lead: FieldMap = Field(default_factory=dict)
    Opportunity: FieldMap = Field(default_factory=dict)
    OpportunityContactRole: FieldMap = Field(default_factory=dict)

    @field_validator("*", mode="plain")
    @classmethod
    def _are_rules(cls, table: Any, info: ValidationInfo) -> dict[str, FieldRule]:
        try:
            return rules_of(str(info.field_name), table)
        except WrongFields as wrong:
            raise PydanticCustomError(FIELD_RULES, "{lines}", {"lines": wrong.lines}) from None

    def rules_of(self, name: ObjectName) -> dict[str, FieldRule]:
        """The user's own rules of this object, by Salesforce field."""
        rules: dict[str, FieldRule] = getattr(self, name)
        return rules

    def of(self, name: ObjectName) -> dict[str, str]:
        """The user's own mapping of this object: Salesforce field to Marketo field, "" where it is left out."""
        return {source: rule.to for source, rule in self.rules_of(name).items()}


class Store(Section):
    """Where the daemon keeps what it knows."""

    path: Annotated[Path, BeforeValidator(_path)] = Field(
        Path("/var/lib/msi-stream/store.db"),
        description="The SQLite database; a relative path starts at the configuration file. Without this key "
        "/etc/msi-stream/NAME.toml has /var/lib/msi-stream/NAME/store.db.",
    )


class Log(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level logged; debug may show personal data."
    )
    format: Literal["json", "console"] = Field("json", description="One JSON object a line, or lines for people.")


class Settings(Section):
    """The whole configuration."""

    salesforce: Salesforce = Field(default_factory=Salesforce)
    marketo: Marketo = Field(default_factory=Marketo)
    deliver: Deliver = Field(default_factory=Deliver)
    scores: Scores = Field(default_factory=Scores)
    reconcile: Reconcile = Field(default_factory=Reconcile)
    fields: Fields = Field(default_factory=Fields)
    filters: Filters = Field(default_factory=Filters)
    store: Store = Field(default_factory=Store)
    log: Log = Field(default_factory=Log)
