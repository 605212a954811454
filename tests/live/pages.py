"""The samples of our own API pages, taken out of the pages as they are served."""

from functools import cache
from html.parser import HTMLParser
from typing import Any

import httpx2


class _Samples(HTMLParser):
    """The text of each sample by operation and language, and where the page leads to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.samples: dict[tuple[str, str], str] = {}
        self.links: set[str] = set()
        self._open: tuple[str, str] | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.add(given.get("href", ""))
        if tag == "pre":
            self._open = (given["data-operation"], given["data-language"]) if "data-operation" in given else None

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open:
            self.samples[self._open] = self.samples.get(self._open, "") + data


@cache
def samples(url: str) -> dict[tuple[str, str], str]:
    """Return every page's samples by operation and language; `url` is the API's, and so in them already."""
    found: dict[tuple[str, str], str] = {}
    with httpx2.Client(timeout=30, trust_env=False) as http:
        index = _Samples(http.get(f"{url}/docs/").raise_for_status().text)
        origin = url.removesuffix("/api/v1")
        for link in sorted(index.links):
            if link.startswith("/api/v1/docs/") and link.partition("?")[0] != "/api/v1/docs/":
                found |= _Samples(http.get(origin + link).raise_for_status().text).samples
    return found


@cache
def operations(url: str) -> dict[str, dict[str, Any]]:
    """Return what the document says of each operation, by its id."""
    with httpx2.Client(timeout=30, trust_env=False) as http:
        document = http.get(f"{url}/openapi.json").raise_for_status().json()
    return {one["operationId"]: one for item in document["paths"].values() for one in item.values()}
