"""Which API is called, and with which token: contexts in a file of the user's own, or the environment.

The file is `$XDG_CONFIG_HOME/openvps/contexts.json`, readable by its owner only. `OPENVPS_TOKEN` wins over it;
`OPENVPS_CONTEXT` names another context than the current one. A context's token is never sent to another address.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from openvps.cli.exits import Stop

LOCAL = "http://127.0.0.1:8080/api/v1"
BASE_PATH = "/api/v1"


@dataclass(frozen=True)
class Context:
    """An API, a token for it, and the private key that opens its servers if it isn't one of ssh's own."""

    url: str
    token: str
    identity: str | None = None


@dataclass(frozen=True)
class Contexts:
    """What is in the file."""

    current: str | None = None
    contexts: dict[str, Context] = field(default_factory=dict[str, Context])

    def with_(self, name: str, context: Context, *, use: bool = False) -> "Contexts":
        """Return them with one more, which is used if it is the first."""
        current = name if use or self.current is None else self.current
        return replace(self, current=current, contexts={**self.contexts, name: context})

    def without(self, name: str) -> "Contexts":
        """Return them with one less."""
        left = {one: context for one, context in self.contexts.items() if one != name}
        return replace(self, current=None if self.current == name else self.current, contexts=left)


def folder(home: Path | None = None) -> Path:
    """Return where our files are; of another user, in their home."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") if home is None else home / ".config"
    return base / "openvps"


def load(place: Path | None = None) -> Contexts:
    """Read the file. Raises Stop where others can read it too."""
    file = (place or folder()) / "contexts.json"
    try:
        with file.open() as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read()
    except FileNotFoundError:
        return Contexts()
    if mode & 0o077:
        raise Stop(f"others can read {file}, which has tokens: chmod 600 {file}")
    try:
        body = json.loads(text)
        return Contexts(body["current"], {name: Context(**one) for name, one in body["contexts"].items()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Stop(f"{file} can't be read ({error}): correct it, or remove it and add your contexts again") from error


def save(contexts: Contexts, place: Path | None = None) -> Path:
    """Write the file, all of it or nothing, readable by its owner only."""
    place = place or folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = place / "contexts.json"
    handle, fresh = tempfile.mkstemp(dir=place)  # 0600 from the beginning
    with os.fdopen(handle, "w") as opened:
        json.dump(asdict(contexts), opened, indent=2)
        opened.write("\n")
    Path(fresh).replace(file)
    return file


def chosen() -> tuple[str, Context]:
    """Return the context that commands use, with its name. Raises Stop where there is none."""
    url, token = os.environ.get("OPENVPS_API_URL") or None, os.environ.get("OPENVPS_TOKEN")
    contexts = load()
    name = os.environ.get("OPENVPS_CONTEXT") or contexts.current
    context = contexts.contexts.get(name) if name else None
    if name and context is None:
        raise Stop(f"there is no context {name}; `openvps context list` shows those there are")
    if token:
        known = context or Context(LOCAL, "")
        if url is None or normal(url) == known.url:
            return "OPENVPS_TOKEN", replace(known, token=token)
        return "OPENVPS_TOKEN", Context(normal(url), token)
    if url is not None and (context is None or normal(url) != context.url):
        raise Stop("OPENVPS_API_URL is set without OPENVPS_TOKEN: a context's token isn't sent to another address")
    if name is None or context is None:
        raise Stop("no API is known here: `openvps context add NAME URL`, or set OPENVPS_TOKEN and OPENVPS_API_URL")
    return name, context


def normal(url: str) -> str:
    """Return an API's base URL, of a host alone too. Raises Stop for what is none."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise Stop(f"{url} isn't the base URL of an API, like https://cloud.example.org/api/v1")
    path = parts.path.rstrip("/") or BASE_PATH
    return f"{parts.scheme}://{parts.netloc}{path}"


def in_clear(url: str) -> bool:
    """Whether a token for `url` would travel readable by others."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and host != "localhost" and not host.startswith("127.") and host != "::1"
