"""How a remote cell and we come to know each other.

Its operator makes a trust token (`incus config trust add`), which says where the cell is and which certificate it
shows, and has a secret for one use. With it we show our own certificate, and from then on each side accepts exactly
the other's: names and authorities mean nothing here.
"""

import base64
import binascii
import hashlib
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from openvps.engine.incus.client import ANSWER_S, CONNECT_S, SUCCESS, failure
from openvps.engine.protocol import Away, EngineError

LONGEST_TOKEN = 8192
PORT = 8443


@dataclass(frozen=True)
class TrustToken:
    """What a cell's trust token says; `fingerprint` is the SHA-256 of the certificate that the cell shows."""

    text: str
    fingerprint: str
    members: Sequence[str]
    expires_at: datetime | None


def read_token(text: str) -> TrustToken:
    """Read a trust token: base64 of JSON. Raises ValueError, without the text."""
    try:
        said: dict[str, Any] = json.loads(base64.b64decode(text[:LONGEST_TOKEN], validate=True))
        ends = datetime.fromisoformat(said.get("expires_at") or "0001-01-01T00:00:00Z")
        return TrustToken(
            text=text,
            fingerprint=str(said["fingerprint"]).lower(),
            members=[member_url(str(one)) for one in said["addresses"]],
            expires_at=ends if ends.year > 1 else None,  # Go's zero time: it doesn't end
        )
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("this is no trust token of Incus; `incus config trust add NAME` prints one") from error


def member_url(text: str) -> str:
    """Return a member's address as `https://host:port`. Raises ValueError."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{text}: a cell's address is https://HOST[:PORT]")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{parts.port or PORT}"


def certificate_of(member: str, fingerprint: str) -> str:
    """Return the certificate that a member shows, in PEM. Raises Away, and EngineError if it is another one."""
    parts = urlsplit(member)
    try:
        shown = ssl.get_server_certificate((str(parts.hostname), parts.port or PORT), timeout=ANSWER_S)
    except OSError as error:
        raise Away(f"{member} doesn't answer: {error}") from error
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest() != fingerprint:
        raise EngineError(f"{member} shows another certificate than the trust token names; nothing was sent to it")
    return shown


def pinned(certificate: str, own_certificate: Path, own_key: Path) -> ssl.SSLContext:
    """Return a context that accepts one certificate only, whatever its name, and shows ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a member is known by its certificate, not by its address
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is no authority, and trusted all the same
    context.load_verify_locations(cadata=certificate)
    context.load_cert_chain(own_certificate, own_key)
    return context


async def introduce(member: str, tls: ssl.SSLContext, token: TrustToken, name: str) -> None:
    """Have the cell trust our certificate; where it does already, the token isn't used. Raises EngineError."""
    async with _asking(member, tls) as http:
        if (await _ask(http, "GET", "/1.0"))["auth"] == "trusted":
            return
        body = {"type": "client", "name": name, "trust_token": token.text}
        try:
            await _ask(http, "POST", "/1.0/certificates", body)
        except EngineError as error:
            if "already trusted" not in str(error):  # since we asked
                raise


async def members_of(member: str, tls: ssl.SSLContext) -> list[str]:
    """Return the addresses of all members of the cluster that this is one of; of a lone host, none."""
    async with _asking(member, tls) as http:
        if not (await _ask(http, "GET", "/1.0"))["environment"]["server_clustered"]:
            return []
        return [member_url(one["url"]) for one in await _ask(http, "GET", "/1.0/cluster/members?recursion=1")]


def _asking(member: str, tls: ssl.SSLContext) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
    return httpx2.AsyncClient(verify=tls, base_url=member, timeout=timeout, trust_env=False)


async def _ask(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    try:
        answer = await http.request(method, path, json=body)
        said: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise Away(f"{http.base_url} {method} {path}: {error!r}") from error
    if said.get("type") == "error" or answer.status_code > SUCCESS + 99:
        raise failure(answer.status_code, said.get("error", ""))
    return said["metadata"]
