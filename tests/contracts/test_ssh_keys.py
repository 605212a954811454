"""`/ssh-keys/`: what is kept of a customer's text, and what is refused."""

import pytest

from factories import ED25519, World

pytestmark = pytest.mark.anyio

FINGERPRINT = "SHA256:"
SHOWN = {"id", "uuid", "name", "fingerprint", "public_key", "created_at", "last_used_at"}


async def test_a_key_is_added_listed_shown_and_deleted(world: World) -> None:
    customer = await world.a_client()
    made = (await customer("POST", "/ssh-keys/", {"name": "laptop", "public_key": f"{ED25519} me@home"})).json()
    assert set(made) == SHOWN
    assert made["fingerprint"].startswith(FINGERPRINT)
    assert (await customer("GET", "/ssh-keys/")).json() == {
        "count": 1,
        "next": None,
        "previous": None,
        "results": [made],
    }
    assert (await customer("GET", f"/ssh-keys/{made['uuid']}/")).json() == made
    assert (await customer("DELETE", f"/ssh-keys/{made['id']}/")).status_code == 204
    assert (await customer("GET", f"/ssh-keys/{made['id']}/")).status_code == 404


async def test_a_hostile_comment_is_cleaned(world: World) -> None:
    customer = await world.a_client()
    made = (
        await customer("POST", "/ssh-keys/", {"name": "x", "public_key": f'{ED25519} {{{{ evil }}}} $(id) "q" `r`'})
    ).json()
    assert made["public_key"] == f"{ED25519} _evil_id_q_r_"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!",
        ED25519[:-8],
        ED25519.replace("ssh-ed25519", "ssh-dss", 1),
        ED25519.replace("ssh-ed25519", "ecdsa-sha2-nistp256", 1),
        f"{ED25519}\n{ED25519}",
        f'command="id" {ED25519}',
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDB",
        7,
    ],
)
async def test_a_malformed_key_is_400(world: World, key: object) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/ssh-keys/", {"name": "x", "public_key": key})
    assert (answer.status_code, set(answer.json())) == (400, {"public_key"})


async def test_the_same_key_twice_is_400_for_one_account_only(world: World) -> None:
    customer, other = await world.a_client(), await world.a_client()
    body = {"name": "x", "public_key": ED25519}
    assert (await customer("POST", "/ssh-keys/", body)).status_code == 201
    again = await customer("POST", "/ssh-keys/", {**body, "public_key": f"{ED25519} other comment"})
    assert (again.status_code, set(again.json())) == (400, {"public_key"})
    assert (await other("POST", "/ssh-keys/", body)).status_code == 201


async def test_anothers_key_is_404(world: World) -> None:
    owner, stranger = await world.a_client(), await world.a_client()
    made = (await owner("POST", "/ssh-keys/", {"name": "x", "public_key": ED25519})).json()
    for method in ("GET", "DELETE"):
        assert (await stranger(method, f"/ssh-keys/{made['id']}/")).status_code == 404
    assert (await owner("GET", f"/ssh-keys/{made['id']}/")).status_code == 200
