"""Everybody comes back at once after a restart of the service: the database is not asked for each of them."""

from __future__ import annotations

import asyncio

from tests.integration.vocabulary import PATIENCE, Connection
from tests.support.database import Database
from tests.support.scrape import scraped
from tests.support.service import ServiceProcess, services
from tests.support.site import Site, site
from tests.support.tenant import Tenant

CLIENTS = 200


async def transactions(admin: Connection) -> int:
    """How many this database has had. A session counts what it did when it ends, at the latest."""
    sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'changefeed%'"
    async with asyncio.timeout(PATIENCE):
        while await admin.fetchval(sessions):
            pass
    return int(
        await admin.fetchval(
            "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
        )
    )


async def resumed(place: Site, tenant: Tenant, service: ServiceProcess, since: str) -> tuple[str, str]:
    """What the client is told first, and what kind of event it then gets."""
    client = await place.connect("websocket", tenant, service.url, since=since)
    ready = await client.next()
    return ready["data"]["outcome"], (await client.next())["type"]


async def test_no_query_for_each_of_those_who_come_back_after_a_restart(database: Database, admin: Connection) -> None:
    with services(database.feed_dsn) as running:
        async with site(database, running) as place:
            tenants = [await place.tenant() for _ in range(CLIENTS)]
            executions = [await tenant.begin() for tenant in tenants]
            first = await place.start()
            since = (await (await place.connect("websocket", tenants[0])).until("ready"))["cursor"]
            first.kill()
            for tenant, execution in zip(tenants, executions, strict=True):
                await tenant.move(execution, 50)
            before = await transactions(admin)
            second = await place.start()
            said = await asyncio.gather(*(resumed(place, tenant, second, since) for tenant in tenants))
            assert set(said) == {("replayed", "execution-updated")}
            metrics = await scraped(second.url)
            second.kill()
            # All of the process's life: its start, and what everybody's return costs together.
            assert await transactions(admin) - before < CLIENTS
    assert metrics.by("replays_total", "source") == {"memory": CLIENTS, "log": 0}
