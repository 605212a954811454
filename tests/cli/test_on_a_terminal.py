"""Commands with a person at the terminal: what is missing is asked for, waiting is seen, Ctrl-C says how to go on."""

import pytest

from conftest import Shell
from factories import World

pytestmark = pytest.mark.anyio


async def test_create_asks_for_what_is_missing(shell: Shell, world: World) -> None:
    answers = [("name [server-1]: ", "web-7\n"), ("number or name", "nothing\n"), ("fits none", "standard\n")]
    code, said = await shell.on_a_terminal(["server", "create", "--no-wait"], answers)
    assert code == 0, said
    assert "1) " in said
    rows = await world.sql("SELECT name, plan_id FROM server")
    assert [(row.name, row.plan_id) for row in rows] == [("web-7", 1)]


async def test_ctrl_c_while_waiting_says_how_to_go_on(shell: Shell, world: World) -> None:
    create = ["server", "create", "web-8", "--plan", "3"]
    code, said = await shell.on_a_terminal(create, [("web-8: ", ""), ("queued 0.", "\x03")])
    assert code == 130, said
    assert "it goes on. To see it: openvps server show web-8 --wait" in said
    assert len(await world.sql("SELECT 1 FROM server WHERE name = 'web-8'")) == 1


async def test_deleting_asks_first_and_takes_no_for_an_answer(shell: Shell, world: World) -> None:
    await world.a_server(shell.customer, name="web-9")
    code, _ = await shell.on_a_terminal(["server", "delete", "web-9"], [("for good? [y/N]: ", "\n")])
    assert code == 1
    code, said = await shell.on_a_terminal(["server", "delete", "web-9"], [("for good? [y/N]: ", "y\n")])
    assert (code, "web-9 is deleted" in said) == (0, True)


async def test_colours_are_for_terminals(shell: Shell, world: World) -> None:
    await world.a_server(shell.customer, name="web-10")
    _, said = await shell.on_a_terminal(["server", "list"], [])
    assert "\x1b[32mactive" in said
    shell.environment["NO_COLOR"] = "1"
    _, said = await shell.on_a_terminal(["server", "list"], [])
    assert "\x1b" not in said


async def test_a_watched_list_is_shown_again_when_it_changes(shell: Shell, world: World) -> None:
    number = await world.a_server(shell.customer, name="web-11")
    code, said = await shell.on_a_terminal(["server", "list", "--watch"], [("web-11", "\x03")])
    assert (code, f"{number}" in said, "\x1b[H\x1b[J" in said) == (130, True, True)


async def test_a_tokens_text_is_not_shown_while_it_is_typed(shell: Shell, url: str) -> None:
    token = shell.customer.token
    code, said = await shell.on_a_terminal(["context", "add", "home", url], [("token: ", f"{token}\n")])
    assert (code, token in said) == (0, False)
