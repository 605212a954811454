"""The languages of the pages: English in the code, each other one a catalogue in `locales/`, read at the start.

A new catalogue is a new language: nothing else names them. How to add one: docs/how-to/translate.md.
"""

import io
from functools import cache
from importlib.resources import files

from babel import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

ENGLISH = "en"
LOCALES = files("openvps.web") / "locales"


@cache
def available() -> dict[str, str]:
    """Return the languages' codes with their own names, English first."""
    others = sorted(one.name.removesuffix(".po") for one in LOCALES.iterdir() if one.name.endswith(".po"))
    return {code: Locale.parse(code).get_display_name(code) or code for code in [ENGLISH, *others]}


def catalogue(code: str) -> Catalog:
    """Return a language's catalogue."""
    return read_po(io.BytesIO((LOCALES / f"{code}.po").read_bytes()), locale=code)


@cache
def translations(code: str) -> Translations:
    """Return what turns our English into a language; what is missing or fuzzy stays English."""
    if code == ENGLISH:
        return Translations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(code))
    compiled.seek(0)
    return Translations(compiled)


def choose(asked: str | None, accepted: str) -> str:
    """Return the page's language: the one asked for by `?lang=`, or the best of an Accept-Language header."""
    if asked in available():
        return asked
    weighted: list[tuple[float, str]] = []
    for part in accepted[:1000].split(","):
        code, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if weight > 0:
            weighted.append((-weight, code.strip()))
    preferred = [code for _, code in sorted(weighted, key=lambda one: one[0])]
    preferred = [form for code in preferred for form in (code, code.partition("-")[0])]
    return negotiate_locale(preferred, list(available()), sep="-") or ENGLISH
