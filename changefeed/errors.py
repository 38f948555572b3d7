"""What can go wrong, as one small tree of exceptions. Every message says what to do about it."""


class ChangefeedError(Exception):
    """The root: catch this to catch everything that changefeed raises by itself."""


class ConfigurationError(ChangefeedError):
    """A setting is missing or wrong. Nothing was started."""


class CursorError(ChangefeedError):
    """A text that is no cursor of ours."""


class NotInstalledError(ChangefeedError):
    """The database lacks the schema `changefeed`, or a version of it that this release can use."""


class PoolerError(ChangefeedError):
    """The connection goes through a transaction pooler, or to a standby: LISTEN and locks do not work there."""


class AuthenticationError(ChangefeedError):
    """A token is missing, bad, or expired. The text names no part of the token."""
