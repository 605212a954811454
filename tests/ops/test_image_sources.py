"""Where an image's packages come from: the machine's own apt sources, in every form they are found in."""

from pathlib import Path

import pytest

from openvps.ops.image.recipes import RECIPES
from openvps.ops.image.sources import NoSource, Source, sources

DEBIAN, UBUNTU = RECIPES["debian-12"], RECIPES["ubuntu-22.04"]
DEB822 = """# as a cloud's image has it
Types: deb deb-src
URIs: http://mirror.test/debian/
Suites: bookworm
  bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://someone:secret@security.test/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
"""
ONE_LINE = """
# deb http://commented.test/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb [arch=amd64 signed-by=/etc/a.gpg] http://other.test/tool stable main
deb [ arch=amd64 ] http://mirror.test/debian bookworm main contrib # ours
deb-src http://mirror.test/debian bookworm main
deb http://security.test/debian-security bookworm-security main
"""


def a_machine(root: Path, files: dict[str, str], *, distribution: str = "debian", codename: str = "bookworm") -> Path:
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text(f'NAME="x"\nID={distribution}\nVERSION_CODENAME="{codename}"\n')
    for name, text in files.items():
        (root / "etc/apt" / name).parent.mkdir(exist_ok=True)
        (root / "etc/apt" / name).write_text(text)
    return root


@pytest.mark.parametrize("file", ["sources.list.d/debian.sources", "sources.list"])
def test_both_formats_name_the_machines_archives(tmp_path: Path, file: str) -> None:
    text = DEB822 if file.endswith(".sources") else ONE_LINE
    main, security = sources(DEBIAN, None, root=a_machine(tmp_path, {file: text}))
    assert main == Source("http://mirror.test/debian", ("bookworm", "bookworm-updates"))
    assert security.uri.endswith("://security.test/debian-security")
    assert security.suites == ("bookworm-security",)


def test_a_password_in_a_source_stays_out_of_images(tmp_path: Path) -> None:
    found = sources(DEBIAN, None, root=a_machine(tmp_path, {"sources.list.d/debian.sources": DEB822}))
    assert "secret" not in repr(found)


def test_a_list_of_mirrors_in_a_file_is_followed(tmp_path: Path) -> None:
    text = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n"
    files = {
        "sources.list.d/debian.sources": text,
        "mirrors/debian.list": "https://first.test/debian\nhttps://b.test/\n",
    }
    found = sources(DEBIAN, None, root=a_machine(tmp_path, files))
    assert [source.uri for source in found] == ["https://first.test/debian", "https://first.test/debian-security"]


def test_a_newer_debian_builds_debian_12_from_its_own_mirror(tmp_path: Path) -> None:
    root = a_machine(tmp_path, {"sources.list": "deb http://mirror.test/debian trixie main\n"}, codename="trixie")
    assert sources(DEBIAN, None, root=root)[0] == Source(
        "http://mirror.test/debian", ("bookworm", "bookworm-updates")
    )


def test_another_distribution_needs_a_mirror_and_is_told_which_setting(tmp_path: Path) -> None:
    with pytest.raises(NoSource, match="OPENVPS_UBUNTU_MIRROR"):
        sources(UBUNTU, None, root=a_machine(tmp_path, {"sources.list": ONE_LINE}))


def test_a_mirror_that_is_set_wins() -> None:
    assert sources(UBUNTU, "http://mirror.test/ubuntu/") == [
        Source("http://mirror.test/ubuntu", ("jammy", "jammy-updates"), ("main", "universe")),
        Source("http://mirror.test/ubuntu", ("jammy-security",), ("main", "universe")),
    ]
    assert sources(DEBIAN, "http://mirror.test/debian")[1].uri == "http://mirror.test/debian-security"


def test_stanzas_and_lines_are_what_apt_reads() -> None:
    source = Source("http://mirror.test/debian", ("bookworm", "bookworm-updates"))
    assert source.line("bookworm", "/k.gpg") == "deb [signed-by=/k.gpg] http://mirror.test/debian bookworm main"
    assert "Suites: bookworm bookworm-updates\n" in source.stanza("/k.gpg")
    assert "Signed-By: /k.gpg\n" in source.stanza("/k.gpg")
