"""The session of docs/how-to/command-line.md, as it stands there, in a home with a key of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from customer import Customer, with_an_account_of_its_own

from lab import Lab
from openvps.client import Client
from terminal import typed

pytestmark = pytest.mark.live

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md"


def test_the_session_of_the_page_runs_as_it_stands_there(lab: Lab, tmp_path: Path) -> None:
    session = re.search(r"## A whole session.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert session
    token = with_an_account_of_its_own(lab, credit=100).lab.token
    (tmp_path / ".ssh").mkdir(mode=0o700)
    key = tmp_path / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"HOME": str(tmp_path), "PATH": path, "OPENVPS_TOKEN": token, "OPENVPS_API_URL": lab.url}
    done = subprocess.run(
        ["bash", "-euxc", session[1]],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = done.stdout.splitlines()
    assert [line for line in results if line in {"1", "2", "kept"}] == ["1", "2", "kept"]
    assert re.search(r"^web-1 +active +Standard VPS +\d+\.\d+\.\d+\.\d+$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^web-1: ready \(\d+\.\d s\)$", done.stderr, re.MULTILINE), done.stderr
    assert re.search(r"^web-1: building \(", done.stderr, re.MULTILINE), done.stderr


def test_up_left_a_context_that_only_its_owner_can_read(lab: Lab) -> None:
    home = Path(lab.data_dir).parent
    file = home / ".config" / "openvps" / "contexts.json"
    assert file.stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(
        [str(Path(sys.executable).parent / "openvps"), "account", "show", "-o", "json"],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(listed.stdout)["account"]["email"] == "operator@localhost"


def test_the_console_is_attached_to_a_terminal_typed_into_and_detached(customer: Customer) -> None:
    server = customer.until(customer.create(name="by-console")["id"], "active")
    with Client(customer.lab.url, customer.lab.token) as client:
        password = client.servers.reset_password(server["id"]).password
    customer.eventually(lambda: customer.password_works(server, str(password)))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path(customer.lab.data_dir).parent),
        "OPENVPS_TOKEN": customer.lab.token,
        "OPENVPS_API_URL": customer.lab.url,
    }
    answers = [
        ("login: ", "root\r"),
        ("Password: ", f"{password}\r"),
        ("# ", "echo typed-$((6*7)) size=$(stty size)\r"),
        ("typed-42 size=30 100", "\x1d"),
    ]
    program = str(Path(sys.executable).parent / "openvps")
    code, said = typed([program, "server", "console", "by-console"], environment, answers, knock="\r", size=(100, 30))
    assert (code, "detached; the console goes on" in said) == (0, True), said
