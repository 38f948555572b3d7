"""The dashboard page at `/`, served as it lies in `static/`, with what it needs to know of this installation.

No external host is contacted, and the browser is told to allow none. `CHANGEFEED_DEMO_TOKENS` hands tokens to everybody who
opens the page, and adds two buttons that do something to the server, for its admin: without it neither exists.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from changefeed.relay import LOST

from .asker import identified
from .closing import Ending
from .problem import problem, problem_of
from .service import RefusedError, Service

logger = logging.getLogger("changefeed.page")

STATIC = Path(__file__).parent / "static"

SECURITY = {
    # `form-action`: should the script not run, a token that was typed in must not end up in an address.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for again each time, and answered with 304: a page and a script of two releases do not go together.
    "Cache-Control": "no-cache",
}

END_LISTENERS = """
select count(pg_terminate_backend(pid))
from pg_stat_activity
where application_name = 'changefeed listener' and datname = current_database() and usename = current_user
"""
"""Of every process: the sessions of one role may end each other. The relays find out as they would after a failover."""

BULK_UPDATE = """
update public.workflow_execution
set cost_usd = cost_usd + 0.01
where workflow_id in (select id from public.workflow where name <> 'Hand-driven')
"""
"""As the demo's application would do it, which knows nothing of changefeed; its hand-driven workflow is left alone."""

STATEMENT_SECONDS = 10.0


class _Files(StaticFiles):
    """With the headers of the page."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers.update(SECURITY)
        return response


def add_page(app: FastAPI, service: Service) -> None:
    """Adds `/`, `/static/...` and `/demo.json`; for a demonstration `/demo/...` as well."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=SECURITY)

    @app.get("/demo.json", include_in_schema=False)
    async def demo() -> JSONResponse:
        facts: dict[str, Any] = {"tokens": service.settings.demo_tokens or {}}
        return JSONResponse(facts, headers=SECURITY | {"Cache-Control": "no-store"})

    app.mount("/static", _Files(directory=STATIC), name="static")
    if service.settings.demo_tokens:
        _add_demonstration(app, service)


def _add_demonstration(app: FastAPI, service: Service) -> None:
    async def end_listeners() -> int:
        ended: int = await service.feed.pool.fetchval(END_LISTENERS, timeout=STATEMENT_SECONDS)
        return ended

    async def update() -> int:
        done: str = await service.feed.pool.execute(BULK_UPDATE, timeout=STATEMENT_SECONDS)
        return int(done.rpartition(" ")[2])

    @app.post("/demo/restart-relay", include_in_schema=False)
    async def restart_relay(request: Request) -> Response:
        return await _done(request, service, "sessions", end_listeners)

    @app.post("/demo/bulk-update", include_in_schema=False)
    async def bulk_update(request: Request) -> Response:
        return await _done(request, service, "rows", update)


async def _done(request: Request, service: Service, what: str, act: Callable[[], Awaitable[int]]) -> Response:
    try:
        identity, _ = await identified(request, service)
    except RefusedError as refused:
        return problem_of(refused.ending)
    if not identity.admin:
        return problem(403, "admin-only", "This is for the admin of the demonstration.")
    started = time.perf_counter()
    try:
        count = await act()
    except LOST as error:
        logger.warning("a button of the demonstration failed: %s: %s", type(error).__name__, error)
        return problem_of(Ending.of("internal"))
    return JSONResponse({what: count, "milliseconds": round((time.perf_counter() - started) * 1000, 1)})
