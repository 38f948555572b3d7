"""The listener: what it refuses to listen on, when it gives up, and whose session it ends."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from changefeed.doorbell import Doorbell
from changefeed.errors import NotInstalledError, PoolerError
from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS, Listener
from changefeed.settings import Settings
from tests.integration.vocabulary import PATIENCE, Connection, until_alone
from tests.support.database import Database
from tests.support.proxy import Proxy

KEY = b"K\x00\x00\x00\x0c"
"""How a server begins to say which backend it is."""
READY = b"Z\x00\x00\x00\x05I"
"""How it says that it waits for a query."""
NOTIFICATION = re.compile(rb"A\x00\x00\x00.....changefeed\x00\x00", re.DOTALL)


@asynccontextmanager
async def refusing_server(code: str, message: str) -> AsyncIterator[str]:
    """The connection string of something that answers every beginning with this error."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, request = struct.unpack("!ii", await reader.readexactly(8))
                await reader.readexactly(length - 8)
                if request != 80877103:
                    break
                writer.write(b"N")
            fields = b"".join(
                kind + text.encode() + b"\0"
                for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", code), (b"M", message))
            )
            writer.write(b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0")
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"postgresql://changefeed@127.0.0.1:{server.sockets[0].getsockname()[1]}/platform"


async def test_a_pooler_that_refuses_our_settings_is_named() -> None:
    # As PgBouncer says it.
    async with refusing_server("08P01", "unsupported startup parameter: idle_session_timeout") as dsn:
        with pytest.raises(PoolerError, match="CHANGEFEED_DSN"):
            await Listener(dsn, Doorbell(), PATIENCE).__aenter__()
        async with Feed(Settings(dsn=dsn)) as running:
            assert await running.pulse.until(lambda: running.pulse.failure is not None, PATIENCE)
            assert "pooler" in running.pulse.reasons[0]


async def test_a_server_that_is_too_old_is_named() -> None:
    message = 'unrecognized configuration parameter "idle_session_timeout"'
    async with refusing_server("42704", message) as dsn:
        with pytest.raises(NotInstalledError, match="PostgreSQL 14 or later"):
            await Listener(dsn, Doorbell(), PATIENCE).__aenter__()


async def test_a_pooler_that_hands_out_keys_of_its_own_is_named(database: Database) -> None:
    def falsified(data: bytes) -> bytes:
        start = data.find(KEY)
        return data if start < 0 else data[: start + 5] + struct.pack("!i", 4711) + data[start + 9 :]

    async with Proxy.to(database.feed_dsn, falsified) as pooler:
        with pytest.raises(PoolerError, match="CHANGEFEED_DSN"):
            await Listener(pooler.dsn, Doorbell(), PATIENCE).__aenter__()


async def test_a_pooler_that_swallows_notifications_is_named(database: Database) -> None:
    async with Proxy.to(database.feed_dsn, lambda data: NOTIFICATION.sub(b"", data)) as pooler:
        with pytest.raises(PoolerError, match="no notification of our own"):
            await Listener(pooler.dsn, Doorbell(), 1.0).__aenter__()


@pytest.mark.parametrize("answers", [0, 1, 2, 3])
async def test_a_server_that_falls_silent_while_we_begin_is_given_up(database: Database, answers: int) -> None:
    left = answers

    def counted(data: bytes) -> bytes:
        nonlocal left
        if READY in data:
            left -= 1
            if left < 0:
                network.freeze()
        return data

    async with Proxy.to(database.feed_dsn, counted) as network:
        if not answers:
            network.freeze()
        beginning = asyncio.create_task(Listener(network.dsn, Doorbell(), 0.3).__aenter__())
        # By itself, and not by our patience.
        assert await asyncio.wait([beginning], timeout=PATIENCE) == ({beginning}, set())
        assert isinstance(beginning.exception(), TimeoutError)
    await until_alone()


async def test_a_lost_connection_rings_and_is_not_used_any_more(database: Database, admin: Connection) -> None:
    bell = Doorbell()
    async with Listener(database.feed_dsn, bell, PATIENCE) as listener:
        bell.clear()
        await admin.execute("select pg_terminate_backend($1)", listener.connection.get_server_pid())
        assert await bell.wait(PATIENCE)
        assert listener.closed
        with pytest.raises(ConnectionResetError):
            await listener.try_lead()


async def test_others_are_heard_and_oneself_is_not(database: Database, admin: Connection) -> None:
    bell = Doorbell()
    async with Listener(database.feed_dsn, bell, PATIENCE) as listener:
        await listener.ring()
        assert (bell.rung, listener.heard) == (False, 0)
        await admin.execute("select pg_notify('changefeed', 'anything')")
        assert await bell.wait(PATIENCE)
        assert listener.heard == 1


async def test_locks_are_freed_with_the_session(database: Database) -> None:
    async with Listener(database.feed_dsn, Doorbell(), PATIENCE) as other:
        async with Listener(database.feed_dsn, Doorbell(), PATIENCE) as listener:
            assert await listener.try_lead()
            assert await listener.try_sleep()
            await listener.follow()
            assert await other.followed()
            assert not await other.try_lead()
            assert not await other.try_sleep()
        # Waits for as long as the server takes to notice.
        await other.connection.execute("set lock_timeout = 0")
        await other.connection.execute("select pg_advisory_lock($1, $2)", LOCK_CLASS, LEADER, timeout=PATIENCE)
        assert await other.try_sleep()
        assert not await other.followed()


async def test_a_silent_leader_is_ended_and_a_busy_one_is_not(database: Database, admin: Connection) -> None:
    bell = Doorbell()
    async with (
        Listener(database.feed_dsn, bell, PATIENCE) as leader,
        Listener(database.feed_dsn, Doorbell(), PATIENCE) as follower,
    ):
        assert await follower.end_frozen_leader(0.0) is None, "nobody leads"
        assert await leader.try_lead()
        pid = leader.connection.get_server_pid()
        assert await follower.end_frozen_leader(PATIENCE) is None, "it has just said something"
        busy = asyncio.create_task(leader.connection.execute("select pg_sleep(600)", timeout=None))
        async with asyncio.timeout(PATIENCE):
            while "pg_sleep" not in str(
                await admin.fetchval("select query from pg_stat_activity where pid = $1 and state = 'active'", pid)
            ):
                pass
        # It has been at it for longer than this, but it is the server that works, and no process that sleeps.
        assert await follower.end_frozen_leader(1e-9) is None
        await admin.execute("select pg_cancel_backend($1)", pid)
        with pytest.raises(asyncpg.QueryCanceledError):
            await busy
        bell.clear()
        assert await follower.end_frozen_leader(0.0) == pid
        assert await bell.wait(PATIENCE)


async def test_a_leader_of_another_database_is_left_alone(database: Database, databases: object) -> None:
    del databases
    async with (
        Listener(database.feed_dsn, Doorbell(), PATIENCE) as leader,
        Listener(database.admin_dsn.rsplit("/", 1)[0] + "/postgres", Doorbell(), PATIENCE) as elsewhere,
    ):
        assert await leader.try_lead()
        assert await elsewhere.end_frozen_leader(0.0) is None
        assert await elsewhere.try_lead(), "each database has a leader of its own"
        assert not leader.closed
