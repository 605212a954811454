"""Calls outward reach nothing of ours, whatever a name says, and whenever it says it."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from openvps.core import outward
from receivers import Receiver, answered, certificate, receiving

pytestmark = pytest.mark.anyio

LOOPBACK = outward.Rules([ip_network("127.0.0.0/8")])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("receiver"), "DNS:localhost", "DNS:hooks.test")


@pytest.fixture(autouse=True)
def trusted(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    outward.trust.cache_clear()
    yield
    outward.trust.cache_clear()


@pytest.fixture
async def receiver(pair: tuple[Path, Path]) -> AsyncGenerator[Receiver]:
    async with receiving(pair, "hooks.test") as receiver:
        yield receiver


class Names:
    """A resolver whose answers are given one after the other; what is asked is counted."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0)


async def post(url: str, rules: outward.Rules = LOOPBACK, names: Names | None = None) -> outward.Answer:
    return await outward.post(url, [("X-A", "b")], b"{}", rules, resolve=names or Names(["127.0.0.1"]))


REFUSED = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1
192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
:: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::7f00:1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1
2001:db8::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fec0::1 ff02::1 ff0e::1
""".split()


@pytest.mark.parametrize("address", REFUSED)
def test_private_and_special_addresses_are_refused(address: str) -> None:
    assert not outward.Rules().permit(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_the_internet_is_not(address: str) -> None:
    assert outward.Rules().permit(ip_address(address))
    assert not outward.Rules(refused={ip_address(address)}).permit(ip_address(address))  # a cell's
    allowed = outward.Rules([ip_network(address)], {ip_address(address)})
    assert allowed.permit(ip_address(address))  # the operator's word goes first


@pytest.mark.skipif(os.geteuid() != 0, reason="gives this machine an address")
def test_this_hosts_own_addresses_are_refused() -> None:
    address = "45.67.89.101"
    assert outward.Rules().permit(ip_address(address))
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        assert not outward.Rules().permit(ip_address(address))
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


async def test_a_name_is_resolved_once_and_its_checked_address_connected_to(receiver: Receiver) -> None:
    """DNS rebinding: a second look-up would be answered by another address, here one where nobody listens."""
    names = Names(["127.0.0.1"], ["127.66.66.66"])
    answer = await post(receiver.url, names=names)
    assert (answer.status, names.asked) == (204, 1)
    assert receiver.got[0].headers["host"] == receiver.url.split("/")[2]
    assert receiver.got[0].path == "/hook?a=1"


async def test_a_name_that_turns_to_an_address_of_ours_is_never_connected_to(receiver: Receiver) -> None:
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    assert await outward.addresses_of(outward.urlsplit(receiver.url), outward.Rules(), names) == ["8.8.8.8"]
    with pytest.raises(outward.OutwardError, match="no address that may be called"):
        await post(receiver.url, outward.Rules(), names)
    mixed = Names(["127.0.0.1", "169.254.169.254", "fe80::1%lo", "8.8.4.4"])
    assert await outward.addresses_of(outward.urlsplit(receiver.url), outward.Rules(), mixed) == ["8.8.4.4"]
    assert receiver.got == []


LOOPBACKS = ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::1]", "localhost"]


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_however_loopback_is_written_it_is_refused(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    with pytest.raises(outward.OutwardError, match=r"no address"):
        await outward.post(f"https://{host}:{port}", [], b"{}", outward.Rules())
    assert receiver.got == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    async def elsewhere(_message: object) -> bytes:
        return answered(status, "", f"Location: {receiver.url}")

    receiver.answer = elsewhere
    assert (await post(receiver.url)).status == status
    assert len(receiver.got) == 1


async def test_a_certificate_for_another_name_is_refused(receiver: Receiver) -> None:
    with pytest.raises(outward.OutwardError, match="certificate"):
        await post(receiver.url.replace("hooks.test", "other.test"))
    assert receiver.got == []


async def test_who_speaks_no_tls_or_nothing_gets_nothing() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        with pytest.raises(outward.OutwardError, match="connection failed"):
            await post(f"https://hooks.test:{server.sockets[0].getsockname()[1]}/")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(outward.OutwardError, match="connection failed"):
            await post(f"https://hooks.test:{nobody.getsockname()[1]}/")


async def test_an_answer_that_never_ends_is_cut(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(_message: object) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"a\n\x00b" * 500_000

    receiver.answer = endless
    answer = await post(receiver.url)
    assert answer.status == 200
    assert len(answer.text) <= outward.SHOWN_CHARACTERS
    assert answer.text.isprintable()

    async def headers(_message: object) -> bytes:
        return b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500_000

    receiver.answer = headers
    with pytest.raises(outward.OutwardError, match="connection failed"):
        await post(receiver.url)

    async def never(_message: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    receiver.answer = never
    monkeypatch.setattr(outward, "TIME_S", 0.3)
    with pytest.raises(outward.OutwardError, match="no answer within"):
        await post(receiver.url)


NO_URLS = """
http://example.com https:///path ftp://a https://u:p@example.com https://u@example.com https://a/#b https://a:0
https://a:99999 https://a:x https://[::1 https://exämple.com javascript:alert(1) example.com https://
""".split()


@pytest.mark.parametrize("url", [*NO_URLS, "https://a b", "https://a/" + "b" * 2048, "https://a\n.com", ""])
def test_what_is_no_address_to_call_is_refused_by_its_form(url: str) -> None:
    assert outward.problem(url)


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com:8443/a?b=c", "https://[2606:4700::1]/"])
def test_what_is_one_passes(url: str) -> None:
    assert outward.problem(url) is None
