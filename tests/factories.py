"""Plain factories with defaults: a world with accounts and servers in any state."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import text, update

from openvps.accounts import queries as accounts
from openvps.accounts import tokens
from openvps.actions import queries as actions
from openvps.compute.locations import queries as locations
from openvps.compute.systems import queries as systems
from openvps.core.db import Database
from openvps.core.money import MICRO
from openvps.core.settings import Settings
from openvps.engine.protocol import Capacity
from openvps.ledger import queries as ledger
from openvps.ops.seed import CellSeed, seed
from openvps.schema import server

NUMBERS = count(1)
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMatT9Rp/wNJRC3ecpI/tQQldfToXaWjyu3pG8gEQNvk"
ROOMY = Capacity(cpus=16, largest_host_cpus=8, memory_mib=1 << 17, disk_gb=2000)


@dataclass
class Client:
    """An account's token, and requests made with it."""

    account_id: int
    token: str
    http: httpx2.AsyncClient = field(repr=False)

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return await self.http.request(method, path, headers=headers, **more)


@dataclass
class World:
    """An installation on a database of its own."""

    database: Database
    config: Settings
    http: httpx2.AsyncClient
    app: FastAPI
    cell_id: int = 1

    async def prepare(self, capacity: Capacity = ROOMY) -> None:
        """Write the rows of a first start, and an image of Debian 12."""
        cell = CellSeed(
            name="here",
            socket=Path("/nonexistent"),
            project="tests",
            pool="tests",
            capacity=capacity,
            nameservers=["192.0.2.53"],
        )
        await seed(self.database, self.config, cell, {})
        async with self.database.begin() as conn:
            await systems.add_image(conn, cell_id=self.cell_id, system_id=3, fingerprint="f" * 64)

    async def a_remote_cell(self, name: str, *, room_memory_mib: int = 4096) -> int:
        """Return a remote cell of the first location, of which nothing was heard yet."""
        async with self.database.begin() as conn:
            return await locations.put_cell(
                conn,
                location_id=1,
                name=name,
                members=[f"https://{name}.example.com:8443"],
                certificate="pem",
                project="tests",
                pool="tests",
                nic_prefix="vps",
                nameservers=[],
                room_vcpus=8,
                room_memory_mib=room_memory_mib,
                room_storage_gb=100,
                largest_vcpus=8,
            )

    async def a_client(
        self,
        *,
        credit: int = 100,
        permissions: tuple[str, ...] = ("*:*",),
        account_id: int | None = None,
        operator: bool = False,
    ) -> Client:
        """Return a new account's client, or another token of an account."""
        text_ = tokens.make()
        async with self.database.begin() as conn:
            if account_id is None:
                account_id = await accounts.add_account(
                    conn, email=f"customer{next(NUMBERS)}@example.com", is_operator=operator
                )
                await ledger.append(
                    conn, account_id=account_id, amount_micro=credit * MICRO, kind="credit", reference="test"
                )
            await accounts.add_token(
                conn,
                account_id=account_id,
                name="test",
                digest=tokens.digest(text_),
                permissions=permissions,
            )
        return Client(account_id, text_, self.http)

    async def a_server(self, client: Client, *, status: str = "active", **fields: Any) -> int:
        """Create a server through the API and put it into `status`, as converge would have."""
        body = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west", **fields}
        answer = await client("POST", "/servers/", body)
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["id"]
        if status != "provisioning":
            wanted = {"active": "running"}.get(status, "stopped")
            async with self.database.begin() as conn:
                await conn.execute(
                    update(server)
                    .where(server.c.id == number)
                    .values(status=status, wanted=wanted, look_at=None, deadline_at=None, ready_at=text("now()"))
                )
                running = await actions.unfinished(conn, number)
                await actions.finish(conn, [one.id for one in running], "completed")
        return number

    async def a_snapshot(
        self, client: Client, server_id: int, name: str = "before", *, status: str = "completed"
    ) -> int:
        """Ask for a snapshot through the API and put it into `status`, as the worker would have."""
        answer = await client("POST", "/snapshots/", {"server_id": server_id, "name": name})
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["id"]
        if status != "in_progress":
            await self.sql(
                "UPDATE snapshot SET status = :status, look_at = NULL WHERE id = :id", status=status, id=number
            )
            async with self.database.begin() as conn:
                running = await actions.unfinished(conn, number, "snapshot")
                await actions.finish(conn, [one.id for one in running], "completed")
        return number

    async def a_backup(self, client: Client, server_id: int, *, status: str = "completed") -> int:
        """Ask for a backup through the API and put it into `status`, as the worker would have."""
        answer = await client("POST", "/backups/", {"server_id": server_id})
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["id"]
        if status != "in_progress":
            await self.sql(
                "UPDATE backup SET status = :status, look_at = NULL WHERE id = :id", status=status, id=number
            )
            async with self.database.begin() as conn:
                running = await actions.unfinished(conn, number, "backup")
                await actions.finish(conn, [one.id for one in running], "completed")
        return number

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement and return its rows."""
        async with self.database.begin() as conn:
            result = await conn.execute(text(statement), values)
            return list(result) if result.returns_rows else []
