"""Commands whose output a program reads: forms, names, exit codes; nothing is ever asked."""

import json
from collections.abc import Awaitable, Callable

import anyio
import pytest
import yaml

from conftest import Ended, Shell
from factories import ED25519, World

pytestmark = pytest.mark.anyio


async def test_a_server_is_created_listed_shown_and_deleted(shell: Shell) -> None:
    made = await shell("server", "create", "web-1", "--plan", "standard-vps", "--no-wait", "-o", "json")
    assert made.code == 0, made.err
    server = json.loads(made.out)
    assert (server["name"], server["status"]) == ("web-1", "provisioning")
    listed = await shell("server", "list", "--columns", "id,plan.vcpus,status")
    assert listed.out.splitlines()[0].split() == ["ID", "VCPUS", "STATUS"]
    assert listed.out.splitlines()[1].split() == [str(server["id"]), "2", "provisioning"]
    assert "\x1b" not in listed.out
    assert (await shell("server", "list", "-o", "name")).out == "web-1\n"
    as_yaml = yaml.safe_load((await shell("server", "list", "-o", "yaml")).out)
    assert as_yaml == json.loads((await shell("server", "list", "-o", "json")).out)
    shown = await shell("server", "show", "we", "-o", "json")
    assert json.loads(shown.out)["id"] == server["id"]
    assert "hostname     web-1" in (await shell("server", "show", str(server["id"]))).out
    refused = await shell("server", "delete", "web-1")
    assert (refused.code, "say --yes" in refused.err) == (2, True)
    begun = await shell("server", "delete", "web", "--yes")
    assert (begun.code, "the whole name" in begun.err) == (3, True)
    gone = await shell("server", "delete", "web-1", "--yes")
    assert (gone.code, gone.out, gone.err) == (0, "", "web-1 is deleted\n")
    assert (await shell("server", "list", "-o", "name")).out == ""


async def test_what_is_missing_is_said_and_never_asked(shell: Shell) -> None:
    ended = await shell("server", "create", stdin="web-1\n1\n1\n1\n")
    assert (ended.code, ended.out) == (2, "")
    assert "say a name, --plan; on a terminal you would be asked" in ended.err


REFUSALS = [
    ("server show nothing", 3, "there is no server nothing"),
    ("server show 9999", 3, "there is no server 9999"),
    ("server show web", 3, "web fits several: web-2"),
    ("server create a_b --plan 3", 1, "name: "),
    ("server create web-3 --plan nothing", 3, "there is no plan nothing"),
    ("server list --columns nothing", 2, "unknown column nothing"),
    ("server metrics web-1 --last long", 2, "--last long"),
    ("server start web-1", 1, "openvps: Only a stopped server can be started"),
    ("server frobnicate web-1", 2, "frobnicate"),
    ("server list --nothing", 2, "--nothing"),
    ("snapshot delete nothing --yes", 3, "no snapshot nothing"),
    ("ssh-key add /nonexistent", 2, "can't be read"),
    ("context use nothing", 3, "no context nothing"),
]


async def test_what_is_refused_is_a_line_and_a_code(shell: Shell, world: World) -> None:
    for name in ("web-1", "web-2"):
        await world.a_server(shell.customer, name=name)
    for arguments, code, says in REFUSALS:
        ended = await shell(*arguments.split())
        assert (ended.code, ended.out) == (code, ""), f"{arguments}: {ended.err}"
        assert says in ended.err, arguments
        assert len(ended.err.splitlines()) == 1 or code == 2, ended.err


async def test_who_has_no_right_no_credit_or_no_api_is_told_by_the_code(
    shell: Shell, another_shell: Callable[..., Awaitable[Shell]]
) -> None:
    denied = await shell("server", "list", OPENVPS_TOKEN="vps_wrong")
    assert (denied.code, denied.out) == (4, "")
    poor = await another_shell(credit=0)
    assert (await poor("server", "create", "web-1", "--plan", "standard-vps")).code == 5
    away = await shell("server", "list", OPENVPS_API_URL="http://127.0.0.1:9/api/v1")
    assert (away.code, "can't reach" in away.err) == (6, True)


async def test_patience_that_ends_says_that_it_goes_on(shell: Shell) -> None:
    ended = await shell("server", "create", "web-1", "--plan", "3", "--timeout", "0")
    assert (ended.code, ended.out) == (7, "")
    assert ended.err.startswith("web-1: queued (")
    assert "it goes on" in ended.err


async def test_keys_tokens_plans_systems_locations_and_the_account(shell: Shell) -> None:
    key = shell.home / "id.pub"
    key.write_text(f"{ED25519} ada@laptop\n")
    assert (await shell("ssh-key", "add", str(key), "-o", "name")).out == "ada@laptop\n"
    assert (await shell("ssh-key", "delete", "ada@laptop", "--yes")).code == 0
    private = shell.home / "id"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert (await shell("ssh-key", "add", str(private))).code == 2
    made = await shell("token", "create", "--name", "ci", "--permission", "servers:read", "--days", "3")
    assert made.out.startswith("vps_")
    listed = json.loads((await shell("token", "list", "-o", "json")).out)
    assert [one["name"] for one in listed] == ["ci", "test"]
    assert (await shell("token", "revoke", str(listed[0]["id"]))).code == 0
    assert (await shell("server", "list", OPENVPS_TOKEN=made.out.strip())).code == 4
    assert "standard-vps" in (await shell("plan", "list", "-o", "name")).out
    assert json.loads((await shell("plan", "show", "standard", "-o", "json")).out)["vcpus"] == 2
    assert "debian-12" in (await shell("system", "list")).out
    assert (await shell("location", "list", "-o", "name")).out == "us-west\n"
    assert "balance" in (await shell("account", "show")).out
    for command in ("usage", "ledger", "invoices", "notices", "audit"):
        assert (await shell("account", command)).code == 0, command


async def test_contexts_are_kept_from_others_and_tokens_from_other_apis(shell: Shell, url: str) -> None:
    bare = {"OPENVPS_TOKEN": "", "OPENVPS_API_URL": ""}
    assert (await shell("server", "list", **bare)).code == 2
    added = await shell("context", "add", "home", url, stdin=f"{shell.customer.token}\n")
    assert (added.code, added.err.splitlines()[0].startswith("signed in as customer")) == (0, True)
    assert (await shell("context", "add", "elsewhere", url, stdin="vps_wrong\n")).code == 4
    file = shell.home / ".config" / "openvps" / "contexts.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await shell("server", "list", **bare)).code == 0
    assert f"* home              {url}" in (await shell("context", "list", **bare)).out
    other = await shell("server", "list", OPENVPS_TOKEN="", OPENVPS_API_URL="http://127.0.0.1:9/api/v1")
    assert (other.code, "isn't sent to another address" in other.err) == (2, True)
    assert (await shell("--context", "away", "server", "list", **bare)).code == 2
    file.chmod(0o644)
    assert "chmod 600" in (await shell("server", "list", **bare)).err
    file.chmod(0o600)
    assert (await shell("context", "remove", "home", **bare)).code == 0
    assert shell.customer.token not in file.read_text()


async def test_completion_knows_commands_and_live_names(shell: Shell, world: World) -> None:
    await world.a_server(shell.customer, name="web-1")
    script = (await shell("completion", "bash")).out
    (shell.home / "completion").write_text(script)
    ask = (
        "source ~/completion; COMP_WORDS=(openvps server show ''); COMP_CWORD=3; _openvps; echo \"${COMPREPLY[@]}\";"
        ' COMP_WORDS=(openvps server re); COMP_CWORD=2; COMPREPLY=(); _openvps; echo "${COMPREPLY[@]}"'
    )
    done = await shell.in_a_process(["bash", "-c", ask])
    names, commands = done.splitlines()
    assert names.split() == ["web-1"]
    assert {"reboot", "rebuild", "resize", "retry"} <= set(commands.split())
    for other in ("zsh", "fish"):
        assert "openvps" in (await shell("completion", other)).out


async def test_a_webhook_is_added_tried_changed_and_deleted(shell: Shell) -> None:
    added = await shell("webhook", "add", "https://hooks.example.com/openvps", "--kind", "server.status")
    assert (added.code, added.out.startswith("whsec_")) == (0, True), added.err
    assert "1 https://hooks.example.com/openvps" in " ".join((await shell("webhook", "list")).out.split())
    assert (await shell("webhook", "probe", "https://hooks")).code == 0
    sent = json.loads((await shell("webhook", "deliveries", "1", "-o", "json")).out)
    assert [one["status"] for one in sent] == ["pending"]
    changed = await shell("webhook", "update", "1", "--no-enabled", "-o", "json")
    assert json.loads(changed.out)["enabled"] is False
    assert (await shell("webhook", "resend", str(sent[0]["id"]))).code == 1
    assert (await shell("webhook", "delete", "1", "--yes")).code == 0
    assert (await shell("webhook", "list", "-o", "name")).out == ""


async def test_a_server_that_could_not_be_made_is_tried_again(shell: Shell, world: World) -> None:
    number = await world.a_server(shell.customer, status="provisioning")
    ended = "UPDATE action SET status = :status, started_at = now(), finished_at = now() WHERE finished_at IS NULL"
    await world.sql(ended, status="failed")
    rests = "UPDATE server SET status = :status, look_at = NULL, deadline_at = NULL WHERE id = :id"
    await world.sql(rests, status="error", id=number)
    await world.sql("UPDATE meter SET ended_at = now()")
    await world.sql("UPDATE rate_period SET ends_at = (SELECT ended_at FROM meter)")

    async def made() -> None:
        while not await world.sql("SELECT 1 FROM action WHERE kind = 'server.retry'"):
            await anyio.lowlevel.checkpoint()  # until somebody asks
        await world.sql(rests, status="active", id=number)
        await world.sql(ended, status="completed")

    ends: list[Ended] = []
    async with anyio.create_task_group() as group:
        group.start_soon(made)
        ends.append(await shell("server", "retry", "web-1"))
    assert [(one.code, "web-1: ready" in one.err) for one in ends] == [(0, True)], ends
    refused = await shell("server", "retry", "web-1", "--no-wait")
    assert (refused.code, "this one is active" in refused.err) == (1, True), refused.err
