"""`init`: a commented file for its owner alone, never over another one by accident."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

import pytest

from stream.config import load
from stream.config.keys import keys
from stream.config.template import template
from tests.cli.shell import here_and_now, msi

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_writes_the_commented_configuration_for_its_owner_alone(tmp_path: Path) -> None:
    said = await msi("init", str(tmp_path / "new.toml"))
    assert (said.code, said.err) == (0, "")
    assert "doctor" in said.out
    assert (tmp_path / "new.toml").read_text("utf-8") == template()
    assert mode(tmp_path / "new.toml") == 0o600
    assert names(tmp_path) == ["new.toml"]
    tomllib.loads(template())


@pytest.mark.parametrize(
    ("file", "prefix", "doctor"), [("config.toml", "msi-stream", "-"), ("north.toml", "msi-stream.north", "north")]
)
async def test_with_credentials_it_names_no_file_and_the_services_user_may_read_it(
    tmp_path: Path, file: str, prefix: str, doctor: str
) -> None:
    said = await msi("init", "--credentials", str(tmp_path / file))
    assert said.out.endswith(f"msi-stream-as {doctor} doctor\n")
    text = (tmp_path / file).read_text("utf-8")
    assert mode(tmp_path / file) == 0o644
    assert "_file" not in text
    named = set(re.findall(r"/etc/credstore/(\S+)", text))
    assert named == {f"{prefix}.{'_'.join(key.path)}" for key in keys().values() if key.is_secret}
    unit = (ROOT / "systemd" / f"msi-stream{'@' if doctor != '-' else ''}.service").read_text("utf-8")
    assert named == {name.replace("%i", "north") for name in re.findall(r"(?m)^LoadCredential=\w+:(\S+)$", unit)}
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "marketo_client_secret").write_text("secret")
    (credentials / "salesforce_client_secret").write_text("another")
    salesforce = {"LOGIN_URL": "https://one.my.salesforce.com", "FLOW": "client_credentials", "CLIENT_ID": "c"}
    filled = {f"MSI_STREAM_SALESFORCE__{key}": value for key, value in salesforce.items()}
    filled |= {"MSI_STREAM_MARKETO__CLIENT_ID": "c", "MSI_STREAM_MARKETO__BASE_URL": "https://one.mktorest.com"}
    settings = load(tmp_path / file, {"CREDENTIALS_DIRECTORY": str(credentials), **filled}).settings
    assert settings.salesforce.reveal("client_secret") == "another"
    assert settings.marketo.client_secret.get_secret_value() == "secret"


@pytest.mark.parametrize(
    ("words", "environ", "name"),
    [
        ([], {}, "msi-stream.toml"),
        (["--config", "given.toml"], {}, "given.toml"),
        ([], {"MSI_STREAM_CONFIG": "named.toml"}, "named.toml"),
        (["path.toml", "--config", "given.toml"], {"MSI_STREAM_CONFIG": "named.toml"}, "path.toml"),
    ],
)
async def test_where_it_goes(tmp_path: Path, words: list[str], environ: dict[str, str], name: str) -> None:
    assert (await msi("init", *words, cwd=tmp_path, **environ)).code == 0
    assert names(tmp_path) == [name]


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text("precious = true\n")
    path.chmod(0o644)
    said = here_and_now("init", str(path))
    assert said.code == 2
    assert "--force" in said.message
    assert path.read_text() == "precious = true\n"
    assert (here_and_now("init", str(path), "--force")).code == 0
    assert path.read_text("utf-8") == template()
    assert mode(path) == 0o600
    assert names(tmp_path) == ["old.toml"]


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("where", ["nowhere/new.toml", "file/new.toml"])
async def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path, where: str, force: list[str]) -> None:
    (tmp_path / "file").touch()
    said = await msi("init", where, *force, cwd=tmp_path)
    assert said.code == 2
    assert f"cannot write {where}" in said.message
    assert names(tmp_path) == ["file"]


async def test_a_directory_is_no_file_to_replace(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    said = await msi("init", "folder", "--force", cwd=tmp_path)
    assert said.code == 2
    assert said.message
    assert names(tmp_path) == ["folder"]


async def test_what_was_written_only_lacks_its_credentials(tmp_path: Path) -> None:
    await msi("init", cwd=tmp_path)
    said = await msi("doctor", cwd=tmp_path)
    assert said.code == 2
    for key in ("salesforce.client_id", "salesforce.private_key", "marketo.client_secret"):
        assert key in said.err
    assert "Traceback" not in said.err
