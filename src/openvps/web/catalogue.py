"""What there is to translate: the texts of the templates, and those of the document that stand on a page.

A catalogue's file says of each text where it stands, so that a translator can look.
"""

import io
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from jinja2.ext import babel_extract

from openvps.web import languages
from openvps.web.reading import Endpoint, Section

WIDTH = 116
HEAD = """\
# The API pages in {language}. How to translate: docs/how-to/translate.md.
msgid ""
msgstr ""
"Language: {code}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def texts(sections: dict[str, Section]) -> dict[str, list[str]]:
    """Return every English text with the places where it stands, in reading order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for place, text in [*_of_templates(), *_of_sections(sections), *_of_templates("console")]:
        if text and place not in found[text]:
            found[text].append(place)
    return dict(found)


def update(code: str, sections: dict[str, Section]) -> str:
    """Return a language's file brought up to date: new texts empty, changed ones marked fuzzy, gone ones left out."""
    wanted = Catalog(locale=code)
    for text, places in texts(sections).items():
        wanted.add(text, auto_comments=[", ".join(places[:4])])
    try:
        kept = languages.catalogue(code)
    except FileNotFoundError:
        kept = Catalog(locale=code)
    kept.update(wanted)
    return written(code, kept)


def written(code: str, catalogue: Catalog) -> str:
    """Return a catalogue as its file: the same texts make the same file, whoever writes it and when."""
    body = io.BytesIO()
    write_po(body, catalogue, width=WIDTH, ignore_obsolete=True, omit_header=True)
    return HEAD.format(language=Locale.parse(code).english_name, code=code) + body.getvalue().decode()


def problems(code: str, sections: dict[str, Section]) -> list[str]:
    """Return what is wrong with a language's file: texts missing, fuzzy, or no longer on any page."""
    kept, wanted = languages.catalogue(code), texts(sections)
    there = {str(message.id): message for message in kept if message.id}
    return [
        *(f"missing: {text}" for text in wanted if text not in there or not there[text].string),
        *(f"fuzzy: {text}" for text in wanted if text in there and there[text].fuzzy),
        *(f"on no page: {text}" for text in there if text not in wanted),
        *(
            f"code changed: {text}"
            for text in wanted
            if text in there and there[text].string and text.count("`") != str(there[text].string).count("`")
        ),
    ]


def _of_templates(folder: str = "") -> Iterator[tuple[str, str]]:
    pages = [file for file in files("openvps.web").joinpath("templates", folder).iterdir() if file.is_file()]
    for file in sorted(pages, key=lambda one: one.name):
        for _, _, text, _ in babel_extract(io.BytesIO(file.read_bytes()), ["_"], [], {"silent": "false"}):
            if isinstance(text, str):
                yield file.name, text


def _of_sections(sections: dict[str, Section]) -> Iterator[tuple[str, str]]:
    for section in sections.values():
        yield section.name, section.title
        yield section.name, section.description
        for endpoint in section.endpoints:
            for text in _of_endpoint(endpoint):
                yield endpoint.id, text


def _of_endpoint(endpoint: Endpoint) -> Iterator[str]:
    yield endpoint.title
    yield endpoint.description
    parameters = [one for listed in endpoint.parameters.values() for one in listed]
    for field in [*parameters, *endpoint.body, *endpoint.answer]:
        yield field.meaning
        yield from field.kind
    for status in endpoint.statuses:
        yield status.meaning
