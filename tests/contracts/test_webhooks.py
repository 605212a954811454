"""Webhooks: each event comes once, in order of its server, signed, also where receivers and workers fail."""

import asyncio
import contextlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from factories import Client, World
from openvps.actions.webhooks import queries
from openvps.actions.webhooks.deliver import Courier
from openvps.billing import notices
from openvps.core import outward
from openvps.core.clock import iso, now
from receivers import Message, Receiver, answered, certificate, ok, receiving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("receiver"), "DNS:localhost")


@pytest.fixture(autouse=True)
def trusted(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    monkeypatch.setenv("OPENVPS_WEBHOOK_ALLOWED", "127.0.0.0/8")
    outward.trust.cache_clear()
    yield
    outward.trust.cache_clear()


@pytest.fixture
async def receiver(pair: tuple[Path, Path]) -> AsyncGenerator[Receiver]:
    async with receiving(pair) as receiver:
        yield receiver


@pytest.fixture
def courier(world: World) -> Courier:
    return Courier(world.database, world.config.model_copy(update={"webhook_allowed": ["127.0.0.0/8"]}))


async def a_webhook(client: Client, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    made = await client("POST", "/webhooks/", {"url": receiver.url, **fields})
    assert made.status_code == 201, made.text
    return made.json()


async def deliveries(client: Client, hook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    listed = await client("GET", f"/webhooks/{hook['id']}/deliveries/", params={"page_size": 100, **query})
    return listed.json()["results"][::-1]


async def now_due(world: World) -> None:
    await world.sql("UPDATE webhook_delivery SET next_at = now() WHERE status = 'pending'")


def verified(hook: dict[str, Any], message: Message) -> dict[str, Any]:
    """Return what a message says, as the specification's own library reads it."""
    return Webhook(hook["secret"]).verify(message.body, message.headers)


def says(status: int, text: str = "", *headers: str) -> Callable[[Message], Awaitable[bytes]]:
    async def answer(_message: Message) -> bytes:
        return answered(status, text, *headers)

    return answer


async def test_what_happens_comes_signed_and_in_order(world: World, receiver: Receiver, courier: Courier) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver)
    number = await world.a_server(client)
    await courier.deliver(hook["id"])
    told = [verified(hook, one) for one in receiver.got]
    events = (await client("GET", "/events/")).json()["results"]
    assert [(one["id"], one["type"], one["data"], one["server_id"]) for one in told] == [
        (one["id"], one["kind"], one["data"], number) for one in events
    ]
    assert receiver.got[0].path == "/hook?a=1"
    sent = await deliveries(client, hook)
    assert [one["message_id"] for one in sent] == [one.headers["webhook-id"] for one in receiver.got]
    assert {(one["status"], one["attempts"], one["answer_status"], one["next_at"]) for one in sent} == {
        ("delivered", 1, 204, None)
    }
    await courier.deliver(hook["id"])
    assert len(receiver.got) == 4
    forged = Message(receiver.got[0].path, receiver.got[0].headers, receiver.got[0].body.replace(b"web-1", b"web-2"))
    with pytest.raises(Exception, match="signature"):
        verified(hook, forged)


async def test_a_new_secret_signs_beside_the_old_one_until_its_time_is_over(
    world: World, receiver: Receiver, courier: Courier
) -> None:
    client = await world.a_client()
    old = await a_webhook(client, receiver)

    async def rotated(hours: int) -> dict[str, Any]:
        made = await client("POST", f"/webhooks/{old['id']}/rotate-secret/", {"overlap_hours": hours})
        assert made.status_code == 200, made.text
        return made.json()

    async def sent() -> Message:
        await client("POST", f"/webhooks/{old['id']}/probe/")
        await courier.deliver(old["id"])
        return receiver.got[-1]

    new = await rotated(24)
    assert new["secret"] != old["secret"]
    assert new["previous_secret_until"] > iso(now())
    message = await sent()
    assert verified(old, message) == verified(new, message)
    assert len(message.headers["webhook-signature"].split()) == 2
    await world.sql("UPDATE webhook SET previous_secret_until = now()")
    message = await sent()
    verified(new, message)
    with pytest.raises(Exception, match="signature"):
        verified(old, message)
    newest = await rotated(0)  # the one before is known to others
    assert newest["previous_secret_until"] is None
    message = await sent()
    verified(newest, message)
    with pytest.raises(Exception, match="signature"):
        verified(new, message)
    refused = await client("POST", f"/webhooks/{old['id']}/rotate-secret/", {"overlap_hours": 169})
    assert (refused.status_code, list(refused.json())) == (400, ["overlap_hours"])


async def test_a_webhook_may_want_some_kinds_and_has_its_own_account_only(
    world: World, receiver: Receiver, courier: Courier
) -> None:
    client, other = await world.a_client(), await world.a_client()
    hook = await a_webhook(client, receiver, kinds=["server.created"])
    await world.a_server(other)
    await world.a_server(client)
    await courier.deliver(hook["id"])
    assert [verified(hook, one)["type"] for one in receiver.got] == ["server.created"]
    await client("PATCH", f"/webhooks/{hook['id']}/", {"enabled": False})
    await world.a_server(client)
    assert len(await deliveries(client, hook)) == 1


async def test_what_fails_holds_back_its_server_and_no_other(
    world: World, receiver: Receiver, courier: Courier
) -> None:
    client = await world.a_client()
    first = await world.a_server(client, status="provisioning")
    second = await world.a_server(client, status="provisioning")
    hook = await a_webhook(client, receiver)

    async def refuse_first(message: Message) -> bytes:
        return answered(503, "not <now>\n") if json.loads(message.body)["server_id"] == first else answered(200)

    receiver.answer = refuse_first
    for status in ("active", "stopping", "stopped"):
        await world.sql("UPDATE server SET status = :status", status=status)
    await courier.deliver(hook["id"])
    by_server: defaultdict[int, list[str]] = defaultdict(list)
    for one in receiver.got:
        told = verified(hook, one)
        by_server[told["server_id"]].append(told["data"]["server"]["status"])
    assert by_server == {first: ["active"], second: ["active", "stopping", "stopped"]}
    waiting = await deliveries(client, hook, status="pending")
    assert [(one["attempts"], one["error"]) for one in waiting] == [
        (1, "The receiver answered 503: not <now>"),
        (0, None),
        (0, None),
    ]
    async with world.database.begin() as conn:  # those behind wait as well: nobody looks for them in vain
        assert await queries.due(conn, now(), limit=9) == []
    receiver.answer = ok
    await now_due(world)
    await courier.deliver(hook["id"])
    assert [verified(hook, one)["data"]["server"]["status"] for one in receiver.got[4:]] == [
        "active",
        "stopping",
        "stopped",
    ]
    assert receiver.got[4].headers["webhook-id"] == waiting[0]["message_id"]
    assert receiver.got[4].body == receiver.got[0].body or receiver.got[4].body == receiver.got[1].body


async def test_what_waited_longer_comes_at_once_when_the_receiver_is_back(
    world: World, receiver: Receiver, courier: Courier
) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver, kinds=["server.created"])
    receiver.answer = says(500)
    for _ in range(3):
        await world.a_server(client)
    await courier.deliver(hook["id"])
    shown = (await client("GET", f"/webhooks/{hook['id']}/")).json()
    assert shown["failing_since"]
    receiver.answer = ok
    await world.sql("UPDATE webhook_delivery SET next_at = now() WHERE id = (SELECT min(id) FROM webhook_delivery)")
    await courier.deliver(hook["id"])
    assert {one["status"] for one in await deliveries(client, hook)} == {"delivered"}
    assert (await client("GET", f"/webhooks/{hook['id']}/")).json()["failing_since"] is None


async def test_a_receiver_says_when_to_come_again(world: World, receiver: Receiver, courier: Courier) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver, kinds=["server.created"])
    receiver.answer = says(429, "", "Retry-After: 1800")
    await world.a_server(client)
    await courier.deliver(hook["id"])
    [[wait_s]] = await world.sql("SELECT extract(epoch FROM next_at - attempted_at)::int FROM webhook_delivery")
    assert 1795 < wait_s < 1830


async def test_after_a_day_one_is_given_up_and_the_next_comes(
    world: World, receiver: Receiver, courier: Courier
) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver, kinds=["server.created", "server.status"])
    receiver.answer = says(500)
    number = await world.a_server(client)
    await world.sql("UPDATE webhook_delivery SET give_up_at = now() WHERE kind = 'server.created'")
    await courier.deliver(hook["id"])
    assert [(one["status"], one["attempts"]) for one in await deliveries(client, hook)] == [
        ("failed", 1),
        ("pending", 1),
    ]
    [failed] = await deliveries(client, hook, status="failed")
    receiver.answer = ok
    again = await client("POST", f"/webhook-deliveries/{failed['uuid']}/resend/")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await now_due(world)
    await courier.deliver(hook["id"])
    assert {one["status"] for one in await deliveries(client, hook)} == {"delivered"}
    assert receiver.got[-2].headers["webhook-id"] == failed["message_id"]  # the older one first
    assert verified(hook, receiver.got[-1])["server_id"] == number


@pytest.mark.parametrize(("answer", "reason"), [(500, "3 days"), (410, "410")])
async def test_what_never_works_is_disabled_and_its_owner_told(
    world: World, receiver: Receiver, courier: Courier, answer: int, reason: str
) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver, kinds=["server.created"])
    receiver.answer = says(answer)
    await world.a_server(client)
    await world.a_server(client)
    await world.sql("UPDATE webhook SET failing_since = now() - interval '73 hours'")
    await courier.deliver(hook["id"])
    shown = (await client("GET", f"/webhooks/{hook['id']}/")).json()
    assert not shown["enabled"]
    assert reason in shown["disabled_reason"]
    assert {one["status"] for one in await deliveries(client, hook)} == {"failed"}
    [notice] = (await client("GET", "/account/notices/")).json()["results"]
    assert (notice["kind"], reason in notice["text"]) == ("webhook_disabled", True)
    for path in (
        f"/webhooks/{hook['id']}/probe/",
        f"/webhook-deliveries/{(await deliveries(client, hook))[0]['id']}/resend/",
    ):
        assert (await client("POST", path)).status_code == 400
    enabled = (await client("PATCH", f"/webhooks/{hook['id']}/", {"enabled": True})).json()
    assert (enabled["enabled"], enabled["disabled_reason"], enabled["failing_since"]) == (True, None, None)


async def test_a_probe_waits_for_nothing(world: World, receiver: Receiver, courier: Courier) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver)
    async with world.database.begin() as conn:
        await notices.add(conn, client.account_id, "low", "Add credit.")
    await world.sql("UPDATE webhook_delivery SET next_at = now() + interval '1 hour'")
    probe = await client("POST", f"/webhooks/{hook['uuid']}/probe/")
    assert probe.status_code == 202
    await courier.deliver(hook["id"])
    [message] = receiver.got
    assert verified(hook, message)["type"] == "webhook.probe"
    [pending, done] = await deliveries(client, hook)
    assert (pending["status"], done["status"], done["message_id"]) == (
        "pending",
        "delivered",
        message.headers["webhook-id"],
    )


async def test_an_address_of_ours_is_told_to_be_refused(world: World, receiver: Receiver) -> None:
    client = await world.a_client()
    hook = await a_webhook(client, receiver)
    await client("POST", f"/webhooks/{hook['id']}/probe/")
    await Courier(world.database, world.config.model_copy(update={"webhook_allowed": []})).deliver(hook["id"])
    [probe] = await deliveries(client, hook)
    assert (probe["status"], probe["answer_status"]) == ("pending", None)
    assert "private" in probe["error"]
    assert receiver.got == []


async def test_the_secret_is_shown_once(world: World, receiver: Receiver) -> None:
    client = await world.a_client()
    key = {"Idempotency-Key": "once"}
    made = await client("POST", "/webhooks/", {"url": receiver.url}, headers=key)
    assert made.json()["secret"].startswith("whsec_")
    again = await client("POST", "/webhooks/", {"url": receiver.url}, headers=key)
    assert (again.json()["id"], again.json()["secret"]) == (made.json()["id"], None)
    for path in ("/webhooks/", f"/webhooks/{made.json()['id']}/", "/account/audit/"):
        assert "whsec" not in (await client("GET", path)).text


async def test_every_bad_field_is_named_and_ten_are_enough(world: World) -> None:
    client = await world.a_client()
    bad = {"url": "http://example.com", "kinds": ["server.exploded"], "description": 7}
    refused = await client("POST", "/webhooks/", bad)
    assert (refused.status_code, set(refused.json())) == (400, set(bad))
    for _ in range(10):
        assert (await client("POST", "/webhooks/", {"url": "https://example.com"})).status_code == 201
    assert (await client("POST", "/webhooks/", {"url": "https://example.com"})).status_code == 400
    hook = (await client("GET", "/webhooks/")).json()["results"][0]
    assert (await client("PATCH", f"/webhooks/{hook['id']}/", {"url": "https://u@x"})).status_code == 400
    assert (await client("PATCH", f"/webhooks/{hook['id']}/", {})).json() == hook
    assert (await client("DELETE", f"/webhooks/{hook['id']}/")).status_code == 204
    assert (await client("GET", f"/webhooks/{hook['id']}/")).status_code == 404


@contextlib.asynccontextmanager
async def a_worker() -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a worker as `openvps up` does."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "openvps", "worker"),
        env={**os.environ, "OPENVPS_LOG_LEVEL": "ERROR"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()


async def test_a_worker_killed_between_sending_and_noting_repeats_that_one_only(
    world: World, receiver: Receiver
) -> None:
    client = await world.a_client()
    first, second = await world.a_server(client), await world.a_server(client)
    hook = await a_webhook(client, receiver, kinds=["server.status"])
    killed = asyncio.Event()

    async with a_worker() as worker:

        async def kill_at_the_third(_message: Message) -> bytes:
            if len(receiver.got) == 3:
                worker.kill()
                await worker.wait()
                killed.set()
            elif len(receiver.got) > 3:
                await killed.wait()
            return answered(200)

        receiver.answer = kill_at_the_third
        for status in ("stopping", "stopped", "starting", "active", "rebooting"):
            await world.sql("UPDATE server SET status = :status", status=status)
        await asyncio.wait_for(killed.wait(), 30)
    before = len(receiver.got)
    receiver.answer = ok
    await world.sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
    await now_due(world)
    async with a_worker():
        messages = await receiver.has(10 + (before - 2))  # 2 were noted; those sent after are sent again
        await world.sql("UPDATE server SET status = 'active'")
        messages = await receiver.has(12 + (before - 2))
    seen: defaultdict[int, list[str]] = defaultdict(list)
    ids: list[str] = []
    for message in messages:
        told = verified(hook, message)
        if message.headers["webhook-id"] not in ids:
            ids.append(message.headers["webhook-id"])
            seen[told["server_id"]].append(told["data"]["server"]["status"])
    each = ["stopping", "stopped", "starting", "active", "rebooting", "active"]
    assert seen == {first: each, second: each}
    repeated = len(messages) - len(ids)
    assert 1 <= repeated <= 2  # at most one a server was on its way
