"""Lists over HTTP: what may be asked, and how a place in a list becomes a text and back.

The text is opaque and holds nothing but what its row is ordered by. It is trusted in nothing: whoever makes one up begins
somewhere else in a list of rows that are all his. Pure.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from changefeed.changes import ExecutionData, TaskData
from changefeed.pages import Page, Place, PlaceError

MOST = 200
"""Rows in an answer."""
USUAL = 50
LONGEST_PLACE = 2000


class ExecutionPage(BaseModel):
    """Executions, the newest first: those that have not started, then by when they started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[ExecutionData]
    next: str | None = Field(description="The `after` of the next page; null: there is none.")


class TaskPage(BaseModel):
    """Agent tasks, those first that were created last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[TaskData]
    next: str | None = Field(description="The `after` of the next page; null: there is none.")


PAGES: dict[str, type[ExecutionPage] | type[TaskPage]] = {"execution": ExecutionPage, "agent-task": TaskPage}
"""By the kind of the source."""


def page_of(kind: str, page: Page) -> BaseModel:
    """As it is sent."""
    members: dict[str, Any] = {"items": page.items, "next": None if page.next is None else text_of(page.next)}
    return PAGES[kind].model_construct(**members)


def text_of(place: Place) -> str:
    """The text of a place.

    >>> place_of(text_of([None, "42"]))
    [None, '42']
    """
    return urlsafe_b64encode(json.dumps(list(place), separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(text: str) -> Place:
    """The place of a text. Raises PlaceError for what is none."""
    try:
        place = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (NoBase64, ValueError, RecursionError):
        place = None
    if not isinstance(place, list) or not all(member is None or isinstance(member, str) for member in place):
        raise PlaceError("after: this is no place in a list. Send back what `next` said, unchanged.")
    return place


def values_of(texts: list[str]) -> list[str]:
    """`a,b` as well as `a&b`: a filter's values, none where nothing was said."""
    return sorted({value for text in texts for value in text.split(",") if value})
