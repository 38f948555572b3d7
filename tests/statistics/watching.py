"""What tests of statistics share and no database is needed for: a clock to move by hand, and sessions' messages by topic."""

import json
from collections.abc import Iterable
from typing import Any

from changefeed.session import Item
from changefeed.settings import Settings
from changefeed.statistic import offered

TOPICS = {statistic.kind: statistic.topic for statistic in offered(Settings())}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bodies(items: Iterable[Item]) -> dict[str, list[dict[str, Any]]]:
    """The bodies of the statistics among the messages, by topic, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if item.kind in TOPICS:
            message = json.loads(item.whole())
            assert message.keys() <= {"type", "timestamp", "user_id", "data"}, "a statistic has neither id nor cursor"
            found.setdefault(TOPICS[item.kind], []).append(message["data"])
    return found
