"""What every message on the wire has.

A message is `{"type", "timestamp", "user_id"?, "id"?, "cursor"?, "data"}`. The optional members are left out where they do
not apply, never null; members of `data` are always there, null where unknown. Pure: the time is passed in.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

Number = int | float


def rfc3339(at: datetime) -> str:
    """UTC with microseconds, `2026-01-02T03:04:05.000006Z`. `at` must know its time zone."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Payload(BaseModel):
    """What stands in `data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(BaseModel):
    """What every message has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    timestamp: str
    user_id: str | None = None
    id: str | None = None
    cursor: str | None = None

    def text(self) -> str:
        """As JSON, without the members that were not given."""
        return self.model_dump_json(exclude_unset=True)
