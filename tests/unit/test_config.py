"""What a user meets who writes, misspells or overrides the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from stream.config import Loaded, load
from stream.config import sources as config_sources
from stream.config.keys import keys, variables
from stream.config.reference import reference
from stream.config.template import template
from stream.conversions import FieldRule
from stream.errors import ConfigError

Read = Callable[..., Loaded]

MINIMAL = """
[salesforce]
flow = "client_credentials"
login_url = "https://acme.my.salesforce.com"
client_id = "consumer-key"
client_secret = "s3cr3t-of-salesforce"

[marketo]
base_url = "https://123-ABC-456.mktorest.com"
client_id = "service-id"
client_secret = "s3cr3t-of-marketo"
"""


def pem_of(key: Any, passphrase: bytes | None = None) -> str:
    encryption: Any = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem.decode()


@pytest.fixture(scope="session")
def rsa_key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def pem(rsa_key: Any) -> str:
    return pem_of(rsa_key)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Load a configuration from its text, with nothing in the environment but what is given."""
    for name in [name for name in os.environ if name.startswith("MSI_STREAM_") or name == "CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(config_sources, "SYSTEM_PATH", tmp_path / "etc" / "config.toml")
    monkeypatch.chdir(tmp_path)

    def load_text(text: str = MINIMAL, environ: Mapping[str, str] | None = None) -> Loaded:
        path = tmp_path / "given.toml"
        path.write_text(text)
        return load(path, environ or {})

    return load_text


def problems(read: Read, text: str = MINIMAL, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read(text, environ)
    first, *lines = str(refused.value).splitlines()
    assert "given.toml" in first
    return [line.strip() for line in lines]


def with_section(section: str, line: str) -> str:
    """MINIMAL with one more line in one of its sections, or in a new one; a key given already is replaced."""
    key = line.split("=", maxsplit=1)[0].strip()
    head = f"[{section}]"
    if head not in MINIMAL:
        return f"{MINIMAL}\n{head}\n{line}\n"
    before, _, after = MINIMAL.partition(head + "\n")
    own, split, rest = after.partition("\n\n")
    kept = "\n".join(one for one in own.splitlines() if one.split("=")[0].strip() != key)
    return f"{before}{head}\n{line}\n{kept}{split}{rest}"


def test_the_defaults_are_the_contracts(read: Read) -> None:
    loaded = read()
    settings = loaded.settings
    assert loaded.warnings == []
    assert (settings.salesforce.api_version, settings.salesforce.channel) == ("62.0", "/data/ChangeEvents")
    assert settings.salesforce.client_name == "msi-stream"
    assert settings.salesforce.objects.set_to("stream") == ("User", "Account", "Contact", "Lead", "Opportunity")
    assert settings.salesforce.objects.set_to("poll") == ("OpportunityContactRole",)
    marketo = settings.marketo
    assert (marketo.calls_per_20s, marketo.concurrency, marketo.daily_calls, marketo.reserve_calls) == (50, 5, 50000, 5000)
    deliver = settings.deliver
    assert (deliver.linger_seconds, deliver.batch_size, deliver.max_attempts) == (10.0, 300, 8)
    assert (deliver.shared_email, deliver.merge_people, deliver.partition) == ("share", True, "")
    assert (deliver.lead_company, deliver.empty_role, deliver.deleted_field) == ("never", "Unspecified", "")
    assert (deliver.max_new_people_a_day, deliver.poison_share, deliver.settle_seconds) == (10000, 0.2, 90.0)
    assert deliver.max_leaving_a_day == 1000
    kept = [deliver.deletes.of(name) for name in ("User", "Account", "Contact", "Lead")]
    assert kept == ["keep"] * 4
    assert (deliver.deletes.Opportunity, deliver.deletes.OpportunityContactRole) == ("delete", "delete")
    scores = settings.scores
    assert (scores.interval_seconds, scores.sweep_interval_seconds, scores.field_prefix) == (300, 86400, "mkto_si__")
    assert (scores.relative_score_field, scores.daily_writes) == ("", 10000)
    reconcile = settings.reconcile
    assert (reconcile.interval_seconds, reconcile.backfill_on_first_start, reconcile.bulk_above) == (3600, True, 20000)
    assert (reconcile.daily_calls, reconcile.poll_interval_seconds) == (10000, 60.0)
    assert settings.filters.User == "UserType = 'Standard'"
    assert settings.store.path == Path("/var/lib/msi-stream/store.db")
    assert (settings.log.level, settings.log.format) == ("info", "json")


def test_settings_are_frozen(read: Read) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().settings.deliver.batch_size = 1  # type: ignore[misc]


@pytest.mark.usefixtures("read")
class TestWhereTheFileIs:
    def test_the_search_order(self, tmp_path: Path) -> None:
        system = tmp_path / "etc" / "config.toml"
        system.parent.mkdir()
        places = [tmp_path / "msi-stream.toml", system, tmp_path / "by-variable.toml", tmp_path / "by-option.toml"]
        environ: dict[str, str] = {}
        for place in places:
            place.write_text(MINIMAL)
            if place.stem == "by-variable":
                environ = {"MSI_STREAM_CONFIG": str(place)}
            option = place if place.stem == "by-option" else None
            assert load(option, environ).path.absolute() == place

    def test_no_file_anywhere_says_where_it_looked_and_how_to_make_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as refused:
            load(None, {})
        for part in (str(tmp_path / "etc" / "config.toml"), str(tmp_path / "msi-stream.toml"), "msi-stream init", "--config"):
            assert part in str(refused.value)

    @pytest.mark.parametrize("by_variable", [True, False])
    def test_a_named_file_that_is_not_there_is_not_replaced_by_another(self, tmp_path: Path, by_variable: bool) -> None:
        (tmp_path / "msi-stream.toml").write_text(MINIMAL)
        named = tmp_path / "missing.toml"
        with pytest.raises(ConfigError, match=r"missing\.toml.*msi-stream init"):
            load(None if by_variable else named, {"MSI_STREAM_CONFIG": str(named)} if by_variable else {})

    def test_a_directory_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="found a directory"):
            load(tmp_path, {})

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("[salesforce]\nflow = jwt\n", ":2:8"),
            ('[salesforce]\nclient_id = "never closed', ":2:26"),
            ("a = 1\na = 2\n", ":2:6"),
        ],
    )
    def test_a_syntax_error_names_file_line_and_column(self, read: Read, tmp_path: Path, text: str, place: str) -> None:
        with pytest.raises(ConfigError) as refused:
            read(text)
        assert f"{tmp_path / 'given.toml'}{place}" in str(refused.value)

    def test_a_file_from_windows_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "windows.toml"
        path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
        assert load(path, {}).settings.marketo.client_id == "service-id"


class TestWhatIsRefused:
    def test_all_problems_are_told_at_once_a_line_each(self, read: Read) -> None:
        text = '[salesforce]\nflow = "jvt"\nclient_idd = "x"\n[deliver]\nbatch_size = "many"\n[log]\nlevel = "loud"\n[scorse]\n'
        lines = problems(read, text, {"MSI_STREAM_LOG__FORMAT": "xml"})
        for part in (
            'salesforce.flow: found "jvt", expected one of jwt, client_credentials, refresh_token, password: did you mean jwt?',
            "salesforce.client_idd: found an unknown key, did you mean salesforce.client_id?",
            'deliver.batch_size: found "many", expected a whole number',
            'log.level: found "loud", expected one of debug, info, warning, error',
            'log.format (MSI_STREAM_LOG__FORMAT): found "xml", expected one of json, console',
            "scorse: found an unknown section, did you mean scores?",
            "marketo.base_url: found nothing, expected a URL such as https://123-ABC-456.mktorest.com",
            "marketo.client_id: found nothing, expected a value: Marketo's sign-in needs it",
            "marketo.client_secret: found nothing, expected a value: Marketo's sign-in needs it",
        ):
            assert part in lines
        assert len(lines) == 9

    def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(self, read: Read) -> None:
        assert "did you mean marketo.base_url?" in problems(read, 'base_url = "https://x.mktorest.com"\n' + MINIMAL)[0]

    def test_a_key_like_no_other_lists_the_known_ones(self, read: Read) -> None:
        [line] = problems(read, with_section("log", "zzz = 1"))
        assert line == "log.zzz: found an unknown key, expected one of level, format"

    def test_a_seventh_object_is_refused(self, read: Read) -> None:
        assert problems(read, with_section("salesforce.objects", 'Task = "stream"'))[0].startswith(
            "salesforce.objects.Task: found an unk"
        )
        assert "sales persons are never deleted" in problems(read, with_section("deliver.deletes", 'User = "delete"'))[0]

    @pytest.mark.parametrize(
        ("section", "line", "expected"),
        [
            ("marketo", "calls_per_20s = 0", "of at least 1"),
            ("marketo", "concurrency = -1", "of at least 1"),
            ("marketo", "daily_calls = true", "a whole number"),
            ("marketo", "reserve_calls = 50000", "fewer than marketo.daily_calls"),
            ("deliver", "batch_size = 301", "of at most 300"),
            ("deliver", "linger_seconds = -0.1", "of at least 0"),
            ("deliver", "linger_seconds = inf", "not infinite"),
            ("deliver", "poison_share = 1.5", "of at most 1"),
            ("deliver", "poison_share = nan", "a number"),
            ("deliver", 'merge_people = "yes"', "true or false"),
            ("deliver", 'empty_role = ""', "1 to 50 characters"),
            ("deliver", 'deleted_field = "is gone"', "REST API name"),
            ("scores", "interval_seconds = 0", "above 0"),
            ("scores", 'field_prefix = "mkto_si"', "two underscores"),
            ("salesforce", "api_version = 62.0", "text in quotes"),
            ("salesforce", 'api_version = "v62.0"', '"62.0"'),
            ("salesforce", 'api_version = "62"', '"62.0"'),
            ("salesforce", 'channel = "/data/changeevents"', "case-sensitive"),
            ("salesforce", 'channel = "/data/leadchangeevent"', "case-sensitive"),
            ("salesforce", 'channel = "/event/Lead__e"', "/data/ChangeEvents"),
            ("salesforce", 'client_name = "a, b"', "a header"),
            ("salesforce.objects", 'Lead = "on"', "one of stream, poll, off"),
            ("store", 'path = ""', "a path"),
            ("filters", "Lead = true", "text in quotes"),
        ],
    )
    def test_values_without_sense(self, read: Read, section: str, line: str, expected: str) -> None:
        [problem] = problems(read, with_section(section, line))
        assert problem.startswith(f"{section}.{line.split(' ', maxsplit=1)[0]}: found ")
        assert expected in problem

    @pytest.mark.parametrize(
        ("section", "line"),
        [
            ("marketo", "calls_per_20s = 5000"),
            ("marketo", "daily_calls = 500000000"),
            ("marketo", "reserve_calls = 0"),
            ("deliver", "linger_seconds = 0"),
            ("deliver", "batch_size = 1"),
            ("scores", "interval_seconds = 1"),
            ("reconcile", "poll_interval_seconds = 0.1"),
            ("salesforce", 'channel = "/data/MSI__chn"'),
            ("scores", 'field_prefix = ""'),
        ],
    )
    def test_numbers_are_bounded_only_by_sense(self, read: Read, section: str, line: str) -> None:
        assert read(with_section(section, line)).warnings == []

    @pytest.mark.parametrize("section", ["salesforce", "marketo"])
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
    def test_plain_http_is_for_loopback(self, read: Read, section: str, host: str) -> None:
        key = "login_url" if section == "salesforce" else "base_url"
        loaded = read(with_section(section, f'{key} = "http://{host}:8080/"'))
        assert getattr(getattr(loaded.settings, section), key) == f"http://{host}:8080"

    @pytest.mark.parametrize("section", ["salesforce", "marketo"])
    @pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "localhost.example.com", "128.0.0.1", "[::2]"])
    def test_plain_http_is_refused_elsewhere(self, read: Read, section: str, host: str) -> None:
        key = "login_url" if section == "salesforce" else "base_url"
        [line] = problems(read, with_section(section, f'{key} = "http://{host}"'))
        assert host in line
        assert "expected https" in line

    @pytest.mark.parametrize(
        "url",
        [
            "acme.my.salesforce.com",
            "ftp://acme.com",
            "https://",
            "https://a:b",
            "https://a b.com",
            "https://a?x=1",
            "http://[::1",
        ],
    )
    def test_what_is_no_url(self, read: Read, url: str) -> None:
        assert "expected a URL" in problems(read, with_section("marketo", f'base_url = "{url}"'))[0]

    def test_a_password_in_a_url_is_refused_and_not_shown(self, read: Read) -> None:
        [line] = problems(read, with_section("marketo", 'base_url = "http://user:hunter2@localhost"'))
        assert "without a user name or password" in line
        assert "hunter2" not in line

    @pytest.mark.parametrize("path", ["/rest", "/rest/", "/identity", "/rest/v1"])
    def test_the_address_with_rest_or_identity_is_explained(self, read: Read, path: str) -> None:
        [line] = problems(read, with_section("marketo", f'base_url = "https://123-ABC-456.mktorest.com{path}"'))
        assert "expected the address without /rest or /identity" in line

    def test_slashes_at_the_end_are_left_out(self, read: Read) -> None:
        loaded = read(with_section("marketo", 'base_url = "https://123-ABC-456.mktorest.com/"'))
        assert loaded.settings.marketo.base_url == "https://123-ABC-456.mktorest.com"


class TestFields:
    def test_own_fields_are_added(self, read: Read) -> None:
        loaded = read(MINIMAL + '[fields.Contact]\nRegion__c = "region"\n[fields.Lead]\nRegion__c = "region"\n')
        assert loaded.settings.fields.of("Contact") == {"Region__c": "region"}
        assert loaded.settings.fields.of("Account") == {}
        assert loaded.warnings == []

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ('Region__c = "re gion"', "REST API name"),
            ('"Re gion" = "region"', "Salesforce field names"),
            ("Region__c = 5", "text in quotes"),
            ('Score__c = "leadScore"', "not the user's to set"),
            ('My_Id__c = "externalPersonId"', "not the user's to set"),
            ('Work_Email__c = "email"', "expected Email to go into email, and nothing else"),
            ('Email = "otherEmail"', "expected Email to go into email, and nothing else"),
            ('Email = { to = "email", convert = "lower" }', "expected none: people are found by their email"),
            ('Region__c = { too = "region" }', "did you mean to?"),
            ('Region__c = { policy = "always" }', 'found no "to"'),
            ('Region__c = { to = "region", policy = "if_emty" }', "did you mean if_empty?"),
            ('Region__c = { to = "region", convert = ["trim", "uper"] }', "did you mean upper?"),
            ('Region__c = { to = "region", map = "x" }', "expected a table of values"),
            ('Region__c = { to = "region", otherwise = "x" }', 'found no "map" beside it'),
            ('Region__c = { to = "region", length = 0 }', "a whole number of at least 1"),
            ('Region__c = { to = "region", too_long = "cutt" }', "did you mean cut?"),
            ('"=" = "region"', "expected a constant behind it"),
            ('A__c = "region"\nB__c = "region"', "A__c and B__c both name it"),
        ],
    )
    def test_a_mapping_that_cannot_work(self, read: Read, line: str, expected: str) -> None:
        [problem] = problems(read, f"{MINIMAL}[fields.Contact]\n{line}\n")
        assert problem.startswith("fields.Contact")
        assert expected in problem

    def test_all_that_is_wrong_in_all_tables_is_told_at_once(self, read: Read) -> None:
        text = MINIMAL + '[fields.Contact]\nA__c = "le ad"\nB__c = { to = "b", polcy = "always", length = -1 }\n'
        text += '[fields.Lead]\n"A c" = "x"\n[filters]\nLead = "x"\n[fields.Contat]\nX = "y"\n'
        found = problems(read, text)
        assert [line.split(":")[0] for line in sorted(found)] == [
            "fields.Contact.A__c",
            "fields.Contact.B__c.length",
            "fields.Contact.B__c.polcy",
            "fields.Contat",
            "fields.Lead",
            "filters.Lead",
        ]
        assert any("did you mean fields.Contact?" in line for line in found)

    def test_rules_and_constants(self, read: Read) -> None:
        rule = '{ to = "rating", policy = "if_empty", convert = "upper", map = { A = "1" }, otherwise = "2", length = 5 }'
        loaded = read(MINIMAL + f'[fields.Lead]\nRating__c = {rule}\nFax = ""\n"=Web" = "personSource"\n')
        rules = loaded.settings.fields.rules_of("Lead")
        assert rules["Rating__c"] == FieldRule("rating", "if_empty", ("upper",), {"A": "1"}, "2", length=5)
        assert loaded.settings.fields.of("Lead") == {"Rating__c": "rating", "Fax": "", "=Web": "personSource"}

    def test_a_field_outside_of_an_objects_table(self, read: Read) -> None:
        [line] = problems(read, with_section("fields", 'Title = "title"'))
        assert line.startswith("fields.Title: ")
        assert "expected it in one such as [fields.Contact]" in line


class TestChoices:
    @pytest.mark.parametrize(
        ("section", "line", "meant"),
        [
            ("salesforce.objects", 'Contact = "streem"', "stream"),
            ("log", 'level = "WARN"', "warning"),
            ("deliver", 'shared_email = "Shared"', "share"),
            ("deliver.deletes", 'Lead = "deleted"', "delete"),
        ],
    )
    def test_a_misspelt_choice_is_told_which_was_meant(self, read: Read, section: str, line: str, meant: str) -> None:
        [problem] = problems(read, with_section(section, line))
        assert problem.startswith(f"{section}.{line.split(' ', maxsplit=1)[0]}: ")
        assert problem.endswith(f": did you mean {meant}?")

    def test_one_that_is_like_none_is_told_all(self, read: Read) -> None:
        [problem] = problems(read, with_section("log", 'format = "xyzzy"'))
        assert problem.endswith("expected one of json, console")


class TestEnvironment:
    def test_every_plain_key_has_a_variable_that_goes_before_the_file(self, read: Read) -> None:
        environ = {
            "MSI_STREAM_DELIVER__BATCH_SIZE": "7",
            "MSI_STREAM_DELIVER__LINGER_SECONDS": "0.5",
            "MSI_STREAM_SALESFORCE__OBJECTS__LEAD": "poll",
            "MSI_STREAM_SALESFORCE__OBJECTS__OPPORTUNITYCONTACTROLE": "off",
            "MSI_STREAM_FILTERS__USER": "",
            "MSI_STREAM_LOG__LEVEL": "debug",
            "MSI_STREAM_STORE__PATH": "/srv/store.db",
            "PATH": "/bin",
        }
        settings = read(with_section("deliver", "batch_size = 20"), environ).settings
        assert (settings.deliver.batch_size, settings.deliver.linger_seconds) == (7, 0.5)
        assert settings.salesforce.objects.set_to("poll") == ("Lead",)
        assert settings.salesforce.objects.OpportunityContactRole == "off"
        assert (settings.filters.User, settings.log.level, str(settings.store.path)) == ("", "debug", "/srv/store.db")

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("1", True), ("0", False)])
    def test_booleans(self, read: Read, text: str, value: bool) -> None:
        loaded = read(MINIMAL, {"MSI_STREAM_DELIVER__MERGE_PEOPLE": text})
        assert loaded.settings.deliver.merge_people is value

    @pytest.mark.parametrize(
        ("name", "part"),
        [
            ("MSI_STREAM_DELIVER__BATCHSIZE", "did you mean MSI_STREAM_DELIVER__BATCH_SIZE?"),
            ("MSI_STREAM_FIELDS__CONTACT__TITLE", "sets no key"),
            ("MSI_STREAM_SALESFORCE__OBJECTS", "sets no key"),
        ],
    )
    def test_a_variable_that_sets_nothing_is_an_error(self, read: Read, name: str, part: str) -> None:
        [line] = problems(read, MINIMAL, {name: "hunter2"})
        assert line.startswith(f"{name}: ")
        assert part in line
        assert "hunter2" not in line

    def test_a_number_that_is_none_names_key_and_variable(self, read: Read) -> None:
        [line] = problems(read, MINIMAL, {"MSI_STREAM_SCORES__INTERVAL_SECONDS": "soon"})
        assert line == 'scores.interval_seconds (MSI_STREAM_SCORES__INTERVAL_SECONDS): found "soon", expected a number'

    def test_every_key_can_be_reached_but_the_mappings(self) -> None:
        assert {key.path for key in keys().values() if key.path[0] != "fields"} <= set(variables().values())


class TestSecrets:
    def test_environment_before_value_before_file_before_credential(self, read: Read, tmp_path: Path) -> None:
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        (credentials / "marketo_client_secret").write_text("by credential\n")
        (tmp_path / "secret").write_text("by file\n")
        (tmp_path / "other").write_text("by file of the environment")
        environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
        bare = MINIMAL.replace('client_secret = "s3cr3t-of-marketo"\n', "")
        by_file = bare.replace("[marketo]", f'[marketo]\nclient_secret_file = "{tmp_path / "secret"}"')
        by_value = by_file.replace("[marketo]", '[marketo]\nclient_secret = "by value"')

        def secret(text: str) -> str:
            return read(text, environ).settings.marketo.client_secret.get_secret_value()

        assert secret(bare) == "by credential"
        assert secret(by_file) == "by file"
        assert secret(by_value) == "by value"
        environ["MSI_STREAM_MARKETO__CLIENT_SECRET_FILE"] = str(tmp_path / "other")
        assert secret(by_value) == "by file of the environment"
        environ["MSI_STREAM_MARKETO__CLIENT_SECRET"] = "by environment"
        assert secret(by_value) == "by environment"

    def test_a_relative_file_starts_at_the_configuration(
        self, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "secret").write_text("beside it\r\n")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        text = (
            MINIMAL.replace('client_secret = "s3cr3t-of-marketo"', 'client_secret_file = "secret"') + '[store]\npath = "my.db"\n'
        )
        settings = read(text).settings
        assert settings.marketo.client_secret.get_secret_value() == "beside it"
        assert settings.store.path == tmp_path / "my.db"

    @pytest.mark.parametrize(
        ("content", "part"),
        [
            (None, "No such file"),
            (b"", "an empty file"),
            (b"\n", "an empty file"),
            (b"\xff\xfe", "binary data"),
            (b"x" * 70000, "64 KiB"),
        ],
    )
    def test_a_file_that_holds_no_secret(self, read: Read, tmp_path: Path, content: bytes | None, part: str) -> None:
        if content is not None:
            (tmp_path / "secret").write_bytes(content)
        text = MINIMAL.replace('client_secret = "s3cr3t-of-marketo"', 'client_secret_file = "secret"')
        [line] = problems(read, text)
        assert line.startswith("marketo.client_secret_file: found ")
        assert part in line

    def test_a_directory_holds_no_secret(self, read: Read, tmp_path: Path) -> None:
        text = MINIMAL.replace('client_secret = "s3cr3t-of-marketo"', f'client_secret_file = "{tmp_path}"')
        assert "Is a directory" in problems(read, text)[0]

    @pytest.mark.parametrize("name", ["~nobody-of-this-name/secret", "a\\u0000b", "a\\nb"])
    def test_a_name_that_no_file_can_have(self, read: Read, name: str) -> None:
        text = MINIMAL.replace('client_secret = "s3cr3t-of-marketo"', f'client_secret_file = "{name}"')
        [line] = problems(read, text + f'[store]\npath = "{name}"\n' if name.startswith("~") else text)
        assert line.startswith("marketo.client_secret_file: found ")

    def test_a_key_pasted_in_place_of_its_path_is_not_shown(self, read: Read, pem: str) -> None:
        one_line = pem.replace("\n", "\\n")
        lines = problems(read, MINIMAL.replace("client_credentials", "jwt").replace("client_secret", "private_key_file", 1))
        assert any(line.startswith("salesforce.private_key_file: found ") for line in lines)
        text = with_section("salesforce", f'private_key_file = "{one_line}"')
        [line] = problems(read, text)
        assert "the secret itself goes under salesforce.private_key" in line
        assert pem.splitlines()[1] not in line

    @pytest.mark.parametrize(
        ("flow", "missing"),
        [
            ("jwt", {"client_id", "private_key", "username"}),
            ("client_credentials", {"client_id", "client_secret"}),
            ("refresh_token", {"client_id", "refresh_token"}),
            ("password", {"client_id", "client_secret", "username", "password"}),
        ],
    )
    def test_what_each_flow_needs(self, read: Read, pem: str, flow: str, missing: set[str]) -> None:
        text = MINIMAL.replace('client_id = "consumer-key"\nclient_secret = "s3cr3t-of-salesforce"\n', "").replace(
            "client_credentials", flow
        )
        lines = problems(read, text)
        assert {line.split(":")[0].removeprefix("salesforce.") for line in lines} == missing
        assert all(f'flow "{flow}" needs it' in line for line in lines)
        values = {f"MSI_STREAM_SALESFORCE__{key.upper()}": pem if key == "private_key" else "given" for key in missing}
        assert read(text, values).settings.salesforce.flow == flow

    def test_empty_texts_count_as_not_given(self, read: Read) -> None:
        text = MINIMAL.replace('"s3cr3t-of-salesforce"', '""')
        [line] = problems(read, text, {"MSI_STREAM_SALESFORCE__CLIENT_SECRET": ""})
        assert line.startswith("salesforce.client_secret")
        assert 'found nothing, expected a value: flow "client_credentials" needs it' in line

    def test_a_private_key_on_one_line_is_taken(self, read: Read, pem: str) -> None:
        environ = {
            "MSI_STREAM_SALESFORCE__PRIVATE_KEY": pem.replace("\n", "\\n"),
            "MSI_STREAM_SALESFORCE__USERNAME": "integration@example.com",
        }
        settings = read(MINIMAL.replace("client_credentials", "jwt"), environ).settings
        assert settings.salesforce.reveal("private_key") == pem

    def test_private_keys_that_cannot_sign(self, read: Read, rsa_key: Any, pem: str) -> None:
        damaged = pem.splitlines()
        damaged[3] = damaged[3][:20]
        for key, part in (
            ("not a key", "from -----BEGIN"),
            (pem_of(rsa_key, b"hunter2"), "without a passphrase"),
            (pem_of(ec.generate_private_key(ec.SECP256R1())), "RS256"),
            ("\n".join(damaged), "damaged"),
        ):
            environ = {"MSI_STREAM_SALESFORCE__PRIVATE_KEY": key, "MSI_STREAM_SALESFORCE__USERNAME": "integration@example.com"}
            [line] = problems(read, MINIMAL.replace("client_credentials", "jwt"), environ)
            assert line.startswith(
                "salesforce.private_key (MSI_STREAM_SALESFORCE__PRIVATE_KEY): found a value that is not shown here"
            )
            assert part in line

    def test_secrets_are_never_shown(self, read: Read) -> None:
        text = MINIMAL.replace("base_url", "base_uri").replace(
            'client_secret = "s3cr3t-of-sales', 'client_secrt = "s3cr3t-of-sales'
        )
        lines = "\n".join(problems(read, text.replace('"s3cr3t-of-marketo"', "123456789")))
        assert "s3cr3t" not in lines
        assert "123456789" not in lines
        assert "marketo.client_secret: found a value that is not shown here, expected text in quotes" in lines
        loaded = read()
        assert "s3cr3t" not in repr(loaded) + str(loaded) + loaded.settings.model_dump_json()


class TestWarnings:
    @pytest.mark.parametrize("name", ["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"])
    def test_every_object_has_a_filter(self, read: Read, name: str) -> None:
        loaded = read(with_section("filters", f'{name} = "Sync_to_Marketo__c = true"'))
        assert loaded.settings.filters.of(name) == "Sync_to_Marketo__c = true"  # type: ignore[arg-type] # one of the objects
        assert loaded.warnings == []

    def test_filters_that_are_none_are_told_together(self, read: Read) -> None:
        text = with_section("filters", 'Lead = "Status = Open"\nContact = "A__c = 1 OR B__c = 2"')
        contact, lead = sorted(problems(read, text))
        assert contact.startswith('filters.Contact: found "A__c = 1 OR B__c = 2", expected comparisons such as')
        assert "OR is not among them" in contact
        assert lead.startswith('filters.Lead: found "Status = Open", expected comparisons such as')

    def test_the_user_filter_works(self, read: Read) -> None:
        assert read(with_section("filters", """User = "UserType = 'Standard'" """)).warnings == []

    def test_a_sixth_streamed_object_needs_the_add_on(self, read: Read) -> None:
        [warning] = read(with_section("salesforce.objects", 'OpportunityContactRole = "stream"')).warnings
        assert "6 objects are set to stream" in warning
        assert "only 5" in warning

    def test_a_channel_of_one_object_carries_no_other(self, read: Read) -> None:
        [warning] = read(with_section("salesforce", 'channel = "/data/LeadChangeEvent"')).warnings
        assert "User, Account, Contact, Opportunity" in warning

    def test_client_credentials_at_the_shared_login_host(self, read: Read) -> None:
        [warning] = read(with_section("salesforce", 'login_url = "https://login.salesforce.com"')).warnings
        assert "My Domain" in warning


class TestDocuments:
    def test_the_reference_is_the_models(self) -> None:
        written = Path(__file__).parents[2] / "docs" / "configuration.md"
        assert written.read_text() == reference(), "run python -m stream.config.reference > docs/configuration.md"

    def test_every_key_is_described(self) -> None:
        assert [key.name for key in keys().values() if key.path[0] != "fields" and not key.field.description] == []

    def test_the_template_as_written_asks_only_for_its_placeholders(self, read: Read) -> None:
        asked = {line.split(":")[0] for line in problems(read, template())}
        assert asked == {
            "salesforce.client_id",
            "salesforce.private_key_file",
            "salesforce.username",
            "marketo.base_url",
            "marketo.client_id",
            "marketo.client_secret_file",
        }

    def test_the_filled_template_loads_with_every_default(self, read: Read, pem: str, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_text(pem)
        (tmp_path / "marketo").write_text("secret")
        filled = {
            "salesforce.client_id": "consumer-key",
            "salesforce.private_key_file": str(tmp_path / "key.pem"),
            "salesforce.username": 'o"quoted\\@example.com',
            "marketo.base_url": "https://123-ABC-456.mktorest.com",
            "marketo.client_id": "service-id",
            "marketo.client_secret_file": str(tmp_path / "marketo"),
            "deliver.linger_seconds": 0.5,
            "fields.Contact": {"Region__c": "region"},
        }
        loaded = read(template(filled))
        assert loaded.warnings == []
        assert loaded.settings.salesforce.username == 'o"quoted\\@example.com'
        assert loaded.settings.deliver.linger_seconds == 0.5
        assert loaded.settings.fields.of("Contact") == {"Region__c": "region"}

    def test_the_template_with_every_default_taken_in_is_the_defaults(self, read: Read) -> None:
        text = template(FILLED)
        taken_in = "\n".join(
            line.removeprefix("# ")
            if line.startswith("# ") and " = " in line and "_file =" not in line and "`" not in line
            else line
            for line in text.splitlines()
            if "Region__c" not in line
        )
        by_default, explicit = read(text).settings, read(taken_in).settings
        assert explicit == by_default

    def test_a_key_in_the_template_may_hold_a_pem(self, read: Read, pem: str) -> None:
        loaded = read(template(FILLED | {"salesforce.flow": "jwt", "salesforce.private_key": pem, "salesforce.username": "u"}))
        assert loaded.settings.salesforce.reveal("private_key") == pem


FILLED: dict[str, Any] = {
    "salesforce.flow": "client_credentials",
    "salesforce.login_url": "http://127.0.0.1:8000",
    "salesforce.client_id": "consumer-key",
    "salesforce.client_secret": "secret",
    "marketo.base_url": "http://127.0.0.1:8001",
    "marketo.client_id": "service-id",
    "marketo.client_secret": "secret",
}


def test_whoever_only_looks_at_the_store_needs_no_secrets(tmp_path: Path, read: Read) -> None:
    """Not those that are missing, not those that it may not read."""
    read()
    path = tmp_path / "given.toml"
    bare = "\n".join(line for line in MINIMAL.splitlines() if "client_secret" not in line)
    path.write_text(bare.replace("[marketo]", f'[marketo]\nclient_secret_file = "{tmp_path}"'))
    loaded = load(path, {"MSI_STREAM_SALESFORCE__CLIENT_SECRET_FILE": "/nowhere"}, secrets=False)
    assert loaded.settings.salesforce.reveal("client_secret") == ""
    assert loaded.settings.marketo.client_secret.get_secret_value() == ""
    path.write_text(bare.replace('client_id = "service-id"', "").replace("[salesforce]", "[salesforce]\nflw = 1"))
    with pytest.raises(ConfigError, match=r"marketo\.client_id") as refused:
        load(path, {}, secrets=False)
    assert "salesforce.flow" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "store"),
    [("north.toml", "north/store.db"), ("config.toml", "store.db")],
)
def test_each_of_several_configurations_has_a_store_of_its_own(tmp_path: Path, read: Read, name: str, store: str) -> None:
    read()
    path = tmp_path / "etc" / name
    path.parent.mkdir()
    path.write_text(MINIMAL)
    assert load(path, {}).settings.store.path == Path("/var/lib/msi-stream") / store
    path.write_text(MINIMAL + '[store]\npath = "here.db"\n')
    assert load(path, {}).settings.store.path == path.with_name("here.db")
    assert load(path, {"MSI_STREAM_STORE__PATH": "/elsewhere.db"}).settings.store.path == Path("/elsewhere.db")
