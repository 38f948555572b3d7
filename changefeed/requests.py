"""What a client may send, as Pydantic models. Anything else is answered by an `error`, never by a crash."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .messages import Mode

Since = Annotated[str, Field(min_length=1, max_length=16384)]
Topics = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=100)]


class Request(BaseModel):
    """Unknown members are refused: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ping(Request):
    type: Literal["ping"]


class Auth(Request):
    type: Literal["auth"]
    token: Annotated[str, Field(min_length=1)]
    """Bounded by the message; one that is too large is refused as a token, wherever it came from."""
    since: Since | None = None


class Subscribe(Request):
    type: Literal["subscribe"]
    topics: Topics | None = None
    since: Since | None = None
    mode: Mode | None = None
    min_interval: Annotated[int, Field(ge=0, le=60000)] | None = None


class Unsubscribe(Request):
    type: Literal["unsubscribe"]
    topics: Topics


ClientMessage = Annotated[Ping | Auth | Subscribe | Unsubscribe, Field(discriminator="type")]

client_message: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
