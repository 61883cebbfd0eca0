"""The units as they are written: how much they leave open, that no secret is forgotten, and that they do not drift apart."""

from __future__ import annotations

import re

import pytest

from stream.config.keys import keys
from tests.systemd.machine import CHECKOUT, Machine

UNITS = CHECKOUT / "systemd"
EXPOSURE_MOST = 1.5
SANDBOXED = ("msi-stream.service", "msi-stream@.service", "msi-stream-backup.service", "msi-stream-backup@.service")
ALARM = "msi-stream-failure@.service"
NEWER_SYSTEMD = {"RestartSteps", "RestartMaxDelaySec"}


def lines(unit: str) -> list[str]:
    """What the unit sets, without its comments."""
    text = (UNITS / unit).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("unit", [*SANDBOXED, ALARM])
def test_each_unit_leaves_little_open(machine: Machine, unit: str) -> None:
    name = unit.replace("@.", "@north.")
    said = machine.run("systemd-analyze", "security", "--no-pager", name, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE_MOST, said


def test_systemd_understands_every_line(machine: Machine) -> None:
    names = [path.name.replace("@.", "@north.") for path in sorted(UNITS.iterdir()) if path.suffix in {".service", ".timer"}]
    said = machine.run("systemd-analyze", "verify", *names, check=False)
    unknown = set(re.findall(r"Unknown key(?: name)? '(\w+)'", said.stderr))
    assert unknown <= NEWER_SYSTEMD, said.stderr
    others = [line for line in said.stderr.splitlines() if "Unknown key" not in line and "msi-stream" in line]
    assert not others


@pytest.mark.parametrize("unit", ["msi-stream.service", "msi-stream@.service"])
def test_every_secret_of_the_configuration_may_come_as_a_credential(unit: str) -> None:
    secrets = {"_".join(key.path) for key in keys().values() if key.is_secret}
    loaded = dict(re.findall(r"(?m)^LoadCredential=(\w+):(\S+)$", "\n".join(lines(unit))))
    assert set(loaded) == secrets
    of = "msi-stream.%i." if "@" in unit else "msi-stream."
    assert all(source == of + name for name, source in loaded.items())
    assert all(name in (UNITS / "msi-stream-as").read_text(encoding="utf-8") for name in secrets)


@pytest.mark.parametrize(("one", "each"), [("msi-stream", "msi-stream@"), ("msi-stream-backup", "msi-stream-backup@")])
@pytest.mark.parametrize("kind", ["service", "timer"])
def test_the_template_is_the_single_unit_but_for_its_name(one: str, each: str, kind: str) -> None:
    if not (UNITS / f"{one}.{kind}").exists():
        assert (one, kind) == ("msi-stream", "timer")
        return
    of_one = [line.replace("/config.toml", "/NAME.toml") for line in lines(f"{one}.{kind}")]
    named = re.compile(r"[-./ (]*%i\)?(?=$|[./ ])|%i")
    assert [named.sub("", line.replace("/%i.toml", "/NAME.toml")) for line in lines(f"{each}.{kind}")] == of_one
