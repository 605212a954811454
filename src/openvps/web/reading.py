"""The document as a reader sees it: what the pages' templates are given, all of it taken from the document."""

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from os.path import commonpath
from typing import Any

from openvps.web.examples import Schema, resolve
from openvps.web.openapi import Operation, operations
from openvps.web.samples import HIGHLIGHT, LANGUAGES, TITLES, Call


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of a body or an answer; `kind` is a few words, each translated by itself."""

    name: str
    kind: tuple[str, ...]
    required: bool
    meaning: str
    instead: tuple[str, ...] = ()  # required, unless one of these is given


@dataclass(frozen=True)
class Status:
    """An answer's status and what it means."""

    code: str
    meaning: str

    @property
    def good(self) -> bool:
        """Whether it says that things went well."""
        return int(self.code) < HTTPStatus.BAD_REQUEST


@dataclass(frozen=True)
class Sample:
    """A request in one language."""

    language: str
    title: str
    highlight: str
    text: str


@dataclass(frozen=True)
class Endpoint:
    """One operation, as its part of a page."""

    id: str
    method: str
    path: str
    title: str
    description: str
    permission: str | None
    operator: bool
    parameters: dict[str, list[Field]]  # by where they stand: path, query, header
    body: list[Field]
    answer: list[Field]
    samples: list[Sample]
    sample_answer: str | None
    statuses: list[Status]


@dataclass(frozen=True)
class Section:
    """The operations of one tag: a page."""

    name: str
    title: str
    description: str
    base_path: str
    endpoints: list[Endpoint]

    @property
    def count(self) -> int:
        """How many operations there are."""
        return len(self.endpoints)


def sections(document: dict[str, Any], origin: str) -> dict[str, Section]:
    """Return the pages by their names, with samples that speak to `origin`."""
    found: dict[str, Section] = {}
    for tag in document["tags"]:
        mine = [one for one in operations(document) if one[2]["tags"][0] == tag["name"]]
        endpoints = [_endpoint(document, origin, *one) for one in mine]
        base_path = commonpath([path.partition("{")[0].rstrip("/") for path, _, _ in mine])
        found[tag["name"]] = Section(
            tag["name"], tag["x-displayName"], tag["description"], base_path, sorted(endpoints, key=_reading_order)
        )
    return found


def _reading_order(endpoint: Endpoint) -> tuple[int, int]:
    """The collection first, then one of it, then what can be done with it."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return endpoint.path.count("/"), methods.index(endpoint.method)


def _endpoint(document: dict[str, Any], origin: str, path: str, method: str, operation: Operation) -> Endpoint:
    components = document["components"]
    schemas: dict[str, Schema] = components["schemas"]
    parameters = [_deref(one, components["parameters"]) for one in operation.get("parameters", [])]
    places = {place: [_parameter(one) for one in parameters if one["in"] == place] for place in ("path", "query")}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    answers = {code: _deref(one, components["responses"]) for code, one in operation["responses"].items()}
    success = [one for code, one in answers.items() if code.startswith("2")][-1]  # 201 before the 200 of a dry run
    json_answer = success.get("content", {}).get("application/json")
    call = Call(
        method.upper(),
        origin,
        path,
        {one["name"]: one["example"] for one in parameters if one["in"] == "path"},
        _first_example(content) if content else None,
        json_answer is not None,
        public=not operation["security"],
    )
    return Endpoint(
        id=operation["operationId"],
        method=call.method,
        path=path,
        title=operation["summary"],
        description=" ".join(operation.get("description", "").split()),
        permission=operation.get("x-permission"),
        operator=operation.get("x-operator", False),
        parameters={place: listed for place, listed in places.items() if listed},
        body=[_given(one) for one in _fields(content["schema"], schemas)] if content else [],
        answer=_fields(json_answer["schema"], schemas) if json_answer else [],
        samples=[Sample(name, TITLES[name], HIGHLIGHT[name], write(call)) for name, write in LANGUAGES.items()],
        sample_answer=json.dumps(json_answer["example"], indent=2, ensure_ascii=False) if json_answer else None,
        statuses=[Status(code, answer["description"]) for code, answer in answers.items()],
    )


def _deref(one: dict[str, Any], among: dict[str, Any]) -> dict[str, Any]:
    return among[one["$ref"].rpartition("/")[2]] if "$ref" in one else one


def _first_example(content: dict[str, Any]) -> Any:
    return content["example"] if "example" in content else next(iter(content["examples"].values()))["value"]


def _parameter(one: dict[str, Any]) -> Field:
    return _given(
        Field(one["name"], _kind(one["schema"], {}), one.get("required", False), one.get("description", ""))
    )


def _given(field: Field) -> Field:
    """Return what a caller gives: null is like leaving it out, and worth no word unless its meaning has one."""
    if "null" in field.meaning:
        return field
    return replace(field, kind=tuple(one for one in field.kind if one != "null"))


def _fields(schema: Schema, schemas: dict[str, Schema], before: str = "") -> list[Field]:
    """Return an object's fields, and those of the objects in it, each after its own: `plan.id`, `results[].id`."""
    listed: list[Field] = []
    schema = resolve(schema, schemas)
    either = [[one["required"][0] for one in group["anyOf"]] for group in schema.get("allOf", [])]
    for name, one in schema.get("properties", {}).items():
        spoken = resolve(one, schemas)
        listed.append(
            Field(
                before + name,
                _kind(one, schemas),
                name in schema.get("required", []),
                " ".join(one.get("description", spoken.get("description", "")).split()),
                tuple(other for choice in either if name in choice for other in choice if other != name),
            )
        )
        inner, between = one, "."
        choices = [choice for choice in spoken.get("anyOf", []) if choice.get("type") != "null"]
        if len(choices) == 1:
            inner = choices[0]
        if resolve(inner, schemas).get("type") == "array":
            inner, between = resolve(inner, schemas).get("items", {}), "[]."
        if "properties" in resolve(inner, schemas):
            listed += _fields(inner, schemas, before + name + between)
    return listed


def _kind(schema: Schema, schemas: dict[str, Schema]) -> tuple[str, ...]:
    schema = resolve(schema, schemas)
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices:
        return tuple(dict.fromkeys(word for one in choices for word in _kind(one, schemas)))
    if schema.get("format") == "uuid":
        return ("UUID",)
    return (schema.get("type", "any"),)
