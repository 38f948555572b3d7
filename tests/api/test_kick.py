"""`changefeed.kick`, on a real server: what it leaves for the processes to see, and who may call it."""

import asyncio

import asyncpg
import pytest

from api.revocations import Revocations
from changefeed.sql import query
from tests.support.database import Database

KICK = "select changefeed.kick($1)"
COUNT = "select kicks from changefeed.state"


async def kicks(connection: asyncpg.Connection) -> dict[str, float]:
    return {row["user_id"]: row["at"] for row in await connection.fetch(query("kicks"))}


async def test_a_kick_is_a_row_with_its_moment_and_a_count(feed: asyncpg.Connection) -> None:
    assert await kicks(feed) == {}
    before = await feed.fetchval("select extract(epoch from clock_timestamp())::float8")
    await feed.execute(KICK, "u1")
    await feed.execute("select changefeed.kick('u2')")
    after = await feed.fetchval("select extract(epoch from clock_timestamp())::float8")
    found = await kicks(feed)
    assert set(found) == {"u1", "u2"}
    assert before <= found["u1"] <= found["u2"] <= after
    assert await feed.fetchval(COUNT) == 2


async def test_every_further_kick_is_noticed_even_where_the_clock_went_back(feed: asyncpg.Connection) -> None:
    revocations = Revocations()
    await feed.execute(KICK, "u1")
    assert revocations.replace(await kicks(feed)) == {"u1"}
    assert revocations.replace(await kicks(feed)) == frozenset()
    await feed.execute("update changefeed.kick set at = clock_timestamp() + interval '1 hour'")
    revocations.replace(await kicks(feed))
    await feed.execute(KICK, "u1")
    assert revocations.replace(await kicks(feed)) == {"u1"}
    assert await feed.fetchval(COUNT) == 2


async def test_a_kick_rings_once_it_is_committed_and_says_nothing(feed: asyncpg.Connection, database: Database) -> None:
    listener = await asyncpg.connect(database.feed_dsn)
    heard: asyncio.Queue[object] = asyncio.Queue()
    await listener.add_listener("changefeed", lambda *told: heard.put_nowait(told[-1]))
    async with feed.transaction():
        await feed.execute(KICK, "u1")
        await listener.execute("select 1")
        assert heard.empty()
    assert await heard.get() == ""
    await listener.close()


async def test_without_a_doorbell_a_kick_does_not_ring(feed: asyncpg.Connection, database: Database) -> None:
    listener = await asyncpg.connect(database.feed_dsn)
    heard: asyncio.Queue[object] = asyncio.Queue()
    await listener.add_listener("changefeed", lambda *told: heard.put_nowait(told[-1]))
    await feed.execute("select changefeed.configure(doorbell => false)")
    await feed.execute(KICK, "u1")
    await feed.execute("notify changefeed, 'after it'")
    assert await heard.get() == "after it"
    assert set(await kicks(feed)) == {"u1"}
    await listener.close()


@pytest.mark.parametrize("nobody", ["", None])
async def test_nobody_cannot_be_kicked(feed: asyncpg.Connection, nobody: str | None) -> None:
    with pytest.raises(asyncpg.RaiseError, match="whom to kick is missing"):
        await feed.execute(KICK, nobody)
    assert await feed.fetchval(COUNT) == 0


async def test_the_application_cannot_kick_even_if_it_may_look_into_the_schema(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    for _ in range(2):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(KICK, "u1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("insert into changefeed.kick (user_id) values ('u1')")
        await feed.execute("grant usage on schema changefeed to public")
    assert await kicks(feed) == {}
    executable = "select has_function_privilege('app', 'changefeed.kick(text)', 'execute')"
    assert not await feed.fetchval(executable)
