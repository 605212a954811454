"""Where bootstrap finds Incus for Debian 12: beside the mirror that the machine uses, however it is written down."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "script" / "bootstrap"
FORMATS = {
    "one-line": ("sources.list", "deb [arch=amd64] http://mirror.test/debian/ bookworm main contrib\n"),
    "deb822": ("debian.sources", "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n"),
    "indirect": ("debian.list", "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n"),
}


def backports(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap's derivation on apt sources of a folder; names have _ for the dot."""
    (folder / "parts").mkdir()
    (folder / "sources.list").touch()
    for name, text in files.items():
        (folder / ("" if name == "sources_list" else "parts") / name.replace("_", ".")).write_text(text)
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::SourceList "{folder}/sources.list";\nDir::Etc::SourceParts "{folder}/parts";\n'
        'APT::Architectures { "amd64"; };\n'
    )
    release = folder / "os-release"
    release.write_text("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
    return subprocess.run(
        ["bash", str(SCRIPT), "--backports"],
        env={**os.environ, "APT_CONFIG": str(configuration), "OS_RELEASE": str(release)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("written", FORMATS)
def test_backports_come_from_the_machines_own_mirror(tmp_path: Path, written: str) -> None:
    name, text = FORMATS[written]
    found = backports(tmp_path, **{name.replace(".", "_"): text})
    assert found.returncode == 0, found.stderr
    mirror = "mirror+file:/etc/apt/mirrors/debian.list" if written == "indirect" else "http://mirror.test/debian"
    assert f"URIs: {mirror}\nSuites: bookworm-backports\nComponents: main\n" in found.stdout


def test_backports_that_are_there_are_left_alone(tmp_path: Path) -> None:
    found = backports(
        tmp_path,
        sources_list="deb http://mirror.test/debian bookworm main\n",
        more_list=("deb http://elsewhere.test/debian bookworm-backports main\n"),
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_a_machine_without_a_debian_mirror_is_an_error(tmp_path: Path) -> None:
    found = backports(tmp_path, sources_list="deb http://vendor.test/repo stable main\n")
    assert found.returncode != 0
    assert found.stdout == ""
