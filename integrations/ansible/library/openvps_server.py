#!/usr/bin/python
"""An Ansible module: a server of the VPS.org API is there as described, or gone."""

import json
import os
import time
import uuid
from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url

DOCUMENTATION = r"""
module: openvps_server
short_description: Make, start, stop and delete servers of OpenVPS or VPS.org
description: Servers are known by their name, which is unique in the account as far as this module goes.
options:
  name: {description: The server's name., type: str, required: true}
  state:
    description: C(present) makes it where it is missing. C(started) and C(stopped) do so, too, and switch its power.
    type: str
    choices: [present, started, stopped, absent]
    default: started
  plan: {description: A plan's slug or id; needed to make a server., type: str}
  system: {description: "An operating system's slug, like debian-12, or id.", type: str}
  location: {description: A location's code., type: str}
  ssh_keys: {description: Names of the account's keys that open it., type: list, elements: str, default: []}
  user_data: {description: cloud-init's user data., type: str}
  tags: {description: The server's tags., type: list, elements: str}
  wait_s: {description: Seconds to wait until it is as described; 0 doesn't., type: int, default: 300}
  api_url: {description: "The API's address; else OPENVPS_URL.", type: str}
  api_token: {description: A token with C(servers:*) and C(ssh_keys:read); else OPENVPS_TOKEN., type: str}
"""
EXAMPLES = r"""
- openvps_server: {name: web-1, plan: standard-vps, system: debian-12, location: us-west, ssh_keys: [laptop]}
  register: web
- openvps_server: {name: web-1, state: absent}
"""
RETURN = r"""
server: {description: The server as the API shows it; null where it is absent., type: dict, returned: always}
"""

RETRIED = (429, 502, 503, 504)
TRIES = 6
OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"], "default": "started"},
    "plan": {"type": "str"},
    "system": {"type": "str"},
    "location": {"type": "str"},
    "ssh_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "user_data": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "wait_s": {"type": "int", "default": 300},
    "api_url": {"type": "str"},
    "api_token": {"type": "str", "no_log": True},
}


class Api:
    """The API, as this module needs it."""

    def __init__(self, module):
        self._module = module
        self._url = (module.params["api_url"] or os.environ.get("OPENVPS_URL", "")).rstrip("/")
        token = module.params["api_token"] or os.environ.get("OPENVPS_TOKEN", "")
        if not self._url or not token:
            module.fail_json(msg="api_url and api_token are needed, or OPENVPS_URL and OPENVPS_TOKEN")
        self._headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}

    def __call__(self, method, path, body=None, missing=False):
        """Ask; a lost answer is asked for again under the same Idempotency-Key. `missing`: None for 404."""
        headers = dict(self._headers)
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = None if body is None else json.dumps(body)
        for tried in range(TRIES):
            answer, info = fetch_url(
                self._module, self._url + path, data=data, headers=headers, method=method, timeout=90
            )
            status = info["status"]
            if status not in RETRIED and status > 0:
                break
            time.sleep(min(float(info.get("retry-after", 2**tried)), 30))
        raw = answer.read() if answer is not None and status < 400 else info.get("body", b"")
        if status == 404 and missing:
            return None
        if not 200 <= status < 300:
            said = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
            self._module.fail_json(msg="%s %s: %s %s" % (method, path, status, said or info["msg"]))
        return json.loads(raw) if raw else None

    def all(self, path):
        """Return every result of a list."""
        found, number = [], 1
        while True:
            page = self("GET", "%s%spage=%d&page_size=100" % (path, "&" if "?" in path else "?", number))
            found += page["results"]
            if not page["next"]:
                return found
            number += 1

    def named(self, name):
        """Return the server with exactly this name; more than one is refused."""
        found = [one for one in self.all("/servers/?" + urlencode({"name": name})) if one["name"] == name]
        if len(found) > 1:
            self._module.fail_json(msg="%d servers are called %s: name them apart" % (len(found), name))
        return self("GET", "/servers/%d/" % found[0]["id"], missing=True) if found else None

    def wait(self, server, statuses):
        """Return the server when it has one of the statuses; fail when it has ended elsewhere, or in time."""
        end = time.monotonic() + self._module.params["wait_s"]
        while True:
            if server is None or server["status"] in statuses:
                return server
            if server["status"] in ("error", "suspended"):
                self._module.fail_json(msg="the server is in %s" % server["status"], server=server)
            left = int(end - time.monotonic())
            if left <= 0:
                self._module.fail_json(msg="the server is still %s" % server["status"], server=server)
            server = self("GET", "/servers/%d/?wait=%d" % (server["id"], min(left, 30)), missing=True)


def chosen(module, kind, wanted, there):
    """Return the id of what a slug, name or id names."""
    for one in there:
        if wanted in (str(one["id"]), one.get("slug"), one["name"]):
            return one["id"]
    module.fail_json(msg="there is no %s %r; there are: %s" % (kind, wanted, ", ".join(o["name"] for o in there)))
    return None


def order(module, api):
    """Return the body that makes the server."""
    asked = module.params
    lacking = [one for one in ("plan", "system", "location") if not asked[one]]
    if lacking:
        module.fail_json(msg="to make a server, give also: %s" % ", ".join(lacking))
    systems = [one for family in api.all("/operating-systems/") for one in family["versions"]]
    body = {
        "name": asked["name"],
        "plan_id": chosen(module, "plan", asked["plan"], api.all("/plans/")),
        "os_id": chosen(module, "system", asked["system"], systems),
        "location": asked["location"],
    }
    if asked["ssh_keys"]:
        keys = api.all("/ssh-keys/")
        body["ssh_keys"] = [chosen(module, "key", one, keys) for one in asked["ssh_keys"]]
    for name in ("user_data", "tags"):
        if asked[name]:
            body[name] = asked[name]
    return body


def present(module, api, server):
    """Make the server and switch its power as wanted; returns it, and whether anything was changed."""
    wanted = {"started": "active", "stopped": "stopped"}.get(module.params["state"])
    changed = server is None
    if server is None:
        body = order(module, api)
        if module.check_mode:
            return None, True
        made = api("POST", "/servers/", body)
        server = api("GET", "/servers/%d/" % made["id"])
    wait = module.params["wait_s"] > 0
    if wait and not module.check_mode:
        server = api.wait(server, ("active", "stopped"))
    if wanted and server["status"] in ("active", "stopped") and server["status"] != wanted:
        changed = True
        if not module.check_mode:
            api("POST", "/servers/%d/%s/" % (server["id"], "start" if wanted == "active" else "stop"))
            server = api("GET", "/servers/%d/" % server["id"])
            server = api.wait(server, (wanted,)) if wait else server
    return server, changed


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    api = Api(module)
    server = api.named(module.params["name"])
    if module.params["state"] == "absent":
        if server is not None and not module.check_mode:
            api("DELETE", "/servers/%d/" % server["id"], missing=True)
        module.exit_json(changed=server is not None, server=None)
    server, changed = present(module, api, server)
    module.exit_json(changed=changed, server=server)


if __name__ == "__main__":
    main()
