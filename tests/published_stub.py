"""A server that knows nothing but the answers of the published page, and answers 404 to everything else."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

PUBLISHED = Path(__file__).parent / "live" / "published"
ROUTES = [
    ("GET", r"/servers/", 200, "list"),
    ("POST", r"/servers/", 201, "create"),
    ("GET", r"/servers/\d+/", 200, "get"),
    ("PUT", r"/servers/\d+/", 200, "get"),
    ("PATCH", r"/servers/\d+/", 200, "get"),
    ("DELETE", r"/servers/\d+/", 204, None),
    ("POST", r"/servers/\d+/start/", 200, "start"),
    ("POST", r"/servers/\d+/stop/", 200, "stop"),
    ("POST", r"/servers/\d+/reboot/", 200, "reboot"),
]


class Stub(BaseHTTPRequestHandler):
    """One request: answered as published, once the token is there."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
        """Say nothing."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, body = 404, b'{"detail": "Not found."}'
        path = self.path.partition("?")[0].removeprefix("/api/v1")
        for method, pattern, found, name in ROUTES:
            if method == self.command and re.fullmatch(pattern, path):
                status, body = found, b""
                if name:
                    body = json.dumps(json.loads((PUBLISHED / f"{name}.answer.json").read_text())).encode()
        if self.headers.get("authorization") != "Bearer YOUR_API_TOKEN":
            status, body = 401, b'{"detail": "Invalid token."}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 -- the library's names


@contextmanager
def published_stub() -> Generator[str]:
    """Serve the published answers and return the base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api/v1"
        finally:
            server.shutdown()
            thread.join()
