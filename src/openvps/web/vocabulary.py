"""What the document says of every operation by rule: tags, statuses, headers and shared parameters.

A handler names what is its own (`responses={402: {"description": …}}` on its route); the rest is here once.
"""

from typing import Any

SUMMARY = "Virtual private servers by program."
DESCRIPTION = """\
Every path ends in `/`, and is served without it too. Bodies and answers are JSON. Times are UTC, ISO 8601, whole \
seconds, `Z`. An id in a path is the integer or the UUID of the thing; another account's is 404.

Send your token in the header `Authorization: Bearer <token>`. What is wrong is told as `{"detail": "text"}`, or \
field by field, all of them at once, as `{"field": ["text", ...]}`."""

# Titles and descriptions by name, in reading order.
TAGS = {
    "servers": (
        "Servers",
        "Manage your VPS servers by program: create, configure, control and watch them.",
    ),
    "snapshots": (
        "Snapshots",
        "Keep a server's disk as it is now, and put it back later; a snapshot is deleted with its server.",
    ),
    "backups": (
        "Backups",
        "Keep a copy of a server's disk in a store of its own: it stays when the server is deleted.",
    ),
    "actions": ("Actions", "Follow what was asked for until it is done, or see why it failed."),
    "events": ("Events", "What happens to your servers, to read and to follow as it happens."),
    "webhooks": ("Webhooks", "Have what happens sent to an address of yours, signed."),
    "plans": ("Plans", "The sizes that a server can have, their prices, and where they can be had."),
    "operating-systems": ("Operating systems", "What can be installed on a server."),
    "locations": ("Locations", "The places where servers can be."),
    "ssh-keys": ("SSH keys", "The keys that open new servers."),
    "account": ("Account", "Your account, and the token in use."),
    "billing": ("Billing", "What was charged and paid, what this month costs, and invoices."),
    "tokens": ("Tokens", "Create, list and revoke the tokens that programs use in your name."),
    "admin": ("Administration", "What only the operator's account may do: accounts, their quotas and credit."),
    "operations": (
        "Operations",
        "What only the operator's account may do with the installation: cells, everybody's actions, consistency.",
    ),
}

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "vps_…",
    "description": "An API token. It is shown once, when it is made.",
}

# Each refusal's component, description and example.
REFUSALS: dict[int, tuple[str, str, dict[str, Any]]] = {
    400: (
        "BadRequest",
        "Bad request - invalid parameters; every bad field is named",
        {"name": ["This field is required."]},
    ),
    401: (
        "Unauthorized",
        "Unauthorized - invalid or missing API token",
        {"detail": "Send your API token in the header: Authorization: Bearer <token>."},
    ),
    402: ("PaymentRequired", "Payment required - not enough credit", {"detail": "Not enough credit."}),
    403: (
        "Forbidden",
        "Forbidden - the token lacks the permission",
        {"detail": "This token lacks the permission servers:write."},
    ),
    404: ("NotFound", "Not found - there is no such thing in this account", {"detail": "Not found."}),
    409: (
        "Conflict",
        "Conflict - the Idempotency-Key was used for another request, or its first request is still running",
        {"detail": "This Idempotency-Key was used for another request. Use a new key for a new request."},
    ),
    413: (
        "TooLarge",
        "Too large - the body is over the limit",
        {"detail": "The body may have at most 1048576 bytes."},
    ),
    415: (
        "UnsupportedMediaType",
        "Unsupported media type - the body is not JSON",
        {"detail": "Send the body as application/json, not 'text/plain'."},
    ),
    429: (
        "TooManyRequests",
        "Too many requests - wait as long as Retry-After says",
        {"detail": "Too many requests. Try again in 12 seconds."},
    ),
    503: (
        "Unavailable",
        "Unavailable - try again after as long as Retry-After says",
        {"detail": "The service is starting or overloaded."},
    ),
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": {
        "title": "Problem",
        "description": "One problem, and what to do about it.",
        "type": "object",
        "properties": {"detail": {"type": "string", "description": "What is wrong, and what to do."}},
        "required": ["detail"],
    },
    "FieldProblems": {
        "title": "FieldProblems",
        "description": "Every bad field or parameter by its name, with what is wrong with it.",
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
        "minProperties": 1,
    },
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "This request's id; name it when you ask about it.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "The scheme that is expected: Bearer.", "schema": {"type": "string"}},
    "Retry-After": {"description": "How many seconds to wait before the next try.", "schema": {"type": "integer"}},
    "RateLimit-Limit": {
        "description": "How many requests this token may make at once; they come back evenly.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Remaining": {"description": "How many of them are left now.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {
        "description": "When all of them are there again, as a Unix time.",
        "schema": {"type": "integer"},
    },
    "ETag": {"description": "A mark of this answer, for If-None-Match.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` where the first answer to this Idempotency-Key was given again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Location": {"description": "Path of the action that was begun.", "schema": {"type": "string"}},
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Any text of your own, new for each request: repeated with it within 24 hours, the request is "
        "done once and answered as the first time.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
        "example": "order-4711",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETag of an earlier answer: if nothing has changed, the answer is 304 without a body.",
        "schema": {"type": "string"},
    },
}

# Where an operation's answer looks different from the example of its shape.
ANSWERS: dict[str, dict[str, Any]] = {
    "create_server": {
        "status": "provisioning",
        "ip_address": None,
        "ipv4_addresses": [],
        "ipv6_addresses": [],
        "deployed": False,
    },
    "retry_server": {"message": "Server is being provisioned", "server": {"status": "provisioning"}},
    "stop_server": {"message": "Server is stopping", "server": {"status": "stopping"}},
    "reboot_server": {"message": "Server is rebooting", "server": {"status": "rebooting"}},
    "power_server": {"message": "Server is rebooting", "server": {"status": "rebooting"}},
    "resize_server": {"message": "Server is resizing", "server": {"status": "resizing"}},
    "rebuild_server": {"message": "Server is being rebuilt", "server": {"status": "rebuilding"}},
    "reset_password": {"message": "Root password is being reset", "server": {"status": "active"}},
}
