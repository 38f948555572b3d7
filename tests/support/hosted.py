"""A host application of somebody else's, with the router inside: `uvicorn tests.support.hosted:asgi`.

It has an authentication of its own (a header, as a proxy in front of it would set), routes, errors and a lifespan of its own.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from starlette.requests import HTTPConnection

from api.identity import Identity
from api.router import create_router
from api.transport import TransportFinder
from changefeed.event import Owner

lived: list[str] = []


async def who_is_it(connection: HTTPConnection) -> Identity | None:
    """Whoever the proxy says that it is; None: the proxy says nothing."""
    user = connection.headers.get("x-user")
    if user == "nobody":
        raise HTTPException(401, "not signed in")
    if user == "banned":
        raise HTTPException(403, "go away")
    if user == "broken":
        raise HTTPException(502, "the directory is down")
    if user is None:
        return None
    # The time of the sign-in, so that a kick can tell an older one from a newer one.
    issued = float(connection.headers["x-signed-in-at"]) if "x-signed-in-at" in connection.headers else None
    owners = frozenset({Owner("user", user)})
    return Identity(user_id=user, owners=owners, admin=user.startswith("root"), expires_at=None, issued_at=issued)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    lived.append("started")
    yield {"greeting": "hello"}
    sys.stderr.write("the host's own lifespan has ended\n")


app = FastAPI(lifespan=lifespan)


@app.get("/things/{number}")
async def thing(number: int) -> dict[str, object]:
    return {"number": number, "lived": lived}


@app.get("/api/v1/events")
async def events() -> dict[str, str]:
    """A path of the host's that the router has as well, under its prefix."""
    return {"events": "the host's own"}


live = create_router(
    prefix="/live", routes=("websocket", "sse", "longpoll", "tickets", "health", "metrics"), authenticate=who_is_it
)
app.include_router(live)
asgi = TransportFinder(app)
