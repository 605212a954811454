"""What is taken of a stored disk: its files, whatever else somebody put into the store."""

import io
import tarfile
from typing import Any

import pytest

from openvps.engine.incus.disk_image import assemble, at_starts

OURS: dict[str, Any] = {"architecture": "x86_64", "creation_date": 1, "properties": {}, "templates": {}}


def stored(*entries: dict[str, Any]) -> io.BytesIO:
    """Return a tarball; entries are named by the fields of TarInfo, with their `content`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for fields in entries:
            entry = tarfile.TarInfo()
            content = fields.pop("content", b"")
            for name, value in fields.items():
                setattr(entry, name, value)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    file.seek(0)
    return file


def assembled(*entries: dict[str, Any]) -> tarfile.TarFile:
    image = io.BytesIO()
    assemble(OURS, {"hosts.tpl": b"mine"}, stored(*entries), image)
    image.seek(0)
    return tarfile.open(fileobj=image)


def test_files_come_back_with_all_that_they_have() -> None:
    xattr = {"SCHILY.xattr.user.note": "x", "SCHILY.xattr.security.capability": "\x01\udc80\udcff"}
    tar = assembled(
        {"name": "rootfs", "type": tarfile.DIRTYPE, "mode": 0o755},
        {"name": "rootfs/a", "content": b"text", "mode": 0o4750, "uid": 33, "gid": 70000, "pax_headers": xattr},
        {"name": "rootfs/b", "type": tarfile.LNKTYPE, "linkname": "rootfs/a"},
        {"name": "rootfs/c", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "rootfs/d", "type": tarfile.FIFOTYPE},
    )
    assert tar.getnames() == ["metadata.yaml", "templates/hosts.tpl", "rootfs", *(f"rootfs/{one}" for one in "abcd")]
    entry = tar.getmember("rootfs/a")
    content = tar.extractfile(entry)
    assert content is not None
    assert content.read() == b"text"
    assert (entry.mode, entry.uid, entry.gid) == (0o4750, 33, 70000)
    assert {key: entry.pax_headers[key] for key in xattr} == xattr
    assert tar.getmember("rootfs/b").linkname == "rootfs/a"


def test_nothing_else_of_what_is_stored_comes_back() -> None:
    tar = assembled(
        {"name": "metadata.yaml", "content": b"properties: {planted: yes}"},
        {"name": "templates/hosts.tpl", "content": b"planted"},
        {"name": "backup/index.yaml", "content": b"security.privileged: true"},
        {"name": "rootfs/dev/sda", "type": tarfile.BLKTYPE, "devmajor": 8},
        {"name": "rootfs/dev/mem", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 1},
        {"name": "rootfs/file"},
    )
    assert tar.getnames() == ["metadata.yaml", "templates/hosts.tpl", "rootfs/file"]
    for name, wanted in (("templates/hosts.tpl", b"mine"), ("metadata.yaml", b'"properties": {}')):
        content = tar.extractfile(name)
        assert content is not None
        assert wanted in content.read()


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "rootfs/../etc/passwd"},
        {"name": "../rootfs/a"},
        {"name": "rootfs/a", "type": tarfile.LNKTYPE, "linkname": "/etc/shadow"},
        {"name": "rootfs/a", "type": tarfile.LNKTYPE, "linkname": "metadata.yaml"},
    ],
)
def test_what_leads_outside_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leads outside"):
        assembled(dict(entry))


def test_only_the_templates_of_a_start_are_taken_along() -> None:
    templates = {
        "/etc/hostname": {"when": ["create", "start"], "template": "hostname.tpl"},
        "/root/.ssh/authorized_keys": {"when": ["create"], "template": "keys.tpl"},
    }
    kept = at_starts({**OURS, "properties": {"os": "x"}, "templates": templates})
    assert kept["templates"] == {"/etc/hostname": {"when": ["start"], "template": "hostname.tpl"}}
    assert kept["properties"] == {}


def test_words_that_another_tar_would_understand_otherwise_are_left_out() -> None:
    planted = {"GNU.sparse.name": "../../etc/passwd", "GNU.sparse.realsize": "4", "path": "rootfs/a"}
    tar = assembled({"name": "rootfs/a", "content": b"text", "pax_headers": planted})
    entry = tar.getmember("rootfs/a")
    assert set(entry.pax_headers) <= {"mtime", "path"}
    content = tar.extractfile(entry)
    assert content is not None
    assert content.read() == b"text"
