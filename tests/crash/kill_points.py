"""The kinds of commits there are: who makes each, how it is brought about, and what has to be done after a kill in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sandbox.oracle_rules import Rules
from store.store import Store
from stream.clock import SystemClock
from tests.crash.crashing import started
from tests.flow.scenes import Deal, contact_of, deal, lead_of
from tests.flow.world import World

DELETES: Mapping[str, Literal["delete", "keep"]] = {"Lead": "delete", "Opportunity": "delete", "OpportunityContactRole": "delete"}


STOCK = 12
UNDONE = "SELECT 1 FROM entry WHERE state <> 'dead' LIMIT 1"


@dataclass(slots=True)
class Standing:
    """One world that many kills happen in: both sides agree, and no daemon runs, whenever one of them begins."""

    here: World
    made: Deal
    number: int = 0
    excused: list[str] = field(default_factory=list)
    stock: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, here: World) -> Standing:
        """A little business in this world."""
        made = cls(here, deal(here))
        made.store_up()
        return made

    def store_up(self) -> None:
        """People for whom more is done than comes before the kill: Marketo has them when it is their turn."""
        self.stock += [self.here.org.create("Lead", lead_of(self.word())) for _ in range(STOCK)]

    async def lead(self) -> str:
        """A lead that Marketo has."""
        if not self.stock:
            self.store_up()
            await self.agreed()
        return self.stock.pop()

    @property
    def store(self) -> Path:
        """Where the store is."""
        return self.here.folder / "store.db"

    @property
    def rules(self) -> Rules:
        """How the oracle compares."""
        return Rules(deletes=DELETES, excused=tuple(self.excused))

    def word(self) -> str:
        """Another word than ever before."""
        self.number += 1
        return f"Word{self.number}"

    async def agreed(self, arm: dict[str, Any] | None = None, command: Sequence[str] = ("run",)) -> None:
        """Run the daemon as it is, or so armed that it survives, until both sides agree and nothing is left to do."""
        async with started(self.here.write_config(), arm, command) as running:
            await running.until_logged("daemon_started")
            await self.here.until(lambda: not self.ask(UNDONE) and self.here.report(self.rules).ok, 80, self.rules)
            code = await running.end(15)
            assert (code, running.errors) == (0, ""), f"{code} {running.errors} {running.lines[-5:]}"

    async def run(self, *command: str, codes: Sequence[int] = (0,)) -> None:
        """Run a command of the operator's to its end."""
        async with started(self.here.write_config(), None, command) as running:
            assert await running.wait() in codes, running.errors

    def ask(self, statement: str) -> list[Any]:
        """Look into the store, or change it while nobody runs."""
        with closing(sqlite3.connect(self.store, isolation_level=None)) as database:
            return database.execute(statement).fetchall()


def update(at: Standing) -> None:
    """A field changes."""
    at.here.org.update("Lead", at.made.lead, {"Title": at.word()})


def new_lead(at: Standing) -> None:
    """A lead comes."""
    at.here.org.create("Lead", lead_of(at.word()))


def new_customer(at: Standing) -> None:
    """An account and its contact come."""
    with at.here.org.transaction():
        account = at.here.org.create("Account", {"Name": at.word()})
        at.here.org.create("Contact", contact_of(account, at.word()))


async def delete(at: Standing) -> None:
    """A lead that Marketo has goes."""
    at.here.org.delete("Lead", await at.lead())


async def convert(at: Standing) -> None:
    """A lead that Marketo has becomes a contact."""
    at.here.org.convert_lead(await at.lead(), opportunity=True)


async def merge(at: Standing) -> None:
    """Two leads that Marketo has become one in Salesforce."""
    winner, loser = await at.lead(), await at.lead()
    at.here.org.merge("Lead", winner, loser)


async def hand_over(at: Standing) -> None:
    """Two share a person in Marketo, and the one whose fields it carries goes."""
    first = await at.lead()
    at.here.org.create("Lead", lead_of("Second", Email=at.here.org.get("Lead", first)["Email"]))
    at.here.org.delete("Lead", first)


def new_role(at: Standing) -> None:
    """A contact role comes, which is polled."""
    pair = {"OpportunityId": at.made.opportunity, "ContactId": at.made.contact}
    at.here.org.create("OpportunityContactRole", {**pair, "Role": at.word()})


def rename_role(at: Standing) -> None:
    """A contact role gets another name, which is part of its key in Marketo."""
    at.here.org.update("OpportunityContactRole", at.made.role, {"Role": at.word()})


def gap(at: Standing) -> None:
    """An event tells only that something has changed: the record is read."""
    with at.here.org.as_gaps():
        update(at)


def overflow(at: Standing) -> None:
    """Events were lost, and Salesforce says so."""
    with at.here.org.losing_events():
        update(at)
    at.here.org.publisher.gap("Lead", [], "GAP_OVERFLOW")


async def expire(at: Standing) -> None:
    """The stored position is forgotten in Salesforce."""
    while not at.ask("SELECT 1 FROM replay WHERE replay_id > 0"):  # there is none after one was refused
        update(at)
        await at.agreed()
    update(at)
    at.here.org.log.expire_all()


def map_otherwise(at: Standing) -> None:
    """The operator maps a field, or no longer."""
    held = at.here.overrides.pop("fields.Lead", None)
    if held is None:
        at.here.overrides["fields.Lead"] = {"Region__c": "department"}
    update(at)


def filter_otherwise(at: Standing) -> None:
    """The operator filters leads, or no longer; nobody has this name."""
    if at.here.overrides.pop("filters.Lead", None) is None:
        at.here.overrides["filters.Lead"] = "LastName != 'Nobody'"
    update(at)


async def in_flight(at: Standing) -> None:
    """The daemon dies with people under way."""
    new_lead(at)
    await killed(at, {"work": "claim", "moment": "after", "when": "SELECT 1 FROM entry WHERE state = 'in_flight'"})


def score(at: Standing) -> None:
    """A score changes in Marketo."""
    at.number += 1
    at.here.instance.scores.change_score(at.here.lead_of(at.made.contact)["id"], at.number % 90)


def refuse_score(at: Standing) -> None:
    """A score changes that Salesforce does not take."""
    at.here.org.row_faults.add(at.made.contact, "FIELD_CUSTOM_VALIDATION_EXCEPTION", times=None)
    score(at)


async def take_score(at: Standing) -> None:
    """Salesforce takes it after all."""
    at.here.org.row_faults.clear()
    if at.ask("SELECT 1 FROM entry WHERE state = 'dead'"):
        await at.run("dead", "retry", "--all")


async def merge_people(at: Standing) -> None:
    """Somebody makes two people one in Marketo."""
    lead = await at.lead()
    at.excused.append(lead)  # the oracle goes by emails
    at.here.instance.merge_leads(at.here.lead_of(at.made.contact)["id"], at.here.lead_of(lead)["id"])


async def one_email(at: Standing) -> None:
    """A lead that Marketo has gets the email of another one."""
    first, second = await at.lead(), await at.lead()
    at.here.org.update("Lead", second, {"Email": at.here.org.get("Lead", first)["Email"]})


def delete_person(at: Standing) -> None:
    """Somebody deletes a person in Marketo."""
    at.here.instance.delete_lead(at.here.lead_of(at.made.lead)["id"])


def edit_company(at: Standing) -> None:
    """Somebody writes something else into a company in Marketo."""
    at.here.instance.companies.change(at.made.account, {"mainPhone": at.word()})


async def repair(at: Standing) -> None:
    """The operator compares both sides, and has queued what differs and is not under way yet."""
    await at.run("audit", "--all", "--repair", codes=(0, 1))


async def too_many(at: Standing) -> None:
    """More people come than a day takes, and then there is room."""
    at.here.overrides["deliver.max_new_people_a_day"] = 1
    new_lead(at)
    new_lead(at)
    async with started(at.here.write_config()) as running:
        await running.until_logged("new_people_wait", 40)
        assert await running.end(15) == 0
    del at.here.overrides["deliver.max_new_people_a_day"]


async def leave_and_return(at: Standing) -> None:
    """A mistyped filter makes all leads leave, which has to wait for a person; then it is put right."""
    filtered = at.here.overrides.get("filters.Lead", "")
    at.here.overrides |= {"filters.Lead": "LastName = 'Nobody'", "deliver.max_leaving_a_day": 1}
    async with started(at.here.write_config()) as running:
        await running.until_logged("leaving_held", 40)
        assert await running.end(15) == 0
    del at.here.overrides["deliver.max_leaving_a_day"]
    at.here.overrides["filters.Lead"] = filtered


async def put_off(at: Standing) -> None:
    """Something waits for a time that never comes: it was put off while the clock was wrong."""
    update(at)
    await killed(at, {"work": "take", "moment": "after"})
    at.ask("UPDATE entry SET due_ms = 9000000000000 WHERE state <> 'dead'")


def age(at: Standing) -> None:
    """A line of a story is old."""
    at.ask("UPDATE history SET at_ms = 1 WHERE seq = (SELECT min(seq) FROM history)")


async def dead_letter(at: Standing) -> None:
    """A score was given up."""
    store = await Store.open(at.store)
    now_ms = int(SystemClock().now() * 1000)
    try:
        await store.bury_score(("Contact", at.made.contact), code="X", cause="x", cure="x", attempts=9, now_ms=now_ms)
    finally:
        await store.close()


async def killed(at: Standing, target: dict[str, str], *, command: Sequence[str] = ("run",), **arm: Any) -> None:
    """Start a daemon, or a command, that dies there; fails where it never gets there."""
    async with started(at.here.write_config(), {"target": target, **arm}, command) as running:
        try:
            code = await asyncio.wait_for(running.wait(), 40)
        except TimeoutError:
            raise AssertionError(f"it never came to {target}: {running.lines[-5:]}") from None
        assert code == -9, f"it ended before it came to {target}: {running.errors}{running.lines[-5:]}"


Step = Callable[[Standing], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Commit:
    """One kind: `work` names it (see `Target`), `bring` brings it about, `mend` is done after the kill; `command` makes it."""

    name: str
    work: str
    bring: Step = update
    when: str = "SELECT 1"
    mend: Step = lambda _: None
    command: Sequence[str] = ("run",)
    jump_seconds: float = 0.0


FLYING = "SELECT 1 FROM entry WHERE state = 'in_flight' AND kind = '{}'"

COMMITS = (
    Commit("changes taken", "take", update),
    Commit("two changes of one transaction taken", "take", new_customer),
    Commit("a loss told by Salesforce taken", "take", overflow, "SELECT 1 FROM note WHERE name = 'cut:Lead'"),
    Commit("rows polled", "take_rows", new_role),
    Commit("a poll ended", "cover", new_role),
    Commit("a stream that goes on", "stream_on"),
    Commit("a position that is no more", "set_replay", expire),
    Commit("what was missed after it", "cut", expire),
    Commit("a mapping noted", "mapped", map_otherwise),
    Commit("a filter noted", "filtered", filter_otherwise),
    Commit("a read claimed", "claim_reads", gap),
    Commit("a read settled", "settle_reads", gap),
    Commit("an update claimed", "claim", update, FLYING.format("upsert")),
    Commit("an update accepted", "finish", update),
    Commit("a new person claimed", "claim", new_lead, FLYING.format("upsert")),
    Commit("a new person accepted", "finish", new_lead),
    Commit("a delete claimed", "claim", delete, FLYING.format("delete")),
    Commit("a delete accepted", "finish", delete),
    Commit("a conversion accepted", "finish", convert),
    Commit("a person handed over", "finish", hand_over),
    Commit("a merge in Salesforce followed", "follow_merges", merge),
    Commit("two people about to be merged", "intend_merge", merge),
    Commit("a role's key intended", "intend_keys", new_role),
    Commit("a role's old key forgotten", "forget_role_keys", rename_role),
    Commit("what a killed daemon left", "recover", in_flight),
    Commit("small facts noted", "put_notes", new_lead),
    Commit("a heartbeat", "beat"),
    Commit("scores written", "remember_scores", score),
    Commit("a score given up", "bury_score", refuse_score, mend=take_score),
    Commit("people merged in Marketo", "merge_people", merge_people),
    Commit("two people about to be one for their email", "intend_meeting", one_email),
    Commit("two people who are one for their email", "meet_people", one_email),
    Commit("a person deleted in Marketo", "forget_people", delete_person, mend=update),
    Commit("people who waited for another day", "release_people", too_many),
    Commit("what left its filter taken back", "leaving_taken_back", leave_and_return),
    Commit("a clock that was set", "shift_times", update, jump_seconds=600.0),
    Commit("what was put off for ever", "bring_near", put_off),
    Commit("old stories cut", "prune_history", age),
    Commit("dead letters retried", "act", dead_letter, mend=take_score, command=("dead", "retry", "--all")),
    Commit("dead letters dropped", "act", dead_letter, mend=take_score, command=("dead", "drop", "--all")),
    Commit("a flow paused", "pause", mend=lambda at: at.run("resume"), command=("pause", "deliver")),
    Commit("a flow resumed", "resume", lambda at: at.run("pause"), mend=lambda at: at.run("resume"), command=("resume",)),
    Commit("what differs queued", "mend", edit_company, mend=repair, command=("audit", "--all", "--repair")),
    Commit("a re-read asked for", "cut", command=("backfill", "Lead")),
    Commit("a position set by hand", "set_replay", command=("replay", "set", "/data/ChangeEvents", "-2")),
)

READS = frozenset(
    {
        *("at_work", "backlog", "count_blocked", "count_dead", "count_loaded", "count_people", "cuts"),
        *("dead_content", "dead_letters", "going", "holds", "holes", "ids_after", "ids_due", "in_doubt", "intervals"),
        *("kept_people", "last_written", "lives_on", "old_role_keys", "next_due", "next_read_due", "next_score_due", "note"),
        *("parents_among", "perhaps_created", "due_kinds", "marketo_ids", "people", "records", "replay", "shared", "sharers"),
        *("sharing_role", "stream"),
    }
)
"""Methods of the store that only look."""

BY_OTHERS = {
    "put_note": "submits put_notes",
    "retry_dead": "the command's work is `act`",
    "drop_dead": "the command's work is `act`",
    "send_again": "only tests call it",
}
"""Methods of the store whose commits are made under another name, and why they are not in the table."""
