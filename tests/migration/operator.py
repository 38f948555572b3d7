"""Alembic as an operator runs it, but in this process: a second or two less for each call."""

import asyncio
import io
import os
from unittest.mock import patch

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from tests.support.database import ROOT, MigrationError


async def alembic(dsn: str, verb: str, revision: str, *, sql: bool = False) -> str:
    """`alembic upgrade|downgrade REVISION [--sql]`; returns what it printed. Raises MigrationError with the reason."""

    def run() -> str:
        printed = io.StringIO()
        config = Config(ROOT / "alembic.ini", stdout=printed, output_buffer=printed)
        with patch.dict(os.environ, {"DATABASE_URL": dsn}):
            os.environ.pop("CHANGEFEED_DSN", None)
            getattr(command, verb)(config, revision, sql=sql)
        return printed.getvalue()

    try:
        return await asyncio.to_thread(run)
    except (asyncpg.PostgresError, SQLAlchemyError, CommandError) as error:
        raise MigrationError(str(error)) from error
