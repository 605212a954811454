"""The console's routes and files, put into the app."""

import os

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from openvps.web.console import account, door, offer, operator, relay, security, server, servers
from openvps.web.console.files import FOLDERS, PREFIX

KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


class Files(StaticFiles):
    """Files whose address has their hash in it, so that a browser needs to ask once only."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with a file, to be kept where the address names its content."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        if scope["query_string"].startswith(b"v="):
            answer.headers.update(KEPT)
        return answer


def mount(app: FastAPI) -> None:
    """Serve the console."""
    app.include_router(door.doors)
    for page in (door, servers, server, account, security, operator, offer):
        app.include_router(page.router)
    app.include_router(relay.router)
    app.mount(PREFIX, Files(packages=[("openvps.web", folder) for folder in FOLDERS]))
