"""What can go wrong, as one small tree of exceptions. Every message says what to do about it."""

from typing import Literal

AuthenticationCode = Literal[
    "token-missing",
    "token-too-large",
    "token-malformed",
    "token-algorithm",
    "token-key",
    "token-expired",
    "token-not-yet-valid",
    "token-issuer",
    "token-audience",
    "token-subject",
    "token-revoked",
    "ticket-invalid",
    "keys-unavailable",
]
"""Why somebody was not let in. `docs/authentication.md` says of each what to do."""


class ChangefeedError(Exception):
    """The root: catch this to catch everything that changefeed raises by itself."""


class ConfigurationError(ChangefeedError):
    """A setting is missing or wrong. Nothing was started."""


class CursorError(ChangefeedError):
    """A text that is no cursor of ours."""


class CopyError(ChangefeedError):
    """A text that is no copy of a batch."""


class NotInstalledError(ChangefeedError):
    """The database lacks the schema `changefeed`, or a version of it that this release can use."""


class PoolerError(ChangefeedError):
    """The connection goes through a transaction pooler, or to a standby: LISTEN and locks do not work there."""


class EpochEndedError(ChangefeedError):
    """The log is not the one that we knew."""

    def __init__(self) -> None:
        super().__init__("the log was emptied by a crash, a failover or a restore: a new epoch begins")


class AuthenticationError(ChangefeedError):
    """A token or ticket is missing, bad, expired or revoked. The text names no part of it."""

    def __init__(self, code: AuthenticationCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def retry(self) -> bool:
        """Whether nothing is wrong with what was sent, as far as we know: the same may be accepted in a moment."""
        return self.code == "keys-unavailable"


class TopicError(ChangefeedError):
    """A topic that does not exist, or that is not for this session."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
