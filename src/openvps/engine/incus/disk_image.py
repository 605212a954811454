"""An image of a server's disk, put together anew from a stored one: its files, and nothing else of what was stored.

What comes back from a store may have been written by anybody who got at it. So of the stored tarball only what is
below `rootfs/` is taken, without devices; what the image is, and its templates, come from the machine's own present
ones.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import IO, Any

ROOT = "rootfs"


def at_starts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a machine's image holds for its restored disk: the templates that every start writes."""
    templates: dict[str, dict[str, Any]] = metadata.get("templates") or {}
    kept = {path: {**one, "when": ["start"]} for path, one in templates.items() if "start" in one["when"]}
    return {
        "architecture": metadata["architecture"],
        "creation_date": metadata["creation_date"],
        "properties": {},
        "templates": kept,
    }


def assemble(
    metadata: Mapping[str, Any], templates: Mapping[str, bytes], stored: IO[bytes], image: IO[bytes]
) -> None:
    """Write an image: `metadata` and `templates` of ours, and the files of the stored one.

    Raises tarfile.TarError where the stored one can't be read, ValueError where it names something outside.
    """
    with tarfile.open(fileobj=image, mode="w|", format=tarfile.PAX_FORMAT) as new:
        _add(new, "metadata.yaml", json.dumps(metadata).encode())  # JSON is YAML
        for name, text in templates.items():
            _add(new, f"templates/{name}", text)
        with tarfile.open(fileobj=stored, mode="r|") as old:
            for entry in old:
                if not _is_file_data(entry):
                    continue
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)


def _is_file_data(entry: tarfile.TarInfo) -> bool:
    """Whether an entry is of the disk. Raises ValueError where it pretends to be."""
    if not _below_root(entry.name) or entry.ischr() or entry.isblk():
        return False
    if entry.islnk() and not _below_root(entry.linkname):
        raise ValueError(f"a hard link leads outside: {entry.name!r}")
    return True


def _below_root(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise ValueError(f"a name leads outside: {name!r}")
    return bool(parts) and parts[0] == ROOT


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
