"""From every earlier schema: a copy first, no row lost, and the daemon goes on where the older one stopped."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.oracle_rules import Rules
from store.errors import StoreBlocked, StoreNewer
from store.sql import migrations
from store.store import Store
from store.upgrade import COPIES_KEPT
from tests.crash.crashing import small_disk
from tests.flow.scenes import lead_of
from tests.flow.world import World, world
from tests.upgrade.freeze import CHANNEL, begin, dump, go_on, refuse

STORES = Path(__file__).parent / "stores"
NOW = len(migrations())
EARLIER = range(1, NOW)
RENAMED = {("record", "converted_to"): "merged_into"}
GONE = {("record", "content")}  # one hash of all fields: schema 2 knows of each field instead
KNOWN = "FROM record WHERE marketo_id IS NOT NULL"
SIDES_BYTES = 40 * 1024  # what SQLite's log and its index take beside an open store
Rows = dict[str, list[dict[str, Any]]]


def thaw(path: Path, schema: int) -> Path:
    """The store as a daemon of that time left it."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript((STORES / f"{schema:04}.sql").read_text(encoding="utf-8"))
        database.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)
    return path


def rows(path: Path) -> Rows:
    """Every row of every table."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608 - its own


def schema_of(path: Path) -> int:
    """How many migrations it has had."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def copies(folder: Path) -> list[str]:
    """Copies of older schemas, and what looks like them."""
    return sorted(each.name for each in folder.glob("*-schema-*"))


async def upgrade(path: Path) -> Store:
    """Open it as the daemon does, and close it."""
    store = await Store.open(path)
    await store.close()
    return store


def as_now(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """An older row under today's names."""
    return {RENAMED.get((table, name), name): value for name, value in row.items() if (table, name) not in GONE}


def test_every_earlier_schema_has_a_store_of_its_time() -> None:
    missing = [schema for schema in EARLIER if not (STORES / f"{schema:04}.sql").exists()]
    assert not missing, "run tests.upgrade.freeze in a checkout of that time"
    for file in sorted(STORES.iterdir()):
        assert f"PRAGMA user_version = {int(file.stem)};" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("schema", EARLIER)
async def test_no_row_is_lost_and_the_copy_is_the_store_as_it_was(tmp_path: Path, schema: int) -> None:
    path = thaw(tmp_path / "store.db", schema)
    old, was = rows(path), dump(path)
    assert min(len(old[table]) for table in ("record", "entry", "wait", "replay", "score", "note")) >= 1
    assert {row["state"] for row in old["entry"]} == {"open", "dead"}
    done = (await upgrade(path)).upgraded
    assert done is not None
    assert (done.before, done.now, schema_of(path)) == (schema, NOW, NOW)
    assert done.copy == tmp_path / f"store-schema-{schema}.db"
    assert dump(done.copy) == was
    assert stat.S_IMODE(done.copy.stat().st_mode) == 0o600
    new = rows(path)
    for table, each in old.items():
        for row in each:
            expected = as_now(table, row)
            assert any(expected.items() <= found.items() for found in new[table]), (table, row)
        assert len(new[table]) == len(each), table


async def test_a_store_of_today_and_a_new_one_are_not_copied(tmp_path: Path) -> None:
    for path in (thaw(tmp_path / "store.db", NOW), tmp_path / "new.db"):
        assert (await upgrade(path)).upgraded is None
    assert copies(tmp_path) == []


async def test_without_room_for_the_copy_nothing_is_changed_and_with_it_all_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        path = thaw(disk / "store.db", 1)
        was = dump(path)
        others, left = disk / "others.bin", SIDES_BYTES + path.stat().st_size // 2
        others.write_bytes(bytes(shutil.disk_usage(disk).free - left))  # it can be opened, and not be copied
        with pytest.raises(StoreBlocked, match=rf"schema {NOW} needs a copy of the store first.* full"):
            await Store.open(path)
        assert (schema_of(path), dump(path)) == (1, was)
        assert copies(disk) == []
        others.unlink()
        assert (await upgrade(path)).upgraded is not None
        assert schema_of(path) == NOW


async def test_an_upgrade_that_was_cut_short_copies_again_and_the_last_few_copies_stay(tmp_path: Path) -> None:
    path = thaw(tmp_path / "store.db", NOW - 1)
    was = dump(path)
    older = [tmp_path / f"store-schema-{number}.db" for number in range(1, NOW)]
    for each in (*older, tmp_path / "store-schema-old.db", tmp_path / "other-schema-1.db"):
        each.write_text("left")
    await upgrade(path)
    assert copies(tmp_path) == sorted([*(each.name for each in older[-COPIES_KEPT:]), "store-schema-old.db", "other-schema-1.db"])
    assert dump(older[-1]) == was


async def test_a_newer_store_is_refused_and_the_copy_from_before_is_named(tmp_path: Path) -> None:
    path = thaw(tmp_path / "store.db", NOW - 1)
    done = (await upgrade(path)).upgraded
    assert done is not None
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {NOW + 1}")
    was = dump(path)
    with pytest.raises(StoreNewer) as refused:
        await Store.open(path)
    assert str(done.copy) in refused.value.hint
    assert dump(path) == was
    path.unlink()
    done.copy.rename(path)
    assert (await upgrade(path)).upgraded is not None, "as the hint says"


async def replant(path: Path, schema: int, here: World) -> None:
    """Put the older store in place of today's; where Marketo gave other ids this time, it has those."""
    with closing(sqlite3.connect(path)) as database:
        ids = database.execute(
            "SELECT marketo_id, sent_key, object, record_id FROM record WHERE marketo_id IS NOT NULL"
        ).fetchall()
        [replay_id] = database.execute("SELECT replay_id FROM replay WHERE channel = ?", (CHANNEL,)).fetchone()
    for side in path.parent.glob(f"{path.name}*"):
        side.unlink()
    thaw(path, schema)
    with closing(sqlite3.connect(path)) as database:
        then = database.execute(f"SELECT count(*) {KNOWN}").fetchone()[0]
        changed = database.executemany("UPDATE record SET marketo_id = ?, sent_key = ? WHERE object = ? AND record_id = ?", ids)
        assert changed.rowcount == then == len(ids), "the same records as then"
        database.execute("UPDATE replay SET replay_id = ? WHERE channel = ?", (here.org.log.last_replay_id, CHANNEL))
        database.commit()
    assert replay_id <= here.org.log.last_replay_id


def stopped_s(schema: int) -> float:
    """When the daemon of that time stopped."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript((STORES / f"{schema:04}.sql").read_text(encoding="utf-8"))
        return float(database.execute("SELECT max(stored_ms) / 1000.0 FROM replay").fetchone()[0])


@pytest.mark.parametrize("schema", [*EARLIER, NOW])
async def test_the_daemon_goes_on_where_the_older_one_stopped(tmp_path: Path, schema: int) -> None:
    async with world(tmp_path, starts_at=stopped_s(schema) - 5.0) as here:
        made = begin(here)
        await here.start()
        await here.until_equal()
        await here.stop()
        refused = refuse(here, made)
        go_on(here, made)
        await replant(tmp_path / "store.db", schema, here)
        here.org.update("Contact", made.contact, {"Department": "Sales"})
        here.org.create("Lead", lead_of("Later", OwnerId=made.owner))
        here.machine.boots += 1  # on that machine the store's times tell nothing of this one's
        await here.start()
        [letter] = await here.dead()
        assert (letter.id, letter.code) == (refused, "1006")
        assert here.store is not None
        await here.store.retry_dead([letter], int(here.clock.now() * 1000))
        # an open entry holds when its record was created, in the world of that store: here that was some second of the setting up
        await here.until_quiet(Rules(ignored_fields=("externalCreatedDate",)))
        assert [line["schema_before"] for line in here.events("store_upgraded")] == ([] if schema == NOW else [schema])
        told = [line for line in here.logs if line["log_level"] in {"warning", "error"}]
        assert told == []
