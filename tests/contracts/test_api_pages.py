"""The API pages: every operation on a page, in every language, with nothing from elsewhere.

`PYTHONPATH=src python tests/contracts/test_api_pages.py [LANGUAGE]` brings the catalogues up to date, or begins one.
"""

import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from openvps.app import BASE_PATH, create_app
from openvps.core import settings
from openvps.web import catalogue, languages
from openvps.web.samples import LANGUAGES, TOKEN
from openvps.web.site import Site

pytestmark = pytest.mark.anyio

DOCS = f"{BASE_PATH}/docs/"
TRANSLATED = [code for code in languages.available() if code != languages.ENGLISH]
VOID = {"meta", "link", "input", "br", "img"}


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """Return the API without a database: the pages need none."""
    monkeypatch.setenv("OPENVPS_CONFIG", "/nonexistent")
    settings.load.cache_clear()
    yield create_app()
    settings.load.cache_clear()


@pytest.fixture
def site(app: FastAPI) -> Site:
    return app.state.site


async def get(app: FastAPI, path: str, **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as http:
        return await http.get(path, headers=headers)


def pages(site: Site) -> list[str]:
    return [DOCS, f"{BASE_PATH}/reference/", *(f"{DOCS}{name}/" for name in site.sections)]


class Page(HTMLParser):
    """A page's elements, and the texts of its samples."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.samples: dict[tuple[str, str], str] = {}
        self.open: list[str] = []
        self._sample: tuple[str, str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "pre":
            self._sample = (given["data-operation"], given["data-language"]) if "data-operation" in given else None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag == "pre":
            self._sample = None

    def handle_data(self, data: str) -> None:
        if self._sample:
            self.samples[self._sample] = self.samples.get(self._sample, "") + data

    def all(self, attribute: str) -> list[str]:
        return [given[attribute] for _, given in self.elements if attribute in given]


@pytest.mark.parametrize("code", languages.available())
async def test_every_page_is_whole_in_every_language(app: FastAPI, site: Site, code: str) -> None:
    for path in pages(site):
        answer = await get(app, f"{path}?lang={code}")
        assert answer.status_code == 200, path
        assert "'unsafe" not in answer.headers["content-security-policy"]
        page = Page(answer.text)
        assert page.open == []
        assert page.elements[1] == ("html", {"lang": code}) or page.elements[0] == ("html", {"lang": code})
        ids = page.all("id")
        assert len(ids) == len(set(ids))
        for name in ("aria-labelledby", "for"):
            assert set(page.all(name)) <= set(ids)
        levels = [int(tag[1]) for tag, _ in page.elements if tag in {"h1", "h2", "h3", "h4"}]
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        assert levels[:1] == ([1] if DOCS in path else [])
        assert not page.all("style")


async def test_nothing_comes_from_elsewhere(app: FastAPI, site: Site) -> None:
    for path in pages(site):
        page = Page((await get(app, path)).text)
        for target in {*page.all("href"), *page.all("src")} - {"data:,"}:
            assert target.startswith(("/", "#", "?")), target
            if target.startswith("/"):
                assert (await get(app, target)).status_code == 200, target
            elif target.startswith("#"):
                assert target[1:] in page.all("id")


async def test_each_operation_has_its_samples_with_the_readers_host(app: FastAPI, site: Site) -> None:
    found: set[str] = set()
    for name, section in site.sections.items():
        answer = await get(app, f"{DOCS}{name}/", Host="cloud.example.org")
        page = Page(answer.text)
        for endpoint in section.endpoints:
            found.add(endpoint.id)
            for language in LANGUAGES:
                sample = page.samples[endpoint.id, language]
                assert "http://cloud.example.org/api/v1/" in sample
                assert "application/json" in sample  # without it a body is 415
                assert TOKEN in sample or endpoint.id in {"sign_in", "accept_invite"}
            compile(page.samples[endpoint.id, "python"], endpoint.id, "exec")
    assert found == {one["operationId"] for item in app.openapi()["paths"].values() for one in item.values()}


def test_each_operations_samples_are_run_on_real_servers(site: Site) -> None:
    steps = (Path(__file__).parents[1] / "live" / "test_page_samples.py").read_text()
    shown = {one.id for section in site.sections.values() for one in section.endpoints}
    assert shown == set(re.findall(r'\bStep\(\s*"(\w+)"', steps)), (
        "each needs a Step in tests/live/test_page_samples.py"
    )


async def test_the_language_is_the_one_asked_for_or_the_browsers(app: FastAPI) -> None:
    async def served(query: str, accepted: str) -> str:
        return (await get(app, f"{DOCS}{query}", **{"Accept-Language": accepted})).headers["content-language"]

    assert await served("", "gu-IN,gu;q=0.9,en;q=0.5") == "gu"
    assert await served("", "en;q=0.5,gu;q=0.9") == "gu"
    assert await served("", "fr,de;q=0.7") == "en"
    assert await served("?lang=gu", "en") == "gu"
    assert await served("?lang=nonsense", "") == "en"
    assert await served("", "gu;q=nonsense,,;;q=") == "en"


async def test_hosts_fill_no_memory_and_odd_ones_are_not_repeated(app: FastAPI, site: Site) -> None:
    for number in range(50):
        answer = await get(app, f"{DOCS}servers/", Host=f"host{number}.example.org")
        assert f"http://host{number}.example.org/" in answer.text
    assert len(site.rendered) == 1
    answer = await get(app, f"{DOCS}servers/", Host="evil.example'><script>")
    assert "evil.example" not in answer.text


async def test_a_page_that_is_not_there_is_404(app: FastAPI) -> None:
    answer = await get(app, f"{DOCS}nonsense/")
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


@pytest.mark.parametrize("code", TRANSLATED)
def test_nothing_is_left_untranslated(site: Site, code: str) -> None:
    assert catalogue.problems(code, site.sections) == [], "see docs/how-to/translate.md"


def test_gujarati_is_there() -> None:
    assert languages.available() == {"en": "English", "gu": "ગુજરાતી"}


if __name__ == "__main__":
    os.environ["OPENVPS_CONFIG"] = "/nonexistent"
    made: Site = create_app().state.site
    for language_code in sys.argv[1:] or TRANSLATED:
        file = Path(__file__).parents[2] / "src" / "openvps" / "web" / "locales" / f"{language_code}.po"
        file.write_text(catalogue.update(language_code, made.sections))
