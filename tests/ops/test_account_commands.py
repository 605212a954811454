"""`openvps account` and `openvps token`: on the database of an installation, as root on its host."""

import json
from typing import Any

import psycopg
import pytest

from openvps.accounts import tokens
from openvps.core import settings
from openvps.ops.commands import main


@pytest.fixture
def conn(database_url: str, config: settings.Settings) -> Any:
    assert config.database_url == database_url
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def run(conn: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what runs a command: its exit code, its result and its talk."""
    assert not conn.closed

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_an_account_is_made_found_changed_shut_opened_and_deleted(run: Any, conn: psycopg.Connection[Any]) -> None:
    code, out, _ = run("account", "create", "Ada@example.com", "--credit", "5", "--max-vcpus", "8", "-o", "json")
    made = json.loads(out)
    assert (code, made["email"], made["max_vcpus"], made["is_operator"]) == (0, "ada@example.com", 8, False)
    assert made["invite"].startswith("invite_")
    number, uuid = str(made["id"]), made["uuid"]
    assert [one["id"] for one in json.loads(run("account", "list", "-o", "json")[1])] == [made["id"]]
    assert "ada@example.com" in run("account", "list")[1]
    assert json.loads(run("account", "show", "ada@example.com", "-o", "json")[1])["balance"] == 5.0
    changed = json.loads(run("account", "set-quota", uuid, "--max-servers", "3", "--max-vcpus=-1", "-o", "json")[1])
    assert (changed["max_servers"], changed["max_vcpus"]) == (3, None)
    for _ in range(2):
        assert run("account", "disable", number, "--reason", "unpaid")[0] == 0
    assert json.loads(run("account", "show", number, "-o", "json")[1])["disabled_reason"] == "unpaid"
    assert run("account", "enable", number)[0] == 0
    assert run("account", "invite", number)[1].strip().rpartition(" ")[2].startswith("invite_")
    for _ in range(2):
        assert run("account", "delete", uuid)[0] == 0
    assert run("account", "show", number)[0] == 1
    told = conn.execute("SELECT account_id, operation, details->>'by' FROM audit_entry ORDER BY id").fetchall()
    assert told[0] == (None, "create_account", "root on the host")
    assert told[-1] == (None, "delete_account", "root on the host")


def test_making_an_account_twice_changes_nothing(run: Any, conn: psycopg.Connection[Any]) -> None:
    first = json.loads(run("account", "create", "ada@example.com", "--credit", "5", "-o", "json")[1])
    code, out, said = run("account", "create", "ADA@example.com", "--credit", "5", "-o", "json")
    assert (code, json.loads(out)) == (0, first | {"invite": None})
    assert "already" in said
    assert conn.execute("SELECT count(*) FROM ledger_entry").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("account show nobody@example.com", 1, "no account 'nobody@example.com'"),
        ("account create nobody", 2, "email"),
        ("account create a@b --max-servers -7", 2, "max_servers"),
        ("account create a@b --credit -1", 2, "credit"),
        ("token revoke 7 ada@example.com", 1, "no token 7"),
        ("token create 1 --days 99999999999", 2, "days"),
        ("token create nobody@example.com", 1, "no account"),
    ],
)
def test_what_is_refused_is_one_line_and_a_code(run: Any, arguments: str, code: int, says: str) -> None:
    run("account", "create", "ada@example.com")
    found, out, said = run(*arguments.split())
    assert (found, out) == (code, "")
    assert says in said
    assert len(said.splitlines()) == 1


def test_a_payment_is_added_once_and_a_correction_needs_a_reason(run: Any, conn: psycopg.Connection[Any]) -> None:
    run("account", "create", "ada@example.com")
    for _ in range(2):
        code, out, _ = run("account", "credit", "ada@example.com", "10.01", "--reference", "payment-1", "-o", "json")
        assert (code, json.loads(out)["balance"]) == (0, 10.01)
    correction = ("account", "credit", "ada@example.com", "--adjustment", "-o", "json")
    assert run(*correction, "--", "-1.01")[0] == 2
    assert json.loads(run(*correction, "--reason", "typo", "--", "-1.01")[1])["balance"] == 9.0
    entries = conn.execute("SELECT kind, amount_micro, reason FROM ledger_entry ORDER BY id").fetchall()
    assert entries == [("credit", 10_010_000, ""), ("adjustment", -1_010_000, "typo")]


def test_a_token_is_made_listed_and_revoked(run: Any, conn: psycopg.Connection[Any]) -> None:
    run("account", "create", "ada@example.com")
    code, out, _ = run("token", "create", "ada@example.com")
    assert (code, tokens.well_formed(out.strip())) == (0, True)
    wanted = "token create ada@example.com --name ci --permission servers:* --permission dns:read --days 3 -o json"
    made = json.loads(run(*wanted.split())[1])
    assert (made["name"], made["permissions"]) == ("ci", ["servers:*", "dns:read"])
    assert made["expires_at"] is not None
    listed = json.loads(run("token", "list", "ada@example.com", "-o", "json")[1])
    assert [one["permissions"] for one in listed] == [["servers:*", "dns:read"], ["*:*"]]
    assert "ci" in run("token", "list", "ada@example.com")[1]
    for _ in range(2):
        assert run("token", "revoke", str(made["id"]), "ada@example.com")[0] == 0
    assert "revoked" in run("token", "list", "ada@example.com")[1]
    stored = conn.execute("SELECT digest FROM token WHERE id = %s", [made["id"]]).fetchall()
    assert stored == [(tokens.digest(made["token"]),)]


def test_operators_rights_are_for_operators(run: Any) -> None:
    run("account", "create", "ada@example.com")
    code, _, said = run("token", "create", "ada@example.com", "--permission", "accounts:read")
    assert code == 2
    assert "Unknown: 'accounts:read'" in said
    run("account", "create", "root@example.com", "--operator")
    made = json.loads(run("token", "create", "root@example.com", "-o", "json")[1])
    assert made["permissions"] == ["*:*", "accounts:*", "operations:*"]


def test_an_account_with_servers_is_not_deleted(run: Any, conn: psycopg.Connection[Any]) -> None:
    made = json.loads(run("account", "create", "ada@example.com", "-o", "json")[1])
    conn.execute("SET session_replication_role = replica")  # a server's row alone, without all that it stands on
    conn.execute(
        "INSERT INTO server (account_id, name, hostname, status, wanted, plan_id, vcpus, memory_mib, storage_gb,"
        " price_monthly_micro, system_id, image_id, cell_id, location_id, authorized_keys)"
        " VALUES (%s, 'w', 'w', 'active', 'running', 1, 1, 1, 1, 1, 1, 1, 1, 1, '{}')",
        [made["id"]],
    )
    code, _, said = run("account", "delete", str(made["id"]))
    assert code == 1
    assert "1 server." in said
