"""The peers of `script/bench api`: a Django REST framework app on our rows, and Incus with as many instances."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from api_process import Account, Api

from lab import Lab
from running import free_port

# Only this bench needs them, in an environment that is thrown away: no lock of ours holds them.
REQUIREMENTS = ["django==5.2.8", "djangorestframework==3.16.1", "gunicorn==23.0.0", "psycopg[binary]==3.3.2"]
APP = Path(__file__).parent / "drf"


@contextmanager
def django(api: Api, account: Account) -> Generator[tuple[int, int, str]]:
    """Run the app on the rows of an account; yields its port, its worker's process and a token."""
    with tempfile.TemporaryDirectory(prefix="openvps-bench-drf-") as folder:
        python = f"{folder}/env/bin/python"
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, f"{folder}/env"], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *REQUIREMENTS], check=True)
        user, database, host = re.findall(r"//(\w+)@/(\w+)\?host=(.+)", api.database_url)[0]
        env = {
            **os.environ,
            "BENCH_HOST": host,
            "BENCH_DATABASE": database,
            "BENCH_USER": user,
            "BENCH_ACCOUNT": str(account.id),
            "PYTHONPATH": str(APP),
        }
        make = (
            "import app; from django.core.management import call_command; call_command('migrate', verbosity=0);"
            "from django.contrib.auth.models import User; from rest_framework.authtoken.models import Token;"
            "print(Token.objects.create(user=User.objects.create_user('bench')).key)"
        )
        token = subprocess.run([python, "-c", make], env=env, check=True, capture_output=True, text=True).stdout
        port = free_port()
        process = subprocess.Popen(
            [
                f"{folder}/env/bin/gunicorn",
                "--workers=1",
                f"--bind=127.0.0.1:{port}",
                "--log-level=warning",
                "app:application",
            ],
            env=env,
        )
        try:
            yield port, _child(process.pid), token.strip()
        finally:
            process.terminate()
            process.wait()


def _child(pid: int) -> int:
    end = time.monotonic() + 30
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while not (found := children.read_text().split()):
        if time.monotonic() > end:
            raise TimeoutError("gunicorn has no worker")
        time.sleep(0.1)
    time.sleep(1)  # it imports the app
    return int(found[0])


@contextmanager
def instances(lab: Lab, count: int) -> Generator[int]:
    """Have `count` stopped, empty instances with a config like a server's; yields the daemon's process."""
    names = [f"bench-list-{number}" for number in range(count)]
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=lab.socket), base_url="http://incus", timeout=60) as http:
        query = {"project": lab.project}
        try:
            for number, name in enumerate(names):
                body: dict[str, Any] = {
                    "name": name,
                    "source": {"type": "none"},
                    "config": {"limits.cpu": "1", "limits.memory": "2048MiB", "user.openvps.hostname": name},
                    "devices": {"root": {"type": "disk", "path": "/", "pool": lab.pool, "size": "2GB"}},
                    "profiles": [],
                    "description": f"server {number}",
                }
                _done(http, http.post("/1.0/instances", params=query, content=json.dumps(body)))
            yield _listener(lab.socket)
        finally:
            for name in names:
                _done(http, http.delete(f"/1.0/instances/{name}", params=query))


def _done(http: httpx2.Client, answer: httpx2.Response) -> None:
    operation = answer.json().get("operation")
    if answer.is_success and operation:
        assert http.get(f"{operation}/wait").json()["metadata"]["status_code"] == 200


def _listener(path: str) -> int:
    """Return the process behind a unix socket: who answers says who it is."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")
