"""The `openvps` command: help that teaches, and bad settings named one a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openvps.core import settings
from openvps.core.settings import Settings
from openvps.ops.commands import main


def openvps(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openvps", *arguments],
        env={"PATH": os.environ["PATH"], "OPENVPS_CONFIG": "/nonexistent", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bad_settings_are_named_one_a_line_without_their_values() -> None:
    done = openvps(
        "up", OPENVPS_STOP_GRACE_S="soon", OPENVPS_LISTEN="s3cret", OPENVPS_COUNTRY_CODE="usa", OPENVPS_IPV4_POOL="x"
    )
    assert done.returncode == 2
    names = [line.split(":")[1].strip() for line in done.stderr.splitlines()]
    assert sorted(names) == [
        "OPENVPS_COUNTRY_CODE",
        "OPENVPS_IPV4_POOL",
        "OPENVPS_LISTEN",
        "OPENVPS_STOP_GRACE_S",
    ]
    assert "s3cret" not in done.stderr


def test_settings_that_contradict_each_other_are_said_in_a_sentence() -> None:
    done = openvps("api", OPENVPS_LISTEN="0.0.0.0:8080")
    assert done.returncode == 2
    assert done.stderr.startswith("openvps: listen=0.0.0.0:8080: beyond loopback a certificate")


def test_the_help_of_up_names_every_setting() -> None:
    done = openvps("up", "--help")
    assert done.returncode == 0
    for name, field in Settings.model_fields.items():
        assert f"OPENVPS_{name.upper()}" in done.stdout
        assert field.description


def test_an_unknown_command_fails_and_says_so() -> None:
    done = openvps("upp")
    assert done.returncode != 0
    assert "upp" in done.stdout + done.stderr


@pytest.mark.parametrize("prefix", ["v", "rack2", "VPS", "vps*", "toolong"])
def test_a_cells_interfaces_get_a_name_that_an_id_fits_behind(prefix: str, tmp_path: Path) -> None:
    words = ["--trust-token", "none", "--name", "rack", "--location", "here", "--network", "10.9.0.0/24"]
    done = openvps(
        *("cell", "add", "https://192.0.2.1:8443", *words, "--nic-prefix", prefix), OPENVPS_DATA_DIR=str(tmp_path)
    )
    assert done.returncode == 1
    assert done.stderr == f"openvps: --nic-prefix {prefix}: two to four letters, a to z\n"


def test_a_database_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENVPS_DATABASE_URL", f"postgresql://nobody@/nothing?host={tmp_path}")
    settings.load.cache_clear()
    assert main(["image", "list"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "openvps up" in said[0]
    settings.load.cache_clear()


@pytest.mark.parametrize("arguments", [[], ["account", "create"], ["cell"]])
def test_a_help_text_waits_for_nothing_heavy(arguments: list[str]) -> None:
    told = (
        "import sys; from openvps.ops.commands import main; main([*sys.argv[1:], '--help']);"
        " print(*sorted({name.split('.')[0] for name in sys.modules}), sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", told, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: openvps" in done.stdout
    loaded = set(done.stderr.split())
    assert "openvps" in loaded
    assert (
        loaded & {"pydantic", "sqlalchemy", "fastapi", "psycopg", "httpx2", "procrastinate", "uvicorn", "babel"}
        == set()
    )
