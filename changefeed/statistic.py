"""What a statistic is: a topic, an audience, the sources that make it dirty, how its numbers are written, a largest rate.

The aggregate itself is SQL and elsewhere (`aggregate`); how its numbers follow the log says `ledger`. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import figures, topics
from .audience import Scope
from .costs import CostTally
from .ledger import Ledger
from .message import Message, Payload, rfc3339
from .session import Session
from .settings import Settings
from .tally import dashboard

ADMIN_REST = 20.0
"""Aggregates over everybody's rows take at most this part of one connection's time: one twentieth, about."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One of them."""

    topic: str
    message: type[Message]
    sources: frozenset[str]
    """Tables whose events change it."""
    interval: float
    """Seconds between two messages to one session, at least."""
    figures: Callable[[Sequence[Any]], Payload]
    """From the tallies of a session's scopes to the body."""
    owned: bool = False
    """Each session gets the numbers of its owners' rows; otherwise admins get everybody's."""
    exact: bool = True
    """Events can be applied. Otherwise each of them makes the numbers be read anew."""
    rest: float = ADMIN_REST
    """After an aggregate that was run because of changes: no other one for so many times as long as it took."""

    @property
    def kind(self) -> str:
        """The type of its message."""
        kind: str = self.message.model_fields["type"].default
        return kind

    def for_session(self, session: Session) -> bool:
        """Whether the session wants it, and may see it as it is now."""
        wanted = session.topics is None or self.topic in session.topics
        return wanted and (self.owned or session.admin)

    def text(self, body: Payload, scopes: frozenset[Scope]) -> str:
        """The message."""
        members: dict[str, Any] = {"type": self.kind, "data": body}
        users = [scope.value for scope in scopes if scope is not None and scope.kind == "user"]
        if len(users) == 1:
            members["user_id"] = users[0]
        return self.message(timestamp=rfc3339(datetime.now(UTC)), **members).text()


@dataclass(frozen=True, slots=True)
class Job:
    """An aggregate that is to be run now. Its snapshot must be taken after this was handed out."""

    statistic: Statistic
    ledgers: Mapping[Scope, Ledger]
    begun: float


def offered(settings: Settings) -> list[Statistic]:
    """The statistics of an installation."""
    interval, typed = settings.statistics_interval, frozenset(settings.sources)
    statistics = [
        Statistic(
            topics.DASHBOARD_STATS, figures.DashboardStatsUpdate, typed, interval, dashboard, owned=True, rest=1.0
        ),
        Statistic(topics.COST_ANALYTICS, figures.CostAnalyticsUpdate, typed, interval, _costs),
        Statistic(
            topics.SYSTEM_METRICS, figures.SystemMetricsUpdate, frozenset(), interval, _body, exact=False, rest=1.0
        ),
    ]
    if settings.connectors is not None:
        calls = frozenset((settings.connectors.calls,))
        statistics.append(
            Statistic(topics.CONNECTOR_STATS, figures.ConnectorStatsUpdate, calls, interval, _body, exact=False)
        )
    return statistics


def _costs(tallies: Sequence[CostTally]) -> Payload:
    return tallies[0].figures()


def _body(tallies: Sequence[Any]) -> Payload:
    body: Payload = tallies[0].body
    return body
