"""The topics: which there are, and which of them somebody may see.

A topic is a name for a stream of messages; a subscription is a set of topics, or None: everything that one may see. Pure.
"""

from collections.abc import Collection, Iterable

from .errors import TopicError
from .mapping import ROWS, EventMapping

DASHBOARD_STATS = "dashboard-stats"
SYSTEM_METRICS = "system-metrics"
COST_ANALYTICS = "cost-analytics"
CONNECTOR_STATS = "connector-stats"
ADMIN = (SYSTEM_METRICS, COST_ANALYTICS, CONNECTOR_STATS)


def visible(mapping: EventMapping, watched: Iterable[str], statistics: Collection[str], admin: bool) -> list[str]:
    """What a subscription to everything receives, in a stable order.

    `watched`: the sources that are captured; `statistics`: the statistics that this installation computes.
    """
    sources = {mapping.topics_of(source)[0] for source in watched}
    return sorted(sources) + [name for name in sorted(statistics) if admin or name not in ADMIN]


def chosen(
    wanted: Iterable[str],
    mapping: EventMapping,
    watched: Collection[str],
    statistics: Collection[str],
    admin: bool,
) -> frozenset[str]:
    """What somebody asked for, if all of it exists and may be seen. Raises TopicError for the first that does not."""
    topics = frozenset(wanted)
    known = {topic for source in watched for topic in mapping.topics_of(source)}
    known |= {name for name in statistics if admin or name not in ADMIN}
    for topic in sorted(topics):
        if topic in ADMIN and not admin:
            raise TopicError("topic-forbidden", f"The topic {topic} is for administrators.")
        if topic not in known:
            hint = " Is the table watched?" if topic.startswith(ROWS) else ""
            raise TopicError(
                "topic-unknown",
                f"There is no topic {_short(topic)}.{hint} Known: {', '.join(sorted(known))}.",
            )
    return topics


def _short(topic: str) -> str:
    return topic if len(topic) <= 80 else topic[:77] + "..."
