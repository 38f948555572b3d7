"""The commands that run until they are told to stop: tail, relay, serve."""

import json
import signal
import socket

import pytest
from websockets.asyncio.client import connect

from tests.cli.conftest import Begin
from tests.cli.program import run
from tests.support.database import Database, Databases, alembic
from tests.support.service import Process
from tests.support.site import Site
from tests.support.tenant import Tenant

LIVE = r"live; waiting for changes"
LISTENS = r"Uvicorn running on (http://127\.0\.0\.1:\d+)"


def printed(process: Process) -> list[dict[str, object]]:
    """The messages among what it has printed."""
    return [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]


async def test_tail_prints_each_message_as_it_goes_over_the_wire(place: Site, start: Begin) -> None:
    process = start("tail", "--json", dsn=place.database.feed_dsn)
    await process.said(LIVE)
    tenant = await place.tenant()
    execution = await tenant.begin()
    await tenant.turn(execution, "completed")
    await process.said("execution-completed")
    messages = printed(process)
    assert [message["type"] for message in messages] == ["execution-started", "execution-completed"]
    assert {message["user_id"] for message in messages} == {str(tenant.id)}


async def test_tail_shows_one_owner_or_one_table_alone(place: Site, start: Begin) -> None:
    one, other = await place.tenant(), await place.tenant()
    dsn = place.database.feed_dsn
    owners = [start("tail", "--json", "--owner", owner, dsn=dsn) for owner in (str(one.id), f"user:{one.id}")]
    tables = [start("tail", "--json", "--table", table, dsn=dsn) for table in ("agent_task", "public.agent_task")]
    for process in (*owners, *tables):
        await process.said(LIVE)
    for tenant in (other, one):
        await tenant.task(await tenant.begin())
    for process in owners:
        await process.said("agent-task-update")
        assert {message["user_id"] for message in printed(process)} == {str(one.id)}
    for process in tables:
        await process.said(str(one.id))
        assert {message["type"] for message in printed(process)} == {"agent-task-update"}


async def test_tail_for_people_is_a_line_for_each_message_and_ends_with_whoever_reads_it(
    place: Site, start: Begin
) -> None:
    process = start("tail", dsn=place.database.feed_dsn)
    await process.said(LIVE)
    tenant = await place.tenant()
    await tenant.begin()
    await process.said(rf"Z  execution-started +{tenant.id}  .*status=running")
    process.send_signal(signal.SIGINT)
    assert await process.ended() == 130


async def test_a_relay_leads_follows_and_ends_when_it_is_told_to(migrated: Database, start: Begin) -> None:
    # As in the environment of an API whose processes only follow.
    first = start("relay", dsn=migrated.feed_dsn, relay="false")
    await first.said("changefeed: leading")
    second = start("relay", dsn=migrated.feed_dsn)
    await second.said("changefeed: following")
    first.send_signal(signal.SIGTERM)
    assert await first.ended() == 0
    await second.said("changefeed: leading")
    second.send_signal(signal.SIGINT)
    assert await second.ended() == 0


async def test_a_relay_waits_for_a_database_and_says_what_it_waits_for(embedded: Databases, start: Begin) -> None:
    async with embedded.clone(migrated=False) as database:
        process = start("relay", dsn=database.feed_dsn)
        await process.said("not connected: .*changefeed migrate")
        await alembic(database.feed_dsn, "upgrade", "head")
        await process.said("changefeed: leading")


async def test_an_api_that_only_follows_is_served_by_a_relay_beside_it(place: Site, start: Begin) -> None:
    relay = start("relay", dsn=place.database.feed_dsn)
    await relay.said("changefeed: leading")
    await place.start(relay="false")
    tenant = await place.tenant()
    client = await place.joined("websocket", tenant)
    execution = await tenant.begin()
    await client.until("execution-started", execution_id=execution)


async def greeted(url: str, tenant: Tenant, compression: str | None) -> list[str]:
    """Connects to a server that `serve` runs. Returns the extensions that were agreed upon."""
    headers = {"Authorization": f"Bearer {tenant.token()}"}
    address = url.replace("http", "ws", 1) + "/ws/dashboard"
    async with connect(address, additional_headers=headers, compression=compression) as client:
        assert json.loads(await client.recv())["type"] == "ready"
        return [type(extension).__name__ for extension in client.protocol.extensions]


@pytest.mark.parametrize("compression", [None, "true"])
async def test_serve_runs_the_api_and_compresses_where_that_is_wished(
    place: Site, start: Begin, compression: str | None
) -> None:
    process = start("serve", "--port", "0", dsn=place.database.feed_dsn, compression=compression)
    url = (await process.said(LISTENS))[1]
    tenant = await place.tenant()
    # The client offers it each time.
    extensions = await greeted(url, tenant, "deflate")
    assert extensions == ([] if compression is None else ["PerMessageDeflate"])
    assert await greeted(url, tenant, None) == []
    process.send_signal(signal.SIGTERM)
    assert await process.ended() in (0, -signal.SIGTERM)


async def test_serve_runs_several_processes(place: Site, start: Begin) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start("serve", "--port", str(port), "--workers", "2", dsn=place.database.feed_dsn)
    await process.said(r"(?s)Application startup complete.*Application startup complete")
    tenant = await place.tenant()
    assert await greeted(f"http://127.0.0.1:{port}", tenant, None) == []
    process.send_signal(signal.SIGTERM)
    assert await process.ended() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serve_says_that_the_port_is_taken(workers: str, migrated: Database) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = await run("serve", "--port", port, "--workers", workers, dsn=migrated.feed_dsn)
    assert f"Nobody can listen on 127.0.0.1, port {port}" in said.complaint


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serve_without_a_key_says_so_once(workers: str, migrated: Database) -> None:
    said = await run("serve", "--port", "0", "--workers", workers, dsn=migrated.feed_dsn, jwt_secret=None)
    assert said.complaint.startswith("There is no key to check tokens with.")
