"""What customers send of a server: the shape of each field, and what it may hold."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

MAX_USER_DATA_BYTES = 64 << 10
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}\Z")
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")  # RFC 1123, 2.1
_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,50}\Z")
_MAX_HOSTNAME = 253


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("Letters, digits and hyphens, at most 63, beginning and ending with a letter or digit.")
    return value


def _hostname(value: str) -> str:
    if len(value) > _MAX_HOSTNAME or not _HOSTNAME.match(value):
        raise ValueError("A host name: labels of letters, digits and hyphens, separated by dots.")
    return value.lower()


def _user_data(value: str) -> str:
    if len(value.encode()) > MAX_USER_DATA_BYTES or "\0" in value:
        raise ValueError(f"At most {MAX_USER_DATA_BYTES} bytes of text.")
    return value


def _tags(value: list[str]) -> list[str]:
    if len(value) > 20 or not all(_TAG.match(one) for one in value):  # noqa: PLR2004 -- stated in the text
        raise ValueError("At most 20 tags of up to 50 letters, digits, _ . : or -.")
    return sorted(set(value))


Text = Annotated[str, Field(strict=True)]
Name = Annotated[Text, AfterValidator(_name)]
Hostname = Annotated[Text, AfterValidator(_hostname)]
UserData = Annotated[Text, AfterValidator(_user_data)]
Tags = Annotated[list[Text], AfterValidator(_tags)]
Flag = Annotated[bool, Field(strict=True)]
Id = Annotated[int, Field(strict=True, ge=1, lt=1 << 63)]


class NewServer(BaseModel):
    """What `POST /servers/` takes."""

    name: Name
    plan_id: Id
    os_id: Id
    location: Text
    hostname: Hostname | None = None
    ssh_key_id: Id | None = None
    backups_enabled: Flag = False
    user_data: UserData | None = None
    tags: Tags = []


class FullUpdate(BaseModel):
    """What `PUT` takes: all three."""

    name: Name
    hostname: Hostname
    backups_enabled: Flag


class PartialUpdate(BaseModel):
    """What `PATCH` takes: any of them."""

    name: Name | None = None
    hostname: Hostname | None = None
    backups_enabled: Flag | None = None
    tags: Tags | None = None
