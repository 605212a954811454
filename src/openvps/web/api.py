"""`/openapi.json`, `/reference/` and `/docs/`: public, made of the routes, for people and for their tools."""

import re

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from openvps.core.errors import NotFound
from openvps.web import languages
from openvps.web.console import mount as console
from openvps.web.site import Site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # Swagger UI's arrows
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
}
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?\Z|\[[0-9A-Fa-f:.]+\](:\d{1,5})?\Z")

router = APIRouter(include_in_schema=False)


def mount(app: FastAPI, base_path: str) -> None:
    """Serve the document, the reference and the pages of `app`, whose routes may still grow."""
    site = Site(app, base_path)
    app.state.site = site
    app.openapi = lambda: site.document
    app.include_router(router, prefix=base_path)
    console.mount(app)
    app.mount(f"{base_path}/docs/static", StaticFiles(packages=[("openvps.web", "static")]))
    app.mount(f"{base_path}/reference/static", StaticFiles(packages=[("fastapi_offline", "static")]))


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The document, with the address that it was asked for at."""
    return _answer(request.app.state.site.openapi(_origin(request)), "application/json", {})


@router.get("/docs/")
async def index(request: Request, lang: str | None = None) -> Response:
    """The first page."""
    return _page(request, "index", lang)


@router.get("/docs/{section}/")
async def section(request: Request, section: str, lang: str | None = None) -> Response:
    """The page of a tag. Raises NotFound."""
    if section not in request.app.state.site.sections:
        raise NotFound("There is no such page. See /api/v1/docs/ for those there are.")
    return _page(request, section, lang)


@router.get("/reference/")
async def reference(request: Request, lang: str | None = None) -> Response:
    """The interactive reference."""
    return _page(request, "reference", lang)


def _page(request: Request, name: str, asked: str | None) -> Response:
    language = languages.choose(asked, request.headers.get("accept-language", ""))
    body = request.app.state.site.page(name, language, _origin(request))
    return _answer(body, "text/html", {**HTML, "Content-Language": language})


def _answer(body: bytes, media_type: str, headers: dict[str, str]) -> Response:
    return Response(body, media_type=media_type, headers={**headers, "Cache-Control": "public, no-cache"})


def _origin(request: Request) -> str:
    """Return the address the reader used; an odd one isn't repeated."""
    host = request.headers.get("host", "")
    if _HOST.match(host):
        return f"{request.url.scheme}://{host}"
    return request.app.state.settings.base_url
