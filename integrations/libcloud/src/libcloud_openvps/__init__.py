"""An Apache Libcloud compute driver for the VPS.org API, as OpenVPS speaks it.

from libcloud.compute.providers import get_driver, set_driver
set_driver("openvps", "libcloud_openvps", "OpenVPSNodeDriver")
driver = get_driver("openvps")("<token>", host="127.0.0.1", port=8080, secure=False)
"""

import json
import uuid

from libcloud.common.base import ConnectionKey, JsonResponse
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.compute.base import (
    KeyPair,
    Node,
    NodeAuthSSHKey,
    NodeDriver,
    NodeImage,
    NodeLocation,
    NodeSize,
    VolumeSnapshot,
)
from libcloud.compute.types import NodeState

__all__ = ["OpenVPSNodeDriver"]

STATES = {
    "provisioning": NodeState.PENDING,
    "active": NodeState.RUNNING,
    "starting": NodeState.STARTING,
    "stopping": NodeState.STOPPING,
    "stopped": NodeState.STOPPED,
    "rebooting": NodeState.REBOOTING,
    "resizing": NodeState.RECONFIGURING,
    "rebuilding": NodeState.UPDATING,
    "restoring": NodeState.UPDATING,
    "deleting": NodeState.TERMINATED,
    "suspended": NodeState.SUSPENDED,
    "error": NodeState.ERROR,
}


class OpenVPSResponse(JsonResponse):
    """An answer: 2xx, or a refusal with its text."""

    def success(self):
        """Whether it was carried out."""
        return 200 <= self.status < 300

    def parse_error(self):
        """Return the refusal's text. Raises InvalidCredsError for 401."""
        said = super().parse_error()
        text = said.get("detail") or json.dumps(said) if isinstance(said, dict) else str(said)
        if self.status == 401:
            raise InvalidCredsError(text)
        return f"{self.status}: {text}"


class OpenVPSConnection(ConnectionKey):
    """The API by a token."""

    host = "vps.org"
    responseCls = OpenVPSResponse
    timeout = 90

    def add_default_headers(self, headers):
        """Add the token."""
        return {**headers, "Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def ask(self, method, path, body=None):
        """Ask; returns the answer's object, None where there is no body."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        data = None if body is None else json.dumps(body)
        return self.request(f"/api/v1{path}", method=method, data=data, headers=headers).object or None


class OpenVPSNodeDriver(NodeDriver):
    """Servers, plans, systems, locations, keys and snapshots."""

    type = name = "openvps"
    website = "https://vps.org"
    connectionCls = OpenVPSConnection
    features = {"create_node": ["ssh_key"]}

    def list_nodes(self):
        """Return the account's servers."""
        return [self._node(one) for one in self._all("/servers/")]

    def ex_get_node(self, node_id):
        """Return one server."""
        return self._node(self.connection.ask("GET", f"/servers/{node_id}/"))

    def list_sizes(self, location=None):
        """Return the plans."""
        return [
            NodeSize(
                str(one["id"]),
                one["name"],
                one["memory"],
                one["storage"],
                one["bandwidth"],
                one["price_hourly"],
                self,
                {"vcpus": one["vcpus"], "slug": one["slug"]},
            )
            for one in self._all("/plans/")
        ]

    def list_images(self, location=None):
        """Return the systems that an image is there of."""
        return [
            NodeImage(str(one["id"]), one["name"], self, {"slug": one["slug"], "family": family["name"]})
            for family in self._all("/operating-systems/")
            for one in family["versions"]
            if one["available"]
        ]

    def list_locations(self):
        """Return the locations; their ids are codes."""
        return [NodeLocation(one["code"], one["name"], one["country_code"], self) for one in self._all("/locations/")]

    def create_node(self, name, size, image, location=None, auth=None, ex_ssh_keys=(), ex_user_data=None, ex_tags=()):
        """Order a server; `wait_until_running` waits. A NodeAuthSSHKey is added to the account."""
        keys = [str(one) for one in ex_ssh_keys]
        if isinstance(auth, NodeAuthSSHKey):
            keys.append(self._key(name, auth.pubkey))
        body = {
            "name": name,
            "plan_id": int(size.id),
            "os_id": int(image.id),
            "location": (location or self.list_locations()[0]).id,
        }
        if keys:
            body["ssh_keys"] = [int(one) for one in keys]
        if ex_user_data:
            body["user_data"] = ex_user_data
        if ex_tags:
            body["tags"] = list(ex_tags)
        return self.ex_get_node(self.connection.ask("POST", "/servers/", body)["id"])

    def reboot_node(self, node):
        """Restart a server."""
        return self._act(node, "reboot")

    def start_node(self, node):
        """Start a server."""
        return self._act(node, "start")

    def stop_node(self, node):
        """Shut a server down."""
        return self._act(node, "stop")

    def destroy_node(self, node):
        """Delete a server with its disk and addresses."""
        self.connection.ask("DELETE", f"/servers/{node.id}/")
        return True

    def list_key_pairs(self):
        """Return the account's keys."""
        return [self._pair(one) for one in self._all("/ssh-keys/")]

    def import_key_pair_from_string(self, name, key_material):
        """Add a key to the account."""
        return self._pair(self.connection.ask("POST", "/ssh-keys/", {"name": name, "public_key": key_material}))

    def delete_key_pair(self, key_pair):
        """Remove a key from the account."""
        self.connection.ask("DELETE", f"/ssh-keys/{key_pair.extra['id']}/")
        return True

    def ex_create_snapshot(self, node, name):
        """Keep a server's disk as it is now."""
        one = self.connection.ask("POST", "/snapshots/", {"server_id": int(node.id), "name": name})
        return VolumeSnapshot(str(one["id"]), self, name=name, state=one["status"], extra=one)

    def _all(self, path):
        found, number = [], 1
        while True:
            page = self.connection.ask("GET", f"{path}?page={number}&page_size=100")
            found += page["results"]
            if not page["next"]:
                return found
            number += 1

    def _act(self, node, verb):
        self.connection.ask("POST", f"/servers/{node.id}/{verb}/")
        return True

    def _key(self, name, material):
        words = material.split()[:2]
        for one in self._all("/ssh-keys/"):
            if one["public_key"].split()[:2] == words:
                return one["id"]
        return self.connection.ask("POST", "/ssh-keys/", {"name": name, "public_key": material})["id"]

    def _pair(self, one):
        return KeyPair(one["name"], one["public_key"], one["fingerprint"], self, extra={"id": one["id"]})

    def _node(self, one):
        if one is None:
            raise LibcloudError("there is no such server", driver=self)
        addresses = [*one.get("ipv4_addresses", []), *one.get("ipv6_addresses", [])]
        public = addresses or [one["ip_address"]] if one.get("ip_address") or addresses else []
        # Private addresses count as public: they are those that the server is reached at.
        return Node(
            str(one["id"]), one["name"], STATES.get(one["status"], NodeState.UNKNOWN), public, [], self, extra=one
        )
