"""`changefeed migrate`: Alembic with our revisions, wherever they are installed."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError
from ..migration import folder


def migrated(revision: str, *, sql: bool) -> None:
    """Upgrade to `revision`, or downgrade to `base`. `sql`: print what would run.

    Raises ConfigurationError, and what the database raises.
    """
    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    try:
        if revision == "base" or revision.startswith("-"):
            command.downgrade(config, f"head:{revision}" if sql and revision == "base" else revision, sql=sql)
        else:
            command.upgrade(config, revision, sql=sql)
    except CommandError as error:
        raise ConfigurationError(f"{error} (a revision is head, base, or a name in migrations/versions)") from error
    except DBAPIError as error:
        # What the driver said, which Alembic's SQLAlchemy has wrapped twice.
        cause = error.orig.__cause__ if error.orig is not None else None
        raise cause or error from None
