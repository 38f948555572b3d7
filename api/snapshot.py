"""For a route of your own: the cursor of exactly the data that it reads, so that the live messages join without a gap.

    @app.get("/reports")
    async def reports(snapshot: Snapshot) -> list[Report]:
        return [Report(**row) for row in await snapshot.connection.fetch("select ...")]

    @app.get("/reports")
    async def reports(session: YourSession, place: Place) -> list[Report]:
        await place.of(session)

Both set `X-Changefeed-Cursor` on the answer. `Snapshot` reads through changefeed's own connections, as changefeed's role;
`Place` asks a connection of yours, whose transaction must be repeatable read. Needs a router of `create_router` in the
same application. Where there is no cursor, because the relay was never connected, the header is left out, and so a client
begins without one; a standby is refused, because a snapshot there does not know what is running.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from changefeed.cursor import Cursor
from changefeed.cursor import Snapshot as PostgresSnapshot
from changefeed.errors import ConfigurationError
from changefeed.reading import Reading

from .service import Service

HEADER = "X-Changefeed-Cursor"
STATEMENT = (
    "select pg_current_snapshot()::text, pg_is_in_recovery(),"
    " current_setting('transaction_isolation') in ('repeatable read', 'serializable')"
)
"""What `PlaceOf.told` is told the only row of."""


def service_of(request: Request) -> Service:
    """The service whose router is part of this application. Raises ConfigurationError."""
    service = getattr(request.app.state, "changefeed", None)
    if not isinstance(service, Service):
        raise ConfigurationError(
            "No changefeed router runs in this application. app.include_router(create_router(...)) adds one, and the"
            " server must run the application's lifespan."
        )
    return service


async def _reading(request: Request, response: Response) -> AsyncIterator[Reading]:
    async with service_of(request).feed.reading() as reading:
        if reading.cursor is not None:
            response.headers[HEADER] = str(reading.cursor)
        yield reading


class PlaceOf:
    """Asks where in the log a transaction of the host's is, and tells the client."""

    def __init__(self, service: Service, response: Response) -> None:
        self._hub = service.feed.hub
        self._response = response

    async def of(self, connection: Any) -> Cursor | None:
        """Of an asyncpg connection, or SQLAlchemy's AsyncConnection or AsyncSession, inside a transaction.

        Raises ConfigurationError where its answers have no place, and what the connection raises.
        """
        if hasattr(connection, "fetchrow"):
            if not connection.is_in_transaction():
                raise ConfigurationError(f"{_WHERE} No transaction is open.")
            return self.told(*await connection.fetchrow(STATEMENT))
        from sqlalchemy import text

        return self.told(*(await connection.execute(text(STATEMENT))).one())

    def told(self, snapshot: str, standby: bool, repeatable: bool) -> Cursor | None:
        """For any other driver, and for routes that are not async: what STATEMENT gave. Raises ConfigurationError."""
        if standby:
            raise ConfigurationError(
                "This connection goes to a standby, where no snapshot has a place in the log. Use the primary."
            )
        if not repeatable:
            raise ConfigurationError(_WHERE)
        seen, began = PostgresSnapshot.parse(snapshot), self._hub.began
        if began is None or not seen.covers(began.snapshot):
            # The transaction may be older than the log that we know; what was committed in between is in neither.
            return None
        cursor = Cursor(began.epoch, seen)
        self._response.headers[HEADER] = str(cursor)
        return cursor


_WHERE = (
    "Only a transaction in which every statement sees the same can have a place in the log: begin it with"
    " isolation level REPEATABLE READ."
)


def _place(request: Request, response: Response) -> PlaceOf:
    return PlaceOf(service_of(request), response)


def _early(dependency: Any) -> Any:
    """Over before the answer is sent, so that no connection waits for a slow client. Older FastAPI knows no scopes."""
    if "scope" in inspect.signature(Depends).parameters:
        return Depends(dependency, scope="function")
    return Depends(dependency)


Snapshot = Annotated[Reading, _early(_reading)]
Place = Annotated[PlaceOf, Depends(_place)]
