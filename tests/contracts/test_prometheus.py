"""/metrics: what processes count and the installation's facts; alerts and dashboard name nothing else."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from factories import World
from openvps.actions import queries as actions
from openvps.app import create_app
from openvps.core import metrics, settings
from openvps.core.exposition import exposed
from openvps.monitoring.facts import GAUGES, Facts

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "integrations" / "prometheus"
RUNBOOK = ROOT / "docs" / "how-to" / "alerts.md"
OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def told(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples by name, as Prometheus' own parser reads them."""
    return {
        name: [(sample.labels, sample.value) for sample in family.samples if sample.name == name]
        for family in text_string_to_metric_families(text)
        for name in {sample.name for sample in family.samples}
    }


async def test_the_installations_facts_are_told(world: World) -> None:
    client = await world.a_client()
    late = await world.a_server(client, status="provisioning")
    number = await world.a_server(client, backups_enabled=True)
    await world.a_backup(client, number)
    await world.sql("UPDATE cell SET seen_at = now()")
    await world.sql(
        "UPDATE server SET deadline_at = now() - interval '3 minutes', look_at = now() WHERE id = :id", id=late
    )
    await world.sql("UPDATE backup SET created_at = now() - interval '40 hours'")
    await world.sql("UPDATE server SET ready_at = now() - interval '40 hours' WHERE id = :id", id=number)
    await world.sql("UPDATE meter SET due_at = now() - interval '1 hour' WHERE server_id = :id", id=number)
    await world.sql("INSERT INTO turn (name, taken_at) VALUES ('sweep', now() - interval '1 minute')")
    said = told((await Facts(world.database)()).decode())
    assert set(GAUGES) - set(said) <= {"openvps_backup_verified_age_seconds"}
    rooms = {labels["resource"]: value for labels, value in said["openvps_cell_room"]}
    assert rooms["vcpus"] > 0
    assert next(value for labels, value in said["openvps_cell_used"] if labels["resource"] == "vcpus") > 0
    assert said["openvps_cell_reachable"] == [({"cell": "here"}, 1)]
    assert {labels["status"]: value for labels, value in said["openvps_servers"]} == {"active": 1, "provisioning": 1}
    assert said["openvps_servers_overdue"] == [({}, 1)]
    assert said["openvps_servers_without_backup"] == [({}, 1)]
    assert 3590 < said["openvps_billing_lag_seconds"][0][1] < 3700
    assert 143_000 < said["openvps_backup_good_age_seconds"][0][1] < 145_000
    assert said["openvps_watcher_age_seconds"][0][0] == {"watcher": "sweep"}


async def test_requests_are_counted_by_operation_and_status(world: World) -> None:
    client = await world.a_client()

    def counted(operation: str, status: int) -> float:
        return (
            REGISTRY.get_sample_value("openvps_requests_total", {"operation": operation, "status": str(status)}) or 0
        )

    before = {key: counted(*key) for key in (("list_servers", 200), ("get_server", 404), ("none", 404))}
    await client("GET", "/servers/")
    await client("GET", "/servers/99/")
    await client("GET", "/nowhere/")
    assert {key: counted(*key) - before[key] for key in before} == dict.fromkeys(before, 1)
    assert REGISTRY.get_sample_value("openvps_request_seconds_count", {"operation": "list_servers"})
    assert REGISTRY.get_sample_value("openvps_requests_in_flight") == 0


async def test_actions_are_counted_by_how_they_end(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    labels = {"kind": "server.create", "result": "failed"}
    before = REGISTRY.get_sample_value("openvps_actions_finished_total", labels) or 0
    async with world.database.begin() as conn:
        [one] = await actions.unfinished(conn, number)
        await actions.finish(conn, [one.id], "failed", "No.")
        await actions.finish(conn, [one.id], "failed", "No.")
    assert REGISTRY.get_sample_value("openvps_actions_finished_total", labels) == before + 1


async def ask(port: int | None, path: str = "/metrics", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as http:
        return await http.get(f"http://127.0.0.1:{port}{path}", headers=headers)


async def test_each_process_has_a_port_of_its_own_and_a_token_where_one_is_set(world: World) -> None:
    async def away() -> bytes:
        raise OSError("no database")

    config = world.config.model_copy(update={"metrics_listen": "127.0.0.1:29750", "metrics_token": "let-me-in"})
    async with exposed(config, first=0, facts=Facts(world.database)) as one, exposed(config, first=0) as other:
        assert {one, other} == {29750, 29752}
        assert (await ask(one)).status_code == 401
        assert (await ask(one, Authorization="Bearer wrong")).status_code == 401
        good = await ask(one, Authorization="Bearer let-me-in")
        assert good.status_code == 200
        said = told(good.text)
        assert {"openvps_cell_room", "process_resident_memory_bytes"} <= set(said)
        assert (await ask(one, "/", Authorization="Bearer let-me-in")).status_code == 404
        assert "openvps_cell_room" not in (await ask(other, Authorization="Bearer let-me-in")).text
    config = world.config.model_copy(update={"metrics_listen": "127.0.0.1:29750"})
    async with exposed(config, first=1, facts=away) as port:
        assert port == 29751
        assert told((await ask(port)).text)["openvps_database_reachable"] == [({}, 0)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\xff nonsense\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


def test_beyond_loopback_a_token_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENVPS_CONFIG", "/nonexistent")
    monkeypatch.setenv("OPENVPS_METRICS_LISTEN", "0.0.0.0:9750")
    settings.load.cache_clear()
    with pytest.raises(ValueError, match="METRICS_TOKEN"):
        settings.load()
    monkeypatch.setenv("OPENVPS_METRICS_TOKEN", "t" * 24)
    settings.load.cache_clear()
    assert settings.load().metrics_token == "t" * 24
    settings.load.cache_clear()


def names_in(expression: str) -> set[str]:
    """Return the metrics of an expression: names that are neither functions, labels nor keywords."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\b(?:by|without|on)\s*\([^)]*\)', " ", expression)
    return set(re.findall(r"\b(?:openvps|process)_\w+|\bup\b", bare))


def known() -> set[str]:
    """Return every name that a process may tell."""
    ours: set[str] = set()
    kinds = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    for one in vars(metrics).values():
        if isinstance(one, Counter | Gauge | Histogram):
            ours |= {family.name + suffix for family in one.describe() for suffix in kinds[family.type]}
    return ours | set(GAUGES) | OTHERS


def test_alerts_name_what_is_told_and_a_page_that_says_what_to_do() -> None:
    rules = [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    anchors = {
        line.removeprefix("### ").strip().lower()
        for line in RUNBOOK.read_text().splitlines()
        if line.startswith("### ")
    }
    assert len(rules) > 10
    for rule in rules:
        assert names_in(rule["expr"]), rule
        assert names_in(rule["expr"]) <= known(), rule
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("docs/how-to/alerts.md", rule["alert"].lower())
        assert anchor in anchors
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
    assert anchors == {rule["alert"].lower() for rule in rules}


def test_the_dashboard_shows_what_is_told() -> None:
    dashboard: dict[str, Any] = json.loads((PROMETHEUS / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert {name for one in expressions for name in names_in(one)} <= known()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


async def test_the_api_tells_its_numbers(config: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENVPS_METRICS_LISTEN", "127.0.0.1:29760")
    settings.load.cache_clear()
    app = create_app()
    async with app.router.lifespan_context(app):
        assert "openvps_workers 0.0" in (await ask(29760)).text
    assert config
