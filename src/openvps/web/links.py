"""Links from an answer to what can be asked next: of a thing that was made, or of an action that was begun.

By rule: what `POST /servers/` answers has the `id` that every `/servers/{server_id}/…` takes.
"""

import re
from typing import Any

_NAMED = re.compile(r"{(\w+)}")
_ACTION = re.compile(r".*/{action_id}/\Z")


def link(paths: dict[str, dict[str, Any]]) -> None:
    """Add the links to the answers."""
    for path, item in paths.items():
        if "post" not in item:
            continue
        answers = item["post"]["responses"]
        if "201" in answers:
            found = _asking(paths, re.compile(re.escape(path) + "{"), "$response.body#/id")
            answers["201"] |= {"links": found} if found else {}
        if "action_id" in str(answers.get("200", {}).get("content")):
            answers["200"]["links"] = _asking(paths, _ACTION, "$response.body#/action_id")


def _asking(paths: dict[str, dict[str, Any]], wanted: re.Pattern[str], value: str) -> dict[str, Any]:
    return {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {_NAMED.findall(path)[0]: value},
        }
        for path, item in paths.items()
        if wanted.match(path)
        for operation in item.values()
        if len(_NAMED.findall(path)) == 1
    }
