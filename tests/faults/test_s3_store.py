"""A store in S3-compatible storage: restic speaks to a server that knows keys, signatures and policies (moto)."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx2
import pytest
from stage import Stage

from openvps.compute.backups import converge as backups
from openvps.compute.backups import pruning, store
from running import Running, free_port, listens

pytestmark = [pytest.mark.anyio, pytest.mark.live]

IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
SCOPE = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"
ALL_OF_S3 = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'
ASKED_BEFORE = 3  # what `_a_user` asks; from then on everybody has to sign


@dataclass
class S3:
    """The server, and the file of the credentials that it takes."""

    process: Running
    port: int
    credentials: Path


@pytest.fixture(autouse=True)
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """Have the store of this test in S3."""
    port, server = free_port(), Path(sys.prefix) / "clients" / "bin" / "moto_server"
    argv = [str(server), "--host", "127.0.0.1", "--port", str(port)]
    process = Running(argv, tmp_path / "s3.log", {"INITIAL_NO_AUTH_ACTION_COUNT": str(ASKED_BEFORE)}).start()
    try:
        listens(process, port)
        credentials = tmp_path / "credentials"
        credentials.write_text(_a_user(f"http://127.0.0.1:{port}/"))
        (tmp_path / "backups").mkdir()
        (tmp_path / "backups" / "key").write_text("a key of the tests\n")
        monkeypatch.setenv("OPENVPS_BACKUP_STORE", f"s3:http://127.0.0.1:{port}/backups/store")
        monkeypatch.setenv("OPENVPS_BACKUP_CREDENTIALS", str(credentials))
        yield S3(process, port, credentials)
    finally:
        process.kill()


def _a_user(url: str) -> str:
    """Make a user who may do anything in S3; returns the file of their credentials."""

    def ask(action: str, **words: str) -> ET.Element:
        body = {"Action": action, "UserName": "store", "Version": "2010-05-08", **words}
        answer = httpx2.post(url, data=body, headers={"Authorization": SCOPE}, trust_env=False)
        assert answer.is_success, answer.text
        return ET.fromstring(answer.text)  # noqa: S314 -- our own process wrote it

    ask("CreateUser")
    made = ask("CreateAccessKey")
    ask("PutUserPolicy", PolicyName="all", PolicyDocument=ALL_OF_S3)
    key, secret = (made.findtext(f".//{{{IAM}}}{name}") for name in ("AccessKeyId", "SecretAccessKey"))
    return f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


async def shown(stage: Stage, backup: int) -> tuple[str, str | None]:
    one = (await stage.customer("GET", f"/backups/{backup}/")).json()
    return one["status"], one["error"]


async def looked_at(stage: Stage, backup: int) -> tuple[str, str | None]:
    await backups.converge(stage.context(), backup)
    return await shown(stage, backup)


async def test_a_backup_is_stored_listed_restored_and_pruned_in_s3(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.write(number, "/root/kept")
    first, backup = await stage.a_backup(number), await stage.a_backup(number)
    listed = (await stage.customer("GET", f"/backups/?server_id={number}")).json()["results"]
    assert [(one["id"], one["status"]) for one in listed] == [(backup, "completed"), (first, "completed")]
    assert (await stage.customer("DELETE", f"/backups/{first}/")).status_code == 204
    await stage.settle_backup(first)
    assert await pruning.prune(stage.context())
    in_s3 = store.Store(stage.world.config)
    assert await in_s3.find(f"backup-{first}") is None
    assert await in_s3.find(f"backup-{backup}") is not None

    assert await stage.real.run(f"vps-{number}", ["rm", "/root/kept"]) == 0
    assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
    await stage.restored(number, backup)
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/kept")
    proved = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert (proved["verify_error"], proved["verified_at"] is None) == (None, False)


async def test_wrong_credentials_and_a_store_that_is_away_are_told_and_waited_for(stage: Stage, s3: S3) -> None:
    number = await stage.a_server("stopped")
    right = s3.credentials.read_text()
    key, secret = right.split("\n")[1:3]
    backup = await stage.a_backup(number, settled=False)
    for wrong in (right.replace(secret, f"{secret}x"), right.replace(key, f"{key}x")):
        s3.credentials.write_text(wrong)
        assert await looked_at(stage, backup) == ("in_progress", store.StoreRefuses.told)
    s3.credentials.write_text(right)
    await stage.settle_backup(backup)
    assert await shown(stage, backup) == ("completed", None)

    backup = await stage.a_backup(number, settled=False)
    s3.process.kill()
    began = time.monotonic()
    assert await looked_at(stage, backup) == ("in_progress", store.StoreAway.told)
    assert time.monotonic() - began < 30
