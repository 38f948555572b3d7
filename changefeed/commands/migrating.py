"""`changefeed migrate`: Alembic with our revisions, wherever they are installed."""

from alembic import command
from alembic.config import Config

from ..migration import folder


def migrated(revision: str, *, sql: bool) -> None:
    """Upgrade to `revision`, or downgrade to `base`. `sql`: print what would run.

    Raises ConfigurationError, and what the database raises.
    """
    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    if revision == "base" or revision.startswith("-"):
        command.downgrade(config, f"head:{revision}" if sql and revision == "base" else revision, sql=sql)
    else:
        command.upgrade(config, revision, sql=sql)
