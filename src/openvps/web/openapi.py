"""The OpenAPI document: what FastAPI reads off the routes, completed by what holds for all of them."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from openvps.accounts.auth import Guard
from openvps.accounts.idempotency import SHOWN_ONCE
from openvps.accounts.route import Route
from openvps.core import requests
from openvps.web.examples import Schema, body_examples, example, merged, resolve
from openvps.web.links import link
from openvps.web.vocabulary import (
    ANSWERS,
    BEARER,
    DESCRIPTION,
    HEADERS,
    PARAMETERS,
    REFUSALS,
    SCHEMAS,
    SUMMARY,
    TAGS,
)

VERSION = "1.0"
METHODS = ("get", "post", "put", "patch", "delete")
REFERENCE = "reference_id"  # what `core.requests.Reference` calls each id; a reader sees whose it is
NULL: Schema = {"type": "null"}
LIMITS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

Operation = dict[str, Any]


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document of the app's routes, without the address they are served at."""
    document = get_openapi(
        title="OpenVPS API",
        version=VERSION,
        summary=SUMMARY,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):  # ours is 400, and of another form
        schemas.pop(unused, None)
    document["paths"] = {_spoken(path): item for path, item in document["paths"].items()}
    guards = _guards(app)
    for path, method, operation in operations(document):
        _complete(path, method, operation, guards.get(operation["operationId"]), schemas)
    for _, method, operation in operations(document):
        if method == "post":
            _tell_of_replays(operation, schemas)
    link(document["paths"])
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    document["tags"] = [
        {"name": name, "x-displayName": title, "description": text}
        for name, (title, text) in TAGS.items()
        if name in used
    ]
    document["components"] = {
        "schemas": dict(sorted((schemas | SCHEMAS).items())),
        "responses": {name: _refusal(status) for status, (name, _, _) in REFUSALS.items()},
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "securitySchemes": {"bearer": BEARER},
    }
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    """Return each operation with its path and method."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _guards(app: FastAPI) -> dict[str, Guard]:
    routes = (context.original_route for context in iter_route_contexts(app.routes))
    return {route.name: route.guard for route in routes if isinstance(route, Route)}


def _spoken(path: str) -> str:
    """Return the path with its ids named after what they are of: `/servers/{server_id}/`."""
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part == f"{{{REFERENCE}}}":
            parts[at] = f"{{{_one_of(parts[at - 1]).replace('-', '_')}_id}}"
    return "/".join(parts)


def _one_of(things: str) -> str:
    return f"{things.removesuffix('ies')}y" if things.endswith("ies") else things.removesuffix("s")


def _complete(path: str, method: str, operation: Operation, guard: Guard | None, schemas: dict[str, Schema]) -> None:
    operation["summary"] = _summary(operation["operationId"])
    operation["security"] = [{"bearer": []}] if guard else []
    if guard and guard.permission:
        operation["x-permission"] = guard.permission
    if guard and guard.operator:
        operation["x-operator"] = True
    _complete_parameters(path, method, operation, guard)
    if "requestBody" in operation:
        _complete_body(operation, schemas)
    _complete_answers(method, operation, guard, schemas)


def _summary(operation_id: str) -> str:
    return operation_id.replace("_", " ").capitalize().replace("ssh", "SSH")


def _complete_parameters(path: str, method: str, operation: Operation, guard: Guard | None) -> None:
    parameters: list[dict[str, Any]] = operation.get("parameters", [])
    for parameter in parameters:
        if parameter["name"] == REFERENCE:
            parameter["name"] = path.rpartition("{")[2].partition("}")[0]
            if own := parameter["schema"].pop("examples", None):  # not an id by our rule: it describes itself
                parameter["example"] = own[0]
                continue
            thing = parameter["name"].removesuffix("_id").replace("_", " ").replace("ssh", "SSH")
            parameter["description"] = f"Id or UUID of the {thing}."
            parameter["schema"] = requests.REFERENCE
            parameter["example"] = 12345
    shared = {"post": "Idempotency-Key", "get": "If-None-Match"}.get(method)
    if shared and (guard or method == "post"):
        parameters.append({"$ref": f"#/components/parameters/{shared}"})
    if parameters:
        operation["parameters"] = parameters


def _complete_body(operation: Operation, schemas: dict[str, Schema]) -> None:
    """Put the body's model, and what it is made of, among the components, and add its examples."""
    content = operation["requestBody"]["content"]["application/json"]
    schema: Schema = content["schema"]
    if "$ref" not in schema:
        schemas.update(schema.pop("$defs", {}))
        for one in schema["properties"].values():
            if one.get("default") in (None, ""):  # stands for "not given", and need not fit
                one.pop("default", None)
        name = schema["title"]
        if schemas.setdefault(name, schema) != schema:
            raise TypeError(f"two different bodies are called {name}: name them apart")
        content["schema"] = {"$ref": f"#/components/schemas/{name}"}
    given = body_examples(schema, schemas)
    if len(given) == 1:
        content["example"] = given[0]
    else:
        content["examples"] = {f"example-{number}": {"value": one} for number, one in enumerate(given, 1)}


def _complete_answers(method: str, operation: Operation, guard: Guard | None, schemas: dict[str, Schema]) -> None:
    answers: dict[str, Any] = operation["responses"]
    answers.pop("422", None)
    for status, answer in answers.items():
        if int(status) >= 400:  # noqa: PLR2004 -- the first status of a refusal
            _name_refusal(int(status), answer)
            continue
        if answer["description"] == "Successful Response":
            answer["description"] = {"201": "Created", "204": "Done; the answer has no body"}.get(status, "OK")
        content = answer.get("content", {}).get("application/json")
        if content is not None and "schema" in content:
            shown = example(content["schema"], schemas)
            dry = status == "200" and "201" in answers
            if operation["operationId"] in ANSWERS and not dry:
                shown = merged(shown, ANSWERS[operation["operationId"]])
            content.setdefault("example", shown)
        _add_headers(answer, [*LIMITS, *(["Idempotent-Replayed"] if method == "post" else [])], guard)
        if method == "get" and guard:
            _add_headers(answer, ["ETag"], guard)
        if method == "delete" and status == "204" and "servers" in operation["tags"]:
            _add_headers(answer, ["Location"], guard)
    for status in sorted(_refusals(method, operation, guard) - {int(one) for one in answers}):
        answers[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
    if method == "get" and guard:
        answers["304"] = {"description": "Not modified - the answer is the one with the ETag of If-None-Match"}
    operation["responses"] = dict(sorted(answers.items()))


def _tell_of_replays(operation: Operation, schemas: dict[str, Schema]) -> None:
    """Say of a secret in an answer that it is null where a repeated Idempotency-Key has that given again."""
    success = min(status for status in operation["responses"] if status.startswith("2"))
    schema: Schema = operation["responses"][success].get("content", {}).get("application/json", {}).get("schema", {})
    fields: dict[str, Schema] = resolve(schema, schemas).get("properties", {})
    for name in set(SHOWN_ONCE) & set(fields):
        said = {key: fields[name].pop(key) for key in ("description", "examples", "title") if key in fields[name]}
        kinds = fields[name].get("anyOf", [fields[name]])
        if NULL not in kinds:
            fields[name] = {"anyOf": [*kinds, NULL]}
        fields[name] |= said
        fields["not_repeated"] = {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Only in the answer to a repeated Idempotency-Key: what is null here, and why.",
        }


def _refusals(method: str, operation: Operation, guard: Guard | None) -> set[int]:
    """Return the statuses that an operation may refuse with because of what it is."""
    statuses = {429, 503}
    parameters = operation.get("parameters", [])
    places = {one["in"] for one in parameters if "in" in one}
    if guard:
        statuses.add(401)
        if guard.permission or guard.operator:
            statuses.add(403)
    if "path" in places or any(one.get("name") == "page" for one in parameters):
        statuses.add(404)
    if "query" in places:
        statuses.add(400)
    if method == "post":
        statuses |= {400, 409}
    if "requestBody" in operation:
        statuses |= {400, 413, 415}
    return statuses


def _refusal(status: int) -> dict[str, Any]:
    answer = {"description": REFUSALS[status][1]}
    _name_refusal(status, answer)
    return answer


def _name_refusal(status: int, answer: dict[str, Any]) -> None:
    """Give a refusal its form: one problem, or every bad field where there may be any."""
    problem = {"$ref": "#/components/schemas/Problem"}
    either = {"anyOf": [problem, {"$ref": "#/components/schemas/FieldProblems"}]}
    json = answer.setdefault("content", {}).setdefault("application/json", {})
    json.setdefault("schema", either if status == 400 else problem)  # noqa: PLR2004 -- see REFUSALS
    if "examples" not in json:
        json.setdefault("example", REFUSALS[status][2])
    extra = {401: ["WWW-Authenticate"], 409: ["Retry-After"], 429: ["Retry-After", *LIMITS], 503: ["Retry-After"]}
    _add_headers(answer, extra.get(status, []), None)


def _add_headers(answer: dict[str, Any], names: list[str], guard: Guard | None) -> None:
    headers = answer.setdefault("headers", {})
    for name in ["X-Request-Id", *names]:
        if guard or name not in LIMITS or "Retry-After" in names:
            headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
