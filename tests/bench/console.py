"""`script/bench console`: the console's first page of an account with 100 servers, through the api process.

Its bytes are those of a first visit, with styles and scripts, as a browser asks for them (gzip); its time is the
server's, from the request to the last byte, on one connection of this machine.
"""

import http.client
import re
import statistics
import time
from urllib.parse import urlencode

from api_process import Api, running
from lists import filled
from tables import say, table

SERVERS = 100
MOST_BYTES, MOST_MS = 100_000, 100
TURNS = 40
MARK = re.compile(rb'name="_mark" value="([0-9a-f]{64})"')
FILES = re.compile(rb'(?:src|href)="(/console/files/[^"]+)"')


class Visitor:
    """A browser, as far as it counts here: one connection, cookies, gzip."""

    def __init__(self, api: Api) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port)
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, *, gzip: bool = True, **fields: str) -> tuple[bytes, float]:
        """Return an answer's body as it was sent, and the milliseconds that it took."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if gzip:
            headers["Accept-Encoding"] = "gzip"
        if fields:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        self._connection.request(method, path, urlencode(fields) or None, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1e3
        assert answer.status in {200, 303}, (path, answer.status, body[:300])
        for set_cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = set_cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return body, took

    def sign_in(self, token: str) -> None:
        """Begin a session."""
        found = MARK.search(self.ask("GET", "/sign-in/", gzip=False)[0])
        assert found is not None
        self.ask("POST", "/sign-in/", _mark=found.group(1).decode(), token=token)


def run() -> bool:
    """Measure and print; returns whether the targets were met."""
    with running() as api:
        account = filled(api, SERVERS)
        api.sql("VACUUM ANALYZE")
        visitor = Visitor(api)
        visitor.sign_in(account.token)
        plain = visitor.ask("GET", "/servers/", gzip=False)[0]
        files = [one.decode() for one in FILES.findall(plain)]
        sizes = {path.partition("?")[0]: len(visitor.ask("GET", path)[0]) for path in ["/servers/", *files]}
        took = statistics.median(visitor.ask("GET", "/servers/")[1] for _ in range(TURNS))
    total = sum(sizes.values())
    rows = [[path, f"{size / 1000:.1f}", ""] for path, size in sizes.items()]
    rows += [["in all, kB", f"{total / 1000:.1f}", f"{MOST_BYTES / 1000:.0f}"]]
    rows += [["the page, ms (median)", f"{took:.1f}", f"{MOST_MS}"]]
    say(table([f"first visit, {SERVERS} servers, gzip", "measured", "at most"], rows))
    return total <= MOST_BYTES and took <= MOST_MS
