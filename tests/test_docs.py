"""The pages that can drift: reference pages are written from the code, and what the others name is there.

`python tests/test_docs.py` writes the reference pages anew, and the forms of the client.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest
from cyclopts import App, Parameter

import client_models
from openvps.actions.events.shape import KINDS
from openvps.cli import exits
from openvps.compute.servers.states import SETTLED, STATUSES, TRANSITIONS
from openvps.ops import reference
from openvps.ops.commands import app
from openvps.schema import metadata

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
WRITE_ANEW = "python tests/test_docs.py"
HEAD = f"<!-- Written from the code by `{WRITE_ANEW}`; a test holds the two together. -->\n\n"


def settings() -> str:
    return f"""{HEAD}# Settings

This is what `openvps up --help` prints. No setting is needed to begin with.

- A line of the file is `NAME=value`; a variable of the environment wins over the file.
- A bad value, or two that contradict each other, end every command with code 2 and one line for each.
- Settings are read at the start: end `openvps up` and start it again after a change. What was made of an older
  setting stays as it is: a storage pool keeps its driver and size, an account its credit, a server its addresses.

```text
{reference.text()}
```
"""


def statuses() -> str:
    actions = [
        f"| {kind} | {', '.join(sorted(way.allowed)) or 'nothing: it makes the server'} | {way.meanwhile} "
        f"| {way.done} | {way.failed} | {f'{way.deadline_s} s' if way.deadline_s else 'none: tried until done'} |"
        for kind, way in TRANSITIONS.items()
    ]
    refusals = [f"| {kind} | {way.refused.format(status='…')} |" for kind, way in TRANSITIONS.items() if way.refused]
    settled, on_the_way = ", ".join(sorted(SETTLED)), ", ".join(sorted(STATUSES - SETTLED))
    rows, refused = "\n".join(actions), "\n".join(refusals)
    return f"""{HEAD}# Statuses of a server

Settled: {settled}. On the way: {on_the_way}.

Every way has a deadline, counted from the request; one that is passed ends as "when it failed" says, never in
silence. `suspended` follows the account's standing
([decision 24](../decisions/0024-standing.md)): it is no request, and ends by credit or the operator.
What `active` promises: [decision 8](../decisions/0008-what-active-means.md).

| action | allowed from | meanwhile | when done | when it failed | deadline |
|---|---|---|---|---|---|
{rows}

A deleted server is 404 and in no list from the moment of the 204, whatever the engine still has to do.
Renaming and resetting the password keep the status; the latter needs `active`.
A server that shuts itself down goes from `active` to `stopped` without a request.

An action that isn't allowed is answered 400:

| action | text |
|---|---|
{refused}

The table is `TRANSITIONS` in `compute/servers/states.py`.
"""


def commands() -> str:
    chapters = "\n".join(_chapter(name, command) for name, command in _commands(app, "openvps"))
    codes = (exits.__doc__ or "").partition("\n\n")[2].strip()
    return f"""{HEAD}# Commands

Those of `server`, `snapshot`, `backup`, `ssh-key`, `system` and `location` call the API of the context in use, from
anywhere ([how](../how-to/command-line.md)). `plan`, `account` and `token` do so too, and have besides what an
operator does on the host: whatever names another's account, sells, or says "on the host". That and all others are
run as root on the machine that OpenVPS runs on, with the settings that `up` has: they need the database, and
`image build` the engine too, and work while `up` runs. Results go to standard output, talk to standard error.
`--help` tells the same as this page. `openvps --context NAME …` uses another context for once.

## Exit codes

{codes}

{chapters}"""


def _commands(of: App, name: str) -> Iterator[tuple[str, App]]:
    for one in of:
        if not one.startswith("-"):
            command, full = of[one], f"{name} {one}"
            if command.default_command is not None:
                yield full, command
            yield from _commands(command, full)


def _chapter(name: str, command: App) -> str:
    function = command.default_command
    assert function is not None
    arguments = [_argument(one) for one in inspect.signature(function).parameters.values()]
    usage = " ".join([name, *(short for short, _ in arguments)])
    lines = [f"## {name}", "", f"`{usage}`", "", inspect.getdoc(function) or "", ""]
    if arguments:
        lines += [*(text for _, text in arguments), ""]
    return "\n".join(lines)


def _argument(parameter: inspect.Parameter) -> tuple[str, str]:
    """Return an argument as it stands in a usage line, and its line in the list."""
    kind, said = get_args(parameter.annotation)
    assert get_origin(parameter.annotation) is Annotated
    assert isinstance(said, Parameter)
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"[{parameter.name.upper()} ...]", f"- `{parameter.name.upper()} ...`: {said.help}"
    if parameter.default is not inspect.Parameter.empty and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return f"[{parameter.name.upper()}]", f"- `{parameter.name.upper()}`: {said.help}"
    if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        return parameter.name.upper(), f"- `{parameter.name.upper()}`: {said.help}"
    option = f"--{parameter.name.replace('_', '-')}"
    if get_origin(kind) is Literal:
        option += f" {'|'.join(map(str, get_args(kind)))}"
    if parameter.default is inspect.Parameter.empty:
        return option, f"- `{option}`: {said.help}"
    return f"[{option}]", f"- `{option}`: {said.help}"


REFERENCE: dict[str, Callable[[], str]] = {"settings": settings, "statuses": statuses, "commands": commands}


@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    written = (DOCS / "reference" / f"{name}.md").read_text()
    assert written == REFERENCE[name](), f"docs/reference/{name}.md is out of date; run: {WRITE_ANEW}"


def test_the_clients_forms_are_those_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENVPS_CONFIG", "/nonexistent")
    for path, text in client_models.written().items():
        assert path.read_text() == text, f"{path.name} is out of date; run: {WRITE_ANEW}"


def test_every_command_has_a_chapter() -> None:
    chapters = re.findall(r"^## (openvps .+)$", (DOCS / "reference" / "commands.md").read_text(), re.MULTILINE)
    assert chapters == [name for name, _ in _commands(app, "openvps")]
    customers = (
        "list create show update delete start stop reboot resize rebuild retry ssh console metrics actions".split()
    )
    assert {f"openvps server {one}" for one in customers} <= set(chapters)
    assert {"openvps up", "openvps down", "openvps doctor", "openvps image build"} <= set(chapters)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    lost = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_of_ours_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.(?:py|tpl|sql))", page.read_text())
    assert [one for one in named if not any((place / one).exists() for place in (ROOT, ROOT / "src/openvps"))] == []


def test_a_setting_that_a_page_names_is_one() -> None:
    known = {*re.findall(r"OPENVPS_[A-Z0-9_]+", reference.text())}
    known |= {"OPENVPS_CONFIG", "OPENVPS_PREFIX", "OPENVPS_TOKEN", "OPENVPS_TEST_JOBS"}
    known |= {"OPENVPS_API_URL", "OPENVPS_CONTEXT"}
    for page in PAGES:
        assert set(re.findall(r"OPENVPS_[A-Z0-9_]+[A-Z0-9]", page.read_text())) <= known, page


def test_the_how_to_names_every_kind_of_event() -> None:
    text = (DOCS / "how-to" / "events.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []


def test_the_architecture_names_every_table() -> None:
    text = (DOCS / "architecture.md").read_text()
    assert [name for name in metadata.tables if f"| `{name}` |" not in text] == []


def test_every_decision_is_numbered_in_turn_listed_and_has_its_three_parts() -> None:
    decisions = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    listed = (DOCS / "decisions" / "README.md").read_text()
    for path in decisions:
        assert f"]({path.name})" in listed
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in path.read_text(), f"{path.name} lacks {part}"


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    block = project.partition("dependencies = [")[2].partition("\n]")[0]
    reasons = (DOCS / "decisions" / "0003-dependencies.md").read_text()
    names = re.findall(r'^\s*"([a-z0-9-]+)', block, re.MULTILINE)
    assert names
    assert [name for name in names if f"| {name} |" not in reasons] == []


if __name__ == "__main__":
    for page_name, text_of in REFERENCE.items():
        (DOCS / "reference" / f"{page_name}.md").write_text(text_of())
    for form_path, form_text in client_models.written().items():
        form_path.write_text(form_text)
