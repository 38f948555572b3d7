"""Every knob: its name, unit, default and reason. Read from `CHANGEFEED_*` in the environment.

The only other variables read are `DATABASE_URL` (where CHANGEFEED_DSN is not set). Durations are seconds, sizes bytes.
A value that cannot work is refused here, before anything has started.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ExecutionSource(BaseModel):
    """How a table of executions becomes `execution-*` events: which column is which, which status means what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["execution"] = "execution"
    columns: dict[str, str] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `execution_id` is `id` unless said otherwise."""
    running: frozenset[str] = frozenset({"running"})
    completed: frozenset[str] = frozenset({"completed"})
    failed: frozenset[str] = frozenset({"failed"})


class TaskSource(BaseModel):
    """How a table of agent tasks becomes `agent-task-update` events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["agent-task"] = "agent-task"
    columns: dict[str, str] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `task_id` is `id` unless said otherwise."""


TypedSource = Annotated[ExecutionSource | TaskSource, Field(discriminator="kind")]

DEFAULT_SOURCES: dict[str, TypedSource] = {
    "public.workflow_execution": ExecutionSource(),
    "public.agent_task": TaskSource(),
}


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="CHANGEFEED_", populate_by_name=True, extra="ignore", frozen=True)

    dsn: str | None = Field(default=None, validation_alias=AliasChoices("CHANGEFEED_DSN", "DATABASE_URL"))
    """The database, as a role that owns the schema `changefeed`; never through a transaction pooler."""
    sources: dict[str, TypedSource] = DEFAULT_SOURCES
    """Tables (`schema.table`) whose changes become typed events. Every other watched table has `rows:` events."""

    relay: bool = True
    """Whether this process may be elected to lead. With `false` it follows whoever leads."""
    poll_interval: float = Field(default=0.005, gt=0, le=1)
    """Between two polls of the log while changes come. The latency under load is about half of it."""
    safety_interval: float = Field(default=1.0, gt=0, le=60)
    """Between two polls while nothing comes and nobody rings."""
    doorbell: bool | None = None
    """Whether writers wake the relay. Unset: yes, unless the server allows prepared transactions (which NOTIFY breaks)."""
    retention: timedelta = timedelta(hours=24)
    """How long events are kept, at least."""
    max_absence: timedelta = timedelta(hours=24)
    """How long capture goes on without any relay."""
    heartbeat_timeout: float = Field(default=5.0, gt=0)
    """A leader that is silent for so long is frozen, and its database session is ended by a follower."""
    page_rows: int = Field(default=2000, ge=1)
    """Events read from the log at a time."""

    jwt_secret: SecretStr | None = None
    """The HS256 secret, 32 bytes or more."""
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    jwt_leeway: float = Field(default=0, ge=0, le=60)
    owner_claims: dict[str, str] = {"sub": "user"}
    """Claim → owner kind: the claims whose values are a session's owners."""
    admin_claim: str = "role"
    """Where a token says what its bearer is; dots go into objects, as in `app_metadata.role`."""
    admin_values: frozenset[str] = frozenset({"admin"})
    query_token: bool = True
    """Whether `?token=` is accepted."""

    auth_timeout: float = Field(default=5.0, gt=0)
    """Within which a WebSocket without a token must send one."""
    ping_interval: float = Field(default=20.0, gt=0)
    heartbeat_interval: float = Field(default=20.0, gt=0)
    """A session that was sent nothing for so long gets a heartbeat with its cursor."""
    send_timeout: float = Field(default=20.0, gt=0)
    """A peer that takes nothing for so long is cut off."""
    buffer_messages: int = Field(default=1000, ge=1)
    buffer_bytes: int = Field(default=1 << 20, ge=1024)
    """What waits for one connection at most; beyond it the session lags, and reads on from the log."""
    max_message_bytes: int = Field(default=65536, ge=256)
    """The largest message a client may send."""
    max_errors: int = Field(default=10, ge=1)
    """Messages not understood before the connection is closed."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    demo_tokens: dict[str, str] | None = None
    """Tokens that the page at `/` shows its panes with. For demonstrations only: it hands them to everybody."""

    @field_validator("dsn")
    @classmethod
    def _without_driver(cls, value: str | None) -> str | None:
        """`postgresql+asyncpg://`, as SQLAlchemy writes it, is accepted."""
        if value is None or "://" not in value:
            return value or None
        scheme, rest = value.split("://", 1)
        if scheme.partition("+")[0] not in ("postgres", "postgresql"):
            raise ValueError(f"{scheme}:// is not PostgreSQL. Use postgresql://user:password@host:port/database")
        return f"postgresql://{rest}"

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("an HS256 secret needs at least 32 bytes, for example from: openssl rand -hex 32")
        return value
