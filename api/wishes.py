"""What a client asks for in the address; the same on all transports.

`token`, `ticket`, `since`, `topics`, `mode`, `min_interval`.
Pure. Nothing is guessed: a value that is not understood is refused with a sentence that says which and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from changefeed.messages import Mode

MAX_MIN_INTERVAL = 60_000
MAX_TOPICS = 100
MAX_SINCE = 16_384


class WishError(Exception):
    """A parameter that is not understood; the text says which, and what it may be."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """None: not said."""

    token: str | None = None
    ticket: str | None = None
    since: str | None = None
    topics: tuple[str, ...] | None = None
    mode: Mode = "log"
    min_interval: float = 0.0
    """Seconds."""


def wishes_of(parameters: Mapping[str, str]) -> Wishes:
    """From the query of an address; an empty value says nothing. Raises WishError."""
    return Wishes(
        token=parameters.get("token") or None,
        ticket=parameters.get("ticket") or None,
        since=_since(parameters.get("since") or None),
        topics=_topics(parameters.get("topics") or None),
        mode=_mode(parameters.get("mode") or None),
        min_interval=_interval(parameters.get("min_interval") or None),
    )


def _since(text: str | None) -> str | None:
    if text is not None and len(text) > MAX_SINCE:
        raise WishError("since: this is no cursor. Send back one that came with a message, unchanged.")
    return text


def _topics(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    topics = tuple(topic.strip() for topic in text.split(",") if topic.strip())
    if len(topics) > MAX_TOPICS:
        raise WishError(f"topics: at most {MAX_TOPICS} of them.")
    return topics


def _mode(text: str | None) -> Mode:
    if text is None or text == "log":
        return "log"
    if text == "state":
        return "state"
    raise WishError("mode: log (every message) or state (the newest of each row).")


def _interval(text: str | None) -> float:
    if text is None:
        return 0.0
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) > MAX_MIN_INTERVAL:
        raise WishError(f"min_interval: milliseconds, a whole number from 0 to {MAX_MIN_INTERVAL}.")
    return int(text) / 1000
