"""schemathesis over the whole OpenAPI document: every check, examples, edge values, random values and stateful links.

It speaks to a real uvicorn on a database of its own, as the operator, to whom every operation is open. No engine is
there: what a worker would have done is written by SQL, so that links lead to servers that run and long polls end. The
same seed makes the same run. OPENVPS_TEST_SEED chooses another; OPENVPS_TEST_EXAMPLES says how many cases an
operation gets; there are CHAINS times as many chains of links.
"""

import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from fastapi import FastAPI

from factories import ED25519, World
from openvps.accounts.permissions import everything
from openvps.core import settings

pytestmark = pytest.mark.anyio

SEED = os.environ.get("OPENVPS_TEST_SEED", "20261124")
EXAMPLES = int(os.environ.get("OPENVPS_TEST_EXAMPLES", "10"))
CHAINS = 3
ST = Path(sys.prefix) / "bin" / "st"
FAR = 10**12  # the id of the token in use: the list of tokens names it, and the run would revoke it
KEEP_TOKEN = f"""
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.revoked_at = NULL; RETURN NEW; END$$
---
CREATE TRIGGER keep BEFORE UPDATE ON token FOR EACH ROW WHEN (OLD.id = {FAR}) EXECUTE FUNCTION keep()
"""

SETTLED = """
WITH ended AS (UPDATE action SET status = 'completed', progress = 100, finished_at = now() WHERE finished_at IS NULL)
UPDATE server SET status = CASE wanted WHEN 'running' THEN 'active' ELSE 'stopped' END, look_at = NULL,
 deadline_at = NULL, ready_at = coalesce(ready_at, now())
 WHERE wanted <> 'absent' AND status NOT IN ('active', 'stopped', 'suspended', 'error')
---
UPDATE server SET status = 'active', wanted = 'running' WHERE id <= 3 AND wanted = 'absent'
---
UPDATE snapshot SET status = 'completed', look_at = NULL WHERE status = 'in_progress'
---
UPDATE backup SET status = 'completed', look_at = NULL WHERE status = 'in_progress'
---
UPDATE cell SET seen_at = now()
"""
SETTLE_S = 0.2
ACTION = "get_action"
NOTHING_KEPT = ("--generation-database", "none")
# Of chains each key is new: a repeated one is answered as the first time, also where that was deleted since.
HOOKS = """
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
"""

# What is there, so that random requests reach what exists; and what we expect where schemathesis expects otherwise.
CONFIGURATION = """
request-timeout = 40  # longer than the longest ?wait=

# No text here has a NUL character or half a surrogate pair, in no field: tests of their own say so.
[generation]
allow-x00 = false
codec = "utf-8"

[auth.openapi.bearer]
bearer = "${TOKEN}"

[dictionaries]
ids = { values = [1, 2, 3] }
plans = { values = [1, 2, 3] }
systems = { values = [3] }
locations = { values = ["us-west"] }
people = { values = ["ada@example.com", "ben@example.com", "cem@example.com", "dee@example.com"] }
"""
ANY_ID = """
[parameters]
"path.server_id" = { dictionary = "ids", probability = 0.5 }
"path.action_id" = { dictionary = "ids", probability = 0.5 }
"path.plan_id" = { dictionary = "ids", probability = 0.5 }
"path.location_id" = { dictionary = "ids", probability = 0.5 }
"""
EXPECTED = """
# "Schema-valid data should be accepted" doesn't hold where more than the form decides. 400 is documented there, and
# expected of a valid body; of the operations that aren't named here it is not. 401: some cases are sent without a
# token, or with another one.

# Whether the plan, the operating system, the location and the keys exist is in the database; which fields are needed
# depends on the dialect spoken; quotas are 400.
[[operations]]
include-operation-id = "create_server"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 402, 409, 503]
[operations.parameters]
"body.plan_id" = { dictionary = "plans", probability = 0.9 }
"body.os_id" = { dictionary = "systems", probability = 0.9 }
"body.location" = { dictionary = "locations", probability = 0.9 }

# As above: the plan; and whether the server's status allows it.
[[operations]]
include-operation-id = [
  "resize_server", "power_server", "start_server", "stop_server", "reboot_server", "reset_password"
]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 402, 404, 409, 503]

# Whether the server exists and its status allows it, how many there are, and whether the snapshot or backup is whole.
[[operations]]
include-operation-id = [
  "create_snapshot", "snapshot_server", "restore_snapshot", "delete_snapshot",
  "create_backup", "backup_server", "restore_backup", "delete_backup", "rebuild_server",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 402, 404, 409, 503]

# A public key is base64 of a structure with lengths, and is refused if the account has it already.
[[operations]]
include-operation-id = "create_ssh_key"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 409]

# Another account has the e-mail already; an account with servers isn't deleted, nor one's own.
[[operations]]
include-operation-id = ["create_account", "change_account", "delete_account", "disable_account"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409]

# More than 0 unless it is an adjustment, which needs a reason; a suspension's customer is told why; and a repeated
# Idempotency-Key of another request is 409.
[[operations]]
include-operation-id = ["credit_account", "suspend_account", "unsuspend_account", "enable_account"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409]

# Permissions are names of a registry, and at most one's own; expiry lies ahead.
[[operations]]
include-operation-id = "create_token"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 409]

# A cursor is of an earlier answer's `next`, and says nothing to its reader.
[[operations]]
include-operation-id = "list_servers"
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 404]

# How long ago there is something to show, and in which steps, depends on the moment.
[[operations]]
include-operation-id = "get_server_metrics"
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 404]

# An unknown or used invite is 400, to be told from a missing token.
[[operations]]
include-operation-id = "accept_invite"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]

# Whether there is anything to do over or to end.
[[operations]]
include-operation-id = ["retry_server", "retry_action", "cancel_action", "verify_backup"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409, 503]

# Kinds are names of a registry, and an address must be one that is called.
[[operations]]
include-operation-id = ["create_webhook", "patch_webhook"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409]

# Another plan has the name already; and a price as text is a number of six decimals at most.
[[operations]]
include-operation-id = ["create_plan", "change_plan"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409]

# Whether it is the account's password, and what the app shows at the moment.
[[operations]]
include-operation-id = ["begin_second_factor", "confirm_second_factor", "disable_second_factor"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 409, 429]

# A header that nobody knows is ignored, as it is of every request.
[[operations]]
include-operation-id = "list_events"
checks.negative_data_rejection.expected-statuses = ["2xx", 304, 400, 401, 403, 404]

# A revoked token stays in the list and can be looked at, as revoked: so one sees what was revoked, and when not used.
[[operations]]
include-operation-id = "get_token"
checks.use_after_free.enabled = false
"""
# What links say of a path is what is asked; so that they have something to follow, a body names what is there.
MADE = """
[parameters]
"body.server_id" = { dictionary = "ids", probability = 1.0 }
"body.email" = { dictionary = "people", probability = 0.9 }
"""
BEGUN = """
[parameters]
"path.server_id" = { dictionary = "ids", probability = 1.0 }
"path.snapshot_id" = { dictionary = "ids", probability = 1.0 }
"path.backup_id" = { dictionary = "ids", probability = 1.0 }
"""
LINKS = """
[phases.stateful]
max-steps = 12
generation = { mode = "positive" }
inference = { algorithms = [] }
"""


@pytest.fixture
def config(config: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """Return settings under which one busy client meets no limit."""
    assert config
    monkeypatch.setenv("OPENVPS_FAILURES_ALLOWED", str(10**6))
    monkeypatch.setenv("OPENVPS_RATE_LIMIT", "0")
    settings.load.cache_clear()
    return settings.load()


async def an_operator(world: World) -> str:
    """Return the token of an operator's account that has some of everything."""
    client = await world.a_client(credit=10**6, permissions=tuple(everything(operator=True)))
    numbers = [await world.a_server(client, status=status) for status in ("active", "stopped", "provisioning")]
    for number in numbers[:2]:
        await world.a_snapshot(client, number)
        await world.a_backup(client, number)
    await client("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    await world.sql(
        "UPDATE account SET is_operator = true, max_servers = 1000, max_vcpus = 5000, creates_an_hour = 5000"
        " WHERE id = :id",
        id=client.account_id,
    )
    await world.sql("UPDATE token SET id = :far WHERE account_id = :id", far=FAR, id=client.account_id)
    for statement in KEEP_TOKEN.split("---"):
        await world.sql(statement)
    return client.token


@asynccontextmanager
async def served(app: FastAPI) -> AsyncGenerator[str]:
    """Serve the app, which is running already; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


@asynccontextmanager
async def settling(world: World) -> AsyncGenerator[None]:
    """Do what a worker would, without an engine."""

    async def settle() -> None:
        while True:
            for statement in SETTLED.split("---"):
                await world.sql(statement)
            await anyio.sleep(SETTLE_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle)
        yield
        tasks.cancel_scope.cancel()


def linked(document: dict[str, Any], *, to_actions: bool) -> list[str]:
    """Choose the operations that links lead from and to: to actions that were begun, or to all else."""
    found: set[str] = set()
    for item in document["paths"].values():
        for one in item.values():
            to = {name for answer in one["responses"].values() for name in answer.get("links", ())}
            if chosen := (to & {ACTION} if to_actions else to - {ACTION}):
                found |= {one["operationId"], *chosen}
    return [word for name in sorted(found) for word in ("--include-operation-id", name)]


# Five parts, for several processes of pytest. Links to actions lead from what is done with any server: apart, so that
# the other chains begin with what is made.
EACH = ("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES))
CHAINED = ("--phases", "stateful", "--max-examples", str(CHAINS * EXAMPLES))
SERVERS, ACCOUNTS = "servers|actions", "account|admin|billing|operations|tokens"
PARTS = {
    "servers and actions": ("--include-tag-regex", f"^({SERVERS})$", *EACH),
    "accounts and operators": ("--include-tag-regex", f"^({ACCOUNTS})$", *EACH),
    "all else": ("--exclude-tag-regex", f"^({SERVERS}|{ACCOUNTS})$", *EACH),
    "links": CHAINED,
    "links to actions": CHAINED,
}


@pytest.mark.parametrize("part", PARTS)
async def test_every_answer_is_one_that_the_document_knows(world: World, tmp_path: Path, part: str) -> None:
    token = await an_operator(world)
    to_actions, chained = part == "links to actions", PARTS[part] is CHAINED
    only = linked((await world.http.get("/openapi.json")).json(), to_actions=to_actions) if chained else []
    given = [BEGUN if to_actions else MADE, LINKS] if chained else [ANY_ID]
    file = tmp_path / "schemathesis.toml"
    file.write_text("".join([CONFIGURATION, *given, EXPECTED]))
    (tmp_path / "hooks.py").write_text(HOOKS)
    async with served(world.app) as url, settling(world):
        command = [str(ST), "--config-file", str(file), "run", f"{url}/api/v1/openapi.json", "--url", url]
        done = await anyio.run_process(
            [*command, *PARTS[part], *only, "--seed", SEED, "--no-color", *NOTHING_KEPT],
            env={
                **os.environ,
                "TOKEN": token,
                "NO_PROXY": "127.0.0.1",
                "COLUMNS": "160",
                "SCHEMATHESIS_HOOKS": "hooks" if chained else "",
            },
            cwd=tmp_path,
            check=False,
            stderr=-2,  # with the rest
        )
    said = done.stdout.decode()
    print(said)  # noqa: T201 -- the seed, and what to do about a failure
    assert done.returncode == 0, f"seed {SEED}:\n{said}"
