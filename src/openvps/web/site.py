"""The rendered pages, each made once for each language.

They are made with a stand-in for the address, and the reader's own is put in as they leave: so there are as many in
memory as there are pages and languages, whatever addresses are asked for.
"""

import hashlib
import json
import re
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from openvps.web import languages
from openvps.web.openapi import describe
from openvps.web.reading import Section, sections

ORIGIN = "https://openvps.invalid"  # the stand-in: RFC 2606, no one's address
TEMPLATES = "templates"
_CODE = re.compile(r"`([^`]+)`")


class Site:
    """The document of an app, and the pages made of it."""

    def __init__(self, app: FastAPI, base_path: str) -> None:
        self._app = app
        self.base_path = base_path
        # Bounded by pages times languages: names and languages are looked up before they get here.
        self.rendered: dict[tuple[str, str], bytes] = {}

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document, served from the stand-in."""
        return {**describe(self._app), "servers": [{"url": ORIGIN, "description": "This installation"}]}

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The pages by their names."""
        return sections(self.document, ORIGIN)

    @cached_property
    def _json(self) -> bytes:
        return json.dumps(self.document, ensure_ascii=False).encode()

    def openapi(self, origin: str) -> bytes:
        """Return the document as JSON, served from `origin`."""
        return self._json.replace(ORIGIN.encode(), origin.encode())

    def page(self, name: str, language: str, origin: str) -> bytes:
        """Return a page as HTML: `index`, `reference`, or one of the sections."""
        made = self.rendered.get((name, language))
        if made is None:
            made = self.rendered[name, language] = self._render(name, language).encode()
        return made.replace(ORIGIN.encode(), origin.encode())

    def _render(self, name: str, language: str) -> str:
        section = self.sections.get(name)
        template = "section" if section else name
        return (
            environment()
            .get_template(f"{template}.html")
            .render(
                _=languages.translations(language).gettext,
                asset=asset,
                base=self.base_path,
                language=language,
                languages=languages.available(),
                section=section,
                sections=self.sections,
                origin=ORIGIN,
                document=self.document,
            )
        )


@cache
def environment() -> Environment:
    """Return the templates."""
    made = Environment(
        loader=PackageLoader("openvps.web", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["prose"] = prose
    return made


def prose(text: str) -> Markup:
    """Return a text of the document as HTML: what stands between back-ticks is code."""
    return Markup(_CODE.sub(r'<code translate="no">\1</code>', str(escape(text))))  # noqa: S704 -- escaped above


@cache
def asset(name: str) -> str:
    """Return a file of ours by a name that changes with what is in it."""
    content = (files("openvps.web") / "static" / name).read_bytes()
    return f"static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"
