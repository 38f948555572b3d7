"""How Alembic reaches the database: over asyncpg, at the address that the settings give.

The version table lives in the schema `changefeed`, so that it never meets the application's own `alembic_version`, and
`downgrade base` removes it with the schema. Alembic creates it before the first migration runs, hence the schema is
created here if it is missing. There is no autogenerate: the migrations are frozen SQL.
"""

import asyncio
from typing import Any

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

from changefeed.errors import ConfigurationError
from changefeed.settings import Settings

OPTIONS: dict[str, Any] = {"version_table": "alembic_version", "version_table_schema": "changefeed"}

# IF NOT EXISTS would need CREATE on the database even where the schema is there.
MAKE_SCHEMA = """DO $schema$
BEGIN
  IF to_regnamespace('changefeed') IS NULL THEN
    CREATE SCHEMA changefeed;
  END IF;
END
$schema$;"""
DROP_SCHEMA = "DROP SCHEMA IF EXISTS changefeed CASCADE;"


def run_offline() -> None:
    """Print the SQL, for review: `alembic upgrade head --sql`."""
    context.configure(dialect_name="postgresql", literal_binds=True, as_sql=True, **OPTIONS)
    output = context.get_context().impl.static_output
    with context.begin_transaction():
        if context.get_starting_revision_argument() is None:
            output(MAKE_SCHEMA)
        context.run_migrations()
        if context.get_revision_argument() is None:
            output(DROP_SCHEMA)


def run_migrations(connection: sa.Connection) -> None:
    """All of them in one transaction: a failure leaves the database as it was."""
    context.configure(connection=connection, transaction_per_migration=False, **OPTIONS)
    with context.begin_transaction():
        connection.execute(sa.text(MAKE_SCHEMA))
        context.run_migrations()
    # Downgraded to nothing: the version table is the last trace.
    if context.get_context().get_current_revision() is None:
        connection.execute(sa.text(DROP_SCHEMA))
    connection.commit()


async def run_online() -> None:
    """Connect to the configured database and migrate it."""
    url = Settings().dsn
    if url is None:
        raise ConfigurationError(
            "No database is configured. Set DATABASE_URL (or CHANGEFEED_DSN), for example"
            " postgresql://user:password@127.0.0.1:5432/app"
        )
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"), poolclass=sa.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run_migrations)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_online())
