"""`backup`: beside a running daemon, into a directory of the last N, and back again into its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.shell import ask, config_file, here_and_now
from tests.flow.scenes import company, lead_of
from tests.flow.world import world


async def test_a_backup_beside_the_daemon_can_take_the_stores_place(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        company(here)
        await here.start()
        await here.until_quiet()
        said = await ask(here, "backup", str(tmp_path / "copy.db"))
        assert said.code == 0, said.err
        assert re.fullmatch(r"Wrote \S+copy.db \(\d+\.\d MB\)\.\n", said.out)
        assert not here.running.store.blocked
        here.org.create("Lead", lead_of("Later"))
        await here.until_equal()
        await here.stop()
        store = tmp_path / "store.db"
        for side in ("-wal", "-shm"):
            store.with_name(store.name + side).unlink(missing_ok=True)
        (tmp_path / "copy.db").replace(store)
        here.org.create("Lead", lead_of("Latest"))
        await here.start()
        await here.until_quiet()


async def test_a_directory_keeps_the_last_so_many_and_nothing_else_is_touched(tmp_path: Path) -> None:
    async with world(tmp_path, speed=1.0) as here:
        await here.start()
        folder = tmp_path / "backups"
        folder.mkdir()
        old = [folder / f"store-2020010{day}T000000Z.db" for day in range(1, 5)]
        for each in (*old, folder / "mine.db", folder / "store-notes.db"):
            each.write_text("old")
        said = await ask(here, "backup", "--keep", "3", str(folder), "--json")
        assert said.code == 0, said.err
        told = said.json()
        assert told["removed"] == [str(each) for each in old[:2]]
        assert (folder / Path(told["path"]).name).stat().st_size == told["bytes"]
        assert sorted(each.name for each in folder.iterdir()) == [
            "mine.db",
            old[2].name,
            old[3].name,
            Path(told["path"]).name,
            "store-notes.db",
        ]
        made = await ask(here, "backup", "--keep", "1", str(tmp_path / "new"))
        assert made.code == 0
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["{}"], "is a directory"),
        (["{}/there.db"], "is there already"),
        (["{}/nowhere/copy.db"], "No such file"),
        (["--keep", "2", "{}/there.db"], "expected a directory"),
        (["{}/copy.db"], "there is no store"),
    ],
)
def test_what_cannot_be_is_one_message(tmp_path: Path, words: list[str], what: str) -> None:
    (tmp_path / "there.db").write_text("precious")
    config = config_file(tmp_path)
    said = here_and_now("backup", *(word.format(tmp_path) for word in words), "--config", str(config))
    assert said.code == 2
    assert what in said.message
    assert said.out == ""
    assert (tmp_path / "there.db").read_text() == "precious"
