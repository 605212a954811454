"""Calls outward, to addresses that customers name: nothing of ours, and nothing private, can be reached by one.

A name is resolved once, and one of its addresses that may be called is connected to: there is no second look-up whose
answer could be another. https only, no redirects, bounded in time and size. What is left of an answer is its status
and a line of its text.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import h11

from openvps.core.settings import Network

TIME_S = 10.0
MAX_URL = 2048
MAX_ANSWER_BYTES = 4096
SHOWN_CHARACTERS = 200
TRIED_ADDRESSES = 2

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# IANA's special-purpose registries: what the whole internet can't reach, and what stands for another address.
_IPV4_REFUSED = [
    ip_network(one)
    for one in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_IPV6_GLOBAL = ip_network("2000::/3")  # so no mapped, NAT64 (64:ff9b::/96), unique local, link-local, multicast
_IPV6_REFUSED = [ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


class OutwardError(Exception):
    """A call that got no answer, and why, for the customer."""


@dataclass(frozen=True)
class Answer:
    """What is left of an answer; `retry_after_s` is its header, where it is a number."""

    status: int
    text: str
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Rules:
    """What may be called: `allowed` is the operator's word, `refused` are addresses of ours."""

    allowed: Sequence[Network] = ()
    refused: Collection[Address] = field(default_factory=frozenset[Address])
    ca: Path | None = None  # whom the operator trusts besides the host's own list

    def permit(self, address: Address) -> bool:
        """Whether an address may be called."""
        if any(address in one for one in self.allowed):
            return True
        if isinstance(address, IPv4Address):
            refused = any(address in one for one in _IPV4_REFUSED)
        else:
            refused = address not in _IPV6_GLOBAL or any(address in one for one in _IPV6_REFUSED)
        return not refused and address not in self.refused and not _own(address)


def problem(url: str) -> str | None:
    """Return what is wrong with the form of an address to call; None: nothing."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return f"At most {MAX_URL} ASCII characters, without spaces; write others as %xx, or xn-- in a name."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "This is not a URL."
    if parts.scheme != "https" or not parts.hostname or port == 0:
        return "An address that begins with https:// and a name."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "Without a user, password and fragment; deliveries are signed instead."
    return None


async def post(
    url: str, headers: Sequence[tuple[str, str]], body: bytes, rules: Rules, *, resolve: Resolve | None = None
) -> Answer:
    """Send a POST. Raises OutwardError where there is no answer in time, or the address may not be called."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(TIME_S):
            addresses = await addresses_of(parts, rules, resolve or _resolve)
            streams = await _connect(parts, addresses, _trusted(rules.ca))
            return await _exchange(streams, _request(parts, headers, body), body)
    except TimeoutError:
        raise OutwardError(f"There was no answer within {TIME_S:.0f} seconds.") from None
    except ssl.SSLCertVerificationError as error:
        raise OutwardError(f"The certificate is not good for this name: {error.verify_message}.") from None
    except (OSError, h11.ProtocolError) as error:
        raise OutwardError(f"The connection failed: {str(error)[:SHOWN_CHARACTERS]}.") from None


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


async def addresses_of(parts: SplitResult, rules: Rules, resolve: Resolve) -> list[str]:
    """Return where to connect to, as the name is resolved now. Raises OutwardError where nothing is permitted."""
    host = parts.hostname or ""
    try:
        found = await resolve(host, parts.port or 443)
    except (OSError, UnicodeError):
        raise OutwardError(f"There is no address for {host}.") from None
    permitted = [one for one in found if "%" not in one and rules.permit(ip_address(one))]
    if not permitted:
        raise OutwardError(f"{host} has no address that may be called: private and special ones are refused.")
    return permitted[:TRIED_ADDRESSES]


async def _connect(
    parts: SplitResult, addresses: Sequence[str], trusted: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the first address that answers; the certificate must be the name's."""
    for last, address in enumerate(addresses, 1 - len(addresses)):
        try:
            return await asyncio.open_connection(
                address, parts.port or 443, ssl=trusted, server_hostname=parts.hostname, limit=MAX_ANSWER_BYTES
            )
        except OSError as error:
            if last == 0 or isinstance(error, ssl.SSLError):
                raise
    raise OSError("no address")


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        return trust(ca)
    except OSError:  # no file, or none of certificates: nothing of it is for customers
        raise OutwardError("This installation's own list of certificates can't be read; tell its operator.") from None


@cache
def trust(ca: Path | None = None) -> ssl.SSLContext:
    """Return what makes our connections: whom this host trusts, and the operator besides, read once."""
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _request(parts: SplitResult, headers: Sequence[tuple[str, str]], body: bytes) -> h11.Request:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    ours = [("Host", parts.netloc), ("Content-Length", str(len(body))), ("Connection", "close")]
    return h11.Request(method="POST", target=target, headers=[*ours, *headers])


async def _exchange(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: h11.Request, body: bytes
) -> Answer:
    reader, writer = streams
    http = h11.Connection(h11.CLIENT)
    try:
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()
        answer, text = None, b""
        while len(text) < MAX_ANSWER_BYTES:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(MAX_ANSWER_BYTES))
            elif isinstance(event, h11.Response):
                answer = event
            elif isinstance(event, h11.Data):
                text += event.data
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                break
        if answer is None:
            raise OutwardError("The connection was closed without an answer.")
        return Answer(answer.status_code, _line(text), _retry_after(answer))
    finally:
        writer.transport.abort()  # nothing more is waited for, also not a TLS goodbye


def _line(text: bytes) -> str:
    """Return the beginning of a text as one line that can be shown and kept."""
    shown = text[: 4 * SHOWN_CHARACTERS].decode(errors="replace")
    return "".join(one if one.isprintable() else " " for one in shown)[:SHOWN_CHARACTERS].strip()


def _retry_after(answer: h11.Response) -> int | None:
    value = next((value for name, value in answer.headers if name == b"retry-after"), b"")
    return int(value[:9]) if value.isdigit() else None


def _own(address: Address) -> bool:
    """Whether an address is one of this host's: only those can be bound to."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
