"""The host database: roles, schema and first data of an application that knows nothing of changefeed.

Three roles, as a careful team would have them: `postgres`, the server's superuser; `app`, which owns the
tables and writes to them; `changefeed`, which may act as `app` (a trigger's creator must own the table) and
may create one schema. Neither `app` nor `changefeed` may create roles or databases.

Guarantees: roles and database are as above afterwards, whatever was there before. The two roles' passwords
follow from the superuser's and do not give it away, so that whoever has the superuser's connection string can
make the other two. Never used on a database that matters: it drops nothing, but it does set those two roles'
passwords.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import UUID

import asyncpg

USER1 = UUID("00000000-0000-4000-8000-000000000001")
USER2 = UUID("00000000-0000-4000-8000-000000000002")
ADMIN = UUID("00000000-0000-4000-8000-0000000000ad")
WORKFLOW = UUID("00000000-0000-4000-8000-0000000000f1")
EXECUTION = UUID("00000000-0000-4000-8000-0000000000e1")
"""A running execution of USER1's, in WORKFLOW. The simulator touches neither it nor that workflow."""

APP_ROLE = "app"
FEED_ROLE = "changefeed"

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Dsns:
    """One database, as each of the three roles sees it: connection strings."""

    name: str
    admin_dsn: str
    app_dsn: str
    feed_dsn: str


def dsns_of(admin_dsn: str, name: str) -> Dsns:
    """The connection strings to database `name` on the server of `admin_dsn`."""
    server = urlsplit(admin_dsn)
    address = f"{server.hostname}:{server.port}"

    def dsn(user: str, password: str) -> str:
        return urlunsplit(("postgresql", f"{quote(user)}:{quote(password, safe='')}@{address}", name, "", ""))

    return Dsns(
        name=name,
        admin_dsn=dsn(server.username or "postgres", unquote(server.password or "")),
        app_dsn=dsn(APP_ROLE, role_password(admin_dsn, APP_ROLE)),
        feed_dsn=dsn(FEED_ROLE, role_password(admin_dsn, FEED_ROLE)),
    )


def role_password(admin_dsn: str, role: str) -> str:
    """The password of `app` or `changefeed` on the server of `admin_dsn`."""
    secret = urlsplit(admin_dsn).password or ""
    return hashlib.sha256(f"{role}:{secret}".encode()).hexdigest()[:32]


async def create_roles(admin_dsn: str) -> None:
    """Makes `app` and `changefeed` on this server, or sets them right. Raises asyncpg.PostgresError."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        for role in (APP_ROLE, FEED_ROLE):
            if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
                await connection.execute(f"create role {role}")
            await connection.execute(
                f"alter role {role} login inherit "
                f"nosuperuser nocreaterole nocreatedb noreplication nobypassrls "
                f"password '{role_password(admin_dsn, role)}'"
            )
        await connection.execute(f"grant {APP_ROLE} to {FEED_ROLE}")
    finally:
        await connection.close()


async def create_database(admin_dsn: str, name: str, *, template: str = "template1") -> Dsns:
    """Makes database `name`, a copy of `template`, and gives the two roles what they need in it.

    Raises asyncpg.DuplicateDatabaseError, asyncpg.ObjectInUseError while somebody is connected to the
    template.
    """
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f'create database "{name}" template "{template}"')
        # A copy takes the tables' privileges along, but not those on the database itself.
        await connection.execute(f'grant create on database "{name}" to {FEED_ROLE}')
    finally:
        await connection.close()
    dsns = dsns_of(admin_dsn, name)
    connection = await asyncpg.connect(dsns.admin_dsn)
    try:
        await connection.execute(f"grant usage, create on schema public to {APP_ROLE}")
    finally:
        await connection.close()
    return dsns


async def install_schema(dsn: str) -> None:
    """Makes the application's tables; `dsn` is the application's own."""
    await _run_file(dsn, "host.sql")


async def seed(dsn: str) -> None:
    """Writes the application's first data; `dsn` is the application's own."""
    await _run_file(dsn, "seed.sql")


async def _run_file(dsn: str, file: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute((_FOLDER / file).read_text(encoding="utf-8"))
    finally:
        await connection.close()
