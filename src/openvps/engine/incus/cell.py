"""The cell on Incus: what its hosts have, what runs there, its images and events."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from openvps.engine.incus import config as words
from openvps.engine.incus import host
from openvps.engine.incus.client import CONNECT_S, Client, failure
from openvps.engine.incus.metrics import usage_of
from openvps.engine.protocol import BEGUN, Capacity, EngineError, Event, Machine, Missing, Usage

CHUNK = 1 << 20
UPLOAD_S = 600  # storing an image is no look at one machine: it may take minutes
BULK = httpx2.Timeout(60, connect=CONNECT_S)  # nor is a look at all of them: some ms for each


class IncusCell:
    """The `Cell` of one Incus project."""

    def __init__(self, client: Client, project: str, pool: str) -> None:
        self._client = client
        self._project = project
        self._pool = pool

    async def capacity(self) -> Capacity:
        """Return what the hosts have."""
        hosts = [await self._client.get("/1.0/resources", **target) for target in await self._targets()]
        pools = [
            await self._client.get(f"/1.0/storage-pools/{self._pool}/resources", **target)
            for target in await self._targets()
        ]
        cpus = [int(host["cpu"]["total"]) for host in hosts]
        return Capacity(
            cpus=sum(cpus),
            largest_host_cpus=max(cpus),
            memory_mib=sum(int(host["memory"]["total"]) for host in hosts) >> 20,
            disk_gb=sum(int(pool["space"]["total"]) for pool in pools) // words.GB,
        )

    async def ping(self) -> None:
        """Have the engine look into its database: a cluster's member answers this with a quorum only."""
        await self._client.get(f"/1.0/projects/{self._project}")

    async def machines(self) -> list[Machine]:
        """Return every machine of the cell in one call, with its disk use."""
        body, _ = await self._client.answer("GET", "/1.0/instances", query={"recursion": "2"}, timeout=BULK)
        return [words.machine_of(found) for found in body["metadata"]]

    async def usage(self) -> dict[str, Usage]:
        """Return every running machine's counters, by name; without those of a member that went away just now."""
        seen: dict[str, Usage] = {}
        targets = await self._targets()
        for target in targets:
            try:
                async with self._client.stream("GET", "/1.0/metrics", query=target, timeout=BULK) as answer:
                    await answer.aread()
                if answer.is_error:
                    raise failure(answer.status_code, answer.text[:500])
            except EngineError:
                if len(targets) == 1:
                    raise
                continue
            seen |= usage_of(answer.text)
        return seen

    async def images(self) -> list[str]:
        """Return the fingerprints of the images that are there."""
        urls: list[str] = await self._client.get("/1.0/images")
        return [url.partition("?")[0].rpartition("/")[2] for url in urls]

    async def add_image(self, file: Path) -> str:
        """Import a unified image tarball; returns its fingerprint, also when it was there already."""
        fingerprint = await asyncio.to_thread(_sha256, file)  # which is what Incus names it by
        if fingerprint not in await self.images():
            operation = await self._client.begin(
                "POST",
                "/1.0/images",
                content=_chunks(file),
                headers={"Content-Type": "application/octet-stream", "X-Incus-filename": quote(file.name)},
                timeout=httpx2.Timeout(UPLOAD_S, connect=CONNECT_S),
            )
            await self._client.wait(operation, UPLOAD_S)
        return fingerprint

    async def export_image(self, fingerprint: str, file: Path) -> None:
        """Write an image to a file, as `add_image` takes it. Raises Missing."""
        path = f"/1.0/images/{fingerprint}/export"
        async with self._client.stream("GET", path, timeout=BULK) as answer:
            if answer.is_error:
                raise failure(answer.status_code, f"{path}: the engine answered {answer.status_code}")
            with await asyncio.to_thread(file.open, "wb") as out:
                async for chunk in answer.aiter_bytes(CHUNK):
                    await asyncio.to_thread(out.write, chunk)

    async def delete_image(self, fingerprint: str) -> None:
        """Remove an image; absent already is success."""
        try:
            await self._client.run("DELETE", f"/1.0/images/{fingerprint}")
        except Missing:
            return

    async def events(self) -> AsyncIterator[Event]:
        """Say that the stream has begun, then yield machines' lifecycle events until it ends (raises Away)."""
        async with self._client.websocket("/1.0/events", type="lifecycle") as connection:
            yield Event(machine="", kind=BEGUN, at=datetime.now(UTC))
            while True:
                event: dict[str, Any] = json.loads(await connection.recv())
                what = event["metadata"]
                if what["action"].startswith("instance-") and event.get("project") == self._project:
                    yield Event(
                        machine=what["source"].partition("?")[0].split("/")[3],
                        kind=what["action"],
                        at=datetime.fromisoformat(event["timestamp"]),
                    )

    async def forget_address(self, address: str) -> None:
        """Flush what the host's connection tracking knows of a freed address."""
        if self._client.local:  # nothing of ours runs on a remote cell's hosts
            await host.forget_connections(address)

    async def _targets(self) -> list[dict[str, str]]:
        """Return the query that reaches each member of a cluster; of a lone host, the empty one."""
        if not (await self._client.get("/1.0"))["environment"]["server_clustered"]:
            return [{}]
        members = await self._client.get("/1.0/cluster/members", recursion="1")
        return [{"target": member["server_name"]} for member in members if member["status"] == "Online"]


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as content:
        while chunk := await asyncio.to_thread(content.read, CHUNK):
            yield chunk
