"""Every sample of our own API pages, run as it stands: only the token and ids of existing things are put in.

The pages write the host themselves. Each walk below is the life of some things, operation by operation, in an account
of its own: what a sample changes or ends was made for it. A walk's operations take turns at the four languages, so
that CI runs each operation and each language; with OPENVPS_TEST_SAMPLES=all each is run in each.

A new operation needs a `Step` where its thing is; tests/contracts/test_api_pages.py says so.
"""

import asyncio
import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from customer import Customer, with_an_account_of_its_own
from pages import operations, samples
from samples import LANGUAGES, Answer, run

from lab import Lab
from openvps.accounts import passwords
from openvps.accounts.permissions import everything
from openvps.accounts.second_factor import codes
from openvps.core.clock import now

pytestmark = pytest.mark.live

ID = "12345"  # in the pages' samples, of whatever the path or body names
PASSWORD = "four words nobody guesses"
ADA = "ada@example.com"  # of the samples that make an account and sign in
TURNS = range(len(LANGUAGES)) if os.environ.get("OPENVPS_TEST_SAMPLES") == "all" else range(1)


@dataclass
class Visitor:
    """Somebody who goes through the pages, and what they have made so far: ids by what they are of."""

    customer: Customer
    has: dict[str, Any] = field(default_factory=dict[str, Any])

    def settled(self, answer: Answer) -> None:
        """Wait until what a sample began is done."""
        number = answer.body["action_id"]
        action = self.customer.eventually(
            lambda: [
                one for one in [self.customer.http("GET", f"/actions/{number}/?wait=25").json()] if one["finished_at"]
            ]
        )[0]
        assert action["status"] == "completed", action
        self.has["action"] = number


Then = Callable[[Visitor, Answer], None]


def code_of(secret: str) -> str:
    """Return what an authenticator app shows now."""
    return codes.code(base64.b32decode(secret), codes.step_of(now()))


def active(visitor: Visitor, answer: Answer) -> None:
    visitor.customer.made.append(answer.body["id"])
    visitor.customer.until(answer.body["id"], "active")


def settled(visitor: Visitor, answer: Answer) -> None:
    visitor.settled(answer)


def gone(visitor: Visitor, _answer: Answer) -> None:
    assert visitor.customer.http("GET", f"/servers/{visitor.has['server']}/").status_code == 404


@dataclass(frozen=True)
class Step:
    """One operation's sample: `of` is whose id stands in it, `makes` what it makes, `then` what is waited for.

    `instead`: what else of the sample (a pattern, behind a group) stands for a thing of the reader's, and for which.
    """

    operation: str
    of: str | None = None
    makes: str | None = None
    then: Then | None = None
    instead: Mapping[str, str] = field(default_factory=dict[str, str])


A_SERVER = (
    Step(
        "create_server",
        makes="server",
        then=active,
        instead={r"(os_id\W+)5\b": "system", r"(plan_id\W+)1\b": "small plan"},
    ),
    Step("list_servers"),
    Step("get_server", of="server"),
    Step("get_server_metrics", of="server"),
    Step("update_server", of="server"),
    Step("patch_server", of="server"),
    Step("reset_password", of="server", then=settled),
    Step("open_console", of="server"),
    Step("get_action", of="action"),
    Step("stop_server", of="server", then=settled),
    Step("start_server", of="server", then=settled),
    Step("reboot_server", of="server", then=settled),
    Step("power_server", of="server", then=settled),
    Step("resize_server", of="server", then=settled, instead={r"(plan\W+)2\b": "larger plan"}),
    Step("rebuild_server", of="server", then=settled),
    Step("list_server_actions", of="server"),
    Step("delete_server", of="server", then=gone),
)
COPIES = (
    Step("create_snapshot", of="small server", makes="snapshot", then=settled),
    Step("list_snapshots"),
    Step("get_snapshot", of="snapshot"),
    Step("restore_snapshot", of="snapshot", then=settled),
    Step("delete_snapshot", of="snapshot"),
    Step("create_backup", of="small server", makes="backup", then=settled),
    Step("list_backups"),
    Step("get_backup", of="backup"),
    Step("restore_backup", of="backup", then=settled),
    Step("verify_backup", of="backup", then=settled),
    Step("delete_backup", of="backup"),
    Step("backup_server", of="small server", then=settled),
    Step("snapshot_server", of="small server", then=settled),
)
AN_ACCOUNT = (
    Step("list_plans"),
    Step("get_plan", of="plan"),
    Step("list_operating_systems"),
    Step("list_locations"),
    Step("get_location", of="location"),
    Step("create_ssh_key", makes="key"),
    Step("list_ssh_keys"),
    Step("get_ssh_key", of="key"),
    Step("delete_ssh_key", of="key"),
    Step("create_token", makes="token"),
    Step("list_tokens"),
    Step("get_token", of="token"),
    Step("revoke_token", of="token"),
    Step("get_account"),
    Step("list_events"),
    Step("create_webhook", makes="webhook"),
    Step("list_webhooks"),
    Step("get_webhook", of="webhook"),
    Step("patch_webhook", of="webhook"),
    Step("rotate_webhook_secret", of="webhook"),
    Step("probe_webhook", of="webhook", makes="delivery"),
    Step("list_webhook_deliveries", of="webhook"),
    Step("resend_webhook_delivery", of="delivery"),
    Step("delete_webhook", of="webhook"),
    Step("list_ledger_entries"),
    Step("get_usage"),
    Step("list_invoices"),
    Step("get_invoice", instead={"()2026-11": "invoice"}),
    Step("list_notices"),
    Step("list_audit_entries"),
    Step("get_second_factor"),
    Step("begin_second_factor", then=lambda visitor, answer: visitor.has.update(code=code_of(answer.body["secret"]))),
    Step(
        "confirm_second_factor",
        then=lambda visitor, answer: visitor.has.update(recovery=answer.body["recovery_codes"][0]),
        instead={"()287082": "code"},
    ),
    Step("disable_second_factor", instead={"()aaaa-bbbb-cccc-dddd": "recovery"}),
)
ACCOUNTS = (
    Step("create_account", makes="account"),
    Step("list_accounts"),
    Step("show_account", of="account"),
    Step("change_account", of="account"),
    Step("invite_account", of="account", then=lambda visitor, answer: visitor.has.update(answer.body)),
    Step("accept_invite", instead={"()invite_<43 characters>": "invite"}),
    Step("sign_in"),
    Step("reset_second_factor", of="account"),
    Step("credit_account", of="account"),
    Step("suspend_account", of="account"),
    Step("unsuspend_account", of="account"),
    Step("disable_account", of="account"),
    Step("enable_account", of="account"),
    Step("delete_account", of="account"),
    Step("list_all_audit_entries"),
)
OPERATIONS = (
    Step("list_cells"),
    Step("get_cell", of="cell"),
    Step("change_cell", of="cell"),
    Step("pause_cell", of="cell"),
    Step("resume_cell", of="cell"),
    Step("list_location_pauses"),
    Step("pause_location", of="location"),
    Step("resume_location", of="location"),
    Step("list_unfinished_actions"),
    Step("retry_action", of="unfinished action"),
    Step("cancel_action", of="unfinished action"),
    Step("retry_server", of="failed server", then=settled),
    Step("check_consistency", makes="report"),
    Step("create_plan", makes="sold plan", instead={"()large-vps": "slug"}),
    Step("list_sold_plans"),
    Step("get_sold_plan", of="sold plan"),
    Step("change_plan", of="sold plan"),
    Step("retire_plan", of="sold plan"),
    Step("list_consistency_reports"),
    Step("get_consistency_report", of="report"),
)
STEPS = A_SERVER + COPIES + AN_ACCOUNT + ACCOUNTS + OPERATIONS


@pytest.fixture
def visitor(lab: Lab) -> Iterator[Visitor]:
    """Return a visitor who is an operator: the pages show what operators do as well."""
    customer = with_an_account_of_its_own(lab, credit=100)
    email = customer.http("GET", "/account/me/").json()["account"]["email"]
    allowed = list(everything(operator=True))
    with psycopg.connect(lab.database_url) as conn:
        row = conn.execute("UPDATE account SET is_operator = true WHERE email = %s RETURNING id", (email,)).fetchone()
        conn.execute("UPDATE token SET permissions = %s WHERE account_id = %s", (allowed, row and row[0]))
    assert row is not None
    yield Visitor(customer, {"me": row[0]})
    customer.clear()


def walk(visitor: Visitor, steps: tuple[Step, ...], turn: int) -> None:
    """Run the steps' samples, each in the language whose turn it is, and compare the answers with the pages'."""
    url = visitor.customer.lab.url
    for step in steps:
        language = LANGUAGES[(STEPS.index(step) + turn) % len(LANGUAGES)]
        text = samples(url)[step.operation, language].replace("YOUR_API_TOKEN", visitor.customer.lab.token)
        if step.of:
            assert ID in text, f"{step.operation} in {language} names no {step.of}"
            text = text.replace(ID, str(visitor.has[step.of]))
        for pattern, thing in step.instead.items():
            text, found = re.subn(pattern, rf"\g<1>{visitor.has[thing]}", text)
            assert found == 1, f"{step.operation} in {language} has {pattern} {found} times"
        answer = run(language, text)
        where = f"{step.operation} in {language}"
        status, page = documented(url, step.operation)
        assert answer.status == status, f"{where}: {answer}"
        assert isinstance(answer.body, dict) == isinstance(page, dict), f"{where}: {answer}"
        if isinstance(page, dict):
            assert set(answer.body) == set(page), where  # pyright: ignore[reportUnknownArgumentType] -- JSON
        if step.makes:
            visitor.has[step.makes] = answer.body["id"]
        if step.then:
            step.then(visitor, answer)


def documented(url: str, operation: str) -> tuple[int, Any]:
    """Return the status and the answer that the page shows."""
    good = {int(code): one for code, one in operations(url)[operation]["responses"].items() if code.startswith("2")}
    status = max(good)  # 201 before the 200 of a dry run
    return status, good[status].get("content", {}).get("application/json", {}).get("example")


@pytest.mark.parametrize("turn", TURNS)
def test_the_life_of_a_server(visitor: Visitor, turn: int) -> None:
    visitor.has |= {"system": 3, "small plan": 100, "larger plan": 101}
    walk(visitor, A_SERVER, turn)


@pytest.mark.parametrize("turn", TURNS)
def test_its_copies(visitor: Visitor, turn: int) -> None:
    number = visitor.customer.create()["id"]
    visitor.customer.until(number, "active")
    visitor.has["small server"] = number
    walk(visitor, COPIES, turn)


@pytest.mark.parametrize("turn", TURNS)
def test_what_an_account_has(visitor: Visitor, turn: int) -> None:
    paid = {"amount": "-0.01", "adjustment": True, "reason": "so that there is an invoice"}
    assert visitor.customer.http("POST", f"/admin/accounts/{visitor.has['me']}/credit/", paid).status_code == 201
    visitor.has |= {
        "plan": 1,
        "location": visitor.customer.http("GET", "/locations/").json()["results"][0]["id"],
        "invoice": visitor.customer.http("GET", "/account/invoices/").json()["results"][0]["id"],
    }
    kept = asyncio.run(passwords.hashed(PASSWORD))
    with psycopg.connect(visitor.customer.lab.database_url) as conn:
        conn.execute("UPDATE account SET password_hash = %s WHERE id = %s", (kept, visitor.has["me"]))
    walk(visitor, AN_ACCOUNT, turn)


def test_what_an_operator_does_with_accounts(visitor: Visitor) -> None:
    try:
        for turn in TURNS:  # one after the other: there is one Ada
            walk(visitor, ACCOUNTS, turn)
    finally:
        for (left,) in visitor.customer.rows("SELECT id FROM account WHERE email = %s", ADA):
            visitor.customer.http("DELETE", f"/admin/accounts/{left}/")


def test_what_an_operator_does_with_the_installation(visitor: Visitor) -> None:
    """The cell and the location are nobody's, so that no other test finds them paused."""
    customer, code = visitor.customer, f"nowhere-{visitor.has['me']}"
    made = customer.create()
    customer.until(made["id"], "active")
    customer.post(made, "stop")
    customer.until(made["id"], "stopped")  # what failed is off, else it can't be tried again yet
    with psycopg.connect(customer.lab.database_url) as conn:

        def number(statement: str, *values: Any) -> int:
            row = conn.execute(statement.encode(), values).fetchone()
            assert row is not None
            return row[0]

        location = number(
            "INSERT INTO location (code, name, country_name, country_code) VALUES (%s, 'a', 'a', 'AA') RETURNING id",
            code,
        )
        cell = number(
            "INSERT INTO cell (location_id, name, socket, project, pool, nic_prefix, nameservers, room_vcpus,"
            " room_memory_mib, room_storage_gb, largest_vcpus) VALUES (%s, %s, '/nonexistent', 'a', 'a', 'no', '{}',"
            " 1, 1, 1, 1) RETURNING id",
            *(location, code),
        )
        action = number(
            "INSERT INTO action (account_id, kind, subject_id, exclusive) VALUES (%s, 'server.start', 0, false)"
            " RETURNING id",
            visitor.has["me"],
        )
        conn.execute(
            "UPDATE server SET status = 'error', wanted = 'stopped', ready_at = NULL, look_at = NULL,"
            " version = version + 1 WHERE id = %s",  # else a look under way would settle it
            (made["id"],),
        )
    visitor.has |= {"cell": cell, "location": location, "unfinished action": action, "failed server": made["id"]}
    visitor.has["slug"] = code
    try:
        walk(visitor, OPERATIONS, 0)
    finally:
        with psycopg.connect(customer.lab.database_url) as conn:
            conn.execute("UPDATE action SET status = 'cancelled', finished_at = now() WHERE id = %s", (action,))
            conn.execute("DELETE FROM plan WHERE slug = %s", (code,))
            conn.execute("DELETE FROM cell WHERE id = %s", (cell,))
            conn.execute("DELETE FROM location WHERE id = %s", (location,))
