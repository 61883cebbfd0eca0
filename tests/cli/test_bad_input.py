"""What a newcomer gets wrong: one clear message, the right exit code, nothing lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.database import APPLICATION_ID
from store.sql import migrations
from tests.cli.shell import SECRETS, ask, check_secrets, config_file, here_and_now, msi
from tests.crash.crashing import Running
from tests.flow.scenes import company
from tests.flow.world import world

LOOKS = [
    ["run"],
    ["status"],
    ["why", "0035g00000AbCdE"],
    ["plan"],
    ["audit"],
    ["dead", "list"],
    ["replay", "show"],
    ["dead", "retry", "--all"],
]


@pytest.mark.parametrize("command", [*LOOKS, ["doctor"]], ids=" ".join)
def test_a_wrong_key_is_named_with_what_was_meant(tmp_path: Path, command: list[str]) -> None:
    config = config_file(tmp_path)
    config.write_text(config.read_text("utf-8").replace("# batch_size", "batchsize"))
    said = here_and_now(*command, "--config", str(config))
    assert said.code == 2
    assert "deliver.batchsize" in said.message
    assert "batch_size" in said.message
    assert said.out == ""
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_missing_secret_is_named(tmp_path: Path, secret: str) -> None:
    config = config_file(tmp_path)
    config.write_text(config.read_text("utf-8").replace(f'client_secret = "{secret}"', ""))
    said = here_and_now("run", "--config", str(config))
    assert said.code == 2
    assert f"{secret.split('-', maxsplit=1)[0]}.client_secret: found nothing" in said.message


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    config.write_text(config.read_text("utf-8").replace("client_secret =", "client_secrets ="))
    said = here_and_now("run", "--config", str(config))
    assert said.code == 2
    assert "did you mean marketo.client_secret?" in said.err


async def test_no_configuration_at_all_says_where_it_looked(tmp_path: Path) -> None:
    said = await msi("status", cwd=tmp_path)
    assert said.code == 2
    assert "msi-stream.toml" in said.message
    assert "msi-stream init" in said.message


async def test_the_environment_may_name_the_configuration(tmp_path: Path) -> None:
    said = await msi("status", "--json", MSI_STREAM_CONFIG=str(config_file(tmp_path)))
    assert said.code == 1
    assert said.json()["state"] == "stopped"


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_database_of_another_program_is_left_as_it_was(tmp_path: Path, command: list[str]) -> None:
    other = tmp_path / "store.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE diary (day TEXT)")
        database.execute("INSERT INTO diary VALUES ('monday')")
        database.commit()
    before = other.read_bytes()
    said = here_and_now(*command, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "another program" in said.message
    assert "[store] path" in said.message
    assert other.read_bytes() == before


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_file_that_is_no_database_is_left_as_it_was(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "store.db").write_text("to do: buy milk\n" * 100)
    said = here_and_now(*command, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "no SQLite database" in said.message
    assert (tmp_path / "store.db").read_text() == "to do: buy milk\n" * 100


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_store_of_a_newer_version_is_left_to_it(tmp_path: Path, command: list[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
        database.execute("CREATE TABLE later (x)")
    before = (tmp_path / "store.db").read_bytes()
    said = here_and_now(*command, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert "newer version" in said.message
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    said = here_and_now(*command, "--config", str(config_file(tmp_path, store__path=str(tmp_path / "file" / "store.db"))))
    assert said.code == 2
    assert str(tmp_path / "file") in said.message


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """An open folder with a closed one in it, and root's rights given away for as long as the test runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "closed").mkdir()
        config_file(folder, store__path=str(folder / "closed" / "store.db"))
        here_and_now("status", "--config", str(folder / "config.toml"))  # all that a command imports is imported
        for path, mode in ((folder, 0o755), (folder / "closed", 0o500), (folder / "config.toml", 0o644)):
            path.chmod(mode)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        (folder / "closed").chmod(0o700)
        assert list((folder / "closed").iterdir()) == []


def test_a_directory_without_permission_is_named(as_nobody: Path) -> None:
    said = here_and_now("run", "--config", str(as_nobody / "config.toml"))
    assert said.code == 2
    assert f"{as_nobody / 'closed'}" in said.message
    assert "Permission denied" in said.message
    assert said.out == ""


@pytest.mark.parametrize("command", [*LOOKS, ["doctor"]], ids=" ".join)
def test_a_configuration_that_may_not_be_read_is_named(as_nobody: Path, command: list[str]) -> None:
    os.seteuid(os.getuid())
    (as_nobody / "config.toml").chmod(0o000)
    os.seteuid(65534 if os.getuid() == 0 else os.getuid())
    said = here_and_now(*command, "--config", str(as_nobody / "config.toml"))
    assert said.code == 2
    assert f"{as_nobody / 'config.toml'}" in said.message
    assert "Permission denied" in said.message


async def test_a_second_daemon_ends_with_3_and_names_the_first(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        said = await ask(here, "run")
        assert said.code == 3
        assert "holds the store" in said.message
        await here.until_quiet()


@pytest.mark.timeout(60)
async def test_hosts_that_cannot_be_reached_end_nothing_and_are_named(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    async with world(tmp_path, speed=1.0, salesforce__login_url=nowhere, marketo__base_url=nowhere) as here:
        running = await Running.start(here.write_config())
        try:
            for event in ("stream_lost", "deliver_not_ready"):
                await running.until_logged(event)
                line = next(line for line in running.lines if line["event"] == event)
                assert "127.0.0.1:9 (Connection refused)" in str(line["cause"])
            said = await ask(here, "status", "--json")
            while "nothing comes" not in said.out or "nothing goes" not in said.out:
                said = await ask(here, "status", "--json")
            assert said.code == 1
            assert said.json()["state"] == "failing"
            assert all("127.0.0.1:9" in reason for reason in said.json()["reasons"][:2])
        finally:
            assert await running.end(signal.SIGTERM) == 0
        assert "Traceback" not in running.errors
        check_secrets(here, f"{running.lines} {running.errors}")


@pytest.mark.parametrize(
    "words",
    [
        ["status", "--jsno"],
        ["statsu"],
        ["dead", "retry"],
        ["dead", "drop"],
        ["dead", "drop", "--all", "--code", "1006"],
        ["dead", "list", "--object", "Foo"],
        ["dead", "show"],
        ["dead", "show", "seventeen"],
        ["dead", "retry", "0035g00000AbCdEZZZ"],
        ["replay", "set", "/data/ChangeEvents", "soon"],
        ["replay", "set", "/data/ChangeEvents"],
        ["replay", "set", "/data/changeevents", "-2"],
        ["replay", "set", "/data/ChangeEvents", "-3"],
        ["replay", "set", "/data/ChangeEvents", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(tmp_path: Path, words: list[str]) -> None:
    said = here_and_now(*words, "--config", str(config_file(tmp_path)))
    assert said.code == 2
    assert said.message
    assert said.out == ""
