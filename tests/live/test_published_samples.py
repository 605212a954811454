"""The published page's samples as they stand, with only the host, the token and ids of existing things changed.

Each language walks through the life of one server, in an account of its own, so that its list is its own too. Every
sample answer's keys and types come back; every status that the page names is reached by a sample. (Beside this,
tests/contracts/test_servers.py reaches each of them without an engine, with other bodies.)
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from customer import Customer, with_an_account_of_its_own
from samples import LANGUAGES, Answer, run

from lab import Lab

pytestmark = pytest.mark.live

PUBLISHED = Path(__file__).parent / "published"
NOWHERE = 12345  # the page's server, which isn't there
NUMBERS = {"disk_used", "bandwidth_used"}  # whole on the page; ours have their fractions of a GB
VALUES = {"status", "message"}  # of the power answers, word for word
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")


@pytest.fixture
def customer(lab: Lab) -> Iterator[Customer]:
    customer = with_an_account_of_its_own(lab, credit=100)
    yield customer
    customer.clear()


def has(operation: str, language: str) -> bool:
    return (PUBLISHED / f"{operation}.{language}.txt").exists()


def sample(customer: Customer, operation: str, language: str, server_id: int = NOWHERE) -> str:
    """Return a sample for the lab: its host, its token, its server, an operating system that it has."""
    text = (PUBLISHED / f"{operation}.{language}.txt").read_text()
    text = text.replace("https://admin.vps.org/api/v1", customer.lab.url).replace(
        "YOUR_API_TOKEN", customer.lab.token
    )
    text = re.sub(r"(os_id\W+)5\b", r"\g<1>3", text)
    return text.replace(str(NOWHERE), str(server_id))


def alike(page: Any, ours: Any, where: str = "") -> None:
    """Check that every key of the page's answer is in ours, and has its type."""
    name = where.rpartition(".")[2]
    match page:
        case dict():
            assert isinstance(ours, dict), where
            for key, value in page.items():  # pyright: ignore[reportUnknownVariableType] -- JSON
                assert key in ours, f"{where}.{key} is missing"
                alike(value, ours[key], f"{where}.{key}")
        case list():
            assert isinstance(ours, list), where
            assert ours, where
            for one in ours:  # pyright: ignore[reportUnknownVariableType] -- JSON
                alike(page[0], one, f"{where}[]")
        case bool() | str() | None:
            assert type(ours) is type(page), f"{where} is {ours!r}, not {page!r}"
            if isinstance(page, str) and TIME.match(page):
                assert TIME.match(str(ours)), f"{where} is {ours!r}"
        case float():
            assert type(ours) in {int, float}, f"{where} is {ours!r}, not {page!r}"
        case _:
            assert type(ours) is int or (name in NUMBERS and type(ours) is float), f"{where} is {ours!r}"


def page_answer(operation: str) -> Any:
    return json.loads((PUBLISHED / f"{operation}.answer.json").read_text())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sample_does_what_the_page_says_in(language: str, customer: Customer) -> None:
    ran: set[str] = set()

    def done(operation: str, server_id: int = NOWHERE) -> Answer | None:
        if not has(operation, language):
            return None
        ran.add(operation)
        return run(language, sample(customer, operation, language, server_id))

    created = done("create")
    assert created is not None
    assert created.status == 201
    alike(page_answer("create"), created.body)
    number: int = created.body["id"]
    customer.made.append(number)
    shown = ("name", "hostname", "status", "location", "backups_enabled")
    assert {key: created.body[key] for key in shown} == {key: page_answer("create")[key] for key in shown}
    assert created.body["plan"] == page_answer("create")["plan"]
    customer.until(number, "active")
    customer.eventually(lambda: customer.get(number)["resource_usage"]["cpu_percent"] is not None)

    listed = done("list")
    assert listed is not None
    assert listed.status == 200
    alike(page_answer("list"), listed.body)
    assert [one["id"] for one in listed.body["results"]] == [number]
    if got := done("get", number):
        assert got.status == 200
        alike(page_answer("get"), got.body)
    if put := done("put", number):
        assert put.status == 200
        alike(page_answer("get"), put.body)
        assert (put.body["name"], put.body["hostname"]) == ("web-server-updated", "web-updated.example.com")
    if patched := done("patch", number):
        assert patched.status == 200
        alike(page_answer("get"), patched.body)
        assert (patched.body["name"], patched.body["hostname"]) == ("new-server-name", "web-updated.example.com")
    for verb, after in (("reboot", "active"), ("stop", "stopped"), ("start", "active")):
        if answer := done(verb, number):
            assert answer.status == 200
            alike(page_answer(verb), answer.body)
            assert (answer.body["status"], answer.body["message"]) == ("success", page_answer(verb)["message"])
            assert answer.body["server"]["id"] == number
            assert answer.body["server"]["status"] == page_answer(verb)["server"]["status"]
        elif verb == "stop" and has("start", language):
            customer.post({"id": number}, verb)
        else:
            continue
        customer.until(number, after)
    if deleted := done("delete", number):
        assert deleted == Answer(204, None)
        assert customer.http("GET", f"/servers/{number}/").status_code == 404
    assert ran == {file.name.split(".")[0] for file in PUBLISHED.glob(f"*.{language}.txt")}


# every status that the page names, each reached by the page's own sample


def test_a_token_that_is_none_is_401(customer: Customer) -> None:
    for operation in ("list", "create", "get"):
        text = sample(customer, operation, "curl").replace(customer.lab.token, "YOUR_API_TOKEN")
        assert run("curl", text).status == 401


def test_a_server_that_is_not_there_is_404(customer: Customer) -> None:
    for operation in ("get", "put", "patch", "delete", "start", "stop", "reboot"):
        answer = run("curl", sample(customer, operation, "curl", server_id=999_999_999))
        assert answer.status == 404, operation
        assert answer.body["detail"]


def test_an_invalid_field_is_400(customer: Customer) -> None:
    made = customer.create(plan_id=100)
    for operation, good, bad in (
        ("create", '"web-server-02"', '"web server 02"'),
        ("put", '"web-server-updated"', '"web_server_updated"'),
        ("patch", '"new-server-name"', "true"),
    ):
        text = sample(customer, operation, "curl", made["id"])
        assert good in text
        answer = run("curl", text.replace(good, bad))
        assert answer.status == 400, operation
        assert set(answer.body) == {"name"}


def test_without_credit_create_is_402_and_makes_nothing(lab: Lab) -> None:
    poor = with_an_account_of_its_own(lab, credit=0)
    answer = run("curl", sample(poor, "create", "curl"))
    assert answer.status == 402
    assert answer.body["detail"]
    assert poor.http("GET", "/servers/").json()["count"] == 0
    poor.clear()


def test_power_in_a_state_that_does_not_allow_it_is_400(customer: Customer) -> None:
    number = customer.until(customer.create(plan_id=100)["id"], "active")["id"]
    assert run("curl", sample(customer, "start", "curl", number)).status == 400
    customer.post({"id": number}, "stop")
    customer.until(number, "stopped")
    for operation in ("stop", "reboot"):
        answer = run("curl", sample(customer, operation, "curl", number))
        assert answer.status == 400, operation
        assert answer.body["detail"]
