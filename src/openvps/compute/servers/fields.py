"""What customers send of a server: the shape of each field, and what it may hold."""

import re
from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from openvps.core.requests import MAX_ID

MAX_USER_DATA_BYTES = 64 << 10
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(_LABEL)
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")  # RFC 1123, 2.1
_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,50}")
_MAX_NAME, _MAX_HOSTNAME, _MAX_TAGS = 63, 253, 20


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("Letters, digits and hyphens, at most 63, beginning and ending with a letter or digit.")
    return value


def _hostname(value: str) -> str:
    if len(value) > _MAX_HOSTNAME or not _HOSTNAME.fullmatch(value):
        raise ValueError("A host name: labels of letters, digits and hyphens, separated by dots.")
    return value.lower()


def _user_data(value: str) -> str:
    if len(value.encode()) > MAX_USER_DATA_BYTES:
        raise ValueError(f"At most {MAX_USER_DATA_BYTES} bytes of text.")
    return value


def _tags(value: list[str]) -> list[str]:
    if len(value) > _MAX_TAGS or not all(_TAG.fullmatch(one) for one in value):
        raise ValueError(f"At most {_MAX_TAGS} tags of up to 50 letters, digits, _ . : or -.")
    return sorted(set(value))


def _reference(value: Any) -> int | UUID:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID:
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return UUID(value)
    raise ValueError("An id: a whole number, or a UUID.")


def _documented(pattern: re.Pattern[str], **more: Any) -> dict[str, Any]:
    """Return the JSON schema of a text that matches `pattern`."""
    return {"type": "string", "pattern": f"^{pattern.pattern}$", **more}


Text = Annotated[str, Field(strict=True)]
Name = Annotated[Text, AfterValidator(_name), WithJsonSchema(_documented(_NAME, maxLength=_MAX_NAME))]
Hostname = Annotated[Text, AfterValidator(_hostname), WithJsonSchema(_documented(_HOSTNAME, maxLength=_MAX_HOSTNAME))]
UserData = Annotated[
    Text, AfterValidator(_user_data), WithJsonSchema({"type": "string", "maxLength": MAX_USER_DATA_BYTES})
]
Tags = Annotated[
    list[Text],
    AfterValidator(_tags),
    WithJsonSchema({"type": "array", "items": _documented(_TAG), "maxItems": _MAX_TAGS}),
]
Flag = Annotated[bool, Field(strict=True)]
Ref = Annotated[int | UUID, BeforeValidator(_reference)]
Place = Text | Annotated[int, Field(strict=True, ge=1, le=MAX_ID)]


class NewServer(BaseModel):
    """What `POST /servers/` takes. Of each pair of names for one thing, either will do.

    Which fields are needed is said by `order.py`, where the two dialects become one.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {"anyOf": [{"required": [one]} for one in names]}
                for names in (("name", "hostname"), ("plan_id", "plan"), ("os_id", "os_version", "backup_id"))
            ],
            "required": ["location"],
            "examples": [
                {
                    "name": "web-server-02",
                    "plan_id": 1,
                    "os_id": 5,
                    "location": "us-west",
                    "hostname": "web02.example.com",
                    "backups_enabled": True,
                },
                {
                    "hostname": "web02.example.com",
                    "plan": "6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64",
                    "os_version": "0d3c9b52-7a1e-4f68-8b94-c5e2a7d01f36",
                    "location": 1,
                    "ssh_keys": ["2b9d4c70-1f3e-4a86-b5c2-7e60d8a91f43"],
                },
            ],
        }
    )

    name: Annotated[
        Name | None,
        Field(
            description="Letters, digits and hyphens. Left out, it is the first label of `hostname`.",
            examples=["web-server-1"],
        ),
    ] = None
    plan_id: Annotated[Ref | None, Field(description="The plan; see GET /plans/.", examples=[1])] = None
    os_id: Annotated[
        Ref | None,
        Field(description="The operating system's version; see GET /operating-systems/.", examples=[3]),
    ] = None
    location: Annotated[
        Place | None, Field(description="The location's code or id; see GET /locations/.", examples=["us-west"])
    ] = None
    backup_id: Annotated[
        Ref | None,
        Field(description="A backup to make the server of, in place of `os_id`; see GET /backups/."),
    ] = None
    hostname: Annotated[
        Hostname | None,
        Field(
            description="The host name, one label or an FQDN. Left out, it is `name`.", examples=["web1.example.com"]
        ),
    ] = None
    ssh_key_id: Annotated[
        Ref | None,
        Field(description="One of the account's SSH keys. None named: all of them are installed.", examples=[1]),
    ] = None
    backups_enabled: Annotated[Flag, Field(description="Whether it is backed up every day.")] = False
    plan: Annotated[Ref | None, Field(description="Another name for `plan_id`.")] = None
    os_version: Annotated[Ref | None, Field(description="Another name for `os_id`.")] = None
    ssh_keys: Annotated[list[Ref] | None, Field(description="Several SSH keys of the account.", max_length=100)] = (
        None
    )
    user_data: Annotated[
        UserData | None,
        Field(description="cloud-init user data, run once at the first boot.", examples=["#cloud-config\n"]),
    ] = None
    tags: Annotated[
        Tags, Field(description="Labels of your own, to find servers by.", examples=[["web", "env:prod"]])
    ] = []


class FullUpdate(BaseModel):
    """What `PUT` takes: all three."""

    name: Annotated[Name, Field(description="The server's name.", examples=["web-server-1"])]
    hostname: Annotated[
        Hostname,
        Field(description="The host name; the server takes it at its next boot.", examples=["web1.example.com"]),
    ]
    backups_enabled: Annotated[Flag, Field(description="Whether it is backed up every day.", examples=[True])]


class PartialUpdate(BaseModel):
    """What `PATCH` takes: any of them."""

    name: Annotated[Name | None, Field(description="The server's name.", examples=["web-server-1"])] = None
    hostname: Annotated[
        Hostname | None, Field(description="The host name; the server takes it at its next boot.")
    ] = None
    backups_enabled: Annotated[Flag | None, Field(description="Whether it is backed up every day.")] = None
    tags: Annotated[Tags | None, Field(description="Labels of your own; they replace those that were there.")] = None


class PowerAction(BaseModel):
    """What `POST /servers/{id}/power/` takes."""

    action: Annotated[
        Literal["start", "stop", "restart", "hard_stop"],
        Field(
            description="`stop` and `restart` shut down cleanly; `hard_stop` cuts the power at once.",
            examples=["restart"],
        ),
    ]


class Resize(BaseModel):
    """What `POST /servers/{id}/resize/` takes: either name of the plan."""

    plan: Annotated[Ref | None, Field(description="The new plan; its disk can't be smaller.", examples=[2])] = None
    plan_id: Annotated[Ref | None, Field(description="Another name for `plan`.")] = None


class Rebuild(BaseModel):
    """What `POST /servers/{id}/rebuild/` takes: either name of the operating system."""

    os_id: Annotated[
        Ref | None,
        Field(description="The operating system's version; see GET /operating-systems/.", examples=[3]),
    ] = None
    os_version: Annotated[Ref | None, Field(description="Another name for `os_id`.")] = None
