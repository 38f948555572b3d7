"""Is it the right server, and is what stands in it what this release knows?"""

from collections.abc import Sequence
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from ...listener import OLDEST_SERVER
from ...migration import folder
from .finding import Finding, ok, problem


async def installed(connection: Any) -> Sequence[Finding]:
    """The server's version, whether it is a primary, and the schema's revision. Without a problem, all else can be asked."""
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        sentence = f"PostgreSQL {version.major} is too old"
        return [problem("server", sentence, f"changefeed needs PostgreSQL {OLDEST_SERVER} or later")]
    if await connection.fetchval("select pg_is_in_recovery()"):
        sentence = "this is a standby, where nobody can LISTEN or write, and which does not know what is being written"
        return [problem("server", sentence, "set CHANGEFEED_DSN to the primary's address")]
    found = ok("server", f"PostgreSQL {version.major}.{version.minor}, a primary")
    if not await connection.fetchval("select to_regclass('changefeed.state') is not null"):
        return [found, problem("schema", "changefeed is not installed in this database", "changefeed migrate")]
    return [found, await _revision(connection)]


async def _revision(connection: Any) -> Finding:
    current: str | None = await connection.fetchval("select version_num from changefeed.alembic_version")
    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    newest = script.get_current_head()
    if current == newest:
        return ok("schema", f"revision {current}, as this release wants it")
    try:
        known = current is not None and script.get_revision(current) is not None
    except CommandError:
        known = False
    if known:
        return problem("schema", f"revision {current}, and this release wants {newest}", "changefeed migrate")
    sentence = f"revision {current}, which this release does not know: it is another release's"
    return problem("schema", sentence, "use the release that has installed it, or a later one")
