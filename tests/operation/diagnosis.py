"""The doctor as tests ask it: some checks, on some database, and one finding of what it says."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from changefeed.commands import Diagnosis, diagnosis_of
from changefeed.commands.doctor import Finding
from changefeed.commands.doctor.diagnosis import CHECKS, Check
from changefeed.settings import Settings
from demo import host
from demo.postgres import Postgres
from tests.support.database import Database, Databases
from tests.support.issuer import SECRET
from tests.support.server import Server
from tests.support.service import LONGEST, PAUSE

BY_NAME = {check.__name__: check for check in CHECKS}


async def found(database: Database, *names: str, patience: float = 300.0, **settings: Any) -> Diagnosis:
    """What these checks find, or all of them."""
    checks: Sequence[Check] = [BY_NAME[name] for name in names] or CHECKS
    given = {"dsn": database.feed_dsn, "jwt_secret": SECRET} | settings
    return await diagnosis_of(Settings(**given), patience=patience, checks=checks)


def the(diagnosis: Diagnosis, name: str) -> Finding:
    """The one finding of this name."""
    mine = [finding for finding in diagnosis.findings if finding.name == name]
    assert len(mine) == 1, diagnosis.as_text()
    assert (mine[0].remedy is None) == (mine[0].level == "ok")
    return mine[0]


async def until(connection: asyncpg.Connection, statement: str) -> None:
    """Waits until the database says yes."""
    async with asyncio.timeout(LONGEST):
        while True:
            if await connection.fetchval(statement):
                return
            await asyncio.sleep(PAUSE)


async def connected(dsn: str) -> asyncpg.Connection:
    """Waits until the server lets somebody in."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(PAUSE)


@asynccontextmanager
async def server_with(**settings: str) -> AsyncIterator[Database]:
    """A migrated database on a server of its own with these settings."""
    with Postgres(settings={"max_connections": "50", **settings}, durable=False) as postgres:
        server = Server("embedded", postgres.dsn("postgres"), postgres)
        await host.create_roles(server.admin_dsn)
        async with Databases(server).clone(migrated=True) as database:
            yield database
