"""The alerts fire on what the real daemon logged in the bad situations, and keep quiet in the good ones: in both forms.

The lines were recorded (`python -m tests.alerts.record`). The rules for Loki are read by other people's parsers of YAML and
LogQL, and judged by a small evaluator; those for jq are judged by jq.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.logs.lines import fault
from tests.alerts.logql import Line, Range, fires, seconds_of
from tests.alerts.record import RECORDED
from tests.alerts.situations import SITUATIONS

ROOT = Path(__file__).parents[2]
LOKI, JQ = ROOT / "systemd/alerts/loki-rules.yaml", ROOT / "systemd/alerts/msi-stream-alerts.jq"
PARSE = Path(__file__).parent / "parse.mjs"
STEP_SECONDS = 60
LOOKED_AT_SECONDS = 5400
AFTERWARDS_SECONDS = 900  # how long a log is looked at that has ended

EXPECTED: Mapping[str, set[str]] = {
    "good_day": set(),
    "salesforce_away": {"MsiStreamLost"},
    "salesforce_away_for_days": {"MsiStreamLossNears", "MsiStreamNoHeartbeat", "MsiStreamLost"},  # it was stopped for two days
    "marketo_away": {"MsiStreamNotDelivering"},
    "quota_too_small": {"MsiStreamQuota"},
    "records_refused": {"MsiStreamDeadLetters"},
    "events_missing": {"MsiStreamDrift"},
    "object_silent": {"MsiStreamDrift", "MsiStreamObjectSilent"},
    "dies_again_and_again": {"MsiStreamRestarts"},
    "dies_for_good": {"MsiStreamNoHeartbeat"},
    "mapping_wrong": {"MsiStreamPoisoned", "MsiStreamDeadLetters"},
    "store_locked": {"MsiStreamStoreBlocked"},
    "forgotten_pause": {"MsiStreamHeld"},
    "filter_mistyped": {"MsiStreamLeaving"},
    "loop_hangs": {"MsiStreamLoopHangs"},
}


@dataclass(frozen=True)
class Rule:
    """One of Loki's rules."""

    alert: str
    expression: str
    holds_seconds: float


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of the file, which is laid out so that each key has its line."""
    text = LOKI.read_text("utf-8").split("    rules:\n")[1]
    found = []
    for part in text.split("      - alert: ")[1:]:
        match = re.fullmatch(
            r"(\w+)\n {8}expr: (.+)\n(?: {8}for: (\d+[mh])\n)? {8}labels: \{severity: (critical|warning|info)\}\n"
            r' {8}annotations: \{summary: "[^"]+"\}\n',
            part,
        )
        assert match is not None, part
        found.append(Rule(match[1], match[2], seconds_of(match[3]) if match[3] else 0.0))
    return tuple(found)


@cache
def recorded(name: str) -> tuple[Line, ...]:
    lines = [orjson.loads(line) for line in (RECORDED / f"{name}.jsonl").read_bytes().splitlines()]
    return tuple((datetime.fromisoformat(line["timestamp"]).timestamp(), line) for line in lines)


def moments(name: str, step_seconds: int = STEP_SECONDS) -> range:
    """When a situation's log is looked at: from its sixth minute on, and for a while after the end of one that died."""
    first, last = int(recorded(name)[0][0]), int(recorded(name)[-1][0])
    begins = max(first + 360, last - LOOKED_AT_SECONDS)
    return range(begins, last + (AFTERWARDS_SECONDS if name == "dies_for_good" else 0), step_seconds)


def by_loki(name: str) -> set[str]:
    """The alerts that fire at some moment; one with `for` only where its expression held all the while."""
    found = set()
    for rule in rules():
        since: float | None = None
        for now in moments(name):
            if not fires(rule.expression, recorded(name), now):
                since = None
                continue
            since = now if since is None else since
            if now - since >= rule.holds_seconds:
                found.add(family(rule.alert))
    return found


def family(alert: str) -> str:
    """The quotas have an alert each in Loki, and one together in jq."""
    return "MsiStreamQuota" if alert.startswith("MsiStreamQuota") else alert


def by_jq(name: str, now: int) -> set[str]:
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("jq is not installed")
    command = [jq, "-cnR", "--argjson", "now", str(now), "-f", str(JQ)]
    said = subprocess.run(command, input=(RECORDED / f"{name}.jsonl").read_bytes(), capture_output=True, check=True).stdout
    return {orjson.loads(line)["alert"] for line in said.splitlines()}


@pytest.mark.parametrize("name", SITUATIONS)
def test_loki_rules_fire_where_they_must_and_nowhere_else(name: str) -> None:
    assert by_loki(name) == EXPECTED[name]


@dataclass(frozen=True)
class Parsed:
    """A file of rules as other people's parsers read it."""

    groups: list[dict[str, Any]]

    @classmethod
    def of(cls, text: str) -> Parsed:
        """Parse it, or skip."""
        node = shutil.which("node")
        if node is None or not (ROOT / "node_modules/@grafana/lezer-logql").is_dir():
            pytest.skip("node, or what npm ci installs, is missing")
        done = subprocess.run([node, str(PARSE)], input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return cls(orjson.loads(done.stdout)["groups"])


def test_parsers_that_nobody_here_wrote_understand_the_rules() -> None:
    [group] = Parsed.of(LOKI.read_text("utf-8")).groups
    assert group.keys() == {"name", "interval", "rules"}
    read = []
    for rule in group["rules"]:
        assert rule["errors"] == [], rule["alert"]
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations", "errors"}
        assert rule["labels"].keys() == {"severity"}
        assert rule["annotations"].keys() == {"summary"}
        read.append(Rule(rule["alert"], rule["expr"], seconds_of(rule["for"]) if "for" in rule else 0.0))
    assert tuple(read) == rules()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("| json event", "| jsno event"), ("[5m])\n", "[5m]\n"), ("unwrap hours", "unwrap"), ("count_over_time", "count_overtime")],
)
def test_those_parsers_do_refuse_what_is_wrong(right: str, wrong: str) -> None:
    text = LOKI.read_text("utf-8")
    assert right in text
    [group] = Parsed.of(text.replace(right, wrong, 1)).groups
    assert any(rule["errors"] for rule in group["rules"])


@pytest.mark.parametrize("name", SITUATIONS)
def test_jq_alerts_fire_where_they_must_and_nowhere_else(name: str) -> None:
    fired = set().union(*(by_jq(name, now) for now in moments(name, 300)))
    assert fired == EXPECTED[name]


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_was_recorded_is_what_is_logged_today(name: str) -> None:
    faults = [
        fault(line["level"], {key: value for key, value in line.items() if key not in {"level", "timestamp"}})
        for _, line in recorded(name)
    ]
    assert not any(faults), f"record it again: python -m tests.alerts.record {name}: {set(faults)}"


def test_every_alert_fires_in_some_situation_and_both_forms_have_the_same() -> None:
    in_jq = set(re.findall(r'alert\("(\w+)"', JQ.read_text("utf-8")))
    assert {family(rule.alert) for rule in rules()} == in_jq == set().union(*EXPECTED.values())


def test_every_alert_has_its_cure_in_the_documents() -> None:
    told = (ROOT / "docs/operation.md").read_text("utf-8")
    assert [rule.alert for rule in rules() if f"| `{family(rule.alert)}` |" not in told] == []


def test_what_is_no_line_of_ours_disturbs_nobody(tmp_path: Path) -> None:
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("jq is not installed")
    text = b'Fatal Python error: Aborted\n{"half": \n[1]\n"text"\n\xff\xfe\n{"event":"heartbeat"}\n'
    command = [jq, "-cnR", "--argjson", "now", "0", "-f", str(JQ)]
    said = subprocess.run(command, input=text, capture_output=True, check=True, cwd=tmp_path).stdout
    assert [orjson.loads(line)["alert"] for line in said.splitlines()] == ["MsiStreamNoHeartbeat"]


@pytest.mark.parametrize("text", ["rate({}[5m])", 'count_over_time({unit="msi-stream.service"} | logfmt [5m])', ""])
def test_the_evaluator_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        Range.parse(text)
