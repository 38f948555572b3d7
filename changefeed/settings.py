"""Every knob: its name, unit, default and reason. Read from `CHANGEFEED_*` in the environment.

The only other variables read are `DATABASE_URL` (where CHANGEFEED_DSN is not set). Durations are seconds, sizes bytes.
A value that cannot work is refused here, before anything has started.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .sources import DEFAULT_SOURCES, ConnectorTables, ExecutionSource, TableName, TaskSource, TypedSource

__all__ = ["DEFAULT_SOURCES", "ConnectorTables", "ExecutionSource", "Settings", "TaskSource", "TypedSource"]


def _names(value: Any) -> Any:
    """`a,b` as well as `["a", "b"]`, because a variable with one name in it should not have to be JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [name.strip() for name in value.split(",") if name.strip()]


PREFIX = "CHANGEFEED_"
_OF_OTHERS = ("CHANGEFEED_TEST_", "CHANGEFEED_DEMO", "CHANGEFEED_URL")
"""What tests and examples read."""


def misspelt(environment: Iterable[str]) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the setting that is most like it.

    To be warned of, not refused: whoever goes back to an older release must not have to change his environment first.
    """
    known = {name.upper() for name in Settings.model_fields}
    upper = {name: name.upper() for name in environment}
    strangers = [
        name
        for name in sorted(upper)
        if upper[name].startswith(PREFIX)
        and upper[name].removeprefix(PREFIX) not in known
        and not upper[name].startswith(_OF_OTHERS)
    ]
    near = {name: get_close_matches(upper[name].removeprefix(PREFIX), known, 1) for name in strangers}
    return {name: PREFIX + found[0] if found else None for name, found in near.items()}


Names = Annotated[frozenset[str], NoDecode, BeforeValidator(_names)]


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # the input may be a secret
        use_attribute_docstrings=True,
    )

    dsn: str | None = Field(default=None, validation_alias=AliasChoices("CHANGEFEED_DSN", "DATABASE_URL"))
    """The database, as a role that owns the schema `changefeed`; never through a transaction pooler."""
    sources: dict[TableName, TypedSource] = DEFAULT_SOURCES
    """Tables (`schema.table`) whose changes become typed events. Every other watched table has `rows:` events."""
    connectors: ConnectorTables | None = ConnectorTables()
    """The tables that `connector-stats` is made from. `null`: there are none."""

    source: str | None = None
    """`redis://HOST:PORT/DB`: through it the leader's batches reach the other processes. Unset: each reads the log."""
    relay: bool = True
    """Whether this process may be elected to lead. With `false` it follows whoever leads."""
    poll_interval: float = Field(default=0.005, gt=0, le=1)
    """Between two polls of the log while changes come. The latency under load is about half of it."""
    safety_interval: float = Field(default=1.0, gt=0, le=60)
    """Between two polls while nothing comes and nobody rings."""
    doorbell: bool | None = None
    """Whether writers wake the relay. Unset: yes, unless the server allows prepared transactions (which NOTIFY breaks)."""
    retention: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long events are kept, at least."""
    max_absence: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long capture goes on without any relay."""
    heartbeat_timeout: float = Field(default=5.0, gt=0)
    """A leader that is silent for so long is frozen, and its database session is ended by a follower."""
    page_rows: int = Field(default=2000, ge=1)
    """Events read from the log at a time."""
    pool_size: int = Field(default=4, ge=1)
    """Connections from which sessions that are far behind read the log: so many at a time."""
    window_events: int = Field(default=50_000, ge=0)
    """Events of the newest part of the log that are kept in memory, at most, for clients that come back."""
    window_bytes: int = Field(default=64 << 20, ge=0)
    """The newest part of the log that is kept in memory, for clients that come back."""
    max_replay: int = Field(default=10_000, ge=0)
    """Missed events beyond which a client is told to refetch instead."""
    max_replay_bytes: int = Field(default=8 << 20, ge=0)
    """The same of the messages in bytes. A client that takes nothing holds so much memory, until `send_timeout` is over."""

    statistics_interval: float = Field(default=1.0, gt=0, le=3600)
    """Between two messages of one statistic to one session, at least."""
    statistics_check_interval: float = Field(default=300.0, gt=0)
    """Between two comparisons of running numbers with what the tables say."""
    system_metrics_interval: float = Field(default=5.0, gt=0, le=3600)
    """Between two readings of the host's and the database's own figures, while an admin looks."""
    cost_days: int = Field(default=30, ge=1, le=3660)
    """Days that `cost-analytics` goes back, today included, in UTC."""
    host_pool_size: int = Field(default=4, ge=1)
    """Connections that read the host's own tables, for REST answers and statistics: so many at a time."""

    jwt_secret: SecretStr | None = None
    """The HS256 secret, 32 bytes or more. To let anybody in, set one of this and the next two."""
    jwt_public_key: str | None = None
    """The public key of whoever signs the tokens, in PEM: RSA, ECDSA or Ed25519. Line breaks may be `\\n`."""
    jwt_jwks_url: str | None = None
    """Where the provider publishes its keys: `https://PROJECT.supabase.co/auth/v1/.well-known/jwks.json`."""
    jwt_audience: Names | None = None
    """A token must be for one of these (`authenticated` for Supabase). Unset: its `aud` is not looked at."""
    jwt_issuer: str | None = None
    """A token's `iss` must be exactly this. Unset: it is not looked at."""
    jwt_leeway: float = Field(default=0, ge=0, le=60)
    """By how much our clock and the issuer's may differ."""
    owner_claims: dict[str, str] = {"sub": "user"}
    """Claim → owner kind: the claims whose values are a session's owners; dots go into objects."""
    admin_claim: str = "role"
    """Where a token says what its bearer is; dots go into objects, as in `app_metadata.role`."""
    admin_values: Names = frozenset({"admin"})
    """The values of `admin_claim` that make an admin."""
    allowed_origins: Names = frozenset()
    """Sites that may connect beside our own: `https://app.example.com`, `https://*.example.com`, `*` (all)."""
    query_token: bool = True
    """Whether `?token=` is accepted."""

    auth_timeout: float = Field(default=5.0, gt=0)
    """Within which a WebSocket without a token must send one."""
    ready_timeout: float = Field(default=5.0, gt=0)
    """For which a client waits until capture and LISTEN are confirmed, before it is told to come back."""
    expiry_warning: float = Field(default=60.0, ge=0)
    """Before its token expires a client is warned."""
    expiry_grace: float = Field(default=25.0, ge=0)
    """After its token has expired a client is cut off."""
    max_connections: int = Field(default=10_000, ge=1)
    """Of this process."""
    max_user_connections: int = Field(default=50, ge=1)
    """Of one user, over all processes."""
    max_messages_per_minute: int = Field(default=300, ge=1)
    """That one client may send."""
    ping_interval: float = Field(default=20.0, gt=0)
    """Between two pings of the WebSocket protocol, by `changefeed serve`; a peer that does not answer one is gone."""
    heartbeat_interval: float = Field(default=20.0, gt=0)
    """A session that was sent nothing for so long gets a heartbeat with its cursor."""
    send_timeout: float = Field(default=20.0, gt=0)
    """A peer that takes nothing for so long is cut off."""
    buffer_messages: int = Field(default=1000, ge=1)
    """Messages that wait for one connection, at most."""
    buffer_bytes: int = Field(default=1 << 20, ge=1024)
    """What waits for one connection at most; beyond it the session lags, and reads on from the log."""
    max_message_bytes: int = Field(default=65536, ge=256)
    """The largest message a client may send."""
    max_errors: int = Field(default=10, ge=1)
    """Messages not understood before the connection is closed."""
    compression: bool = False
    """Whether WebSocket frames are compressed: about 50 KiB more for each connection."""
    drain_delay: float = Field(default=0.0, ge=0)
    """After the order to stop, before anybody is sent away: for a load balancer to see that /readyz has turned."""
    drain_timeout: float = Field(default=10.0, ge=0)
    """Over which clients are sent away when the server stops, where they are many."""

    log_format: Literal["text", "json"] = "text"
    """How `changefeed serve` and `changefeed relay` write their logs: for people, or one JSON object a line."""
    metrics_token: SecretStr | None = None
    """Whoever reads `/metrics` must send it as a bearer token. Unset: everybody may read it."""

    host: str = "127.0.0.1"
    """Where `changefeed serve` listens."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Where `changefeed serve` listens; 0: any free port."""
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

    @field_validator("source")
    @classmethod
    def _stream(cls, value: str | None) -> str | None:
        schemes = ("redis", "rediss", "valkey", "valkeys", "unix")
        if value and urlsplit(value).scheme not in schemes:
            raise ValueError("that is no Redis or Valkey. Use redis://user:password@host:port/0, or leave it out")
        return value or None

    @field_validator("jwt_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        secret = "" if value is None else value.get_secret_value()
        # Whoever may read a public key could sign with it, were it taken for a secret.
        if "-----BEGIN" in secret or secret.startswith(("ssh-", "ecdsa-", "{")):
            raise ValueError("that is a key, not a secret. Set CHANGEFEED_JWT_PUBLIC_KEY to the public key")
        if 0 < len(secret.encode()) < 32:
            raise ValueError("an HS256 secret needs at least 32 bytes, for example from: openssl rand -hex 32")
        return value if secret else None

    @field_validator("jwt_public_key")
    @classmethod
    def _public_key(cls, value: str | None) -> str | None:
        pem = (value or "").replace("\\n", "\n").strip()
        if pem and "-----BEGIN PUBLIC KEY-----" not in pem:
            raise ValueError(
                "that is no public key in PEM (-----BEGIN PUBLIC KEY-----). To get it out of a private key: "
                "openssl pkey -pubout; out of a certificate: openssl x509 -pubkey -noout"
            )
        return pem or None

    @field_validator("jwt_jwks_url")
    @classmethod
    def _jwks_url(cls, value: str | None) -> str | None:
        url = urlsplit(value or "")
        if value and (url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc):
            raise ValueError("that is no key set's address. Use https://HOST/PATH, without a user and password")
        return value or None

    @field_validator("jwt_audience", "jwt_issuer")
    @classmethod
    def _not_blank(cls, value: frozenset[str] | str | None) -> frozenset[str] | str | None:
        # Taken as unset, a variable that expanded to nothing would switch the check off.
        if value is not None and not value:
            raise ValueError("it is empty. Say what tokens must hold, or leave it out to check nothing")
        return value

    @field_validator("owner_claims", "admin_claim")
    @classmethod
    def _not_from_the_user(cls, value: dict[str, str] | str) -> dict[str, str] | str:
        claims = [value] if isinstance(value, str) else list(value)
        for claim in claims:
            if not {"user_metadata", "unsafe_metadata"}.isdisjoint(claim.split(".")):
                raise ValueError(f"users write {claim} themselves. Use a claim that they cannot write")
        if not all(claims) or (isinstance(value, dict) and not all(value.values())):
            raise ValueError("a claim or an owner kind is empty. Name it")
        return value

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        keys = [name for name in ("jwt_secret", "jwt_public_key", "jwt_jwks_url") if getattr(self, name)]
        if len(keys) > 1:
            names = " and ".join(f"CHANGEFEED_{name.upper()}" for name in keys)
            raise ValueError(f"{names} are set. Keep the one that tokens are signed with, remove the others")
        return self
