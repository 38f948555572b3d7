"""The cap on a user's connections, and kicks, over several processes; and what that costs the database."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import httpx
from fastapi import FastAPI

from api.presence import Presence
from api.router import create_router
from changefeed.feed import Feed
from changefeed.settings import Settings
from tests.support.issuer import SECRET
from tests.support.service import PAUSE
from tests.support.site import Site
from tests.support.subscribers import LONGEST, EndedError, Subscriber

HERE = "select sum(connections)::int from changefeed.presence"


async def told(connection: asyncpg.Connection, statement: str, expected: object) -> None:
    """Waits until the database says what is expected."""
    async with asyncio.timeout(LONGEST):
        while True:
            if await connection.fetchval(statement) == expected:
                return
            await asyncio.sleep(PAUSE)


async def came(client: Subscriber, kind: str) -> None:
    """Waits until somebody else, who reads for it, has got a message of this type."""
    async with asyncio.timeout(LONGEST):
        while True:
            if kind in client.kinds:
                return
            await asyncio.sleep(PAUSE)


async def test_a_user_who_has_too_many_with_one_process_is_turned_away_by_the_other(own: Site) -> None:
    first = await own.start(max_user_connections=2)
    second = await own.start(max_user_connections=2)
    tenant, other = await own.tenant(), await own.tenant()
    kept = [await own.joined("websocket", tenant, first.url) for _ in range(2)]
    await told(own.feed, HERE, 2)

    # The second process does not know yet, lets him in, and sends him away within a moment.
    late = await own.joined("websocket", tenant, second.url)
    end = await late.end()
    assert (end.error, end.code) == ("too-many-connections", 4409)
    # From now on it knows, and does not even let him in.
    refused = await own.client("sse", tenant, second.url).refusal()
    assert (refused.error, refused.status) == ("too-many-connections", 429)
    # Somebody else is not concerned.
    await own.joined("websocket", other, second.url)

    # The ones that were there first never noticed, and once one of them goes there is room in the other process.
    execution = await tenant.begin()
    for client in kept:
        assert (await client.until("execution-started"))["data"]["execution_id"] == execution
    await kept[0].close()
    await _let_in(lambda: own.joined("websocket", tenant, second.url))


async def test_of_those_who_came_at_the_same_moment_the_cap_remains(own: Site) -> None:
    processes = [await own.start(max_user_connections=3) for _ in range(2)]
    tenant = await own.tenant()
    clients = [own.client("websocket", tenant, process.url) for process in processes for _ in range(3)]
    await asyncio.gather(*(client.open() for client in clients))
    ends = [asyncio.ensure_future(client.end()) for client in clients]
    for number, end in enumerate(asyncio.as_completed(ends), start=1):
        assert (await end).code == 4409
        if number == 3:
            break
    # The others are there, and stay: what happens to them, happens to all.
    execution = await tenant.begin()
    for client, end in zip(clients, ends, strict=True):
        if not end.done():
            await came(client, "execution-started")
            assert client.events[0]["data"]["execution_id"] == execution
    assert sum(end.done() for end in ends) == 3
    for end in ends:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)


async def test_a_process_that_was_killed_counts_no_more(own: Site) -> None:
    first = await own.start(max_user_connections=1)
    second = await own.start(max_user_connections=1)
    tenant = await own.tenant()
    await own.joined("websocket", tenant, first.url)
    await told(own.feed, HERE, 1)
    refused = await own.joined("websocket", tenant, second.url)
    assert (await refused.end()).code == 4409
    first.kill()
    await _let_in(lambda: own.joined("websocket", tenant, second.url))
    # What it left behind goes when another process begins.
    await own.start(max_user_connections=1)
    await told(own.feed, "select count(distinct backend)::int from changefeed.presence", 1)


async def test_when_the_listener_connects_again_what_is_here_is_told_again(own: Site) -> None:
    await own.start()
    tenant = await own.tenant()
    await own.joined("websocket", tenant)
    await told(own.feed, HERE, 1)
    ended = await own.feed.fetch(
        "select pid, pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'changefeed listener' and datname = current_database()"
    )
    assert len(ended) == 1
    pid = ended[0]["pid"]
    await told(own.feed, f"select count(*)::int from changefeed.presence where backend <> {pid}", 1)
    await told(own.feed, f"select count(*)::int from changefeed.presence where backend = {pid}", 0)


async def test_a_storm_of_connections_costs_a_statement_a_second_not_one_each(own: Site) -> None:
    sent: list[tuple[str, int]] = []
    settings = Settings(dsn=own.database.feed_dsn)
    presence = Presence(2)
    async with Feed(settings) as feed:
        pulse = feed.pulse
        await pulse.until(lambda: pulse.connected)
        sharing = asyncio.create_task(presence.share(feed, lambda user, most: sent.append((user, most))))
        await told(own.feed, "select count(*)::int from changefeed.presence", 0)
        for number in range(10_000):
            assert presence.enter(f"user-{number}")
        await told(own.feed, "select count(*)::int from changefeed.presence", 10_000)
        exchanges = presence.exchanges
        assert exchanges <= 3
        for number in range(10_000):
            presence.leave(f"user-{number}")
        await told(own.feed, "select count(*)::int from changefeed.presence", 0)
        assert presence.exchanges <= exchanges + 2
        assert not sent
        sharing.cancel()


async def test_a_quiet_process_says_nothing(own: Site) -> None:
    presence = Presence(2)
    async with Feed(Settings(dsn=own.database.feed_dsn)) as feed:
        pulse = feed.pulse
        await pulse.until(lambda: pulse.connected)
        sharing = asyncio.create_task(presence.share(feed, lambda _user, _most: None))
        presence.enter("somebody")
        await told(own.feed, HERE, 1)
        said, looks = presence.exchanges, pulse.looks
        # Three seconds, as the relay's safety polls count them.
        assert await pulse.until(lambda: pulse.looks >= looks + 3, LONGEST)
        assert presence.exchanges == said
        sharing.cancel()


async def test_an_id_longer_than_an_index_allows_is_counted_like_any_other(own: Site) -> None:
    presence = Presence(2)
    async with Feed(Settings(dsn=own.database.feed_dsn)) as feed:
        pulse = feed.pulse
        await pulse.until(lambda: pulse.connected)
        sharing = asyncio.create_task(presence.share(feed, lambda _user, _most: None))
        presence.enter("".join(chr(0x100 + number % 5000) for number in range(8000)))
        await told(own.feed, HERE, 1)
        sharing.cancel()


async def test_a_kick_ends_a_users_connections_with_every_process(own: Site) -> None:
    first, second = await own.start(), await own.start()
    tenant, other = await own.tenant(), await own.tenant()
    mine = [await own.joined("websocket", tenant, first.url), await own.joined("sse", tenant, second.url)]
    others = [await own.joined("websocket", other, process.url) for process in (first, second)]
    # One that is issued in the next second would be good.
    former = tenant.token()
    await own.feed.execute("select changefeed.kick($1)", str(tenant.id))
    assert {(await client.end()).error for client in mine} == {"kicked"}
    for process in (first, second):
        assert (await own.client("websocket", former, process.url).refusal()).code == 4403
    execution = await other.begin()
    for client in others:
        assert (await client.until("execution-started"))["data"]["execution_id"] == execution


async def test_a_process_that_has_only_just_begun_answers_no_question_with_a_token_from_before_a_kick(
    own: Site,
) -> None:
    tenant = await own.tenant()
    headers = {"Authorization": f"Bearer {tenant.token()}"}
    await own.feed.execute("select changefeed.kick($1)", str(tenant.id))
    app = FastAPI()
    router = create_router(Settings(dsn=own.database.feed_dsn, jwt_secret=SECRET))
    app.include_router(router)
    transport = httpx.ASGITransport(app=app)
    async with (
        router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client,
    ):
        answer = await client.get("/api/v1/executions")
        assert (answer.status_code, answer.json()["code"]) == (403, "token-revoked")


async def _let_in(join: Callable[[], Awaitable[Subscriber]]) -> None:
    """Waits until there is room, as a client does that comes back later."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                await join()
            except (EndedError, AssertionError):
                await asyncio.sleep(PAUSE)
            else:
                return
