"""`init --salesforce`: what it writes is what Salesforce's own tools take, and all that the integration user needs."""

from __future__ import annotations

import base64
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from stream.clock import SystemClock
from stream.config import load
from stream.doctor import examine
from tests.cli.metadata_types import PLACES, SPACE, TYPES, wrong
from tests.cli.shell import Said, here_and_now
from tests.flow.world import World, world

ROOT = Path(__file__).parents[2]
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\nQUJD\n-----END CERTIFICATE-----\n"


def written(folder: Path, *words: str, text: str = "") -> tuple[Said, Path]:
    """What the command answers, and where it wrote, with this configuration."""
    config = folder / "begun.toml"
    config.write_text(text, "utf-8")
    return here_and_now("init", "--salesforce", str(folder / "out"), "--config", str(config), *words), folder / "out"


def files(where: Path) -> list[Path]:
    return sorted(path for path in where.rglob("*") if path.is_file())


def as_value(element: ET.Element) -> Any:
    """An element as the schema sees it: texts, or lists of parts by name."""
    if not len(element):
        return element.text or ""
    value: dict[str, list[Any]] = {}
    for child in element:
        value.setdefault(child.tag.removeprefix(SPACE), []).append(as_value(child))
    return value


OWN_FIELDS = '[scores]\nfield_prefix = ""\n[fields.Lead]\nRegion__c = "region"\n'


@pytest.mark.skipif(not TYPES.is_file(), reason="npm ci installs Salesforce's own types, and was not run")
@pytest.mark.parametrize("flow", ["jwt", "client_credentials"])
@pytest.mark.parametrize("text", ["", OWN_FIELDS])
def test_every_file_holds_what_salesforces_own_types_ask_for_and_lies_where_its_tools_look(
    tmp_path: Path, text: str, flow: str
) -> None:
    said, where = written(tmp_path, "--filter", "User=UserType = 'Standard'", text=f'[salesforce]\nflow = "{flow}"\n{text}')
    assert said.code == 0, said.err
    seen = set()
    for path in files(where):
        root = ET.parse(path).getroot()  # noqa: S314 - our own files
        kind = root.tag.removeprefix(SPACE)
        assert list(wrong(kind, root)) == [], path
        if kind != "Package":
            assert (path.parent.name, path.suffix) == (PLACES[kind][0], f".{PLACES[kind][1]}")
            seen.add(kind)
    assert seen == {*PLACES} - (set() if text else {"CustomObject"})


@pytest.mark.skipif(not TYPES.is_file(), reason="npm ci installs Salesforce's own types, and was not run")
@pytest.mark.parametrize(
    ("right", "broken", "told"),
    [
        ("<channelType>data", "<channelType>date", "is none of"),
        ("<label>MSI Stream</label>", "", "PlatformEventChannel.label: missing"),
        ("<label>MSI Stream</label>", "<label>a</label><label>b</label>", "only one"),
        ("<label>MSI Stream</label>", "<label>a</label><lable>b</lable>", "no such member"),
    ],
)
def test_what_salesforce_would_not_take_is_seen(tmp_path: Path, right: str, broken: str, told: str) -> None:
    _, where = written(tmp_path)
    (path,) = (where / "platformEventChannels").iterdir()
    text = path.read_text("utf-8")
    assert right in text
    found = list(wrong("PlatformEventChannel", ET.fromstring(text.replace(right, broken))))  # noqa: S314 - our own file
    assert len(found) == 1
    assert told in found[0]


def test_a_key_pair_made_as_the_documents_say_signs_and_is_taken(tmp_path: Path) -> None:
    key, crt = tmp_path / "salesforce.key", tmp_path / "salesforce.crt"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 730 -subj /CN=msi-stream -keyout {key} -out {crt}"
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(command.split(), check=True, capture_output=True)
    said, where = written(tmp_path, "--certificate", str(crt))
    assert said.code == 0
    root = ET.parse(where / "extlClntAppGlobalOauthSets/MSI_Stream_global.ecaGlblOauth").getroot()  # noqa: S314 - our own file
    held = x509.load_der_x509_certificate(base64.b64decode(root.findtext(f"{SPACE}certificate") or ""))
    signed = jwt.encode({"iss": "app"}, key.read_text("ascii"), algorithm="RS256")
    public = held.public_key()
    assert isinstance(public, RSAPublicKey)
    assert jwt.decode(signed, public, algorithms=["RS256"]) == {"iss": "app"}


def test_the_package_lists_each_file_and_nothing_else(tmp_path: Path) -> None:
    _, where = written(tmp_path, text=OWN_FIELDS)
    package = ET.parse(where / "package.xml").getroot()  # noqa: S314 - our own file
    listed = {member.text for member in package.iter(f"{SPACE}members")}
    there = {path.name.rpartition(".")[0] for path in files(where) if path.name != "package.xml"} - {"Lead", "Contact"}
    assert there <= listed
    assert {each for each in listed - there if each} == {
        f"{obj}.{field.text}"
        for obj in ("Lead", "Contact")
        for field in ET.parse(where / f"objects/{obj}.object").getroot().iter(f"{SPACE}fullName")  # noqa: S314 - our own file
    }
    assert len(listed - there) == 14


def granted(where: Path, here: World) -> None:
    """Let this world's admin deploy the files, and assign the permission set."""
    (path,) = (where / "permissionsets").iterdir()
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    for each in root.iter(f"{SPACE}userPermissions"):
        here.org.access.permissions.add(each.findtext(f"{SPACE}name"))
    for each in root.iter(f"{SPACE}objectPermissions"):
        if each.findtext(f"{SPACE}viewAllRecords") == "true":
            here.org.access.view_all.add(each.findtext(f"{SPACE}object"))
    for each in root.iter(f"{SPACE}fieldPermissions"):
        obj, _, field = (each.findtext(f"{SPACE}field") or "").partition(".")
        for name, found in here.org.types[obj].fields.items():
            if field in {name, found.compound}:
                here.org.show_field(obj, name)
    members = {}
    for member in (where / "platformEventChannelMembers").iterdir():
        found = as_value(ET.parse(member).getroot())  # noqa: S314 - our own file
        members[found["selectedEntity"][0].removesuffix("ChangeEvent")] = found.get("filterExpression", [""])[0]
    (channel,) = (where / "platformEventChannels").iterdir()
    here.org.publisher.add_channel(channel.name.removesuffix(".platformEventChannel"), members)


async def test_a_user_who_may_nothing_may_all_that_doctor_asks_for_once_it_is_deployed(tmp_path: Path) -> None:
    said, where = written(tmp_path)
    assert 'set salesforce.channel = "/data/MSI_Stream__chn"' in said.out
    async with world(tmp_path, speed=1.0, salesforce__channel="/data/MSI_Stream__chn") as here:
        here.org.publisher.select(())
        here.org.access.permissions.clear()
        here.org.access.view_all.clear()
        for obj, kind in here.org.types.items():
            for name, field in kind.fields.items():
                optional = field.nillable and field.creatable and not field.required and field.compound != "Name"
                if obj != "User" and (optional or name in {"HasOptedOutOfEmail", "DoNotCall", "ExpectedRevenue"}):
                    here.org.hide_field(obj, name)
        for name in ("ForecastCategoryName", "Role", "IsPrimary"):  # always seen: their security cannot be granted
            for obj in ("Opportunity", "OpportunityContactRole"):
                here.org.show_field(obj, name)
        before = await examine(load(here.write_config(), {}), SystemClock())
        assert sum(each.result == "failure" for each in before) >= 2
        granted(where, here)
        found = await examine(load(here.write_config(), {}), SystemClock())
        assert [each for each in found if each.result != "ok"] == []


def test_what_is_there_stays_and_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    said, where = written(tmp_path)
    assert said.code == 0
    before = {path: path.read_bytes() for path in files(where)}
    again, _ = written(tmp_path)
    assert again.code == 2
    assert "not empty" in again.message
    assert {path: path.read_bytes() for path in files(where)} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun.toml", "out"]
    nowhere = here_and_now("init", "--salesforce", str(tmp_path / "begun.toml" / "x"), "--config", str(tmp_path / "begun.toml"))
    assert nowhere.code == 2


def test_the_certificate_goes_in_and_a_private_key_never(tmp_path: Path) -> None:
    pem = tmp_path / "salesforce.crt"
    pem.write_text(CERTIFICATE)
    said, where = written(tmp_path, "--certificate", str(pem), "--email", "admin@acme.example")
    assert "PUT-THE-CERTIFICATE" not in said.out
    text = "".join(path.read_text("utf-8") for path in files(where))
    assert "<certificate>MIIBQUJD</certificate>" in text
    assert "<contactEmail>admin@acme.example</contactEmail>" in text
    shutil.rmtree(where)
    pem.write_text(CERTIFICATE + "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    refused, _ = written(tmp_path, "--certificate", str(pem))
    assert refused.code == 2
    assert "secret" not in refused.err
    assert not where.exists()


@pytest.mark.parametrize(
    ("flow", "there", "absent"),
    [
        ("client_credentials", "<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>", "<certificate>"),
        ("password", "<PermissionSet", "ExternalClientApplication"),
    ],
)
def test_the_app_follows_the_flow(tmp_path: Path, flow: str, there: str, absent: str) -> None:
    said, where = written(tmp_path, text=f'[salesforce]\nflow = "{flow}"\n')
    assert said.code == 0
    text = "".join(path.read_text("utf-8") for path in files(where))
    assert there in text
    assert absent not in text


def test_the_configurations_own_channel_objects_and_fields_are_written(tmp_path: Path) -> None:
    text = '[salesforce]\nchannel = "/data/Own__chn"\n[salesforce.objects]\nLead = "poll"\n[fields.Account]\nTier__c = "tier"\n'
    said, where = written(tmp_path, "--filter", "User=UserType <> 'A' AND Id > '0'", text=text)
    assert "salesforce.channel" not in said.out
    names = [path.name.partition(".")[0] for path in (where / "platformEventChannelMembers").iterdir()]
    assert sorted(names) == [f"Own_chn_{obj}ChangeEvent" for obj in ("Account", "Contact", "Opportunity", "User")]
    text = (where / "platformEventChannelMembers/Own_chn_UserChangeEvent.platformEventChannelMember").read_text("utf-8")
    assert "UserType &lt;&gt; 'A' AND Id &gt; '0'" in text
    assert "<field>Account.Tier__c</field>" in (where / "permissionsets/MSI_Stream.permissionset").read_text("utf-8")


@pytest.mark.parametrize(
    "words", [["--filter", "Nothing=x"], ["--filter", "Lead"], ["--filter", "Lead= "], ["--force"], ["somewhere.toml"]]
)
def test_wrong_words_write_nothing(tmp_path: Path, words: list[str]) -> None:
    said, where = written(tmp_path, *words)
    assert said.code == 2
    assert not where.exists()
    assert here_and_now("init", "--email", "a@b.co", str(tmp_path / "x.toml")).code == 2
