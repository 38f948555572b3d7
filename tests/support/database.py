"""Databases for tests: each a clone of a template, made in milliseconds and dropped after the test.

Guarantees: no test sees another's rows; the host schema is there, without rows; in a migrated database so is
everything that `alembic upgrade head` makes. A template is built once per server, when the first test asks.
Dropping disconnects whoever is still connected.

Assumes that nobody connects to a template: PostgreSQL clones only what is not in use.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from demo import host
from tests.support.server import Server

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Database(host.Dsns):
    """One database as each of the three roles sees it, and the server's version as a number (180003)."""

    server_version: int


class MigrationError(Exception):
    """`alembic upgrade head` failed; the message is what it printed."""


class Databases:
    """Makes and drops the databases of one server."""

    def __init__(self, server: Server) -> None:
        """Makes nothing yet."""
        self.server = server
        self._numbers = itertools.count(1)
        self._templates: dict[bool, str | MigrationError] = {}
        self._version = 0

    @asynccontextmanager
    async def clone(self, *, migrated: bool) -> AsyncIterator[Database]:
        """A database of the caller's own, for as long as the block lasts. Raises MigrationError."""
        template = await self._template(migrated=migrated)
        dsns = await host.create_database(
            self.server.admin_dsn, f"changefeed_test_{next(self._numbers)}", template=template
        )
        try:
            yield Database(dsns.name, dsns.admin_dsn, dsns.app_dsn, dsns.feed_dsn, self._version)
        finally:
            await self._as_admin(f'drop database "{dsns.name}" with (force)')

    async def _template(self, *, migrated: bool) -> str:
        if migrated not in self._templates:
            self._templates[migrated] = await self._build(migrated=migrated)
        template = self._templates[migrated]
        if isinstance(template, MigrationError):
            raise template
        return template

    async def _build(self, *, migrated: bool) -> str | MigrationError:
        if not migrated:
            await host.create_roles(self.server.admin_dsn)
            self._version = await self._read_version()
            dsns = await host.create_database(self.server.admin_dsn, "template_host", template="template0")
            await host.install_schema(dsns.app_dsn)
            return dsns.name
        dsns = await host.create_database(
            self.server.admin_dsn, "template_migrated", template=await self._template(migrated=False)
        )
        try:
            await alembic(dsns.feed_dsn, "upgrade", "head")
        except MigrationError as fault:
            # Kept: every further test fails with the same words, without another try.
            return fault
        return dsns.name

    async def _read_version(self) -> int:
        connection = await asyncpg.connect(self.server.admin_dsn)
        try:
            return int(await connection.fetchval("show server_version_num"))
        finally:
            await connection.close()

    async def _as_admin(self, sql: str) -> None:
        connection = await asyncpg.connect(self.server.admin_dsn)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


async def alembic(feed_dsn: str, *arguments: str) -> str:
    """Runs `alembic ARGUMENTS...` as an operator would, on this database; returns what it printed.

    Raises MigrationError with its standard output and error.
    """
    # CHANGEFEED_DSN would win over DATABASE_URL, and the tests would run on a developer's real database.
    inherited = {name: value for name, value in os.environ.items() if name != "CHANGEFEED_DSN"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alembic",
        *arguments,
        cwd=ROOT,
        env={**inherited, "DATABASE_URL": feed_dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise MigrationError(f"alembic {' '.join(arguments)} failed:\n{output.decode()}{errors.decode()}")
    return output.decode()
