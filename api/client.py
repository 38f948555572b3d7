"""One authenticated client, whatever the transport: its identity, its subscription, what it says, when its token expires.

Everything that is to be sent comes out of `next`, in order, so that one task writes. What the client says goes into
`hear`, which never waits for a client. Guarantees: `ready` comes first; a message that is not understood is answered and
never fatal; an identity is refreshed only to the same user, with owners and role computed anew; an expired token ends
the connection after its grace; whatever fails on our side ends it with a reason.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from changefeed.cursor import Cursor
from changefeed.errors import AuthenticationError, TopicError
from changefeed.feed import Feed
from changefeed.message import rfc3339
from changefeed.messages import (
    Empty,
    Heartbeat,
    Outcome,
    Pong,
    TokenExpiring,
    TokenExpiringData,
)
from changefeed.relay import LOST
from changefeed.requests import Auth, ClientMessage, Ping, Subscribe, Unsubscribe, client_message
from changefeed.session import Item, Session
from changefeed.subscription import Change, Subscription
from changefeed.topics import ADMIN

from . import journal
from .allowance import Allowance
from .closing import Ending, error_text
from .counts import Counts
from .greeting import greeting
from .identity import Identity
from .tokens import TokenVerifier
from .wishes import Wishes

logger = logging.getLogger("changefeed.client")

EXPIRY_NEVER = float("inf")


class Client:
    """See above. Enter its `subscription` before the first `next`."""

    __slots__ = (
        "_allowance",
        "_counts",
        "_errors",
        "_feed",
        "_greeted",
        "_topics",
        "_verifier",
        "_wanted",
        "_warned",
        "abandon",
        "began",
        "changed",
        "ending",
        "identity",
        "outcome",
        "refetched",
        "start",
        "subscription",
        "transport",
    )

    def __init__(
        self,
        feed: Feed,
        verifier: TokenVerifier,
        identity: Identity,
        wishes: Wishes,
        transport: str,
        counts: Counts,
    ) -> None:
        """The feed must be live. Raises TopicError."""
        self._feed = feed
        self._counts = counts
        self._verifier = verifier
        self._allowance: Allowance | None = None
        self._errors = 0
        self._greeted = False
        self._warned = False
        self.identity = identity
        self.transport = transport
        self.ending: Ending | None = None
        """Why and how it ends; None while it does not."""
        self.abandon: Callable[[], object] = lambda: None
        """The transport's: drop whatever the peer does not take, and end."""
        self.began = time.monotonic()
        self.outcome: Outcome | None = None
        """What came of connecting; None before `ready`."""
        self.start: Cursor | None = None
        """The place from which on it is sent what it may see; None before `ready`."""
        self.changed: Cursor | None = None
        """The place from which on it may see what it may see now; None where that has always been so."""
        self.refetched: Cursor | None = None
        """The place at which it was told to refetch everything; None where that has never been so."""
        # What was asked for last. What is in force follows in its turn, and may still be what was asked for before.
        self._topics = None if wishes.topics is None else feed.choose(wishes.topics, identity.admin)
        self._wanted = self._topics, identity.owners
        """Which topics and whose events were in force at the last answer."""
        self.subscription: Subscription = feed.subscribe(
            identity.owners,
            admin=identity.admin,
            since=wishes.since,
            topics=self._topics,
            mode=wishes.mode,
            min_interval=wishes.min_interval,
            greeting=self._greeting,
        )

    async def next(self, quiet_seconds: float | None = None) -> list[Item] | None:
        """What is to be sent now, never nothing; None when it is over, and `ending` says why.

        `quiet_seconds`: after which a heartbeat comes; None: as the settings say.
        """
        settings = self._feed.settings
        quiet_until = time.monotonic() + (settings.heartbeat_interval if quiet_seconds is None else quiet_seconds)
        while True:
            now = time.time()
            expires = self._expires
            if self.welcome() and self._greeted and not self._warned and now >= expires - settings.expiry_warning:
                self._warned = True
                return self._ours(_expiring(expires))
            deadline = expires + settings.expiry_grace if self._warned else expires - settings.expiry_warning
            quiet = quiet_until - time.monotonic()
            items = await self.within(max(0.0, min(quiet, deadline - now)))
            if items is None or items:
                return items
            if time.monotonic() >= quiet_until:
                return self._ours(self._heartbeat())

    @property
    def seconds_left(self) -> float:
        """Until the token and its grace are over; infinite where it never expires."""
        return self._expires + self._feed.settings.expiry_grace - time.time()

    @property
    def _expires(self) -> float:
        return EXPIRY_NEVER if self.identity.expires_at is None else self.identity.expires_at

    def welcome(self) -> bool:
        """Whether it may be told more: to be asked between the parts of something long. If not, `ending` says why."""
        if self.seconds_left <= 0:
            self.end(Ending.of("token-expired"))
        return self.ending is None

    async def within(self, seconds: float) -> list[Item] | None:
        """The same with nothing of its own: only what the subscription has, empty where that is nothing within `seconds`."""
        try:
            items = await self.subscription.next(seconds)
        except LOST as error:
            logger.warning("a session ends, because the log could not be read: %s: %s", type(error).__name__, error)
            self.end(Ending.of("internal"))
            return None
        except Exception:
            logger.exception("a session failed")
            self.end(Ending.of("internal"))
            return None
        if items:
            # The first answer is `ready`, whatever else there is to say.
            if not self._greeted:
                self._greeted = True
                self.start = items[0].cursor
                journal.opened(self)
            for item in items:
                if item.kind == "subscribed":
                    self._note_change(item)
                if item.kind == "resync" and item.cursor is not None and '"sources":null' in item.text:
                    self.refetched = item.cursor
            self._counts.took(items, time.time(), timed=not self.subscription.session.min_interval)
        return items

    def _note_change(self, answer: Item) -> None:
        session = self.subscription.session
        if (wanted := (session.topics, session.owners)) != self._wanted:
            self._wanted, self.changed = wanted, answer.cursor

    async def hear(self, text: str) -> None:
        """What the client said."""
        now = time.monotonic()
        settings = self._feed.settings
        if is_too_large(text, settings.max_message_bytes):
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
            return
        except AuthenticationError as error:
            if error.retry:
                # Not the token's fault, and the one in force is still good.
                self._counts.told(error.code)
                self.subscription.push("error", error_text(error.code, str(error)))
            else:
                self.end(Ending.of(error.code, str(error)))
            return
        self._errors = 0

    def refuse(self, error: str, message: str | None = None) -> None:
        """Answer with an error; after too many of them in a row the connection ends."""
        self._errors += 1
        if self._errors >= self._feed.settings.max_errors:
            self.end(Ending.of("too-many-errors"))
        else:
            self._counts.told(error)
            self.subscription.push("error", error_text(error, message))

    def end(self, ending: Ending) -> None:
        """It is over: what waits is dropped, and the client resumes elsewhere or later. The first reason counts."""
        if self.ending is None:
            self.ending = ending
        self.subscription.close()

    async def _obey(self, message: ClientMessage) -> None:
        admin = self.identity.admin
        if isinstance(message, Ping):
            self.subscription.push("pong", Pong(type="pong", timestamp=_now(), data=Empty()).text())
        elif isinstance(message, Subscribe):
            if message.topics is not None:
                self._topics = self._feed.choose(message.topics, admin)
            interval = None if message.min_interval is None else message.min_interval / 1000
            self.subscription.request(Change("subscribed", self._topics, message.since, message.mode, interval))
        elif isinstance(message, Unsubscribe):
            had = frozenset(self._feed.visible(admin)) if self._topics is None else self._topics
            self._topics = had - set(message.topics)
            self.subscription.request(Change("subscribed", self._topics))
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
        if self._topics is not None and not identity.admin:
            self._topics -= frozenset(ADMIN)
        self.subscription.request(Change("subscribed", self._topics, message.since))

    def _greeting(self, answer: str, outcome: Outcome, session: Session) -> str:
        self.outcome = self.outcome or outcome
        return greeting(self._feed, self.identity, answer, outcome, session)

    def _ours(self, item: Item) -> list[Item]:
        self._counts.took([item], time.time(), timed=False)
        return [item]

    def _heartbeat(self) -> Item:
        text = Heartbeat(type="heartbeat", timestamp=_now(), data=Empty()).text()
        return Item("heartbeat", text, cursor=self.subscription.place())


def is_too_large(text: str, most: int) -> bool:
    """Whether a message is larger than so many bytes."""
    return len(text) > most or len(text.encode()) > most


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
