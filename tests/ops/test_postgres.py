"""The embedded PostgreSQL, real: made, stopped, found after a power loss, and closed to others."""

import os
import signal
import subprocess
import sys
import time

import psycopg

from openvps import migrations
from openvps.core.settings import Settings
from openvps.ops import machine, postgres
from openvps.ops.processes import alive


def connects(settings: Settings, role: str, user: str) -> bool:
    program = f"import psycopg; psycopg.connect('postgresql://{role}@/openvps?host={settings.postgres_socket_dir}')"
    argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", sys.executable, "-c", program]
    return subprocess.run(argv, capture_output=True, check=False, cwd="/").returncode == 0


def test_each_process_user_connects_as_its_own_role_only(settings: Settings) -> None:
    child = postgres.start(settings)
    try:
        assert connects(settings, "openvps_api", machine.API_USER)
        assert connects(settings, "openvps_worker", machine.WORKER_USER)
        assert not connects(settings, "openvps", machine.API_USER)
        assert not connects(settings, "openvps_worker", machine.API_USER)
        assert not connects(settings, "openvps_api", "nobody")
    finally:
        child.stop()


def test_grants_cover_tables_made_before_and_after(settings: Settings) -> None:
    child = postgres.start(settings)
    try:
        with psycopg.connect(settings.conninfo("owner"), autocommit=True) as owner:
            owner.execute("CREATE TABLE before (id bigserial)")
            migrations.upgrade(settings.conninfo("owner"))  # the functions that may be called are the migrations'
            postgres.grant(settings)
            postgres.grant(settings)
            owner.execute("CREATE TABLE after (id bigserial)")
            for role in postgres.ROLES:
                for table in ("before", "after"):
                    found = owner.execute(
                        "SELECT has_table_privilege(%s, %s, 'INSERT'), has_table_privilege(%s, %s, 'TRUNCATE'),"
                        " has_sequence_privilege(%s, %s, 'USAGE')",
                        [role, table, role, table, role, f"{table}_id_seq"],
                    ).fetchone()
                    assert found == (True, False, True)
    finally:
        child.stop()


def test_the_console_process_may_read_who_may_and_take_tickets_and_nothing_else(settings: Settings) -> None:
    child = postgres.start(settings)
    try:
        assert connects(settings, postgres.CONSOLE_ROLE, machine.CONSOLE_USER)
        assert not connects(settings, "openvps_worker", machine.CONSOLE_USER)
        migrations.upgrade(settings.conninfo("owner"))
        postgres.grant(settings)
        with psycopg.connect(settings.conninfo("owner"), autocommit=True) as owner:
            granted = owner.execute(
                "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type)"
                " FROM information_schema.role_table_grants WHERE grantee = %s GROUP BY 1",
                [postgres.CONSOLE_ROLE],
            ).fetchall()
        reads = dict.fromkeys(("account", "cell", "server", "session", "token"), "SELECT")
        assert dict(granted) == {**reads, "console_ticket": "DELETE SELECT"}
    finally:
        child.stop()


def test_a_stop_is_clean_and_the_data_is_there_at_the_next_start(settings: Settings) -> None:
    child = postgres.start(settings)
    with psycopg.connect(settings.conninfo("owner"), autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 1 AS one")
    child.stop()
    assert child.code == 0
    assert not (settings.data_dir / "postgres/data/postmaster.pid").exists()
    child = postgres.start(settings)
    with psycopg.connect(settings.conninfo("owner")) as owner:
        assert owner.execute("SELECT one FROM kept").fetchone() == (1,)
    child.stop()


def test_a_power_loss_with_a_reused_process_number_does_not_stop_the_next_start(settings: Settings) -> None:
    child = postgres.start(settings)
    pidfile = settings.data_dir / "postgres/data/postmaster.pid"
    left = pidfile.read_text().splitlines()
    os.killpg(child.pid, signal.SIGKILL)
    child.stop()
    # Now a stranger, even one of the same user, has the number.
    stranger = subprocess.Popen(["setpriv", f"--reuid={machine.DATABASE_USER}", "--clear-groups", "sleep", "60"])
    pidfile.write_text("\n".join([str(stranger.pid), *left[1:], ""]))
    (settings.postgres_socket_dir / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
    try:
        child = postgres.start(settings)
        child.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_killed_parent_leaves_no_postgresql_behind(settings: Settings) -> None:
    program = (
        "import sys, time; from pathlib import Path; from openvps.core.settings import Settings; "
        "from openvps.ops import postgres; "
        "print(postgres.start(Settings(data_dir=Path(sys.argv[1]))).pid, flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", program, str(settings.data_dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_orphan_is_ended_before_the_next_start(settings: Settings) -> None:
    found = postgres.program(settings, settings.data_dir / "postgres/data")
    postgres.start(settings).stop()
    command = [part for part in found.command() if not part.startswith("--pdeathsig")]
    orphan = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    pidfile = settings.data_dir / "postgres/data/postmaster.pid"
    deadline = time.monotonic() + 20
    while not pidfile.exists() or "ready" not in pidfile.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = postgres.start(settings)
    assert orphan.wait(5) == 0
    assert child.running
    child.stop()
