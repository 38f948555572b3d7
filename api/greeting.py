"""The answer to connecting and to `subscribe`: who one is here, what one receives, and from where. Pure."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from changefeed.feed import Feed
from changefeed.message import rfc3339
from changefeed.messages import Limits, Outcome, Ready, ReadyData, Server, Subscribed
from changefeed.session import Session

from .identity import Identity

try:
    VERSION = version("changefeed")
except PackageNotFoundError:  # a checkout that was not installed
    VERSION = "unknown"


def greeting(feed: Feed, identity: Identity, answer: str, outcome: Outcome, session: Session) -> str:
    """The text of `ready` or `subscribed`, without its cursor."""
    settings = feed.settings
    assert feed.hub.cursor is not None
    expires = identity.expires_at
    data = ReadyData(
        outcome=outcome,
        user_id=identity.user_id,
        admin=session.admin,
        topics=feed.visible(session.admin) if session.topics is None else sorted(session.topics),
        mode=session.mode,
        min_interval=round(session.min_interval * 1000),
        token_expires_at=None if expires is None else rfc3339(datetime.fromtimestamp(expires, UTC)),
        limits=Limits(
            max_message_bytes=settings.max_message_bytes,
            max_messages_per_minute=settings.max_messages_per_minute,
            buffer_messages=settings.buffer_messages,
            buffer_bytes=settings.buffer_bytes,
            max_replay=settings.max_replay,
        ),
        server=Server(version=VERSION, epoch=feed.hub.cursor.epoch),
    )
    now = rfc3339(datetime.now(UTC))
    if answer == "ready":
        return Ready(type="ready", timestamp=now, user_id=identity.user_id, data=data).text()
    return Subscribed(type="subscribed", timestamp=now, user_id=identity.user_id, data=data).text()
