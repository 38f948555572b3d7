"""One authenticated client, whatever the transport: its identity, its subscription, what it says, when its token expires.

Everything that is to be sent comes out of `next`, in order, so that one task writes. What the client says goes into
`hear`, which never waits for a client. Guarantees: a message that is not understood is answered and never fatal; an
identity is refreshed only to the same user, with owners and role computed anew; an expired token ends the connection
after its grace.
"""

import time
from datetime import UTC, datetime

from pydantic import ValidationError

from changefeed.errors import AuthenticationError, TopicError
from changefeed.feed import Feed
from changefeed.message import rfc3339
from changefeed.messages import (
    Empty,
    Heartbeat,
    Outcome,
    Pong,
    Reconnect,
    ReconnectData,
    TokenExpiring,
    TokenExpiringData,
)
from changefeed.requests import Auth, ClientMessage, Ping, Subscribe, Unsubscribe, client_message
from changefeed.session import Item, Session
from changefeed.subscription import Change, Subscription

from .allowance import Allowance
from .closing import Ending, error_text
from .greeting import greeting
from .identity import Identity
from .tokens import TokenVerifier
from .wishes import Wishes

EXPIRY_NEVER = float("inf")


class Client:
    """See above. Enter its `subscription` before the first `next`."""

    __slots__ = (
        "_allowance",
        "_errors",
        "_feed",
        "_verifier",
        "_warned",
        "ending",
        "identity",
        "subscription",
        "transport",
    )

    def __init__(self, feed: Feed, verifier: TokenVerifier, identity: Identity, wishes: Wishes, transport: str) -> None:
        """The feed must be live. Raises TopicError."""
        self._feed = feed
        self._verifier = verifier
        self._allowance: Allowance | None = None
        self._errors = 0
        self._warned = False
        self.identity = identity
        self.transport = transport
        self.ending: Ending | None = None
        """Why and how it ends; None while it does not."""
        topics = None if wishes.topics is None else feed.choose(wishes.topics, identity.admin)
        self.subscription: Subscription = feed.subscribe(
            identity.owners,
            admin=identity.admin,
            since=wishes.since,
            topics=topics,
            mode=wishes.mode,
            min_interval=wishes.min_interval,
            greeting=self._greeting,
        )

    async def next(self) -> list[Item] | None:
        """What is to be sent now, never nothing; None when it is over, and `ending` says why.

        Raises what Subscription.next raises.
        """
        settings = self._feed.settings
        quiet_until = time.monotonic() + settings.heartbeat_interval
        while True:
            now = time.time()
            expires = EXPIRY_NEVER if self.identity.expires_at is None else self.identity.expires_at
            if now >= expires + settings.expiry_grace:
                self.end(Ending.of("token-expired"))
            elif not self._warned and now >= expires - settings.expiry_warning:
                self._warned = True
                return [_expiring(expires)]
            deadline = expires + settings.expiry_grace if self._warned else expires - settings.expiry_warning
            quiet = quiet_until - time.monotonic()
            items = await self.subscription.next(max(0.0, min(quiet, deadline - now)))
            if items is None or items:
                return items
            if time.monotonic() >= quiet_until:
                return [self._heartbeat()]

    async def hear(self, text: str) -> None:
        """What the client said."""
        now = time.monotonic()
        settings = self._feed.settings
        if len(text) > settings.max_message_bytes or len(text.encode()) > settings.max_message_bytes:
            self.end(Ending.of("message-too-large"))
            return
        if self._allowance is None:
            self._allowance = Allowance(settings.max_messages_per_minute, now)
        if not self._allowance.spend(now):
            self.end(Ending.of("too-many-messages"))
            return
        try:
            message = parsed(text)
        except ValidationError as error:
            self.refuse("message-invalid", explained(error))
            return
        try:
            await self._obey(message)
        except TopicError as error:
            self.refuse(error.code, str(error))
        except AuthenticationError as error:
            self.end(Ending.of(error.code, str(error)))

    def refuse(self, error: str, message: str | None = None) -> None:
        """Answer with an error; after too many of them the connection ends."""
        self._errors += 1
        if self._errors >= self._feed.settings.max_errors:
            self.end(Ending.of("too-many-errors"))
        else:
            self.subscription.push("error", error_text(error, message))

    def end(self, ending: Ending) -> None:
        """It is over: what waits is dropped, and the client resumes elsewhere or later."""
        if self.ending is None:
            self.ending = ending
        self.subscription.close()

    def send_away(self, after_ms: int) -> None:
        """The server is going: come back after this time."""
        data = ReconnectData(after_ms=after_ms)
        self.subscription.push("reconnect", Reconnect(type="reconnect", timestamp=_now(), data=data).text())

    async def _obey(self, message: ClientMessage) -> None:
        session = self.subscription.session
        if isinstance(message, Ping):
            self.subscription.push("pong", Pong(type="pong", timestamp=_now(), data=Empty()).text())
        elif isinstance(message, Subscribe):
            topics = None if message.topics is None else self._feed.choose(message.topics, session.admin)
            interval = None if message.min_interval is None else message.min_interval / 1000
            self.subscription.request(Change("subscribed", topics, message.since, message.mode, interval))
        elif isinstance(message, Unsubscribe):
            had = frozenset(self._feed.visible(session.admin)) if session.topics is None else session.topics
            self.subscription.request(Change("subscribed", had - set(message.topics)))
        else:
            await self._refresh(message)

    async def _refresh(self, message: Auth) -> None:
        identity = await self._verifier.verify(message.token)
        if identity.user_id != self.identity.user_id:
            self.end(Ending.of("token-other-user"))
            return
        self.identity = identity
        self._warned = False
        self.subscription.become(identity.owners, identity.admin)
        self.subscription.request(Change("subscribed", since=message.since))

    def _greeting(self, answer: str, outcome: Outcome, session: Session) -> str:
        return greeting(self._feed, self.identity, answer, outcome, session)

    def _heartbeat(self) -> Item:
        text = Heartbeat(type="heartbeat", timestamp=_now(), data=Empty()).text()
        return Item("heartbeat", text, cursor=self.subscription.place())


def parsed(text: str) -> ClientMessage:
    """A client's message. Raises ValidationError."""
    # The bare word, because that is what people type into a console, and what simple clients send.
    return Ping(type="ping") if text == "ping" else client_message.validate_json(text)


def explained(error: ValidationError) -> str:
    """What was not understood, in one sentence, without repeating what was sent."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place + ': ' if place else ''}{first['msg']}. Send ping, auth, subscribe or unsubscribe, as JSON."[:500]


def _expiring(at: float) -> Item:
    data = TokenExpiringData(expires_at=rfc3339(datetime.fromtimestamp(at, UTC)))
    return Item("token-expiring", TokenExpiring(type="token-expiring", timestamp=_now(), data=data).text())


def _now() -> str:
    return rfc3339(datetime.now(UTC))
