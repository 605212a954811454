"""`script/bench prometheus`: alerts and dashboard, read and evaluated by Prometheus itself on a running OpenVPS.

Debian's `prometheus` (96 MB, so not for each test run) has to be installed, or its programs in the `PATH`. Whether
each alert fires when it should is tried on made-up series, `alerts.test.yml` beside this.
"""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import yaml
from account import Account
from tables import say, table

from lab import Lab
from running import free_port

METRICS = "127.0.0.1:29850"  # where the lab's processes begin to look for free ports
ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "integrations" / "prometheus"
SCRAPE_S = 2
PATIENCE_S = 60
ACTIVE_S = 120
EMPTY = {  # of the dashboard, as long as nothing of the kind has happened
    "openvps_backup_good_age_seconds",
    "openvps_backup_verified_age_seconds",
    "openvps_webhook_attempts_total",
    "openvps_engine_failures_total",
    "openvps_actions_finished_total",
}


def run(lab: Lab) -> bool:
    """Try the files and print what Prometheus says of them; returns whether it says nothing bad."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        say("install Debian's package first: apt-get install --no-install-recommends prometheus")
        return False
    with tempfile.TemporaryDirectory(prefix="openvps-bench-prometheus-") as name:
        folder = Path(name)
        shutil.copy(FILES / "alerts.yml", folder)
        shutil.copy(Path(__file__).with_name("alerts.test.yml"), folder)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_config(_targets())))
        for check in (("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")):
            subprocess.run(["promtool", *check], cwd=folder, check=True)
        port = free_port()
        program = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]
        serving = subprocess.Popen([*program, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder)
        account = Account(lab)
        try:
            account.until_active(account.create("counted"), ACTIVE_S)
            return _evaluated(lab, f"http://127.0.0.1:{port}/api/v1")
        finally:
            account.clear()
            serving.terminate()
            serving.wait()


def _targets() -> list[str]:
    """Return where the lab's processes tell: the first of each that answers."""
    host, _, first = METRICS.rpartition(":")
    found = [port for port in range(int(first), int(first) + 4) if _answers(host, port)]
    assert len(found) == 2, f"an api and a worker, not {found}"
    return [f"{host}:{port}" for port in found]


def _answers(host: str, port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((host, port)) == 0


def _config(targets: list[str]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "openvps", "static_configs": [{"targets": targets}]}],
    }


def _evaluated(lab: Lab, url: str) -> bool:
    with httpx2.Client(trust_env=False, timeout=10) as http:
        _scraped_twice(http, url)
        http.get(f"{lab.url}/servers/", headers={"Authorization": f"Bearer {lab.token}"})
        time.sleep(4 * SCRAPE_S)  # rates need two samples after the first request
        rules: list[Any] = http.get(f"{url}/rules").json()["data"]["groups"][0]["rules"]
        bad_rules = [(one["name"], one["lastError"]) for one in rules if one["health"] != "ok"]
        firing = [one["name"] for one in rules if one["state"] != "inactive"]
        shown: list[Any] = json.loads((FILES / "dashboard.json").read_text())["panels"]
        asked = [target["expr"] for panel in shown for target in panel.get("targets", [])]
        answers = {one: http.get(f"{url}/query", params={"query": one}).json() for one in asked}
    bad = [(one, said.get("error")) for one, said in answers.items() if said["status"] != "success"]
    silent = [one for one, said in answers.items() if said["status"] == "success" and not said["data"]["result"]]
    unexpected = [one for one in silent if not any(name in one for name in EMPTY)]
    rows = [
        ["alerts that it evaluates", f"{len(rules) - len(bad_rules)} of {len(rules)}"],
        ["alerts that fire or are about to", ", ".join(firing) or "none"],
        ["the dashboard's expressions that it evaluates", f"{len(asked) - len(bad)} of {len(asked)}"],
        ["of these without a value, as nothing of the kind has happened", str(len(silent) - len(unexpected))],
        ["without a value otherwise", ", ".join(unexpected) or "none"],
    ]
    say(table(["Prometheus", ""], rows) + "".join(f"\n{one}" for one in [*bad_rules, *bad]))
    return not (bad_rules or firing or bad or unexpected)


def _scraped_twice(http: httpx2.Client, url: str) -> None:
    """Wait until both processes have been asked, twice."""
    end = time.monotonic() + PATIENCE_S
    wanted = {"query": 'count_over_time(up{job="openvps"}[1m]) > 1 and up == 1'}
    while True:
        try:
            if len(http.get(f"{url}/query", params=wanted).json()["data"]["result"]) == 2:
                return
        except (httpx2.HTTPError, ValueError):
            pass  # it is starting
        assert time.monotonic() < end, "Prometheus doesn't see both processes"
        time.sleep(1)
