"""How things are shown, apart from any API."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from openvps.cli import contexts, output, progress
from openvps.cli.exits import Stop
from openvps.cli.server_access import fingerprint
from openvps.cli.server_history import sparkline
from openvps.client.models import Location


@pytest.mark.parametrize(
    "value",
    [
        {"name": "no", "count": 3, "empty": [], "none": None, "nested": {"a": [{"b": 1, "c": [1, [2]]}, "x: y"]}},
        ["- dash", "સર્વર", "2026-11-25", {"key: odd": True}],
        "plain",
        {},
    ],
)
def test_yaml_is_read_back_as_it_was(value: object) -> None:
    assert yaml.safe_load(output.yaml(value)) == value


def test_columns_are_aligned_also_with_wide_and_combining_letters() -> None:
    names = ["東京", "abc", "é"]
    things = [
        Location(id=n, name=name, country_name="x", country_code="x", is_active=True) for n, name in enumerate(names)
    ]
    table = output.Table({"name": lambda one: one.name, "id": lambda one: one.id}, ("name", "id"))
    assert output.listed(table, things, "table") == "NAME  ID\n東京  0\nabc   1\né     2\n"


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    thing = Location(id=1, name="a\x1b[31m\nb", country_name="x", country_code="x", is_active=True)
    table = output.Table({"name": lambda one: one.name}, ("name",))
    assert output.listed(table, [thing], "table") == "NAME\na[31m b\n"


@pytest.mark.parametrize(
    ("kind", "status", "percent", "phase"),
    [
        ("server.create", "queued", 0, "queued"),
        ("server.create", "running", 0, "building"),
        ("server.create", "running", 75, "booting"),
        ("server.create", "completed", 100, "ready"),
        ("server.resize", "running", 50, "resizing"),
        ("backup.create", "completed", 100, "done"),
    ],
)
def test_the_phase_follows_from_the_action(kind: str, status: str, percent: int, phase: str) -> None:
    assert progress.phase(SimpleNamespace(kind=kind, status=status, progress=percent)) == phase


def test_where_there_are_no_actions_it_follows_from_the_status() -> None:
    seen = ["provisioning", "active", "stopping", "in_progress"]
    assert [progress.phase(SimpleNamespace(status=one)) for one in seen] == [
        "building",
        "ready",
        "stopping",
        "under way",
    ]


def test_a_long_course_is_squeezed_and_keeps_its_top() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([0.0, 1.0, 2.0]) == " ▄█"
    assert len(sparkline([float(one) for one in range(1000)])) == 40


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("cloud.example.org", "https://cloud.example.org/api/v1"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/api/v1"),
        ("https://cloud.example.org/vps/api/v1/", "https://cloud.example.org/vps/api/v1"),
    ],
)
def test_an_address_becomes_a_base_url(given: str, url: str) -> None:
    assert contexts.normal(given) == url


@pytest.mark.parametrize("given", ["ftp://cloud.example.org", "https://", "https://user:secret@cloud.example.org"])
def test_what_is_no_address_of_an_api_is_refused(given: str) -> None:
    with pytest.raises(Stop, match="isn't the base URL"):
        contexts.normal(given)


def test_only_loopback_is_safe_in_clear() -> None:
    assert [contexts.in_clear(f"http://{host}/") for host in ("127.0.0.1:1", "[::1]", "localhost", "10.0.0.1")] == [
        False,
        False,
        False,
        True,
    ]


def test_a_fingerprint_is_what_ssh_says(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True)
    assert fingerprint(key.with_suffix(".pub").read_text()) == told.stdout.split()[1]
    assert fingerprint("no key") is None
