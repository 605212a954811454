"""Tables that spreadsheets read: CSV (RFC 4180), with no text in it that they would take for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import Request, Response

from openvps.core.errors import InvalidFields
from openvps.core.query import Parameter

Cell = str | int | float | bool | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")

FORMAT = Parameter(
    "format",
    "`csv`: all of it as a table, without pages.",
    {"type": "string", "enum": ["json", "csv"], "default": "json"},
)


def described(columns: Sequence[str], example: Sequence[Cell]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that answers with such a table too, for the OpenAPI document."""
    content = {"schema": {"type": "string"}, "example": table(columns, [example])}
    return {200: {"content": {"text/csv": content}}}


def wanted(request: Request, parameter: Parameter = FORMAT) -> str:
    """Return the format that a request asks for. Raises InvalidFields."""
    given = request.query_params.get("format", "json")
    if given not in parameter.schema["enum"]:
        raise InvalidFields({"format": [f"One of {', '.join(parameter.schema['enum'])}."]})
    return given


def answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """Answer with a file called `name`.csv."""
    disposition = f'attachment; filename="{name}.csv"'
    return Response(table(columns, rows), media_type="text/csv", headers={"Content-Disposition": disposition})


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return rows as CSV below their columns' names."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def plain(text: str | None) -> str | None:
    """Return what a person wrote as a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text and text.startswith(FORMULA) else text
