"""What a request brings to say who sends it, and whom that makes it: a host's own word, a token, or a ticket.

Guarantees: the page's origin is looked at first; the host's word goes before any token; a header before a subprotocol
before the address; a ticket opens WebSockets alone. Waits for the database and for a provider's keys, never for a client.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from changefeed.errors import AuthenticationError
from changefeed.feed import Feed
from changefeed.relay import LOST
from changefeed.settings import Settings

from . import tickets
from .closing import Ending
from .identity import Identity
from .keys import Key
from .origins import Origins
from .revocations import Revocations
from .tokens import TokenVerifier
from .wishes import Wishes

logger = logging.getLogger("changefeed.credentials")

Authenticate = Callable[[HTTPConnection], Awaitable[Identity | None]]
"""A host's own: who this is, or None to let the token decide. It may raise AuthenticationError, or HTTPException."""

READ_SECONDS = 10.0


class RefusedError(Exception):
    """Somebody is not let in; `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending

    @classmethod
    def by(cls, error: AuthenticationError) -> "RefusedError":
        """The refusal that a bad token or ticket causes."""
        return cls(Ending.of(error.code, str(error)))


class NoKeys:
    """Where the host alone says who somebody is: no token is accepted."""

    algorithms: frozenset[str] = frozenset()
    usable = True
    aging = False

    async def find(self, kid: str | None, algorithm: str) -> Key:
        """Never called, for want of algorithms."""
        raise AssertionError((kid, algorithm))

    async def refresh(self) -> bool:
        """There is nothing to fetch."""
        return True


class Credentials:
    """See above."""

    def __init__(
        self, settings: Settings, feed: Feed, revocations: Revocations, authenticate: Authenticate | None
    ) -> None:
        """Raises ConfigurationError where nobody could ever be let in."""
        keyed = settings.jwt_secret or settings.jwt_public_key or settings.jwt_jwks_url
        self.verifier = TokenVerifier(settings, revocations, NoKeys() if authenticate and not keyed else None)
        self._feed = feed
        self._revocations = revocations
        self._origins = Origins(settings.allowed_origins)
        self._authenticate = authenticate
        self._query_token = settings.query_token

    async def identify(self, connection: HTTPConnection, wishes: Wishes, *, tickets_allowed: bool) -> Identity | None:
        """Who this is; None where nothing was said. Raises RefusedError."""
        if not self._origins.allows(connection.headers.get("origin"), connection.headers.get("host")):
            raise RefusedError(Ending.of("origin-forbidden"))
        try:
            if (known := await self._known_to_host(connection)) is not None:
                self._revocations.check(known)
                return known
            token = bearer(connection) or (wishes.token if self._query_token else None)
            if token is not None:
                return await self.verifier.verify(token)
            if wishes.ticket is not None and tickets_allowed:
                return await self._redeemed(wishes.ticket)
        except AuthenticationError as error:
            raise RefusedError.by(error) from None
        return None

    async def _known_to_host(self, connection: HTTPConnection) -> Identity | None:
        if self._authenticate is None:
            return None
        try:
            return await self._authenticate(connection)
        except HTTPException as error:
            refusals = {401: "authentication-refused", 403: "access-forbidden"}
            raise RefusedError(Ending.of(refusals.get(error.status_code, "internal"))) from None

    async def _redeemed(self, ticket: str) -> Identity:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await tickets.redeem(self._feed.pool, ticket)
        except LOST as error:
            logger.warning("a ticket could not be read: %s: %s", type(error).__name__, error)
            raise RefusedError(Ending.of("internal")) from None


def bearer(connection: HTTPConnection) -> str | None:
    """The token of an Authorization header, or of the subprotocols `["bearer", token]`."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    offered: list[str] = connection.scope.get("subprotocols", [])
    if "bearer" in offered[:-1]:
        return offered[offered.index("bearer") + 1]
    return None
