"""A server's life as its customer's receiver is told it: by the running worker, over TLS; and the commands for it."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from customer import Customer, with_an_account_of_its_own
from standardwebhooks.webhooks import Webhook

from lab import Lab
from receivers import Message, receiving

pytestmark = [pytest.mark.live, pytest.mark.anyio]


class Shell:
    """A customer's commands, each a process of its own that may wait for what comes here meanwhile."""

    def __init__(self, customer: Customer) -> None:
        lab = customer.lab
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(Path(lab.data_dir).parent),
            "OPENVPS_TOKEN": lab.token,
            "OPENVPS_API_URL": lab.url,
        }

    async def __call__(self, *arguments: str) -> str:
        """Run a command that succeeds, and return its results."""
        argv = [str(Path(sys.executable).parent / "openvps"), *arguments]
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self(*arguments, "-o", "json"))


def told(secret: str, message: Message) -> Any:
    """Return what a message says, as the specification's own library reads it."""
    return Webhook(secret).verify(message.body, message.headers)


async def test_a_servers_life_is_delivered_signed_and_in_order(lab: Lab) -> None:
    customer = await anyio.to_thread.run_sync(lambda: with_an_account_of_its_own(lab, credit=100))
    openvps, folder = Shell(customer), Path(lab.data_dir).parent
    async with receiving((folder / "receiver.crt", folder / "receiver.key")) as receiver:
        secret = await openvps("webhook", "add", receiver.url, "--description", "duty")
        await openvps("webhook", "update", "duty", "--kind", "server.created", "--kind", "server.status")
        (hook,) = await openvps.json("webhook", "list")
        assert (hook["url"], hook["kinds"]) == (receiver.url, ["server.created", "server.status"])
        try:
            server = await anyio.to_thread.run_sync(lambda: customer.until(customer.create()["id"], "active"))
            await openvps("server", "stop", server["name"])
            await receiver.has(4)
            events = [told(secret, one) for one in receiver.got]
            assert [(one["type"], one["data"]["server"]["status"]) for one in events] == [
                ("server.created", "provisioning"),
                ("server.status", "active"),
                ("server.status", "stopping"),
                ("server.status", "stopped"),
            ]
            assert {one["server_id"] for one in events} == {server["id"]}
            assert set(Counter(one.headers["webhook-id"] for one in receiver.got).values()) == {1}

            new = await openvps("webhook", "rotate-secret", "duty", "--overlap-hours", "1")
            await openvps("webhook", "probe", "duty")
            probe = (await receiver.has(5))[-1]
            assert told(secret, probe) == told(new, probe)
            await anyio.to_thread.run_sync(
                lambda: customer.eventually(
                    lambda: all(one["status"] == "delivered" for one in deliveries(customer, hook["id"]))
                )
            )
            listed = await openvps.json("webhook", "deliveries", "duty")
            assert [one["kind"] for one in listed] == ["webhook.probe", *(["server.status"] * 3), "server.created"]
            await openvps("webhook", "resend", str(listed[-1]["id"]))
            again = (await receiver.has(6))[-1]
            assert again.headers["webhook-id"] == receiver.got[0].headers["webhook-id"]
            assert (await openvps.json("webhook", "show", "duty"))["failing_since"] is None
            await openvps("webhook", "delete", receiver.url, "--yes")
            assert await openvps.json("webhook", "list") == []
        finally:
            await anyio.to_thread.run_sync(customer.clear)


def deliveries(customer: Customer, hook: int) -> list[dict[str, Any]]:
    return customer.http("GET", f"/webhooks/{hook}/deliveries/").json()["results"]
