"""Who was kicked, and since when: what tokens are checked against, in this process.

Pure: somebody reads `changefeed.kick` when `changefeed.state.kicks` has changed, and says so here. Because that takes a
moment, whoever opens a connection asks again once the connection can be ended: a kick falls either before, and
is seen here, or after, and ends it.
"""

from collections.abc import Mapping

from changefeed.errors import AuthenticationError

from .identity import Identity


class Revocations:
    """User → when he was kicked, in Unix seconds."""

    def __init__(self) -> None:
        self._kicked: dict[str, float] = {}

    def replace(self, kicks: Mapping[str, float]) -> frozenset[str]:
        """These are all there are. Returns whom to disconnect: those who were kicked since the last time."""
        fresh = {user for user, at in kicks.items() if at > self._kicked.get(user, float("-inf"))}
        self._kicked = dict(kicks)
        return frozenset(fresh)

    def check(self, identity: Identity) -> None:
        """Raises AuthenticationError where the identity is older than a kick of its user."""
        if is_revoked(identity, self._kicked.get(identity.user_id)):
            raise revoked()


def is_revoked(identity: Identity, kicked_at: float | None) -> bool:
    """Whether it is from before the kick; where nobody can tell, it is."""
    return kicked_at is not None and (identity.issued_at is None or identity.issued_at <= kicked_at)


def revoked() -> AuthenticationError:
    """What a kicked user is told."""
    return AuthenticationError(
        "token-revoked", "An administrator has ended this user's sessions. Sign in again, for a new token."
    )
