"""Results on standard output: a table for people, JSON and YAML for programs, names for scripts.

A column is a title of the table, or any field of the answer by its name: `plan.vcpus`. JSON and YAML are the answer
itself, with all fields. Colour and headers' bold are for terminals only, and not where NO_COLOR is set.
"""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from openvps.cli.exits import Stop

if TYPE_CHECKING:
    from openvps.client.answer import Answer

Form = Literal["table", "json", "yaml", "name"]
WATCH_S = 2.0
COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}
OF_STATUS = {
    **dict.fromkeys(("active", "completed"), "green"),
    **dict.fromkeys(("error", "failed", "suspended"), "red"),
    **dict.fromkeys(("stopped", "cancelled", "revoked"), "dim"),
}


@dataclass(frozen=True)
class Table:
    """How a kind of thing is shown: its columns, which of them without asking, and what it is called by."""

    columns: Mapping[str, Callable[[Any], Any]]
    default: Sequence[str]
    name: Callable[[Any], Any] = lambda one: one.name

    def cells(self, one: "Answer", wanted: Sequence[str]) -> list[str]:
        """Return a row's texts."""
        return [_text(self.columns[name](one) if name in self.columns else _field(one, name)) for name in wanted]


def show_list(
    table: Table, produce: Callable[[], Sequence["Answer"]], form: Form, columns: str, *, watch: bool
) -> None:
    """Show what `produce` returns, with `watch` again and again until Ctrl-C."""

    def text() -> str:
        return listed(table, produce(), form, columns)

    if not watch:
        print(text(), end="")
        return
    before = ""
    while True:
        now = text()
        if sys.stdout.isatty():
            print(f"\x1b[H\x1b[J{now}", end="", flush=True)
        elif now != before:
            print(now, end="", flush=True)
        before = now
        time.sleep(WATCH_S)


def listed(table: Table, things: Sequence["Answer"], form: Form, columns: str = "") -> str:
    """Return a list as text."""
    if form == "json":
        return json.dumps([plain(one) for one in things], indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        return yaml([plain(one) for one in things])
    if form == "name":
        return "".join(f"{table.name(one)}\n" for one in things)
    wanted = [one.strip().lower() for one in columns.split(",")] if columns else list(table.default)
    if things:
        _check(table, things[0], wanted)
    rows = [table.cells(one, wanted) for one in things]
    return _aligned([one.rpartition(".")[2].replace("_", " ").upper() for one in wanted], rows)


def row(table: Table, one: "Answer", form: Form) -> str:
    """Return one thing as text: a row with titles, where `shown` has a line a field."""
    return listed(table, [one], form) if form == "table" else shown(table, one, form)


def shown(table: Table, one: "Answer", form: Form, columns: str = "") -> str:
    """Return one thing as text: a line a field."""
    if form == "json":
        return json.dumps(plain(one), indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        return yaml(plain(one))
    if form == "name":
        return f"{table.name(one)}\n"
    wanted = [name.strip().lower() for name in columns.split(",")] if columns else list(table.columns)
    _check(table, one, wanted)
    values = table.cells(one, wanted)
    width = max(len(name) for name in wanted)
    return "".join(
        f"{painted(f'{name:{width}}', 'bold')}  {_status(value)}\n"
        for name, value in zip(wanted, values, strict=True)
        if value or columns
    )


def plain(one: "Answer") -> Any:
    """Return an answer as it came."""
    return one.model_dump(mode="json", exclude_unset=True)


def yaml(value: Any, depth: int = 0) -> str:
    """Return a value as YAML, whose scalars are JSON's: no text is taken for a number or a yes."""
    pad = "  " * depth
    if isinstance(value, dict) and value:
        pairs = cast("dict[str, Any]", value).items()
        return "".join(f"{pad}{json.dumps(key) if ':' in key else key}:{_under(one, depth)}" for key, one in pairs)
    if isinstance(value, list) and value:
        items = (yaml(one, depth + 1) for one in cast("list[Any]", value))
        return "".join(f"{pad}- {text.lstrip()}" for text in items)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _under(value: Any, depth: int) -> str:
    nested = bool(value) and isinstance(value, dict | list)
    return f"\n{yaml(value, depth + 1)}" if nested else f" {yaml(value)}"


def painted(text: str, colour: str | None) -> str:
    """Return a text in a colour, where colours are seen."""
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def _status(text: str) -> str:
    word = text.strip()
    return painted(text, OF_STATUS.get(word) or ("yellow" if word.endswith("ing") and word.isalpha() else None))


def _aligned(titles: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(_width, column)) for column in zip(titles, *rows, strict=True)]

    def line(cells: list[str], paint: Callable[[str], str]) -> str:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
        return "  ".join([*map(paint, padded[:-1]), paint(cells[-1])]).rstrip() + "\n"

    return line(titles, lambda text: painted(text, "bold")) + "".join(line(row, _status) for row in rows)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def _field(one: "Answer", path: str) -> Any:
    value: Any = plain(one)
    for part in path.split("."):
        value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
    return value


def _check(table: Table, one: "Answer", wanted: Sequence[str]) -> None:
    """Raise Stop for a column that is neither the table's nor a field's."""
    known = {*table.columns, *type(one).model_fields, *(one.model_extra or {})}
    unknown = [name for name in wanted if name.partition(".")[0] not in known]
    if unknown:
        raise Stop(f"unknown column {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(one) for one in cast("list[Any]", value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).replace("\x1b", "").replace("\n", " ")
