"""Lists: `{"count", "next", "previous", "results"}`, by `page` and `page_size`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from openvps.core.errors import InvalidFields, NotFound

DEFAULT_SIZE, MAX_SIZE = 20, 100
REPEATED = "tag"  # the one parameter that may be given several times

T = TypeVar("T")


class Listing(TypedDict, Generic[T]):
    """A page of a list."""

    count: Annotated[int, Field(description="How many there are in all.", examples=[1])]
    next: Annotated[str | None, Field(description="Address of the next page, if there is one.", examples=[None])]
    previous: Annotated[
        str | None, Field(description="Address of the page before, if there is one.", examples=[None])
    ]
    results: Annotated[list[T], Field(description="What is on this page.")]


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for; `number` counts from 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """How many rows come before it."""
        return (self.number - 1) * self.size


def _number(alias: str, description: str, default: int) -> Any:
    # Read as text, shown as a number: what is wrong with it is said below, in our form.
    shown = {"type": "integer", "minimum": 1, "default": default}
    return Query(default_factory=lambda: str(default), alias=alias, description=description, json_schema_extra=shown)


async def page(
    request: Request,
    number: Annotated[str, _number("page", "Which page of the list, from 1.", 1)],
    size: Annotated[str, _number("page_size", "How many results a page has; more than 100 are 100.", DEFAULT_SIZE)],
) -> Page:
    """Read `page` and `page_size`, the latter clamped to 100. Raises InvalidFields, NotFound.

    As all lists do so, here too: what is given twice would be half ignored, and so is refused.
    """
    given = [name for name, _ in request.query_params.multi_items()]
    if twice := {name for name in given if name != REPEATED and given.count(name) > 1}:
        raise InvalidFields({name: ["Give it once."] for name in sorted(twice)})
    if not (size.isascii() and size.isdecimal() and int(size[:9]) > 0):
        raise InvalidFields({"page_size": ["A whole number from 1 to 100."]})
    if not (number.isascii() and number.isdecimal() and 0 < int(number[:12]) < 1 << 31):
        raise NotFound("Invalid page.")
    return Page(int(number), min(int(size[:9]), MAX_SIZE))


def listing(request: Request, at: Page, count: int, results: Sequence[T]) -> Listing[T]:
    """Return the list's body. Raises NotFound past its end."""
    if at.number > 1 and at.offset >= count:
        raise NotFound("Invalid page.")

    return {
        "count": count,
        "next": address(request, page=at.number + 1) if at.offset + at.size < count else None,
        "previous": address(request, page=at.number - 1) if at.number > 1 else None,
        "results": list(results),
    }


def written(body: Listing[str]) -> Response:
    """Answer with a list whose results are JSON already."""
    head = json.dumps({name: value for name, value in body.items() if name != "results"}, separators=(",", ":"))
    return Response(f'{head[:-1]},"results":[{",".join(body["results"])}]}}', media_type="application/json")


def address(request: Request, **changed: int | str) -> str:
    """Return the request's own address with other parameters."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    return f"{str(request.url).partition('?')[0]}?{urlencode([*kept, *changed.items()])}"
