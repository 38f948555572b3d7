"""Running the frozen SQL of a migration, and finding the migrations, in a checkout as in an installed wheel.

A migration is one text with many statements, so it goes to the server in one simple query, inside the transaction that
Alembic has begun, or to the output as it is where a DBA asked for `--sql`. The texts are never edited once released.
"""

from pathlib import Path
from typing import Any

from alembic import op

from .errors import ConfigurationError


def folder() -> Path:
    """Where `env.py` and `versions/` are. Raises ConfigurationError where the installation lacks them."""
    package = Path(__file__).parent
    for candidate in (package / "_migrations", package.parent / "migrations"):
        if (candidate / "env.py").is_file():
            return candidate
    raise ConfigurationError("This installation has no migrations. Reinstall changefeed.")


def run_frozen(name: str) -> None:
    """Execute `migrations/sql/<name>` on Alembic's connection, or print it in offline mode.

    What the server has to say about it as "changefeed: ..." goes to Alembic's output.
    """
    text = (folder() / "sql" / name).read_text(encoding="utf-8")
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(text)
        return
    connection = op.get_bind().connection
    messages: list[str] = []

    async def execute(driver: Any) -> None:
        def listen(_connection: Any, message: Any) -> None:
            messages.append(str(message.message))

        driver.add_log_listener(listen)
        try:
            await driver.execute(text)
        finally:
            driver.remove_log_listener(listen)

    connection.dbapi_connection.run_async(execute)  # type: ignore[union-attr]
    for message in messages:
        if message.startswith("changefeed"):
            assert context.config is not None
            context.config.print_stdout("%s", message)
