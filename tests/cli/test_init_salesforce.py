"""`init --salesforce`: what it writes is what Salesforce's own tools take, and all that the integration user needs."""

from __future__ import annotations

import base64
import json
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
from tests.cli.shell import Said, here_and_now
from tests.flow.world import World, world

ROOT = Path(__file__).parents[2]
SPACE = "{http://soap.sforce.com/2006/04/metadata}"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\nQUJD\n-----END CERTIFICATE-----\n"

JSFORCE = """
const {ApiSchemas} = require("jsforce/lib/api/metadata/schema.js");
const {type, value} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const wrong = [];
function check(name, value, at) {
  const schema = ApiSchemas[name];
  if (!schema) { wrong.push(`${at}: no type ${name}`); return; }
  const props = {fullName: "?string"};
  for (let s = schema; s; s = s.extends && ApiSchemas[s.extends]) Object.assign(props, s.props);
  for (const [key, parts] of Object.entries(value)) {
    const asked = props[key];
    if (!asked) { wrong.push(`${at}.${key}: unknown`); continue; }
    const many = Array.isArray(asked), kind = (many ? asked[0] : asked).replace("?", "");
    if (!many && parts.length > 1) wrong.push(`${at}.${key}: only one`);
    for (const part of parts) {
      if (kind === "boolean" ? !["true", "false"].includes(part) : kind === "number" ? isNaN(part) : false)
        wrong.push(`${at}.${key}: ${part} is no ${kind}`);
      if (ApiSchemas[kind]) check(kind, part, `${at}.${key}`);
    }
  }
  for (const [key, asked] of Object.entries(props))
    if (!Array.isArray(asked) && !asked.startsWith("?") && !(key in value)) wrong.push(`${at}.${key}: missing`);
}
check(type, value, type);
console.log(JSON.stringify(wrong));
"""
DEPLOYS = """
const {ComponentSet, MetadataConverter} = require("@salesforce/source-deploy-retrieve");
(async () => {
  const [dir, out] = process.argv.slice(1);
  const found = ComponentSet.fromSource(dir).getSourceComponents().toArray();
  const have = found.flatMap((c) => [c, ...c.getChildren()]).map((c) => `${c.type.name}:${c.fullName}`);
  const listed = [...await ComponentSet.fromManifest(`${dir}/package.xml`)].map((c) => `${c.type.name}:${c.fullName}`);
  await new MetadataConverter().convert(found, "source", {type: "directory", outputDirectory: out, genUniqueDir: false});
  console.log(JSON.stringify({have, listed}));
})();
"""
NEWER = {
    "ExternalClientApplication": {"contactEmail", "description", "distributionState", "isProtected", "label"},
    "ExtlClntAppOauthSettings": {"commaSeparatedOauthScopes", "externalClientApplication", "label"},
    "ExtlClntAppGlobalOauthSettings": {
        *("callbackUrl", "certificate", "externalClientApplication", "isClientCredentialsFlowEnabled"),
        *("isConsumerSecretOptional", "isPkceRequired", "isSecretRequiredForRefreshToken", "label"),
    },
    "ExtlClntAppOauthConfigurablePolicies": {
        *("clientCredentialsFlowUser", "commaSeparatedPermissionSet", "externalClientApplication", "ipRelaxationPolicyType"),
        *("isClientCredentialsFlowEnabled", "label", "permittedUsersPolicyType", "refreshTokenPolicyType"),
    },
}
"""Types that jsforce does not know yet, and what the Metadata API Developer Guide lists of them."""


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


def node(script: str, *words: str, stdin: str = "") -> Any:
    done = subprocess.run(["node", "-e", script, *words], input=stdin, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OWN_FIELDS = '[scores]\nfield_prefix = ""\n[fields.Lead]\nRegion__c = "region"\n'


@pytest.mark.skipif(not (shutil.which("node") and (ROOT / "node_modules/jsforce").is_dir()), reason="jsforce is not installed")
@pytest.mark.parametrize("text", ["", OWN_FIELDS])
def test_every_file_has_the_members_that_salesforces_own_schema_asks_for(tmp_path: Path, text: str) -> None:
    said, where = written(tmp_path, "--filter", "User=UserType = 'Standard'", text=text)
    assert said.code == 0, said.err
    for path in files(where):
        root = ET.parse(path).getroot()  # noqa: S314 - our own files
        kind = root.tag.removeprefix(SPACE)
        value = as_value(root)
        if kind == "Package":
            continue
        if kind in NEWER:
            assert value.keys() <= NEWER[kind], path
            continue
        value.pop("filterExpression", None)  # newer than jsforce's schema
        assert node(JSFORCE, stdin=json.dumps({"type": kind, "value": value})) == [], path


@pytest.mark.skipif(
    not (shutil.which("node") and (ROOT / "node_modules/@salesforce/source-deploy-retrieve").is_dir()),
    reason="Salesforce's source-deploy-retrieve, which is large, is not among the packages that the tests install",
)
@pytest.mark.parametrize("text", ["", OWN_FIELDS])
def test_salesforces_own_library_finds_each_component_and_converts_it(tmp_path: Path, text: str) -> None:
    _, where = written(tmp_path, text=text)
    found = node(DEPLOYS, str(where), str(tmp_path / "source"))
    fields = [each for each in found["listed"] if each.startswith("CustomField:")]  # parts of their object until it is converted
    assert {*found["listed"]} - {*fields} == {each for each in found["have"] if not each.startswith("Custom")}
    made = {path.name for path in files(tmp_path / "source") if path.name.endswith(".field-meta.xml")}
    assert made == {f"{each.rpartition('.')[2]}.field-meta.xml" for each in fields}
    assert len(fields) == (14 if text else 0)


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
