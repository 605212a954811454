"""Examples made of a schema: what its fields give as theirs, put together."""

from typing import Any, cast

Schema = dict[str, Any]

_BY_TYPE = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def resolve(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """Return the schema that a reference names; anything else as it is."""
    if "$ref" not in schema:
        return schema
    return schemas[schema["$ref"].rpartition("/")[2]] | {name: v for name, v in schema.items() if name != "$ref"}


def example(schema: Schema, schemas: dict[str, Schema]) -> Any:
    """Return a value that fits the schema, as a reader would expect to see it."""
    schema = resolve(schema, schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    given = [schema.get("const"), schema.get("default"), *schema.get("enum", [])]
    for value in given:
        if value is not None:
            return value
    for choice in schema.get("anyOf", schema.get("oneOf", [])):
        if choice.get("type") != "null":
            return example(choice, schemas)
    if schema.get("type") == "array":
        return [example(schema.get("items", {}), schemas)]
    if schema.get("type") == "object":
        return {name: example(one, schemas) for name, one in schema.get("properties", {}).items()}
    return _BY_TYPE.get(schema.get("type", ""))


def body_examples(schema: Schema, schemas: dict[str, Schema]) -> list[Any]:
    """Return a body's own examples, or one of what it needs and what of its fields has an example."""
    schema = resolve(schema, schemas)
    fields = schema.get("properties", {})
    if schema.get("examples"):  # pydantic sorted them
        return [{name: one[name] for name in fields if name in one} for one in schema["examples"]]
    needed = schema.get("required", [])
    return [
        {
            name: example(one, schemas)
            for name, one in fields.items()
            if name in needed or resolve(one, schemas).get("examples")
        }
    ]


def merged(value: Any, changes: dict[str, Any]) -> Any:
    """Return an object with some of its fields changed, also in the objects in it."""
    made = dict(value)
    for name, change in changes.items():
        made[name] = merged(made[name], cast("dict[str, Any]", change)) if isinstance(change, dict) else change
    return made
