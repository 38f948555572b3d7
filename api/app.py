"""The service as an application of its own: `uvicorn api.app:app`, configured by `CHANGEFEED_*` and `DATABASE_URL`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from changefeed.settings import Settings

from .greeting import VERSION
from .page import add_page
from .router import create_router
from .service import Service
from .shutdown import announced
from .transport import TransportFinder

DESCRIPTION = (
    "Postgres changes for the user who owns the row: first load and polling; the live messages come by WebSocket."
)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The whole service. Raises ConfigurationError, pydantic.ValidationError where the settings cannot work."""
    settings = settings or Settings()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with announced(service):
            yield

    app = FastAPI(title="changefeed", version=VERSION, description=DESCRIPTION, lifespan=lifespan)
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
    # Outside of everything, where `send` is still the server's own.
    return TransportFinder(app)


def _wildcards(origins: frozenset[str]) -> str | None:
    patterns = [
        origin.replace(".", r"\.").replace("*", r"[A-Za-z0-9.-]+")
        for origin in origins
        if "*" in origin and origin != "*"
    ]
    return "|".join(patterns) or None


app = create_app()
