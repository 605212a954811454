"""Styles and scripts: ours from `static/`, those of others from `vendor/`; their addresses change with them."""

import hashlib
from functools import cache
from importlib.resources import files

PREFIX = "/console/files"
FOLDERS = ("static/console", "vendor")


@cache
def address(name: str) -> str:
    """Return the address of a file: what is in it is part of it, so that a browser may keep it for good."""
    content = next(
        file.read_bytes() for folder in FOLDERS if (file := files("openvps.web").joinpath(folder, name)).is_file()
    )
    return f"{PREFIX}/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
