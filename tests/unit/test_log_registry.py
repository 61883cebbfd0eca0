"""Nothing is logged that the registry does not know: the code is walked, and what is said of the events is whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from stream.logs.events import GROUPS, REGISTRY
from stream.logs.keys import ADDED, ALWAYS, KEYS
from stream.logs.lines import Registered, Unregistered
from stream.logs.reference import reference
from tests.logged import captured

ROOT = Path(__file__).parents[2]
OWN = ROOT / "stream" / "logs"  # what the mechanism itself says again was said before
LEVELS = frozenset({"debug", "info", "warning", "error"})
UNITS = ("_seconds", "_hours", "_mb", "_bytes", "_per_second")

HOW = """
Every event is registered, so that docs/logs.md, the alerts and the people who read the log can rely on it. To add one:
  1. add event(LEVEL, NAME, KEYS, MEANING, CURE, same=KEYS) to a table in stream/logs/*_events.py (`same`: the keys that make two
     of its lines the same, so that repeats are counted; "*" if no two ever are; `ends=` if it ends a condition);
  2. add keys that are new to stream/logs/keys.py, units last (`wait_seconds`); `cause` and `cure` are there already;
  3. log it as log.LEVEL("NAME", key=value, ...), with literal name and keys, no ** and no personal data;
  4. python -m stream.logs.reference > docs/logs.md
"""


@dataclass(frozen=True)
class Call:
    """One call of a logger in the code."""

    where: str
    level: str
    node: ast.Call

    @property
    def name(self) -> str | None:
        """The event, where it is a literal."""
        first = self.node.args[0] if len(self.node.args) == 1 else None
        return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None

    @property
    def keys(self) -> set[str | None]:
        """The keys; None stands for `**`."""
        return {keyword.arg for keyword in self.node.keywords}


def modules() -> list[Path]:
    return [path for room in ("stream", "store") for path in sorted((ROOT / room).rglob("*.py")) if path.parent != OWN]


def loggers(tree: ast.Module) -> list[ast.Call]:
    """Wherever a logger is made."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in named if isinstance(node.func, ast.Attribute) and node.func.attr in {"get_logger", "getLogger"}]


def uses(path: Path) -> tuple[list[Call], list[str]]:
    """The calls of a module's `log`, and what is done with a logger otherwise."""
    tree = ast.parse(path.read_text("utf-8"))
    place = path.relative_to(ROOT)
    calls, odd = [], []
    made = [node for node in tree.body if isinstance(node, ast.Assign) and node.value in loggers(tree)]
    named = [target.id for node in made for target in node.targets if isinstance(target, ast.Name)]
    if len(loggers(tree)) != len(named) or set(named) - {"log"}:
        odd.append(f"{place}: a logger is made otherwise than as `log = structlog.get_logger(__name__)`")
    if not named:
        return [], odd
    inner = {
        id(node.func.value): node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or node.id != "log" or isinstance(node.ctx, ast.Store):
            continue
        call = inner.get(id(node))
        where = f"{place}:{node.lineno}"
        if call is None or not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
            odd.append(f"{where}: `log` is used otherwise than as log.LEVEL(...)")
        else:
            calls.append(Call(where, call.func.attr, call))
    return calls, odd


def all_calls() -> Iterator[Call]:
    for path in modules():
        yield from uses(path)[0]


def faults(call: Call) -> Iterator[str]:
    """What is wrong with a call."""
    event = REGISTRY.get(call.name or "")
    if call.name is None:
        yield f"{call.where}: the event's name is no literal"
    elif event is None:
        yield f"{call.where}: the event {call.name} is not registered"
    else:
        if call.level not in event.levels:
            yield f"{call.where}: {call.name} is registered as {' or '.join(event.levels)}, and logged as {call.level}"
        if odd := call.keys - {*event.keys, *event.optional}:
            yield f"{call.where}: {call.name} is logged with keys that are not registered: {odd}"
        if lacking := set(event.keys) - call.keys:
            yield f"{call.where}: {call.name} is logged without {lacking}"


def test_every_call_is_registered_like_this() -> None:
    found = [odd for path in modules() for odd in uses(path)[1]]
    found += [fault for call in all_calls() for fault in faults(call)]
    assert not found, "\n".join([*found, HOW])


def test_every_event_and_key_is_used() -> None:
    logged = {call.name for call in all_calls()} | {"library_warning"}  # said by stream/logs itself
    assert REGISTRY.keys() - logged == set(), "registered, and logged nowhere"
    used = {key for event in REGISTRY.values() for key in (*event.keys, *event.optional)}
    assert KEYS.keys() - used - ADDED.keys() == set(), "keys that no event has"
    assert used - KEYS.keys() - ADDED.keys() == set(), "keys without a meaning: stream/logs/keys.py"


def test_every_level_that_is_registered_is_logged() -> None:
    logged = {(call.name, call.level) for call in all_calls()}
    registered = {(event.name, level) for event in REGISTRY.values() for level in event.levels}
    assert registered - logged == {("library_warning", "warning")}


@pytest.mark.parametrize("name", REGISTRY)
def test_an_event_is_whole(name: str) -> None:
    event = REGISTRY[name]
    keys = {*event.keys, *event.optional}
    assert name.isidentifier()
    assert name == name.lower()
    assert event.meaning
    assert event.cure
    assert "|" not in event.meaning + event.cure, "it stands in a table"
    assert {*(event.same or ()), *event.summed, *event.by} <= keys
    assert not keys & ALWAYS.keys()
    assert len(keys) == len(event.keys) + len(event.optional)
    assert all(set(event.by) <= set(REGISTRY[ended].keys) for ended in event.ends)
    if "error" in event.levels:
        assert event.cure != "nothing", "an error tells what to do"


def test_no_name_stands_twice() -> None:
    assert sum(len(events) for events in GROUPS.values()) == len(REGISTRY)


def test_a_number_tells_its_unit_in_its_name() -> None:
    plain = {"hours_to_loss", "replay_id", "replay_from"}
    numbers = {name for name, key in {**KEYS, **ADDED}.items() if key.kind == "number"}
    assert {name for name in numbers if not name.endswith(UNITS)} == plain
    assert not [name for name, key in KEYS.items() if name.endswith(UNITS) and key.kind not in {"number", "count"}]


def test_the_document_is_the_registrys() -> None:
    written = ROOT / "docs" / "logs.md"
    assert written.read_text("utf-8") == reference(), "run python -m stream.logs.reference > docs/logs.md"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('log.info("nobody_knows_me")', "not registered"),
        ('log.error("poll_resumed")', "registered as info"),
        ('log.info("poll_resumed", email="x")', "keys that are not registered"),
        ('log.info("read_resumed")', "without"),
        ('log.info("poll_resumed", **more)', "keys that are not registered"),
        ("log.info(name)", "no literal"),
        ('say = log.info\nsay("poll_resumed")', "otherwise"),
        ('log.bind(a=1).info("poll_resumed")', "otherwise"),
        ('other = structlog.get_logger()\nother.info("poll_resumed")', "otherwise"),
    ],
)
def test_the_walk_finds_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"log = structlog.get_logger(__name__)\n{source}\n")
    monkeypatch.setitem(uses.__globals__, "ROOT", tmp_path)
    calls, odd = uses(path)
    assert expected in " ".join([*odd, *(fault for call in calls for fault in faults(call))])


@pytest.mark.parametrize(
    ("event", "keys", "expected"),
    [
        ("nobody_knows_me", {}, "not registered"),
        ("read_resumed", {}, "lacks keys: object"),
        ("read_resumed", {"object": "Lead", "email": "jane@example.com"}, "keys that are not registered: email"),
        ("read_resumed", {"object": 3}, "another kind: object"),
        ("daemon_ready", {"after_seconds": True, "still_trying": []}, "another kind: after_seconds"),
        ("load_started", {"object": "Lead", "why": "", "total": 1.5, "rows_before": 0}, "another kind: total"),
    ],
)
def test_tests_refuse_such_a_line_and_the_daemon_marks_it(event: str, keys: dict[str, object], expected: str) -> None:
    with captured(), pytest.raises(Unregistered, match=expected):
        structlog.get_logger().info(event, **keys)
    line = Registered()(None, "info", {"event": event, **keys})
    assert expected in line["log_fault"]
    assert "jane" not in str(line), "nobody vouches for what is not registered"
    assert line["event"] == event


def test_a_line_at_another_level_is_refused() -> None:
    with captured(), pytest.raises(Unregistered, match="logged as error"):
        structlog.get_logger().error("poll_resumed")
