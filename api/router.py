"""The service as a FastAPI router, to run by itself (`api.app`) or inside a host's own API.

    app.include_router(create_router(prefix="/live", authenticate=who_is_it))

The router's lifespan starts and stops the engine, and FastAPI runs it with the host's; where the server is told to stop,
clients are sent away first. `routes` chooses which groups are there; `authenticate` may hand over the host's own identity.
Each route is a few lines: what it does is elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Request, WebSocket
from starlette.responses import JSONResponse, Response

from changefeed.relay import LOST
from changefeed.settings import Settings

from . import longpoll, tickets, websocket
from .asker import identified
from .closing import Ending
from .description import LAST_EVENT_ID, PROBLEM, WISHES, PollAnswer, Readiness, Ticket, content, live
from .metrics import add_metrics
from .problem import ProblemRoute, problem, problem_of
from .rest import add_admin, add_rest
from .service import Authenticate, RefusedError, Service
from .shortcut import PATHS
from .shutdown import announced
from .sse import EventStream

Group = Literal["websocket", "sse", "longpoll", "tickets", "health", "metrics", "rest", "admin"]
READ_SECONDS = 10.0

GROUPS: tuple[Group, ...] = ("websocket", "sse", "longpoll", "tickets", "health", "metrics", "rest", "admin")


def create_router(
    settings: Settings | None = None,
    *,
    prefix: str = "",
    routes: Collection[Group] = GROUPS,
    authenticate: Authenticate | None = None,
    service: Service | None = None,
) -> APIRouter:
    """A router with an engine of its own. Raises ConfigurationError where the settings cannot work.

    `settings`: from the environment unless given. `service`: one that was made already.
    """
    served = service or Service(settings or Settings(), authenticate)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Where the dependencies of `snapshot` find it, from whatever route of the application.
        app.state.changefeed = served
        async with served, announced(served):
            yield

    router = APIRouter(prefix=prefix, lifespan=lifespan, route_class=ProblemRoute)
    if "websocket" in routes:
        _add_websockets(router, served)
    if "sse" in routes:
        _add_events(router, served)
    if "longpoll" in routes:
        _add_changes(router, served)
    if "tickets" in routes:
        _add_tickets(router, served)
    if "health" in routes:
        _add_health(router, served)
    if "metrics" in routes:
        add_metrics(router, served)
    if "rest" in routes:
        add_rest(router, served)
    if "admin" in routes:
        add_admin(router, served)
    return router


def _add_websockets(router: APIRouter, service: Service) -> None:
    async def dashboard(connection: WebSocket) -> None:
        await websocket.serve(connection, service)

    # Plain routes: what FastAPI's own would add, a connection carries for as long as it lives. The prefix too.
    for path in PATHS:
        router.add_websocket_route(router.prefix + path, dashboard)


def _add_events(router: APIRouter, service: Service) -> None:
    described = live("stream_messages", *WISHES, LAST_EVENT_ID)

    @router.get("/api/v1/events", response_class=Response, responses=content("text/event-stream"), **described)
    async def events(request: Request) -> Response:
        """The live messages as server-sent events; `Last-Event-ID` or `since` resumes."""
        try:
            identity, wishes = await identified(request, service, "sse")
        except RefusedError as refused:
            return problem_of(refused.ending)
        since = request.headers.get("last-event-id") or wishes.since
        return EventStream(service, identity, replace(wishes, since=since))


def _add_changes(router: APIRouter, service: Service) -> None:
    @router.get("/api/v1/changes", response_model=PollAnswer, responses=PROBLEM, **live("poll_messages", *WISHES))
    async def changes(
        request: Request, wait: Annotated[float, Query(**longpoll.parameters())] = longpoll.LONGEST_WAIT
    ) -> Response:
        """What came after `since`, at once or as soon as something does. Without `since`, the place to begin at."""
        try:
            identity, wishes = await identified(request, service, "longpoll")
        except RefusedError as refused:
            return problem_of(refused.ending)
        return longpoll.Poll(service, identity, wishes, wait)


def _add_tickets(router: APIRouter, service: Service) -> None:
    @router.post("/api/v1/ws-ticket", response_model=Ticket, responses=PROBLEM, **live("issue_ticket"))
    async def ws_ticket(request: Request) -> Response:
        """A ticket that opens one WebSocket within 30 seconds, for browsers that can send no header."""
        try:
            identity, _ = await identified(request, service)
            async with asyncio.timeout(READ_SECONDS):
                ticket = await tickets.issue(service.feed.pool, identity)
        except RefusedError as refused:
            return problem_of(refused.ending)
        except LOST:
            return problem_of(Ending.of("internal"))
        return JSONResponse({"ticket": ticket, "expires_in": tickets.SECONDS}, headers={"Cache-Control": "no-store"})


def _add_health(router: APIRouter, service: Service) -> None:
    @router.get("/healthz", tags=["health"], operation_id="healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz", tags=["health"], operation_id="readyz", response_model=Readiness, responses=PROBLEM)
    async def readyz() -> Response:
        """Capture, LISTEN and the relay are confirmed; otherwise 503, with the reasons."""
        await service.confirm()
        pulse = service.feed.pulse
        reasons = service.reasons
        if reasons:
            return problem(503, "not-ready", "; ".join(reasons), reasons=reasons)
        return JSONResponse({"status": "ready", "leading": pulse.leading, "watched": len(pulse.watches)})
