"""The dedicated connection: LISTEN, the three advisory locks, and every look at the log.

The session that listens is the one that holds the locks, so that both are lost together: a writer can never believe a
relay awake whose bell nobody hears. The same session reads the log, so that its activity, which every session of the role
can see, is the leader's heartbeat: an idle relay needs no query beside its safety poll. Used by one task. Never shares
its connection, and never goes through a transaction pooler, where LISTEN and locks would belong to somebody else's session.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self, cast

import asyncpg

from .doorbell import Doorbell
from .errors import NotInstalledError, PoolerError
from .sql import query

CHANNEL = "changefeed"
LOCK_CLASS = 1667785319
"""Our advisory locks are (this, object): chosen at random once, and baked into the trigger functions."""
ASLEEP, LEADER, FOLLOWER = 1, 2, 3
OLDEST_SERVER = 14
LOCK_MILLISECONDS = 200
"""For which a statement waits for somebody's lock: while it does, nobody looks at the log."""

_POOLER = "where LISTEN and session locks belong to nobody. Set CHANGEFEED_DSN to the server's own address."


class Listener:
    """An open connection that listens. A context manager: leaving it frees every lock.

    Guarantees: `bell` is rung for every notification from another session, and once when the connection is lost.
    """

    def __init__(self, dsn: str, bell: Doorbell, timeout: float) -> None:
        """`timeout`: seconds within which the server must answer anything."""
        self._dsn = dsn
        self._bell = bell
        self._timeout = timeout
        self._connection: asyncpg.Connection[Any] | None = None
        self._sonar = asyncio.Event()
        self.closed = False
        self.heard = 0
        """Notifications from other sessions."""

    async def __aenter__(self) -> Self:
        """Connects, listens, and hears itself.

        Raises PoolerError, NotInstalledError, asyncpg.PostgresError, OSError, TimeoutError.
        """
        connection = await connect(self._dsn, self._timeout, "changefeed listener")
        self._connection = connection
        try:
            await _refuse_what_cannot_listen(connection)
            connection.add_termination_listener(self._lost)
            await connection.add_listener(CHANNEL, self._heard)
            await self._prove_the_bell()
        except BaseException:
            connection.terminate()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=1.0)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()

    @property
    def connection(self) -> asyncpg.Connection[Any]:
        """For reading the log. Raises ConnectionResetError where it is lost."""
        if self._connection is None or self.closed:
            raise ConnectionResetError("the listener's connection to Postgres is closed")
        return self._connection

    async def try_lead(self) -> bool:
        """Become the leader, if there is none."""
        return await self._lock("pg_try_advisory_lock", LEADER)

    async def follow(self) -> None:
        """Let the leader know that somebody wants to be rung."""
        await self._lock("pg_try_advisory_lock_shared", FOLLOWER)

    async def unfollow(self) -> None:
        """The leader need not ring for this one."""
        await self.value("select pg_advisory_unlock_shared($1, $2)", LOCK_CLASS, FOLLOWER)

    async def try_sleep(self) -> bool:
        """Take the lock "asleep". Refused while a writer is in flight who believes the relay awake."""
        return await self._lock("pg_try_advisory_lock", ASLEEP)

    async def wake(self) -> None:
        """Give the lock "asleep" back."""
        await self._lock("pg_advisory_unlock", ASLEEP)

    async def followed(self) -> bool:
        """Whether anybody wants to be rung."""
        return cast("bool", await self.value(query("followers"), LOCK_CLASS, FOLLOWER))

    async def ring(self) -> None:
        """Wake the followers. A transaction of its own, which waits for no flush."""
        await self.value("select pg_notify($1, '')", CHANNEL)

    async def end_frozen_leader(self, silence: float) -> int | None:
        """End the leader's session where it has said nothing for `silence` seconds. Returns its backend's pid, if so.

        A frozen process keeps its TCP connection, and with it the lock, for ever. Needs no privilege beyond being of
        the same role.
        """
        row = await self.connection.fetchrow(query("leader"), LOCK_CLASS, LEADER, timeout=self._timeout)
        if row is None or row["silent"] is None or row["silent"] < silence:
            return None
        pid: int = row["pid"]
        await self.value("select pg_terminate_backend($1)", pid)
        return pid

    async def value(self, statement: str, *arguments: Any) -> Any:
        """One statement's first value."""
        return await self.connection.fetchval(statement, *arguments, timeout=self._timeout)

    async def _lock(self, function: str, which: int) -> bool:
        return bool(await self.value(f"select {function}($1, $2)", LOCK_CLASS, which))

    def _heard(self, connection: object, pid: int, _channel: str, _payload: object) -> None:
        # The payload is nobody's business: any role may NOTIFY. It means "look".
        if isinstance(connection, asyncpg.Connection) and pid == connection.get_server_pid():
            self._sonar.set()
        else:
            self.heard += 1
            self._bell.ring()

    def _lost(self, _connection: object) -> None:
        self.closed = True
        self._bell.ring()

    async def _prove_the_bell(self) -> None:
        """Ring, and hear it: after Oban's Sonar. LISTEN alone succeeds in places where nothing is ever heard."""
        await self.ring()
        try:
            await asyncio.wait_for(self._sonar.wait(), self._timeout)
        except TimeoutError:
            raise PoolerError(
                f"LISTEN was accepted, but no notification of our own is heard: a pooler, {_POOLER}"
            ) from None


async def connect(dsn: str, timeout: float, name: str) -> asyncpg.Connection[Any]:
    """A connection set up for the relay: no idle timeout, dead peers noticed by the server, commits that wait for no flush.

    `timeout`: seconds, for connecting and for each statement that names none. Raises PoolerError and NotInstalledError
    where the server does not know these settings, asyncpg.PostgresError, OSError, TimeoutError.

    `enable_seqscan = off` and generic plans: the log's leaves grow and are emptied faster than statistics follow, a plan
    made for an empty leaf must not be used on a full one, and planning over nine leaves costs more than running.
    """
    try:
        return await asyncpg.connect(
            dsn,
            timeout=timeout,
            command_timeout=timeout,
            server_settings={
                "application_name": name,
                "idle_session_timeout": "0",
                "idle_in_transaction_session_timeout": "0",
                "statement_timeout": "0",
                "lock_timeout": str(LOCK_MILLISECONDS),
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
                "synchronous_commit": "off",
                "enable_seqscan": "off",
                "plan_cache_mode": "force_generic_plan",
                "default_transaction_isolation": "read committed",
                "jit": "off",
            },
        )
    except asyncpg.ProtocolViolationError as error:
        # PgBouncer refuses every parameter that it does not track.
        raise PoolerError(f"{error}. That is how a pooler answers, {_POOLER}") from None
    except asyncpg.UndefinedObjectError as error:
        raise NotInstalledError(f"changefeed needs PostgreSQL {OLDEST_SERVER} or later ({error}).") from None


async def _refuse_what_cannot_listen(connection: asyncpg.Connection[Any]) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise NotInstalledError(f"changefeed needs PostgreSQL {OLDEST_SERVER} or later, this is {version.major}.")
    # A pooler hands out a key of its own, which is not the backend's pid.
    if await connection.fetchval("select pg_backend_pid()") != connection.get_server_pid():
        raise PoolerError(f"The connection goes through a pooler, {_POOLER}")
    if await connection.fetchval("select pg_is_in_recovery()"):
        raise PoolerError("This is a standby, where nobody can LISTEN. Set CHANGEFEED_DSN to the primary's address.")
