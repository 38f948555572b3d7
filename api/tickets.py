"""Single-use tickets, for browsers that can put nothing but an address into the request.

Guarantees: a ticket is good once, for SECONDS, in whichever process it is redeemed, and whoever redeems it is exactly who
got it: the expiry is still the token's. The database holds a digest, so that whoever reads the table has no tickets;
its clock alone decides about the time. A user who was kicked meanwhile is refused. Redeem outside of any transaction:
a rollback would make the ticket good again.
"""

import hashlib
import json
import secrets
import time
from typing import Any, Protocol

from changefeed.errors import AuthenticationError
from changefeed.event import Owner
from changefeed.sql import query

from .identity import Identity
from .revocations import is_revoked, revoked

SECONDS = 30.0
LENGTH = 43
"""Of a ticket's text: 32 random bytes."""


class Connection(Protocol):
    """What is needed of an asyncpg pool or connection."""

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of the first row, or None."""


async def issue(connection: Connection, identity: Identity) -> str:
    """A new ticket for somebody whose token was accepted. Raises what the database raises."""
    ticket = secrets.token_urlsafe(32)
    await connection.fetchval(query("issue_ticket"), _digest(ticket), _to_json(identity), SECONDS)
    return ticket


async def redeem(connection: Connection, ticket: str) -> Identity:
    """Whose ticket it is; from now on it is nobody's. Raises AuthenticationError, and what the database raises."""
    found = None
    if len(ticket) == LENGTH and ticket.isascii():
        found = await connection.fetchval(query("redeem_ticket"), _digest(ticket))
    row: dict[str, Any] = {"good": False} if found is None else json.loads(found)
    if not row["good"]:
        raise AuthenticationError(
            "ticket-invalid",
            f"The ticket is unknown, used, or older than {SECONDS:.0f} seconds. Get a new one for each connection.",
        )
    identity = _from_json(row["identity"])
    if is_revoked(identity, row["kicked_at"]):
        raise revoked()
    if identity.expires_at is not None and identity.expires_at <= time.time():
        raise AuthenticationError("token-expired", "The ticket's token has expired. Get a new token, then a ticket.")
    return identity


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _to_json(identity: Identity) -> str:
    return json.dumps(
        {
            "user_id": identity.user_id,
            "owners": sorted(identity.owners),
            "admin": identity.admin,
            "expires_at": identity.expires_at,
            "issued_at": identity.issued_at,
            "token_id": identity.token_id,
        }
    )


def _from_json(members: dict[str, Any]) -> Identity:
    return Identity(
        user_id=members["user_id"],
        owners=frozenset(Owner(kind, value) for kind, value in members["owners"]),
        admin=members["admin"],
        expires_at=members["expires_at"],
        issued_at=members["issued_at"],
        token_id=members["token_id"],
    )
