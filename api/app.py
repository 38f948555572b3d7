"""The service as an application of its own: `uvicorn api.app:app`, configured by `CHANGEFEED_*` and `DATABASE_URL`."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from websockets import http11

from changefeed.settings import Settings

from .greeting import VERSION
from .page import add_page
from .problem import problem
from .reference import add_reference
from .router import create_router
from .service import Service
from .shortcut import Shortcut
from .transport import TransportFinder

LONGEST_LINE = 1 << 16
"""Of a handshake: room for a cursor and a token, each as long as they may be. As much as uvicorn takes of any request."""

DESCRIPTION = (
    "Postgres changes for the user who owns the row: first load and polling; the live messages come by WebSocket."
)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The whole service. Raises ConfigurationError, pydantic.ValidationError where the settings cannot work."""
    # What is longer is refused with 414 by websockets, which uvicorn never sends: the client would wait for ever.
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, LONGEST_LINE)
    settings = settings or Settings()
    service = Service(settings)
    # FastAPI's own pages for the document load their scripts from another host; /openapi.json is there.
    app = FastAPI(title="changefeed", version=VERSION, description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.add_exception_handler(HTTPException, _refused)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin for origin in settings.allowed_origins if "*" not in origin or origin == "*"],
            allow_origin_regex=_wildcards(settings.allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Last-Event-ID"],
            expose_headers=["X-Changefeed-Cursor"],
        )
    app.include_router(create_router(service=service))
    add_page(app, service)
    add_reference(app)
    # Outside of everything, where `send` is still the server's own.
    return TransportFinder(Shortcut(app, service))


async def _refused(_request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: an address or a method that is not there."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).phrase
    answer = problem(error.status_code, name.lower().replace(" ", "-"), str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _wildcards(origins: frozenset[str]) -> str | None:
    patterns = [
        origin.replace(".", r"\.").replace("*", r"[A-Za-z0-9.-]+")
        for origin in origins
        if "*" in origin and origin != "*"
    ]
    return "|".join(patterns) or None


app = create_app()
