"""What `openvps.client` knows of the API's forms, generated from the OpenAPI document.

`python tests/test_docs.py` writes the files anew; a test holds them to the document. Two files come of it: what the
API answers (models) and what it takes (typed dictionaries, which are the keywords of the client's methods).
"""

import json
import re
from pathlib import Path
from typing import Any

from datamodel_code_generator import generate
from datamodel_code_generator.enums import DataModelType, InputFileType, OpenAPIScope
from datamodel_code_generator.format import Formatter, PythonVersion

from openvps.app import create_app

Schema = dict[str, Any]

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "src" / "openvps" / "client"
WRITTEN = "Written from the OpenAPI document by `python tests/test_docs.py`; edit nothing here."
PUBLISHED = ROOT / "tests" / "live" / "published"

# Names for a reader of programs, where the document's are for a reader of the document.
NAMES = {
    "Detail": "Server",
    "Summary": "ServerSummary",
    "Entry": "LedgerEntry",
    "Family": "OperatingSystem",
    "Key": "SshKey",
    "Line": "InvoiceLine",
    "Value": "MetricValue",
    "Version": "SystemVersion",
}
# What VPS.org answers besides the server pages, whose answers are kept in tests/live/published/: by its own
# documentation and the client that it publishes. All else in these forms is OpenVPS's own, and may be missing.
ELSEWHERE = {
    "AccountInUse": "email first_name last_name company_name created_at",
    "Backup": "id server backup_type status size_mb created_at expires_at description",
    "BackupPart": "id created_at",
    "CreatedBackup": "id server backup_type status size_mb created_at expires_at description",
    "CreatedSnapshot": "id server name status size_mb created_at description message",
    "Location": "id name country_name country_code is_active",
    "OperatingSystem": "uuid name versions",
    "Plan": "id name slug vcpus memory storage bandwidth price_monthly price_hourly available locations description",
    "Restoring": "status message snapshot server",
    "RestoringBackup": "status message server",
    "Snapshot": "id server name status size_mb created_at description",
    "SnapshotPart": "id name created_at",
    "SshKey": "uuid name fingerprint created_at last_used_at",
    "SystemVersion": "uuid name",
    "TokenInUse": "name permissions",
}
UNUSED = set(
    "examples example title pattern format minLength maxLength minItems maxItems uniqueItems minimum maximum"
    " exclusiveMinimum exclusiveMaximum".split()
)
ANSWERED = {
    "list_servers": "list",
    "create_server": "create",
    "get_server": "get",
    "start_server": "start",
    "stop_server": "stop",
}


def written() -> dict[Path, str]:
    """Return the text of each generated file by its path."""
    document = json.loads(json.dumps(create_app().openapi()))
    schemas: dict[str, Schema] = document["components"]["schemas"]
    bodies = _reached(_bodies(document), schemas)
    published = _published(document, schemas)
    answers = {name: schema for name, schema in schemas.items() if name not in bodies and not _refuses(name)}
    for name, schema in answers.items():
        _lighten(schema)
        told = published.get(name) or set(ELSEWHERE.get(_named(name), "").split())
        if told:
            _relax(schema, told | set(ELSEWHERE.get(_named(name), "").split()))
    for name in bodies:
        _lighten(schemas[name])
    return {
        CLIENT / "models.py": _generate(answers, DataModelType.PydanticV2BaseModel, "What the API answers."),
        CLIENT / "bodies.py": _generate(
            {name: schemas[name] for name in sorted(bodies)}, DataModelType.TypingTypedDict, "What the API takes."
        ),
    }


def _refuses(name: str) -> bool:
    return name in {"Problem", "FieldProblems"}


def _named(name: str) -> str:
    """Return the class's name: `openvps__compute__backups__shape__Created` is `CreatedBackup`."""
    if name.startswith("openvps__"):
        *_, topic, _, last = name.split("__")
        thing = topic.removesuffix("s").title().replace("_", "")
        return f"Created{thing}" if last == "Created" else f"{thing}{last}"
    if name.startswith("Listing_"):
        return f"{_named(name.removeprefix('Listing_').removesuffix('_'))}List"
    return NAMES.get(name, name)


def _bodies(document: Schema) -> set[str]:
    found: set[str] = set()
    for item in document["paths"].values():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                found |= _references(content["schema"])
    return found


def _references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


def _reached(names: set[str], schemas: dict[str, Schema]) -> set[str]:
    while more := {other for name in names for other in _references(schemas[name])} - names:
        names |= more
    return names


def _published(document: Schema, schemas: dict[str, Schema]) -> dict[str, set[str]]:
    """Return the keys that the published answers have, by the name of the schema they stand in."""
    found: dict[str, set[str]] = {}

    def walk(schema: Schema, value: Any) -> None:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            found.setdefault(name, set()).update(value)
            for key, part in schemas[name]["properties"].items():
                if key in value:
                    walk(part, value[key])
        elif schema.get("type") == "array":
            for one in value:
                walk(schema["items"], one)

    for item in document["paths"].values():
        for operation in item.values():
            if name := ANSWERED.get(operation.get("operationId", "")):
                status = "201" if name == "create" else "200"
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                walk(schema, json.loads((PUBLISHED / f"{name}.answer.json").read_text()))
    return found


def _relax(schema: Schema, told: set[str]) -> None:
    """Leave only what VPS.org shows too as certain to be there; the rest may be missing, and is None then."""
    schema["required"] = [name for name in schema.get("required", []) if name in told]
    for name, part in schema["properties"].items():
        if name not in told:
            part["default"] = None


def _lighten(schema: Schema) -> None:
    """Take out what a client has no use for: limits are the server's to check, and change."""
    for key in UNUSED & schema.keys():
        del schema[key]
    parts: list[Any] = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in parts:
        _lighten(part)


def _generate(schemas: dict[str, Schema], kind: DataModelType, title: str) -> str:
    text = json.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "", "version": ""},
            "paths": {},
            "components": {"schemas": {_named(name): schema for name, schema in schemas.items()}},
        }
    )
    text = re.sub(r'"#/components/schemas/(\w+)"', lambda found: f'"#/components/schemas/{_named(found[1])}"', text)
    result = generate(
        text,
        input_file_type=InputFileType.OpenAPI,
        output_model_type=kind,
        openapi_scopes=[OpenAPIScope.Schemas],
        target_python_version=PythonVersion.PY_311,
        use_standard_collections=True,
        use_union_operator=True,
        use_schema_description=True,
        use_field_description=True,
        use_inline_field_description=True,
        use_single_line_docstring=True,
        use_double_quotes=True,
        base_class="openvps.client.answer.Answer" if kind is DataModelType.PydanticV2BaseModel else "",
        disable_timestamp=True,
        formatters=[Formatter.RUFF_CHECK, Formatter.RUFF_FORMAT],
        custom_file_header=f'"""{title} {WRITTEN}"""',
    )
    return f"{result}\n"
