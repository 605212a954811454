"""A request written in four languages, as the reader would paste it: curl, Python, JavaScript, PHP.

Only the token, and ids of things that exist, are left to be put in.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

TOKEN = "YOUR_API_TOKEN"  # noqa: S105 -- a stand-in, not a secret
TITLES = {"curl": "cURL", "python": "Python", "javascript": "JavaScript", "php": "PHP"}
HIGHLIGHT = {"curl": "bash", "python": "python", "javascript": "javascript", "php": "php"}
_WORD = re.compile(r"[A-Za-z_$][\w$]*\Z")


@dataclass(frozen=True)
class Call:
    """A request to write down; `ids` are the examples of what the path names."""

    method: str
    origin: str
    path: str
    ids: dict[str, Any]
    body: dict[str, Any] | None
    answers: bool  # whether the answer has a body
    public: bool = False

    @property
    def url(self) -> str:
        """The address, with its ids."""
        return self.origin + self.path.format(**self.ids)


def curl(call: Call) -> str:
    """Return the request for a shell."""
    lines = [f'curl -X {call.method} "{call.url}"']
    lines += [f'-H "{name}: {value}"' for name, value in _headers(call).items()]
    if call.body is not None:
        text = json.dumps(call.body, indent=2, ensure_ascii=False).replace("'", "'\\''").replace("\n", "\n  ")
        lines.append(f"-d '{text}'")
    return " \\\n  ".join(lines)


def python(call: Call) -> str:
    """Return the request for Python's requests."""
    lines = ["import requests", ""]
    lines += [f"{name} = {_PYTHON.write(value)}" for name, value in call.ids.items()]
    lines.append(f'url = {"f" if call.ids else ""}"{call.origin}{call.path}"')
    lines.append(f"headers = {_PYTHON.write(_headers(call))}")
    given = ["url", "headers=headers"]
    if call.body is not None:
        lines.append(f"data = {_PYTHON.write(call.body)}")
        given.append("json=data")
    lines += ["", f"response = requests.{call.method.lower()}({', '.join(given)})"]
    lines.append(f"print(response.{'json()' if call.answers else 'status_code'})")
    return "\n".join(lines)


def javascript(call: Call) -> str:
    """Return the request for fetch, in a module."""
    lines: list[str] = [f"const {_camel(name)} = {json.dumps(value)};" for name, value in call.ids.items()]
    if call.ids:
        path = call.path.format(**{name: f"${{{_camel(name)}}}" for name in call.ids})
        url = f"`{call.origin}{path}`"
    else:
        url = f"'{call.origin}{call.path}'"
    options = [
        f"  method: '{call.method}'",
        "  headers: " + _JAVASCRIPT.write(_headers(call)).replace("\n", "\n  "),
    ]
    if call.body is not None:
        options.append("  body: JSON.stringify(" + _JAVASCRIPT.write(call.body).replace("\n", "\n  ") + ")")
    lines += [f"const response = await fetch({url}, {{", ",\n".join(options), "});", ""]
    lines += (
        ["const result = await response.json();", "console.log(result);"]
        if call.answers
        else ["console.log(response.status);"]
    )
    return "\n".join(lines)


def php(call: Call) -> str:
    """Return the request for PHP's curl extension."""
    lines: list[str] = []
    if call.body is not None:
        lines += [f"$data = {_PHP.write(call.body)};", ""]
    lines.append(f"$ch = curl_init('{call.url}');")
    if call.method == "POST":
        lines.append("curl_setopt($ch, CURLOPT_POST, true);")
    elif call.method != "GET":
        lines.append(f"curl_setopt($ch, CURLOPT_CUSTOMREQUEST, '{call.method}');")
    if call.body is not None:
        lines.append("curl_setopt($ch, CURLOPT_POSTFIELDS, json_encode($data));")
    elif call.method == "POST":
        lines.append("curl_setopt($ch, CURLOPT_POSTFIELDS, '');")
    listed = ",\n".join(f"    '{name}: {value}'" for name, value in _headers(call).items())
    lines.append(f"curl_setopt($ch, CURLOPT_HTTPHEADER, [\n{listed}\n]);")
    lines += ["curl_setopt($ch, CURLOPT_RETURNTRANSFER, true);", "", "$response = curl_exec($ch);"]
    lines += (
        ["$result = json_decode($response, true);"]
        if call.answers
        else ["$status = curl_getinfo($ch, CURLINFO_RESPONSE_CODE);"]
    )
    return "\n".join(lines)


def _headers(call: Call) -> dict[str, str]:
    authorization = {} if call.public else {"Authorization": f"Bearer {TOKEN}"}
    return {**authorization, "Content-Type": "application/json"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@dataclass(frozen=True)
class Notation:
    """How a language writes down an object."""

    brackets: str
    indent: str
    key: Callable[[str], str]
    text: Callable[[str], str]
    literals: tuple[str, str, str] = ("null", "true", "false")

    def write(self, value: Any) -> str:
        """Return the value as a literal of the language."""
        if isinstance(value, dict):
            return self._object(cast("dict[str, Any]", value))
        if isinstance(value, list):
            return f"[{', '.join(self.write(one) for one in cast('list[Any]', value))}]"
        if isinstance(value, str):
            return self.text(value)
        null, true, false = self.literals
        return {"null": null, "true": true, "false": false}.get(plain := json.dumps(value), plain)

    def _object(self, value: dict[str, Any]) -> str:
        lines = [f"{self.key(name)}{self.write(one)}" for name, one in value.items()]
        inner = ",\n".join(self.indent + line.replace("\n", "\n" + self.indent) for line in lines)
        return f"{self.brackets[0]}\n{inner}\n{self.brackets[1]}" if lines else self.brackets


def _json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _javascript_text(text: str) -> str:
    return "'" + _json_text(text)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _php_text(text: str) -> str:
    if "\n" in text:
        return _json_text(text).replace("$", "\\$")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_PYTHON = Notation("{}", "    ", lambda name: f'"{name}": ', _json_text, ("None", "True", "False"))
_JAVASCRIPT = Notation(
    "{}", "  ", lambda name: f"{name}: " if _WORD.match(name) else f"{_javascript_text(name)}: ", _javascript_text
)
_PHP = Notation("[]", "    ", lambda name: f"{_php_text(name)} => ", _php_text)

LANGUAGES = {"curl": curl, "python": python, "javascript": javascript, "php": php}
