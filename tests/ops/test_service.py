"""The units that `openvps service` writes: systemd takes them, and each has what it needs and no more."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import machine, service


def config(tmp_path: Path, **fields: str) -> Settings:
    return Settings.model_validate(
        {"data_dir": str(tmp_path), "database_url": "postgresql://u:p%40ss@db/openvps", **fields}
    )


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    settings = config(tmp_path)
    for name, text in service.units(settings, engine_group="root").items():
        known = text
        for user in (machine.API_USER, machine.WORKER_USER, machine.CONSOLE_USER):
            known = known.replace(f"User={user}\n", "User=daemon\n")
        (tmp_path / name).write_text(re.sub("SupplementaryGroups=.*", "SupplementaryGroups=daemon", known))
    files = [tmp_path / name for name in service.instances(settings, 2, 2)]
    for file in files:
        template = tmp_path / f"{file.name.partition('@')[0]}@.service"
        if "@" in file.name:
            shutil.copy(template, file)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, files)], capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "openvps" in line]
    assert ours == []


def test_each_process_has_what_it_needs_and_no_more(tmp_path: Path) -> None:
    texts = service.units(config(tmp_path, listen="[::1]:8080"), engine_group="incus-admin")
    api, worker, console = (texts[name] for name in (service.API, service.WORKER, service.CONSOLE))
    assert "ExecStart=/usr/bin/env OPENVPS_LISTEN=[::1]:%i /" in api, "whatever the file of settings says of it"
    assert "User=openvps-api\n" in api
    assert "SupplementaryGroups=openvps\n" in api, "the api has no way to the engine"
    assert "\nCapabilityBoundingSet=\n" in api
    assert "SupplementaryGroups=openvps incus-admin\n" in worker
    assert "\nCapabilityBoundingSet=CAP_NET_ADMIN\n" in worker
    assert "SupplementaryGroups=openvps openvps-worker incus-admin\n" in console, (
        "the worker's, for the key of remote cells"
    )
    assert "\nCapabilityBoundingSet=\n" in console
    for text in (api, worker, console):
        assert "NoNewPrivileges=yes" in text
        assert "Restart=always" in text
        assert "KillMode=mixed" in text, "restic isn't ended before the worker's grace is over"
        assert "StartLimitIntervalSec=0" in text, "it is started again however often it has ended"
        assert "\nGroup=" not in text, "a folder that is its user's group's alone is open to it"
        assert "p%40ss" not in text, "the database's password is in a file for root alone"
    tls = config(tmp_path, tls_certificate="/root/c.pem", tls_key="/root/k.pem")
    assert f"OPENVPS_TLS_KEY={tmp_path}/tls/tls_key.pem /" in service.units(tls, engine_group="root")[service.API]
    low = service.units(config(tmp_path, listen="127.0.0.1:443"), engine_group="root")[service.API]
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in low


def test_an_api_has_a_port_of_its_own_and_workers_are_numbered(tmp_path: Path) -> None:
    assert service.instances(config(tmp_path), 2, 3) == [
        "openvps-prepare.service",
        "openvps-api@8080.service",
        "openvps-api@8081.service",
        "openvps-worker@1.service",
        "openvps-worker@2.service",
        "openvps-worker@3.service",
        "openvps-console.service",
    ]


def test_without_a_database_of_its_own_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(service.settings, "load", lambda: Settings.model_validate({"data_dir": str(tmp_path)}))
    assert service.install(apis=1, workers=1) == 1
    assert "OPENVPS_DATABASE_URL" in capsys.readouterr().err


def test_units_of_another_data_folder_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    links = tmp_path / "multi-user.target.wants"
    links.mkdir()
    monkeypatch.setattr(service, "UNITS", tmp_path)
    monkeypatch.setattr(service, "STARTED_AT_BOOT", links)
    here, elsewhere = config(tmp_path / "here"), config(tmp_path / "elsewhere")
    assert service.installed(here) == []
    (tmp_path / service.PREPARE).write_text(service.units(here, engine_group="root")[service.PREPARE])
    wanted = service.instances(here, 2, 1)
    for name in (*wanted, "openvps-firewall.service"):
        (links / name).touch()
    assert service.installed(here) == sorted(wanted)
    assert service.installed(elsewhere) == []
