"""Why a connection is closed: one table of codes, and one of the errors that come before a close or instead of one.

Browsers cannot see why a handshake was refused, so a connection is accepted, told why in an `error` message, and closed
with a code. `docs/protocol.md` prints both tables; a test keeps them the same.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from changefeed.message import rfc3339
from changefeed.messages import Error, ErrorData, Reconnect, ReconnectData


@dataclass(frozen=True, slots=True)
class CloseCode:
    """A number of the WebSocket protocol's, why it is used, and what the client does about it."""

    code: int
    why: str
    client: str


CLOSE_CODES = (
    CloseCode(1000, "normal", "may reconnect"),
    CloseCode(1001, "normal", "may reconnect"),
    CloseCode(1012, "restart", "reconnect with jitter"),
    CloseCode(4400, "not understood, repeatedly, or too large", "do not reconnect"),
    CloseCode(4401, "token missing, bad, or of another user", "do not reconnect until there is a new token"),
    CloseCode(4403, "origin, role, or kicked", "do not reconnect"),
    CloseCode(4408, "not authenticated in time", "reconnect with backoff"),
    CloseCode(4409, "too many connections", "reconnect after `retry_after`"),
    CloseCode(4410, "token expired", "refresh, then resume"),
    CloseCode(4413, "too slow", "resume"),
    CloseCode(4429, "too many messages", "reconnect after `retry_after`"),
    CloseCode(4500, "our fault", "resume with backoff"),
)

ERRORS: dict[str, tuple[int | None, bool, str]] = {
    "restart": (1012, True, "The server is going away."),
    "message-invalid": (None, False, "A message was not understood; the text says where."),
    "topic-unknown": (None, False, "There is no such topic; the text lists those that are."),
    "topic-forbidden": (None, False, "The topic is for administrators."),
    "too-many-errors": (4400, False, "Too many messages in a row were not understood."),
    "message-too-large": (4400, False, "A message was larger than `limits.max_message_bytes`."),
    "parameter-invalid": (4400, False, "A parameter in the address was not understood; the text says which."),
    "token-missing": (4401, False, "No token came with the connection, or with its first message."),
    "token-malformed": (4401, False, "It is no JSON Web Token."),
    "token-too-large": (4401, False, "The token is larger than any that we accept."),
    "token-algorithm": (4401, False, "The token is signed with an algorithm that our key does not go with."),
    "token-key": (4401, False, "The signature does not fit our key, or its key is not known."),
    "token-audience": (4401, False, "The token was made for somebody else's service."),
    "token-issuer": (4401, False, "The token was made by somebody whom we do not trust."),
    "token-subject": (4401, False, "The token names no user."),
    "token-not-yet-valid": (4401, False, "The token is valid from a later moment on."),
    "token-other-user": (4401, False, "A connection belongs to one user: open another one for another."),
    "ticket-invalid": (4401, False, "The ticket is unknown, used up, or too old: ask for a new one."),
    "authentication-refused": (4401, False, "The host's own authentication did not accept who asked."),
    "access-forbidden": (4403, False, "The host's own authentication does not let this user in."),
    "token-revoked": (4403, False, "The user was sent away, and this token is from before."),
    "kicked": (4403, False, "An administrator has ended this user's connections."),
    "origin-forbidden": (4403, False, "The page's origin is not in CHANGEFEED_ALLOWED_ORIGINS."),
    "authentication-timeout": (4408, True, "No token came in time."),
    "too-many-connections": (4409, True, "This user, or this server, has as many connections as it may."),
    "token-expired": (4410, True, "The token has expired: get a new one, then resume."),
    "too-slow": (4413, True, "The client took nothing for too long."),
    "too-many-messages": (4429, True, "The client sent more messages than it may."),
    "keys-unavailable": (4500, True, "The keys that tokens are checked with cannot be fetched at the moment."),
    "not-ready": (4500, True, "Capture and LISTEN are not confirmed; /readyz says why."),
    "internal": (4500, True, "Something failed on our side."),
}
"""Code of an `error` message → the close code that follows (None: none does), whether to retry, and what it means.

None are for topics in the address as well, where 4400 and 4403 follow."""

LATER = (4409, 4429)
"""The close codes whose error says `retry_after`."""
RETRY_AFTER_SECONDS = 5
"""After which a client that was too many, or too much, may come back."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ends: the error that says why, and the close code."""

    code: int
    error: str
    message: str
    after_ms: int | None = None
    """Where the server goes away: when to come back."""

    @classmethod
    def of(cls, error: str, message: str | None = None, code: int | None = None) -> "Ending":
        """The ending that this error causes. `code`: where the error alone ends nothing."""
        usual, _, meaning = ERRORS[error]
        closing = usual if code is None else code
        assert closing is not None, error
        return cls(closing, error, message or meaning)

    @classmethod
    def restart(cls, after_ms: int) -> "Ending":
        """The server is going away."""
        return replace(cls.of("restart"), after_ms=after_ms)

    def texts(self) -> list[tuple[str, str]]:
        """The messages that come before the close: type and text."""
        error = ("error", error_text(self.error, self.message))
        if self.after_ms is None:
            return [error]
        data = ReconnectData(after_ms=self.after_ms)
        return [("reconnect", Reconnect(type="reconnect", timestamp=_now(), data=data).text()), error]


def error_text(error: str, message: str | None = None) -> str:
    """An `error` message."""
    code, retry, meaning = ERRORS[error]
    later = {"retry_after": RETRY_AFTER_SECONDS} if code in LATER else {}
    data = ErrorData(code=error, message=message or meaning, retry=retry, **later)
    return Error(type="error", timestamp=_now(), data=data).text()


def _now() -> str:
    return rfc3339(datetime.now(UTC))
