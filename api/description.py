"""What the OpenAPI document says of our routes beyond what FastAPI sees by itself: tokens, parameters, answers, refusals.

Guarantees: every status and every content type that a route can answer with is described; `tests/api/test_schema.py` holds
the service to it. Pure, and read once, when the document is made: no request pays for it.
"""

from typing import Any, Literal

from fastapi import Security
from fastapi.security import APIKeyQuery, HTTPBearer
from pydantic import BaseModel, ConfigDict

from changefeed.messages import ServerMessage

from .asyncapi import PARAMETERS


class ProblemDocument(BaseModel):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class PollAnswer(BaseModel):
    """What a long poll is answered with; `cursor` is the next one's `since`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: list[ServerMessage]
    cursor: str


class Ticket(BaseModel):
    """A ticket, and the seconds within which it opens a WebSocket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket: str
    expires_in: float


class Readiness(BaseModel):
    """Whether this process leads, and how many tables are watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["ready"]
    leading: bool
    watched: int


PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem document; `code` is one of those of the sockets' `error` messages.",
        "content": {"application/problem+json": {"schema": ProblemDocument.model_json_schema()}},
    },
}

BEARER = Security(HTTPBearer(bearerFormat="JWT", scheme_name="token", auto_error=False))
_QUERY = Security(
    APIKeyQuery(
        name="token", scheme_name="query_token", auto_error=False, description="Where CHANGEFEED_QUERY_TOKEN is on."
    )
)

# A ticket opens a WebSocket alone, and the token is no parameter but a way to say who asks.
WISHES = [
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in PARAMETERS.items()
    if name not in ("token", "ticket")
]
LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The last `id:` of the stream before, as browsers send it by themselves; goes before `since`.",
}


def live(operation: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    """A route of live messages, with these parameters in its address or its head."""
    return {
        "operation_id": operation,
        "tags": ["live"],
        "dependencies": [BEARER, _QUERY],
        "openapi_extra": {"parameters": list(parameters)},
    }


def content(*types: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a route whose good answer is a text of one of these types."""
    good = {"content": {kind: {"schema": {"type": "string"}} for kind in types}}
    return {200: good, **PROBLEM}
