"""The API process: composes the slices' routers, and translates errors once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from openvps.accounts import api as account_api
from openvps.accounts.admin import api as admin_api
from openvps.accounts.audit import api as audit_api
from openvps.accounts.rate_limit import RateLimit
from openvps.accounts.second_factor import api as second_factor_api
from openvps.accounts.sign_in import api as sign_in_api
from openvps.accounts.ssh_keys import api as ssh_keys_api
from openvps.accounts.throttle import Guesses
from openvps.accounts.tokens import api as tokens_api
from openvps.actions import api as actions_api
from openvps.actions.changes import Changes
from openvps.actions.events import api as events_api
from openvps.actions.events.feeds import Feeds
from openvps.actions.webhooks import api as webhooks_api
from openvps.billing import api as billing_api
from openvps.compute.backups import api as backups_api
from openvps.compute.consistency import api as consistency_api
from openvps.compute.locations import api as locations_api
from openvps.compute.operations import api as operations_api
from openvps.compute.plans import admin as plans_admin_api
from openvps.compute.plans import api as plans_api
from openvps.compute.servers import api as servers_api
from openvps.compute.servers import metrics as metrics_api
from openvps.compute.servers.kept_lists import KeptLists
from openvps.compute.snapshots import api as snapshots_api
from openvps.compute.systems import api as systems_api
from openvps.compute.terminals import api as terminals_api
from openvps.core import log, settings
from openvps.core.db import Database
from openvps.core.errors import Error, Unauthenticated, Unavailable
from openvps.core.exposition import exposed
from openvps.core.http.conditional import Conditional
from openvps.core.http.envelope import Envelope
from openvps.core.http.measured import Measured
from openvps.monitoring.facts import Facts
from openvps.web import api as web_api
from openvps.web import invoice as invoice_api

BASE_PATH = "/api/v1"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SLICES = (
    servers_api,
    metrics_api,
    terminals_api,
    snapshots_api,
    backups_api,
    actions_api,
    events_api,
    webhooks_api,
    plans_api,
    systems_api,
    locations_api,
    ssh_keys_api,
    account_api,
    tokens_api,
    billing_api,
    invoice_api,
    audit_api,
    sign_in_api,
    second_factor_api,
    admin_api,
    operations_api,
    plans_admin_api,
    consistency_api,
)

logger = log.get(__name__)


def create_app() -> FastAPI:
    """Return the API as an ASGI application; its settings come from the environment."""
    config = settings.load()
    log.configure("api", level=config.log_level)
    app = FastAPI(
        title="OpenVPS",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = config
    app.state.guesses = Guesses(config.failures_allowed)
    app.state.rate_limit = RateLimit(an_hour=config.rate_limit, burst=config.rate_limit_burst)
    for piece in SLICES:
        app.include_router(piece.router, prefix=BASE_PATH)
    web_api.mount(app, BASE_PATH)
    app.add_exception_handler(Error, _refusal)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(sqlalchemy.exc.OperationalError, _database_away)
    app.add_exception_handler(sqlalchemy.exc.TimeoutError, _database_away)
    # Each is put around those before it: the last is the outermost.
    app.add_middleware(KeptLists, path=f"{BASE_PATH}/servers/")
    app.add_middleware(Measured)
    app.add_middleware(_TrailingSlash)
    app.add_middleware(Conditional)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)
    app.add_middleware(Envelope)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    app.state.database = Database(app.state.settings.conninfo("api"), pool_size=8)
    app.state.changes = Changes(app.state.settings.conninfo("api"))
    app.state.feeds = Feeds(app.state.database, app.state.changes, a_token=app.state.settings.event_streams)
    settling = asyncio.create_task(app.state.rate_limit.keep_settling(app.state.database))
    async with exposed(app.state.settings, first=0, facts=Facts(app.state.database)):
        yield
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)  # it may yet have a connection
    await app.state.rate_limit.try_to_settle(app.state.database)
    await app.state.feeds.close()
    await app.state.changes.close()
    await app.state.database.close()


class _TrailingSlash:
    """Serves `/servers` as `/servers/`, directly: clients don't follow redirects of a POST."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        last = scope["path"].rpartition("/")[2] if scope["type"] == "http" else ""
        if last and "." not in last:  # /servers/7, not /openapi.json
            scope = {**scope, "path": scope["path"] + "/"}
        await self._app(scope, receive, send)


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Error):
        raise error
    headers: dict[str, str] = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.context:
        logger.info("refused", status=error.status, detail=error.detail, **error.context)
    return JSONResponse(error.body(), error.status, headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer the framework's own refusals (404 of an unknown path, 405) in our form."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return JSONResponse({"detail": f"{error.detail.rstrip('.')}."}, error.status_code, headers)


def _allowed(request: Request) -> list[str]:
    """Return what the path does serve: each route knows its own methods only, and a path has several routes."""
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        # HEAD is GET, see core/http/conditional.py
        if any(
            one.matches({**request.scope, "method": "GET" if method == "HEAD" else method})[0] is Match.FULL
            for one in routes
        )
    ]


async def _invalid_request(_request: Request, error: Exception) -> JSONResponse:
    """Answer what FastAPI itself finds wrong, 400 and never 422."""
    if not isinstance(error, RequestValidationError):
        raise error
    fields: dict[str, Any] = {}
    for one in error.errors():
        fields.setdefault(str(one["loc"][-1]), []).append(one["msg"])
    return JSONResponse(fields, 400)


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    logger.error("database_away", error=str(error).partition("\n")[0])
    return await _refusal(request, Unavailable("The service is starting or overloaded.", retry_after_s=5))
