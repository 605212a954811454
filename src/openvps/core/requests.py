"""Bodies and references of requests, parsed so that every bad field can be named at once.

FastAPI refuses a body at its first layer; here the shape of each field is checked by itself, so that a handler
can add what only the database knows (`plan_id` 99 doesn't exist) and raise all of it together.
"""

import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_type_hints
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from openvps.core.errors import BadRequest, InvalidFields, NotFound, TooLarge, UnsupportedMedia

MAX_BODY_BYTES = 1 << 20
MAX_ID = (1 << 63) - 1  # bigint

_SURROGATE = re.compile("[\ud800-\udfff]")

T = TypeVar("T", bound=BaseModel)


class Body(Generic[T]):
    """A body's good fields as `fields`, and texts for the bad ones."""

    def __init__(self, model: type[T], raw: dict[str, Any]) -> None:
        self.errors: dict[str, list[str]] = {}
        values: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            if name not in raw:
                if info.is_required():
                    self.errors[name] = ["This field is required."]
                else:
                    values[name] = info.get_default(call_default_factory=True)
                continue
            try:
                values[name] = _adapter(model, name).validate_python(raw[name])
            except ValidationError as error:
                self.errors[name] = [_sentence(one["type"], one["msg"]) for one in error.errors()]
        self.given = frozenset(raw) & frozenset(model.model_fields)
        self.fields: T = model.model_construct(_fields_set=set(self.given), **values)

    def good(self, name: str) -> bool:
        """Whether the field was given (or has a default) and has the right shape."""
        return name not in self.errors

    def wrong(self, name: str, text: str) -> None:
        """Note one more problem with a field."""
        self.errors.setdefault(name, []).append(text)

    def check(self) -> T:
        """Return the fields. Raises InvalidFields with every problem noted so far."""
        if self.errors:
            raise InvalidFields(self.errors)
        return self.fields


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(model, include_extras=True)[name])


def _sentence(kind: str, text: str) -> str:
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    return text[0].upper() + text[1:].rstrip(".") + "."


async def read_body(request: Request) -> bytes:
    """Return the request's body. Raises TooLarge."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise TooLarge(f"The body may have at most {MAX_BODY_BYTES} bytes.")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise TooLarge(f"The body may have at most {MAX_BODY_BYTES} bytes.")
    return bytes(raw)


def read_json(request: Request) -> dict[str, Any]:
    """Return the read body's JSON object; no bytes at all are `{}`. Raises UnsupportedMedia, BadRequest."""
    raw: bytes = request.state.raw
    if not raw:
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia(f"Send the body as application/json, not {kind[:80]!r}.")
    try:
        value: Any = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object, like {}.")
    if b"\\u" in raw and not _storable(value):
        raise BadRequest("A text in the body has a NUL character or half a surrogate pair; nothing here has one.")
    return value  # pyright: ignore[reportUnknownVariableType] -- JSON


def _storable(value: Any) -> bool:
    """Whether PostgreSQL can hold every text in it: JSON's escapes can write what UTF-8 and a `text` can't be."""
    written = json.dumps(value, ensure_ascii=False)
    return "\\u0000" not in written.replace("\\\\", "") and not _SURROGATE.search(written)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def body_of(model: type[T]) -> Callable[[Request], Awaitable[Body[T]]]:
    """Return the dependency that parses a request's body as `model`."""

    async def parse(request: Request) -> Body[T]:
        return Body(model, read_json(request))

    return parse


def accepts(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body is `model`; no body is `{}`, which may be good enough."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    needed = bool(schema.get("required"))
    return {"requestBody": {"required": needed, "content": {"application/json": {"schema": schema}}}}


def flag(request: Request, name: str) -> bool:
    """Read a yes or no of the query, no if it isn't there. Raises InvalidFields."""
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "false", "1", "0"}:
        raise InvalidFields({name: ["`true` or `false`."]})
    return text in {"true", "1"}


def reference(text: str) -> int | UUID:
    """Return the id or UUID that a path names. Raises NotFound for anything else."""
    if text.isascii() and text.isdecimal():
        number = int(text) if len(text) <= len(str(MAX_ID)) else MAX_ID + 1
        if number <= MAX_ID:
            return number
        raise NotFound
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


async def _path_reference(reference_id: str) -> int | UUID:
    return reference(reference_id)


Reference = Annotated[int | UUID, Depends(_path_reference)]
REFERENCE: dict[str, Any] = {  # a parameter that `reference` reads, as JSON Schema
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_ID}, {"type": "string", "format": "uuid"}]
}
