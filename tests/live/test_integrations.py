"""Ways in that others' tools give: an Ansible module and a Libcloud driver on real servers, the Terraform example."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from customer import Customer, with_an_account_of_its_own

from lab import Lab

WAYS = Path(__file__).resolve().parents[2] / "integrations"
CLIENTS = Path(sys.prefix) / "clients" / "bin"  # see script/bootstrap


@pytest.fixture
def customer(lab: Lab) -> Iterator[Customer]:
    customer = with_an_account_of_its_own(lab, credit=100)
    answer = customer.http("POST", "/ssh-keys/", {"name": "laptop", "public_key": customer.public_key})
    assert answer.status_code == 201
    yield customer
    customer.made = [one[0] for one in customer.rows("SELECT id FROM server WHERE account_id = %s", me(customer))]
    customer.clear()


def me(customer: Customer) -> int:
    return customer.rows(
        "SELECT account_id FROM token WHERE digest = sha256(%s::bytea)", customer.lab.token.encode()
    )[0][0]


def ansible(customer: Customer, folder: Path, *arguments: str) -> str:
    said = subprocess.run(
        [str(CLIENTS / "ansible-playbook"), "-i", "localhost,", *arguments],
        env={
            **os.environ,
            "PATH": f"{CLIENTS}:{os.environ['PATH']}",
            "HOME": str(folder),
            "OPENVPS_URL": customer.lab.url,
            "OPENVPS_TOKEN": customer.lab.token,
            "ANSIBLE_LIBRARY": str(WAYS / "ansible" / "library"),
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_PRIVATE_KEY_FILE": str(customer.lab.key),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",  # its socket's path may be longer here than a socket's can
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def a_play(folder: Path, **options: object) -> str:
    play = folder / f"{options['state']}.json"  # JSON is YAML
    tasks = [{"openvps_server": {"name": "web-1", **options}}]
    whole = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    itself = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    play.write_text(json.dumps([{**whole, "vars": itself}]))
    return str(play)


@pytest.mark.live
def test_the_ansible_module_and_its_playbook(customer: Customer, tmp_path: Path) -> None:
    given = ["-e", "plan=nano", "-e", "ssh_key=laptop", str(WAYS / "ansible" / "playbook.yml")]
    assert "changed=2" in ansible(customer, tmp_path, *given)  # the server, and its host in memory
    [server] = customer.http("GET", "/servers/").json()["results"]
    assert (server["name"], server["status"]) == ("web-1", "active")
    again = ansible(customer, tmp_path, a_play(tmp_path, state="started"))
    assert "changed=0" in again
    would = ansible(customer, tmp_path, "--check", a_play(tmp_path, state="absent"))
    assert "changed=1" in would
    assert "changed=1" in ansible(customer, tmp_path, a_play(tmp_path, state="stopped"))
    assert customer.get(server["id"])["status"] == "stopped"
    assert "changed=1" in ansible(customer, tmp_path, a_play(tmp_path, state="absent"))
    assert customer.http("GET", "/servers/").json()["count"] == 0
    assert "changed=0" in ansible(customer, tmp_path, a_play(tmp_path, state="absent"))


LIBCLOUD = """
import sys
from libcloud.common.types import InvalidCredsError
from libcloud.compute.base import NodeAuthSSHKey
from libcloud.compute.providers import get_driver, set_driver

host, port, token, key = sys.argv[1:]
set_driver("openvps", "libcloud_openvps", "OpenVPSNodeDriver")
driver = get_driver("openvps")(token, host=host, port=int(port), secure=False)
[size] = [one for one in driver.list_sizes() if one.extra["slug"] == "nano"]
[image] = [one for one in driver.list_images() if one.extra["slug"] == "debian-12"]
[location] = [one for one in driver.list_locations() if one.id == "us-west"]
node = driver.create_node("lib-1", size, image, location, auth=NodeAuthSSHKey(key))
assert node.state == "pending", node
[(node, addresses)] = driver.wait_until_running([node], wait_period=0.5, timeout=120)
assert addresses == node.public_ips[:1] or set(addresses) <= set(node.public_ips), addresses
[pair] = driver.list_key_pairs()
assert pair.name == "laptop"
assert driver.stop_node(node)
while driver.ex_get_node(node.id).state != "stopped":
    pass
snapshot = driver.ex_create_snapshot(node, "before")
assert snapshot.name == "before"
assert driver.start_node(node)
driver.wait_until_running([node], wait_period=0.5, timeout=60)
print(node.id, node.public_ips[0], flush=True)
assert input() == "go on"
assert driver.destroy_node(node)
assert driver.list_nodes() == []
try:
    get_driver("openvps")("vps_wrong", host=host, port=int(port), secure=False).list_nodes()
except InvalidCredsError as error:
    print(error.value)
"""


@pytest.mark.live
def test_the_libcloud_driver(customer: Customer, tmp_path: Path) -> None:
    program = tmp_path / "walk.py"
    program.write_text(LIBCLOUD)
    url = urlsplit(customer.lab.url)
    given = [str(url.hostname), str(url.port), customer.lab.token, customer.public_key]
    walk = subprocess.Popen(
        [str(CLIENTS / "python"), str(program), *given],
        env={**os.environ, "PYTHONPATH": str(WAYS / "libcloud" / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with walk:
        assert walk.stdin
        assert walk.stdout
        assert walk.stderr
        line = walk.stdout.readline()
        assert line, walk.stderr.read()
        number, address = line.split()
        customer.eventually(lambda: customer.answers({"ip_address": address}))
        assert customer.ssh({"ip_address": address}, "hostname") == "lib-1\n"
        said, wrong = walk.communicate("go on\n", timeout=60)
        assert walk.returncode == 0, wrong
    assert "token" in said
    assert customer.http("GET", f"/servers/{number}/").status_code == 404


def test_the_terraform_example_is_well_formed() -> None:
    """Neither Terraform nor its registry is there: the file's form, and that it names fields that the API takes."""
    read = "import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))"
    done = subprocess.run(
        [str(CLIENTS / "python"), "-c", read, str(WAYS / "terraform" / "main.tf")],
        capture_output=True,
        text=True,
        check=True,
    )
    parsed = json.loads(done.stdout)
    assert {"terraform", "variable", "provider", "resource", "output"} <= set(parsed)
    assert "Mastercard/restapi" in done.stdout
    assert "/servers/" in done.stdout
