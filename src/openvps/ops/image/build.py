"""Build a unified image: metadata, templates and a root file system in one tarball.

mmdebstrap installs the packages in a mount and process namespace of its own, so that killing us leaves neither its
processes nor its mounts. Everything grows in a hidden folder beside the result and is renamed at the end.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from openvps.ops.image.recipes import RECIPES, Recipe
from openvps.ops.image.rootfs import finish
from openvps.ops.image.sources import Source, sources
from openvps.ops.run import ProgramFailed, run

Progress = Callable[[str, float], None]  # phase, and how much of it is done from 0 to 1

_HERE = Path(__file__).parent
_LEFTOVER = ".building-"
_FORGOTTEN_S = 3600  # after it nobody is importing a file any more
_STEP = re.compile(r"^(Get:\d+ .* \[|Unpacking |Setting up )")
_COUNT = re.compile(r"(\d+) newly installed")
_EXPECTED_PACKAGES = 200  # until apt has said how many
_TEMPLATES = {  # file: (template, when)
    "/etc/hostname": ("hostname.tpl", ["start"]),
    "/etc/hosts": ("hosts.tpl", ["create"]),
    "/etc/resolv.conf": ("resolv.conf.tpl", ["create"]),
    "/root/.ssh/authorized_keys": ("authorized_keys.tpl", ["create"]),
    "/var/lib/cloud/seed/nocloud-net/user-data": ("user-data.tpl", ["create"]),
    "/var/lib/cloud/seed/nocloud-net/meta-data": ("meta-data.tpl", ["create"]),
}


class CannotBuild(Exception):
    """The image can't be built here; the text says what to do."""


def build_image(system: str, into: Path, *, mirror: str | None, progress: Progress) -> Path:
    """Build the image of `system` (`debian-12`, `ubuntu-22.04`) in the folder `into` and return the file.

    Raises CannotBuild, NoSource and ProgramFailed. One build at a time in a folder; a second waits.
    """
    recipe = RECIPES.get(system)
    if recipe is None:
        raise CannotBuild(f"{system}: unknown system; there are {', '.join(RECIPES)}")
    archives = sources(recipe, mirror)
    if not Path(recipe.keyring).exists():
        raise CannotBuild(f"{recipe.title}: {recipe.keyring} is missing; apt-get install {recipe.keyring_package}")
    with workplace(into) as work:
        root = work / "rootfs"
        _install(recipe, archives, root, progress)
        progress("configuring", 0)
        finish(root, recipe, archives)
        shutil.copytree(_HERE / "templates", work / "templates")
        (work / "metadata.yaml").write_text(metadata(recipe, created_at=int(time.time())))
        progress("configuring", 1)
        progress("packing", 0)
        packed = _pack(work)
        result = into / f"{system}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar{packed.suffix}"
        packed.rename(result)
        progress("packing", 1)
    return result


def metadata(recipe: Recipe, *, created_at: int) -> str:
    """Return the image's metadata.yaml; JSON is YAML."""
    return json.dumps(
        {
            "architecture": platform.machine(),
            "creation_date": created_at,
            "properties": {
                "os": recipe.distribution,
                "release": recipe.codename,
                "description": recipe.title,
                "openvps.system": recipe.name,
            },
            "templates": {
                path: {"template": template, "when": when} for path, (template, when) in _TEMPLATES.items()
            },
        },
        indent=1,
    )


@contextmanager
def workplace(into: Path) -> Generator[Path]:
    """Yield an empty folder, alone; what killed builds and imports left behind is removed before, ours after."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in into.glob(f"{_LEFTOVER}*"):
            _remove(leftover)
        for packed in into.glob("*.tar.*"):
            if packed.stat().st_mtime < time.time() - _FORGOTTEN_S:
                _remove(packed)
        work = Path(tempfile.mkdtemp(prefix=_LEFTOVER, dir=into))
        try:
            yield work
        finally:
            _remove(work)


def _remove(folder: Path) -> None:
    run(["rm", "-rf", "--one-file-system", "--", str(folder)])  # never into something mounted there


def mmdebstrap(recipe: Recipe, archives: Sequence[Source], root: Path) -> list[str]:
    """Return the command that installs the packages into `root` and dies with us."""
    locales = "printf 'en_US.UTF-8 UTF-8\\n' > \"$1/etc/locale.gen\""
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
        *("mmdebstrap", "--verbose", "--mode=root", "--variant=minbase", "--format=directory"),
        "--setup-hook=/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh",
        f"--include={','.join(recipe.packages)}",
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        f"--essential-hook={locales}",
        *(recipe.codename, str(root)),
        *(source.line(suite, recipe.keyring) for source in archives for suite in source.suites),
    ]


def _install(recipe: Recipe, archives: Sequence[Source], root: Path, progress: Progress) -> None:
    """Run mmdebstrap, counting each package's three steps: fetched, unpacked, set up."""
    argv = mmdebstrap(recipe, archives, root)
    progress("packages", 0)
    steps, packages, counted = 0, _EXPECTED_PACKAGES, 0
    last: deque[str] = deque(maxlen=20)
    env = {name: value for name, value in os.environ.items() if name not in {"TMPDIR", "LANG", "LC_ALL"}}
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as program:
        for line in program.stdout or ():
            last.append(line)
            if count := _COUNT.search(line):
                counted += int(count[1])
                packages = max(counted, _EXPECTED_PACKAGES)
            elif _STEP.match(line):
                steps += 1
                progress("packages", min(0.99, steps / (3 * packages)))
    if program.returncode:
        raise ProgramFailed([*argv[:1], "...", *argv[-6:]], program.returncode, "".join(last))
    progress("packages", 1)


def _pack(work: Path) -> Path:
    """Pack metadata, templates and root into one file, durable on disk."""
    suffix, program = (".zst", "zstd -q -T0 -3") if shutil.which("zstd") else (".gz", "gzip -1")
    packed = work / f"image{suffix}"
    run(
        [
            *("tar", "--create", "--numeric-owner", "--sort=name", "--xattrs", "--xattrs-include=*"),
            *(f"--use-compress-program={program}", f"--file={packed}", f"--directory={work}"),
            *("metadata.yaml", "templates", "rootfs"),
        ]
    )
    with packed.open("rb") as file:
        os.fsync(file.fileno())
    return packed
