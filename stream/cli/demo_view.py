"""How the demo is told: a live table in a terminal, plain lines elsewhere, and at the end the table of what was proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sandbox.stage_progress import Standing
from sandbox.stage_proofs import Proof
from stream.cli.demo_story import Story

TITLES = {
    "User": "users",
    "Account": "accounts",
    "Contact": "contacts",
    "Lead": "leads",
    "Opportunity": "opportunities",
    "OpportunityContactRole": "contact roles",
    "Scores": "scores back",
}
NEWS_SECONDS = 2.5  # how long what happened last is shown
LINE_SECONDS = 2.0  # between two plain lines of progress
PROBLEMS_SHOWN = 8
PLAIN_WIDTH = 120


def console() -> Console:
    """Stdout: a terminal's own width, a fixed one elsewhere; square brackets are no markup."""
    made = Console(markup=False, emoji=False, highlight=False)
    return made if made.is_terminal else Console(markup=False, emoji=False, highlight=False, width=PLAIN_WIDTH)


@dataclass(slots=True)
class LiveView:
    """A table that is drawn anew with every look, and the sentences above it."""

    console: Console
    live: Live
    _seconds: float = 0.0

    def say(self, sentence: str) -> None:
        """Put a sentence above the table, where it stays."""
        self.console.print(_sentence(sentence, self._seconds))

    def show(self, standings: Sequence[Standing], story: Story) -> None:
        """Draw the table."""
        self._seconds = story.seconds
        self.live.update(Group(Text(), live_table(standings, story), _footer(story)), refresh=True)


@dataclass(slots=True)
class PlainView:
    """Lines, for logs and pipes: the sentences, and now and then how far it is."""

    console: Console
    _seconds: float = 0.0
    _next_line: float = LINE_SECONDS
    _last: str = field(default="", init=False)

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self.console.print(_sentence(sentence, self._seconds), soft_wrap=True)

    def show(self, standings: Sequence[Standing], story: Story) -> None:
        """Print what is still on its way, every two seconds, when it is another than before."""
        self._seconds = story.seconds
        if story.seconds < self._next_line:
            return
        self._next_line = story.seconds + LINE_SECONDS
        line = "in Marketo: " + ", ".join(f"{TITLES[one.object]} {one.agreeing:,} of {one.expected:,}" for one in standings)
        if line != self._last:
            self._last = line
            self.console.print(_sentence(f"  {line}", self._seconds), soft_wrap=True)


def live_table(standings: Sequence[Standing], story: Story) -> Table:
    """A row for each object."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("Salesforce", justify="right", no_wrap=True)
    table.add_column("Marketo", justify="right", no_wrap=True)
    wide = story_width(story) >= 100
    bar_width = 24 if wide else 10
    table.add_column("", width=bar_width)
    table.add_column("freshness" if wide else "fresh", justify="right", no_wrap=True)
    table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in standings:
        table.add_row(
            TITLES[one.object],
            f"{one.expected:,}",
            f"{one.there:,}",
            _bar(one, bar_width),
            "" if one.freshness_seconds is None else f"{one.freshness_seconds:.1f} s",
            f"{one.calls:,}" if one.calls else "",
            Text(*_now(one, story)),
        )
    return table


def _bar(one: Standing, width: int) -> Text:
    """How much of it is there as it ought to be; full only when all of it is."""
    filled = width * one.agreeing // one.expected if one.expected else 0
    return Text.assemble(("█" * filled, "green"), ("░" * (width - filled), "dim"))


def story_width(story: Story) -> int:
    """The width there is to draw in."""
    return story.view.console.width if isinstance(story.view, LiveView) else PLAIN_WIDTH


def _now(one: Standing, story: Story) -> tuple[str, str]:
    """What happens to an object now, and its style: the last change for a while, what is on its way, or that all is there."""
    at, sentence = story.changes.latest.get(one.object, (0.0, ""))
    if sentence and story.stage.org.now() - at < NEWS_SECONDS:
        return sentence, "cyan"
    missing = one.expected - one.there
    if missing:
        return f"{missing:,} on the way", "yellow"
    if one.differing:
        return f"{one.differing:,} to be updated", "yellow"
    return ("all there" if one.expected else ""), "green"


def _footer(story: Story) -> Text:
    limits, allowed = story.stage.marketo.limits, story.facts.calls_per_20s
    used = limits.calls_in_20s
    calls = f"Marketo calls in 20 s: {used} of {allowed}" + (", so the daemon waits" if used >= allowed else "")
    return Text(f"\n{story.seconds:5.1f} s  {story.act}\n         daemon: {story.daemon.state}\n         {calls}", style="dim")


def _sentence(sentence: str, seconds: float) -> Text:
    style = "red" if sentence.startswith("✗") else "green" if sentence.startswith("✓") else ""
    return Text.assemble((f"{seconds:5.1f} s  ", "dim"), (sentence, style))


def final_table(proofs: Sequence[Proof]) -> Table:
    """What was proven, and by what."""
    table = Table(title="What was proven, by comparing the two systems", title_justify="left", box=None, pad_edge=False)
    table.title_style, table.show_header, table.padding = "bold", False, (0, 1, 0, 0)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for proof in proofs:
        mark = Text("✓", style="green") if proof.holds else Text("✗", style="bold red")
        table.add_row(mark, Text(proof.claim, style="" if proof.holds else "red"), Text(proof.evidence, style="dim"))
    return table


def problems(proofs: Sequence[Proof]) -> list[str]:
    """The sentences that speak against the lines that do not hold, some of each."""
    lines: list[str] = []
    for proof in proofs:
        if not proof.holds:
            lines.append(f"✗ {proof.claim}:")
            lines += [f"    {problem}" for problem in proof.problems[:PROBLEMS_SHOWN]]
            if len(proof.problems) > PROBLEMS_SHOWN:
                lines.append(f"    … and {len(proof.problems) - PROBLEMS_SHOWN:,} more")
    return lines
