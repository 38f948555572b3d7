"""`/metrics`, for Prometheus: what this process has done and how it is, read at the moment of the scrape.

Nothing is counted here: the numbers are kept where things happen, as plain integers, and put into their form when somebody
asks, so that being watched costs nothing in between. A registry of its own, so that a host's metrics and ours
never meet. No label is a user's, an owner's or a client's: every label's values come from a table of ours, or are
tables that are watched. `docs/monitoring.md` says of each what it means; a test keeps the two the same.
"""

import asyncio
import hmac
from collections.abc import Iterator, Mapping
from itertools import accumulate, product
from typing import Any, get_args

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.responses import Response

from changefeed.messages import ResyncReason
from changefeed.session import State

from .closing import CLOSE_CODES, ERRORS
from .counts import BOUNDS, LEFT
from .credentials import bearer
from .description import content
from .greeting import VERSION
from .problem import problem
from .readings import Readings
from .service import Service

AUTHENTICATION = frozenset(
    code for code, (close, _, _) in ERRORS.items() if close in (4401, 4403, 4408, 4410) or code == "keys-unavailable"
)
"""The errors that say that somebody was not, or is no longer, let in for who he is."""


class Figures(Collector):
    """Everything that one service has to say."""

    def __init__(self, service: Service, readings: Readings) -> None:
        self._service = service
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """As the client library has it: every family each time, also those without a sample."""
        yield from self._clients()
        yield from self._sessions()
        yield from self._relay()
        yield from self._log()
        yield from self._database()

    def _clients(self) -> Iterator[Metric]:
        service, counts, feed = self._service, self._service.counts, self._service.feed
        yield _gauge("info", "1; the labels say which release this is", {(VERSION,): 1}, "version")
        present: dict[str, int] = dict.fromkeys(("websocket", "sse", "longpoll"), 0)
        for client in service.clients:
            present[client.transport] += 1
        yield _gauge("connections", "Connections that were let in and are here", _by(present), "transport")
        yield _gauge("visitors", "Connections, also of those whose names are not yet known", service.visitors)
        yield _gauge("tasks", "Tasks of this process's event loop", _tasks())
        yield _counter("connections_opened", "Connections that were let in", _by(counts.opened), "transport")
        # Whatever an alert counts is there from the start: the increase of a series that begins with its first value is none.
        closed = dict.fromkeys(product(present, (LEFT, *(str(code.code) for code in CLOSE_CODES))), 0)
        yield _counter(
            "connections_closed", "Connections that ended or were refused", closed | counts.closed, "transport", "code"
        )
        yield _counter("messages_sent", "Messages handed to a transport", _by(counts.sent), "type")
        yield _counter("errors", "Errors told to clients", _by(counts.errors), "code")
        failures = {code: counts.errors.get(code, 0) for code in sorted(AUTHENTICATION)}
        yield _counter(
            "authentication_failures", "Those of the errors that say who is not let in", _by(failures), "code"
        )
        yield _counter("resumes", "What came of asking to resume", _by(feed.outcomes), "outcome")
        resyncs = dict.fromkeys(get_args(ResyncReason), 0) | feed.hub.resyncs
        yield _counter("resyncs", "Clients that were told to refetch", _by(resyncs), "reason")
        latency = counts.latency
        bounds = [*map(str, BOUNDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(latency.buckets), strict=True))
        yield HistogramMetricFamily(
            "changefeed_capture_to_send_seconds",
            "From the capture of a change (the database's clock) until its message was sent (ours)",
            buckets=buckets,
            sum_value=latency.total,
        )

    def _sessions(self) -> Iterator[Metric]:
        hub = self._service.feed.hub
        states = dict.fromkeys((State.LIVE, State.LAGGING, State.REPLAYING), 0)
        waiting = largest = 0
        for session in hub.sessions:
            if session.state in states:
                states[session.state] += 1
            waiting += session.waiting
            largest = max(largest, session.waiting)
        yield _gauge("sessions", "Subscriptions", _by({state.value: n for state, n in states.items()}), "state")
        yield _gauge("messages_waiting", "Messages that wait for their clients", waiting)
        yield _gauge("messages_waiting_max", "Messages that wait for the client for whom the most wait", largest)
        yield _counter("messages_conflated", "Messages that newer ones have replaced while they waited", hub.conflated)

    def _relay(self) -> Iterator[Metric]:
        service, pulse = self._service, self._service.feed.pulse
        age = service.feed.relay.since_looked
        yield _gauge("ready", "Whether `/readyz` says that it is ready", not service.reasons)
        yield _gauge("relay_connected", "Whether the listener's connection is up", pulse.connected)
        yield _gauge("relay_leading", "Whether this process's relay leads", pulse.leading)
        yield _gauge("relay_asleep", "Whether it sleeps, so that writers ring", pulse.asleep)
        yield _gauge("relay_last_look_age_seconds", "Since the log was read; infinite before the first time", age)
        yield _counter("relay_looks", "Times the log was read", pulse.looks)
        yield _counter("relay_events", "Events read from the log", pulse.found)
        yield _counter("relay_copies", "Batches taken from the stream instead", pulse.copies)
        yield _counter("relay_windows", "Windows of the log too large for one answer", pulse.windows)
        yield _counter("relay_sleeps", "Times the relay fell asleep", pulse.slept)
        yield _counter("relay_rings", "Notifications heard", pulse.rings)
        yield _counter("relay_missed_bells", "Looks that found something though nobody had rung", pulse.missed_bells)
        yield _counter("listener_connections", "Times the listener has connected", pulse.connections)

    def _log(self) -> Iterator[Metric]:
        feed = self._service.feed
        window, replays = feed.hub.window, getattr(feed, "replays", None)
        read = {"memory": replays.from_memory, "log": replays.from_log} if replays is not None else {}
        failures = dict.fromkeys((watch.source for watch in feed.pulse.watches), 0) | feed.hub.capture_errors
        yield _counter("capture_errors", "Failures of the capture that were read", _by(failures), "table")
        yield _counter("events_unmade", "Events of which no message could be made", feed.hub.unmade)
        yield _gauge("window_events", "Events of the log that are kept in memory", len(window))
        yield _gauge("window_bytes", "What they take, about", window.bytes)
        yield _counter("replays", "Readings of what a session had missed", _by(read), "source")
        statistics = feed.statistics
        yield _gauge("statistics_scopes", "Running numbers that are kept", statistics.scopes)
        yield _counter("statistics_aggregates", "Aggregates asked of the tables", _by(statistics.aggregates), "topic")
        yield _counter("statistics_drift", "Running numbers found to be wrong", _by(statistics.drift), "topic")

    def _database(self) -> Iterator[Metric]:
        read = self._readings.newest
        yield _gauge("database_read", "Whether the database has said what follows", read is not None)
        known = read is not None
        yield _gauge(
            "notification_queue_usage_ratio",
            "The part of the notification queue that is in use",
            read.queue_usage if read else None,
        )
        yield _gauge(
            "capture_lease_seconds", "Until capture stops, if nobody leads", read.lease_seconds if read else None
        )
        yield _gauge("log_bytes", "What the log takes on disk", read.log_bytes if read else None)
        yield _counter(
            "log_capture_errors", "Failures of the capture, of all time", read.capture_errors if read else None
        )
        leader = read.leader_silent if read else None
        yield _gauge("leader_present", "Whether any relay leads", leader is not None if known else None)
        yield _gauge("leader_silent_seconds", "Since the leading relay has said something", leader)


def add_metrics(router: APIRouter, service: Service) -> None:
    """Adds `/metrics`. Asks for CHANGEFEED_METRICS_TOKEN where it is set."""
    readings = Readings(service.feed)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(service, readings))
    ProcessCollector(namespace="changefeed", registry=registry)
    secret = service.settings.metrics_token

    described = content("text/plain", "application/openmetrics-text")

    @router.get("/metrics", tags=["health"], operation_id="metrics", response_class=Response, responses=described)
    async def metrics(request: Request) -> Response:
        """Everything that there is to watch, in Prometheus' text format."""
        if secret is not None and not hmac.compare_digest(
            (bearer(request) or "").encode(), secret.get_secret_value().encode()
        ):
            return problem(401, "token-missing", "CHANGEFEED_METRICS_TOKEN is to be sent as a bearer token.")
        await readings.refresh()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})


def _gauge(name: str, text: str, value: Any, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"changefeed_{name}", f"{text}.", labels=labels), value)


def _counter(name: str, text: str, value: Any, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"changefeed_{name}", f"{text}.", labels=labels), value)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: Any) -> Metric:
    """`value`: a number, None for no sample, or numbers by labels' values."""
    for labels, number in (value if isinstance(value, Mapping) else {} if value is None else {(): value}).items():
        family.add_metric(labels, float(number))
    return family


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # No event loop is running here, so neither is a task.
        return 0


def _by(numbers: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): number for label, number in numbers.items()}
