"""What this process knows of an owner's connections, those that are here and those that went last: for `changefeed explain`.

Each with the place where it began and the place that it has reached, from which anybody can tell which changes it was
sent. Pure.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from changefeed.cursor import Cursor
from changefeed.event import Owner
from changefeed.session import State
from changefeed.witness import described

from .client import Client
from .counts import LEFT

MOST = 200
"""Connections of one owner that are told of; the newest."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A connection that has ended."""

    owners: frozenset[Owner]
    members: dict[str, Any]
    places: Mapping[str, Cursor | None]
    ended_at: float
    """Unix seconds."""

    @classmethod
    def of(cls, client: Client) -> "Guest":
        """What is kept of a client that goes."""
        session = client.subscription.session
        members = _members(client) | {
            "state": State.CLOSED.value,
            "close_code": LEFT if client.ending is None else client.ending.code,
            "mode": session.mode,
            "topics": None if session.topics is None else sorted(session.topics),
        }
        return cls(session.owners, members, _places(client, session.position), time.time())


def guests(present: Iterable[Client], past: Iterable[Guest], owner: Owner) -> list[dict[str, Any]]:
    """Those of this owner, the newest first."""
    told = [_present(client) for client in present if owner in client.subscription.session.owners]
    # Texts are made only now: hardly anybody ever asks.
    told += [
        guest.members | _told(guest.places) | {"ended_at": guest.ended_at, "waiting": 0}
        for guest in past
        if owner in guest.owners
    ]
    told.sort(key=lambda one: -float(one["began_at"]))
    return told[:MOST]


def _present(client: Client) -> dict[str, Any]:
    session = client.subscription.session
    # What a quiet session has not been told of was nothing that it may see.
    greeted = client.ending is None and client.start is not None
    place = client.subscription.place() if greeted else session.position
    return described(session) | _members(client) | _told(_places(client, place)) | {"ended_at": None}


def _members(client: Client) -> dict[str, Any]:
    return {
        "user": client.identity.user_id,
        "transport": client.transport,
        "outcome": client.outcome,
        "began_at": time.time() - (time.monotonic() - client.began),
    }


def _places(client: Client, place: Cursor) -> dict[str, Cursor | None]:
    return {"start": client.start, "changed": client.changed, "refetched": client.refetched, "place": place}


def _told(places: Mapping[str, Cursor | None]) -> dict[str, str | None]:
    return {name: None if place is None else str(place) for name, place in places.items()}
