"""The cursor for routes of a host's own: through our connections or its own, as the documentation shows it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from api.service import Service
from api.snapshot import STATEMENT, Place, Snapshot
from changefeed import Owner
from changefeed.cursor import Cursor
from changefeed.errors import ConfigurationError
from tests.support.database import ROOT, Database
from tests.support.issuer import SECRET
from tests.support.rest import HEADER, LONGEST, Rest, serving
from tests.support.tenant import Tenant

PAGE = Path(ROOT) / "docs" / "rest.md"


def documented(number: int) -> str:
    """An example of the page, as it would be written inside this repository."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code: str = examples[number]
    return code.replace("changefeed_api", "api")


@asynccontextmanager
async def documented_app(number: int) -> AsyncIterator[tuple[httpx.AsyncClient, Service, dict[str, Any]]]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(documented(number), str(PAGE), "exec"), names)
    app: FastAPI = names["app"]
    async with app.router.lifespan_context(app):
        pulse = app.state.changefeed.feed.pulse
        assert await pulse.until(lambda: pulse.live, LONGEST)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as client:
            yield client, app.state.changefeed, names


@pytest.fixture
def surroundings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples read from their environment."""
    monkeypatch.setenv("DATABASE_URL", database.feed_dsn)
    monkeypatch.setenv("CHANGEFEED_JWT_SECRET", SECRET)


async def resumed(service: Service, tenant: Tenant, cursor: str) -> list[str]:
    """What comes after the cursor: the executions."""
    owner, topics = [Owner("user", str(tenant.id))], frozenset({"executions"})
    async with service.feed.subscribe(owner, since=cursor, topics=topics) as subscription:
        items = [json.loads(item.whole()) for item in await subscription.next(LONGEST) or ()]
        assert items[0]["outcome"] in ("fresh", "replayed")
        return [item["data"]["execution_id"] for item in items[1:]]


@pytest.mark.usefixtures("surroundings")
async def test_the_documented_route_has_the_cursor_of_its_data(app: asyncpg.Connection) -> None:
    tenant = await Tenant.settle(app)
    await tenant.begin()
    async with documented_app(0) as (client, service, _):
        answer = await client.get("/reports")
        assert answer.json() == [{"name": "mine", "runs": 1}]
        later = await tenant.begin()
        assert await resumed(service, tenant, answer.headers[HEADER]) == [later]


@pytest.mark.usefixtures("surroundings")
async def test_the_documented_route_with_a_session_of_the_hosts_has_the_cursor_of_its_data(
    app: asyncpg.Connection,
) -> None:
    tenant = await Tenant.settle(app)
    await tenant.begin()
    async with documented_app(1) as (client, service, names):
        answer = await client.get("/workflows")
        assert answer.json() == ["mine"]
        later = await tenant.begin()
        assert await resumed(service, tenant, answer.headers[HEADER]) == [later]
        await names["engine"].dispose()


def route(app: FastAPI) -> None:
    @app.get("/slow")
    async def slow(snapshot: Snapshot, status: str = "") -> list[str]:
        assert snapshot.cursor is not None
        if status:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await snapshot.connection.execute("delete from workflow")
            raise asyncpg.DataError("as it happens")
        return [row["name"] for row in await snapshot.connection.fetch("select name from workflow")]


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[Rest]:
    async with serving(database.feed_dsn, route, host_pool_size=1) as found:
        yield found


async def test_the_connection_is_free_again_before_the_answer_is_taken_and_after_an_error(rest: Rest) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(rest.app, raise_app_exceptions=False), base_url="http://t"
    ) as client:
        for _ in range(3):
            assert (await client.get("/slow")).headers[HEADER]
            assert (await client.get("/slow?status=x")).status_code == 500
        # The pool has a single connection.
        answers = await asyncio.gather(*(client.get("/slow") for _ in range(10)))
        assert [answer.status_code for answer in answers] == [200] * 10


async def test_an_answer_is_not_sent_with_the_connection_in_hand(rest: Rest) -> None:
    """A client that takes nothing: the answer waits, the only connection does not."""
    stuck, started = asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.set()
            await stuck.wait()

    async def receive() -> Any:
        await stuck.wait()
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "method": "GET", "path": "/slow", "raw_path": b"/slow", "query_string": b"", "headers": [],
        "scheme": "http", "server": ("t", 80), "http_version": "1.1", "root_path": "", "app": rest.app,
    }  # fmt: skip
    task = asyncio.create_task(rest.app(scope, receive, send))
    await asyncio.wait_for(started.wait(), LONGEST)
    async with asyncio.timeout(LONGEST), rest.service.feed.reading() as reading:
        assert await reading.connection.fetchval("select 1") == 1
    stuck.set()
    await task


def place_in(rest: Rest) -> tuple[Any, dict[str, str]]:
    from starlette.responses import Response

    from api.snapshot import PlaceOf

    response = Response()
    return PlaceOf(rest.service, response), response.headers  # type: ignore[return-value]


async def test_only_a_transaction_in_which_everything_sees_the_same_has_a_place(
    rest: Rest, app: asyncpg.Connection, database: Database
) -> None:
    place, headers = place_in(rest)
    with pytest.raises(ConfigurationError, match="No transaction is open"):
        await place.of(app)
    async with app.transaction():
        with pytest.raises(ConfigurationError, match="REPEATABLE READ"):
            await place.of(app)
    assert HEADER not in headers
    for isolation in ("repeatable_read", "serializable"):
        async with app.transaction(isolation=isolation):
            cursor = await place.of(app)
            assert str(cursor) == headers[HEADER]
    engine: AsyncEngine = create_async_engine(database.app_dsn.replace("postgresql://", "postgresql+asyncpg://"))
    connection: AsyncConnection
    async with engine.connect() as connection:
        with pytest.raises(ConfigurationError, match="REPEATABLE READ"):
            await place.of(connection)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        assert isinstance(await place.of(connection), Cursor)
    await engine.dispose()


async def test_a_transaction_that_is_older_than_what_we_know_of_the_log_has_no_place(
    database: Database, app: asyncpg.Connection
) -> None:
    other = await asyncpg.connect(database.app_dsn)
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("select 1")
        await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
        async with serving(database.feed_dsn) as rest:
            place, headers = place_in(rest)
            assert await place.of(other) is None
            assert HEADER not in headers
            async with app.transaction(isolation="repeatable_read"):
                assert await place.of(app) is not None
    await other.close()


async def test_a_standby_has_no_place(rest: Rest, app: asyncpg.Connection) -> None:
    place, headers = place_in(rest)
    snapshot = await app.fetchval(STATEMENT)
    with pytest.raises(ConfigurationError, match="standby"):
        place.told(snapshot, True, True)
    assert HEADER not in headers
    assert str(place.told(snapshot, False, True)) == headers[HEADER]


async def test_without_a_router_the_dependencies_say_what_to_do() -> None:
    app = FastAPI()

    @app.get("/a")
    async def a(place: Place) -> None:
        raise AssertionError(place)

    route(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        for path in ("/a", "/slow"):
            with pytest.raises(ConfigurationError, match="create_router"):
                await client.get(path)
