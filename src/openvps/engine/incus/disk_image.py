"""An image of a server's disk, put together anew from a stored one: its files, and nothing else of what was stored.

What comes back from a store may have been written by anybody who got at it. So of the stored tarball only what is
below `rootfs/` is taken, without devices; what the image is, and its templates, come from the machine's own present
ones.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from typing import IO, Any

from openvps.engine import holes
from openvps.engine.manifest import XATTR, Hashed, Manifest, Passing, Tar, is_file_data


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


def assemble(metadata: Mapping[str, Any], templates: Mapping[str, bytes], stored: IO[bytes], image: IO[bytes]) -> str:
    """Write an image: `metadata` and `templates` of ours, and the files of the stored one; returns their digest.

    Zeros become holes. Raises tarfile.TarError where the stored one can't be read, ValueError where it names
    something outside.
    """
    noted = Manifest()
    with Tar.open(fileobj=image, mode="w|", format=tarfile.PAX_FORMAT) as new:
        _add(new, "metadata.yaml", json.dumps(metadata).encode())  # JSON is YAML
        for name, text in templates.items():
            _add(new, f"templates/{name}", text)
        for old, entry in Passing(stored).entries():
            if not is_file_data(entry):
                continue
            content = old.extractfile(entry) if entry.isreg() else None
            hashed = Hashed(content) if content else None
            # Written anew from what was understood of it: another tar may understand other words, as another name.
            entry.pax_headers = {key: text for key, text in entry.pax_headers.items() if key.startswith(XATTR)}
            if hashed:
                entry.type, entry.sparse = tarfile.REGTYPE, None
                holes.add(new, entry, hashed)
            else:
                new.addfile(entry)
            new.members.clear()
            noted.add(entry, hashed.hexdigest() if hashed else None)
    return noted.digest


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
