"""The OpenAPI document: valid, complete, and what follows from a route is said of it."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import openvps
from openvps.accounts.route import Route
from openvps.app import BASE_PATH, create_app
from openvps.core import settings
from openvps.web.examples import resolve
from openvps.web.openapi import operations
from openvps.web.vocabulary import ANSWERS, TAGS

pytestmark = pytest.mark.anyio

PUBLIC = {"sign_in", "accept_invite"}  # who has no token yet


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """Return the API without a database: the document needs none."""
    monkeypatch.setenv("OPENVPS_CONFIG", "/nonexistent")
    settings.load.cache_clear()
    yield create_app()
    settings.load.cache_clear()


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


async def get(app: FastAPI, path: str, **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as http:
        return await http.get(path, headers=headers)


async def test_it_is_served_without_a_token_and_names_the_readers_host(app: FastAPI) -> None:
    answer = await get(app, f"{BASE_PATH}/openapi.json", Host="cloud.example.org:8443")
    assert answer.status_code == 200
    served = answer.json()
    assert served["openapi"].startswith("3.1.")
    assert [one["url"] for one in served["servers"]] == ["http://cloud.example.org:8443"]
    validate(served)


async def test_a_host_that_is_none_is_not_repeated(app: FastAPI) -> None:
    answer = await get(app, f"{BASE_PATH}/openapi.json", Host='"><script>')
    assert answer.json()["servers"][0]["url"] == "http://127.0.0.1:8080"


def test_every_route_is_in_it_under_its_functions_name(app: FastAPI, document: dict[str, Any]) -> None:
    named = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(named) == sorted(_routes(app))


def _routes(app: FastAPI) -> dict[str, APIRoute]:
    routes = (one.original_route for one in iter_route_contexts(app.routes))
    return {route.name: route for route in routes if isinstance(route, APIRoute) and route.include_in_schema}


def test_nothing_is_left_unsaid(document: dict[str, Any]) -> None:
    schemas, missing = document["components"]["schemas"], list[str]()
    for _, _, operation in operations(document):
        name = operation["operationId"]
        missing += [f"{name}: {part}" for part in ("summary", "description") if not operation.get(part)]
        missing += [f"{name}: tag {tag}" for tag in operation["tags"] if tag not in TAGS]
        for parameter in operation.get("parameters", []):
            if "$ref" not in parameter and not (parameter.get("description") and parameter.get("schema")):
                missing.append(f"{name}: parameter {parameter['name']}")
    for name, schema in schemas.items():
        for field, one in schema.get("properties", {}).items():
            if not resolve(one, schemas).get("description"):
                missing.append(f"{name}.{field}")
    assert missing == []


def test_every_body_and_answer_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        answers = [_deref(document, one) for one in operation["responses"].values()]
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for one in [*answers, *bodies]:
            assert one.get("description") or one in bodies
            for content in one.get("content", {}).values():
                shown = [content["example"]] if "example" in content else []
                shown += [each["value"] for each in content.get("examples", {}).values()]
                assert shown, operation["operationId"]
                checker: Any = Draft202012Validator({**content["schema"], "components": document["components"]})
                for value in shown:
                    problems = [
                        f"{operation['operationId']}: {error.message}" for error in checker.iter_errors(value)
                    ]
                    assert problems == []


def _deref(document: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["responses"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one


def test_what_follows_from_a_route_is_said_of_it(app: FastAPI, document: dict[str, Any]) -> None:
    routes = _routes(app)
    for path, method, operation in operations(document):
        name, answers = operation["operationId"], set(operation["responses"])
        assert "422" not in answers
        assert "503" in answers
        route = routes[name]
        if not isinstance(route, Route):
            assert (name in PUBLIC, operation["security"]) == (True, [])
            continue
        assert operation["security"] == [{"bearer": []}]
        assert answers >= {"401", "429"}
        assert ("403" in answers) == bool(route.guard.permission or route.guard.operator), name
        assert "404" in answers or "{" not in path, name
        if "requestBody" in operation:
            assert answers >= {"400", "413", "415"}, name
        references = {one.get("$ref", "").rpartition("/")[2] for one in operation.get("parameters", [])}
        assert ("Idempotency-Key" in references) == (method == "post"), name
        assert ("409" in answers) == (method == "post"), name
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_ids_in_paths_are_named_after_what_they_are_of(document: dict[str, Any]) -> None:
    assert f"{BASE_PATH}/servers/{{server_id}}/start/" in document["paths"]
    assert f"{BASE_PATH}/ssh-keys/{{ssh_key_id}}/" in document["paths"]
    for path, _, operation in operations(document):
        named = {one["name"] for one in operation.get("parameters", []) if one.get("in") == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_both_dialects_of_create_are_shown(document: dict[str, Any]) -> None:
    body = document["paths"][f"{BASE_PATH}/servers/"]["post"]["requestBody"]["content"]["application/json"]
    first, second = (one["value"] for one in body["examples"].values())
    assert {"name", "plan_id", "os_id"} <= set(first)
    assert {"hostname", "plan", "os_version"} <= set(second)


def test_what_a_handler_reads_of_the_query_is_declared(document: dict[str, Any]) -> None:
    files = Path(inspect.getfile(openvps)).parent.rglob("*.py")
    sources = "\n".join(file.read_text() for file in files if "console" not in file.parts)  # its pages are no API
    read = set(re.findall(r'query_params\.get\(\s*"(\w+)"|flag\(\w+, "(\w+)"', sources))
    declared = {
        one["name"]
        for _, _, operation in operations(document)
        for one in operation.get("parameters", [])
        if "in" in one
    }
    assert {one or other for one, other in read} - declared == set()


def test_examples_of_answers_name_operations_that_exist(document: dict[str, Any]) -> None:
    assert set(ANSWERS) <= {operation["operationId"] for _, _, operation in operations(document)}
