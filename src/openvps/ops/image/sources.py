"""Where packages come from: the archive that this machine itself uses, or one that a setting names.

No archive is named in this repository, and nothing of ours (proxy, cache) is left in an image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from openvps.ops.image.recipes import Recipe

_ROLLING = ("stable", "oldstable", "oldoldstable", "testing")  # suites that a codename may hide behind


class NoSource(Exception):
    """Nobody said where the packages are; the text says what to set."""


@dataclass(frozen=True)
class Source:
    """One stanza of apt's sources."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...] = ("main",)

    def line(self, suite: str, keyring: str) -> str:
        """Write one suite as a line of the old format, which every mmdebstrap takes."""
        return f"deb [signed-by={keyring}] {self.uri} {suite} {' '.join(self.components)}"

    def stanza(self, keyring: str) -> str:
        """Write it in the format of today's *.sources files."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: {' '.join(self.components)}\nSigned-By: {keyring}\n"
        )


def sources(recipe: Recipe, mirror: str | None, *, root: Path = Path("/")) -> list[Source]:
    """Return the archives to build `recipe` from: `mirror`, or those of the machine whose files are under `root`.

    Raises NoSource where this machine is of another distribution and no mirror is set.
    """
    if mirror:
        return _archives(recipe, mirror.rstrip("/"), None)
    release = _os_release(root)
    if release.get("ID") != recipe.distribution:
        setting = f"OPENVPS_{recipe.distribution.upper()}_MIRROR"
        raise NoSource(f"{recipe.title}: this machine is no {recipe.distribution}; set {setting} to an archive")
    own = {release.get("VERSION_CODENAME", ""), *_ROLLING}
    found = [entry for entry in _entries(root / "etc/apt") if "main" in entry.components]
    main = _likeliest([entry for entry in found if own.intersection(entry.suites)], recipe, found)
    if main is None:
        raise NoSource(f"{recipe.title}: this machine's apt sources name no archive of its own release")
    secure = {f"{name}-security" for name in own} | {f"{name}/updates" for name in own}
    return _archives(recipe, main, next((e.uri for e in found if secure.intersection(e.suites)), None))


def _likeliest(candidates: Sequence[Source], recipe: Recipe, everything: Sequence[Source]) -> str | None:
    """Return the distribution's archive among those that call a suite as it does; others do so too (Docker's).

    It is the one with updates, and by custom called after the distribution.
    """

    def likeness(uri: str) -> tuple[bool, bool]:
        suites = {suite for entry in everything if entry.uri == uri for suite in entry.suites}
        return any(suite.endswith("-updates") for suite in suites), uri.endswith(f"/{recipe.distribution}")

    return max((entry.uri for entry in candidates), key=likeness, default=None)


def _archives(recipe: Recipe, main: str, security: str | None) -> list[Source]:
    """Return main, updates and security; by custom Debian's security archive lies beside `…/debian`."""
    if recipe.distribution == "debian":
        security = security or f"{main}-security"
    base = Source(main, (recipe.codename, f"{recipe.codename}-updates"), recipe.components)
    return [base, replace(base, uri=security or main, suites=(f"{recipe.codename}-security",))]


def _os_release(root: Path) -> dict[str, str]:
    lines = (root / "etc/os-release").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def _entries(apt: Path) -> Iterator[Source]:
    """Yield every enabled binary source over HTTP."""
    for file in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".sources":
            yield from _stanzas(text, apt)
        elif file.suffix == ".list":
            yield from _lines(text, apt)


def _lines(text: str, apt: Path) -> Iterator[Source]:
    """Read the one-line format: `deb [options] uri suite components`."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        rest = words[1:]
        if rest and rest[0].startswith("["):
            end = next((at for at, word in enumerate(rest) if word.endswith("]")), len(rest))
            rest = rest[end + 1 :]
        if len(rest) > 1 and (uri := _uri(rest[0], apt)):
            yield Source(uri, (rest[1],), tuple(rest[2:]))


def _stanzas(text: str, apt: Path) -> Iterator[Source]:
    """Read the deb822 format: paragraphs of `Field: values`, continued on indented lines."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if not line[:1].isspace():
                name, _, line = line.partition(":")  # noqa: PLW2901 -- what follows the name are its values
                name = name.lower()
            fields.setdefault(name, []).extend(line.split())
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        for uri in filter(None, (_uri(word, apt) for word in fields.get("uris", []))):
            yield Source(uri, tuple(fields.get("suites", [])), tuple(fields.get("components", [])))


def _uri(word: str, apt: Path) -> str | None:
    """Return an HTTP address without credentials; `mirror+file:` names a list of them, of which we take the first."""
    if word.startswith("mirror+file:"):
        file = Path("/" + word.removeprefix("mirror+file:").lstrip("/"))
        file = apt / file.relative_to("/etc/apt") if file.is_relative_to("/etc/apt") else file
        first = file.read_text().split() if file.is_file() else []
        return _uri(first[0], apt) if first else None
    parts = urlsplit(word)
    if parts.scheme not in {"http", "https"}:
        return None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
