"""`changefeed`: install it, choose what is watched, see that it works, run it.

Every command reads the same settings as the service (`CHANGEFEED_*`, `DATABASE_URL`). What goes wrong is said in one
sentence with what to do about it, on standard error, with exit code 1; a traceback would be a bug.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import asyncpg
import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from . import watch as watching
from .commands import (
    Status,
    diagnosis_of,
    explanation_of,
    issued_token,
    live_events,
    migrated,
    misconfigured,
    relaying,
    served,
)
from .errors import ChangefeedError, ConfigurationError
from .event import Owner
from .mapping import EventMapping
from .settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Live data from an existing Postgres.",
)

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS = 10.0


def command(function: Callable[P, None]) -> Callable[P, None]:
    """A command of the program, whose failures are said in a sentence."""

    @app.command(name=function.__name__)
    @wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            function(*arguments, **options)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read us has had enough (`| head`). Python would complain once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except FAILURES as error:
            typer.echo(f"changefeed: {explained(error)}", err=True)
            raise typer.Exit(1) from None

    return run


FAILURES = (
    ChangefeedError,
    ValidationError,
    SettingsError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


def explained(error: Exception) -> str:
    """What went wrong, and what to do, in one line."""
    return " ".join(_sentence(error).split())


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{_variable(fault['loc'])}{_complaint(fault)}" for fault in error.errors(include_input=False))
    if isinstance(error, SettingsError):
        return f"{error}. It must be JSON"
    if isinstance(error, asyncpg.PostgresError):
        text = getattr(error, "message", None) or str(error)
        if isinstance(error, NOT_INSTALLED) and OURS.search(text):
            return f"{text}. Is it installed? Run: changefeed migrate"
        if isinstance(error, asyncpg.InsufficientPrivilegeError) and OURS.search(text):
            return f"{text}. Set CHANGEFEED_DSN (or DATABASE_URL) to the role that has installed it"
        return f"{text}. {error.hint}" if getattr(error, "hint", None) else text
    if isinstance(error, TimeoutError):
        return "the database does not answer in time. Is DATABASE_URL right?"
    if isinstance(error, OSError):
        return f"the database cannot be reached ({error}). Is it running, and is DATABASE_URL right?"
    if isinstance(error, asyncpg.InterfaceError):
        return f"{error}. Is DATABASE_URL right? It is postgresql://user:password@host:port/database"
    return str(error) or type(error).__name__


NOT_INSTALLED = (asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
OURS = re.compile(r'schema "?changefeed\b|(?:relation|function) "?changefeed\.')
"""What is missing is ours, and not a table or a column of the application's."""


def _variable(place: tuple[int | str, ...]) -> str:
    """The environment's name for a setting; nothing where several are meant, which the complaint names itself."""
    if not place:
        return ""
    name, *inside = map(str, place)
    variable = name if name.isupper() else f"CHANGEFEED_{name.upper()}"
    return f"{', '.join([variable, *(part for part in inside if part != '[key]')])}: "


def _complaint(fault: ErrorDetails) -> str:
    if fault["type"].startswith("union_tag_"):
        return "it needs a kind, which says what its rows are: execution or agent-task"
    if fault["type"] == "extra_forbidden":
        return "there is no such thing. Is it misspelt? docs/settings.md has all that there is"
    return fault["msg"].removeprefix("Value error, ")


@command
def migrate(
    revision: Annotated[str, typer.Argument(help="Where to.")] = "head",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it, for review.")] = False,
) -> None:
    """Install changefeed in the database, or bring it up to date. `base` removes it without a trace."""
    migrated(revision, sql=sql)


@command
def watch(
    table: Annotated[str, typer.Argument(help="The table, as schema.table.")],
    owner: Annotated[str, typer.Option(help="The owner's column, or an SQL expression over the row r.")],
    columns: Annotated[str | None, typer.Option(help="Columns that events carry, comma-separated.")] = None,
    owner_kind: Annotated[str, typer.Option(help="What an owner is.")] = "user",
    bulk_rows: Annotated[
        int, typer.Option(help="Rows of one transaction after which one event says: refetch.")
    ] = 10_000,
    fail_closed: Annotated[bool, typer.Option(help="An error of the capture fails the application's write.")] = False,
) -> None:
    """Capture the changes of a table from now on."""
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    source = _asked(
        lambda connection: watching.watch(
            connection,
            table,
            owner,
            columns=names,
            owner_kind=owner_kind,
            bulk_rows=bulk_rows,
            fail_closed=fail_closed,
        )
    )
    typer.echo(f"{source} is watched.")


@command
def unwatch(table: Annotated[str, typer.Argument(help="The table, as schema.table.")]) -> None:
    """Capture a table no longer, and remove what was put on it."""
    known = _asked(lambda connection: watching.unwatch(connection, table))
    typer.echo(f"{table} is no longer watched." if known else f"{table} was not watched.")


@command
def kick(user: Annotated[str, typer.Argument(help="The user's id: the `sub` of his tokens.")]) -> None:
    """End a user's connections in every process, and refuse the tokens he has."""
    _asked(lambda connection: connection.execute("select changefeed.kick($1)", user))
    typer.echo(f"{user} is disconnected everywhere; tokens issued before now are refused.")


@command
def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """What is watched, whether its triggers are in place, and who leads."""
    found = _asked(Status.read)
    typer.echo(json.dumps(found.as_dict(), indent=2) if as_json else found.as_text())
    if found.problems:
        raise typer.Exit(1)


@command
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Send a change the whole way, and say what is wrong and how to mend it. Exit code 1 where something is."""
    try:
        found = asyncio.run(diagnosis_of(Settings()))
    except (ValidationError, SettingsError, ConfigurationError) as error:
        found = misconfigured(explained(error))
    typer.echo(json.dumps(found.as_dict(), indent=2) if as_json else found.as_text())
    if not found.healthy:
        raise typer.Exit(1)


@command
def explain(
    owner: Annotated[str, typer.Option(help="The owner who should have seen it.")],
    table: Annotated[str, typer.Option(help="The table, as schema.table.")],
    key: Annotated[str, typer.Option(help="The primary key: the value, or a JSON object of its columns.")],
    owner_kind: Annotated[str, typer.Option(help="What an owner is.")] = "user",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What became of a row's changes: were they captured, whose were they, and which sessions got them."""
    mapping = EventMapping(Settings().sources)
    found = _asked(lambda connection: explanation_of(connection, mapping, Owner(owner_kind, owner), table, key))
    typer.echo(json.dumps(found.as_dict(), indent=2) if as_json else found.as_text())


@command
def tail(
    owner: Annotated[
        str | None, typer.Option(help="Only this owner's: the value, or kind:value. Default: everybody's.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Only this table's, as schema.table.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Each message as it goes over the wire.")] = False,
) -> None:
    """Print live events, as they would be sent: without API or token. Ctrl-C ends it."""

    def show(message: dict[str, Any], text: str) -> None:
        if as_json:
            typer.echo(text)
        else:
            data = ", ".join(f"{name}={value}" for name, value in message["data"].items() if value is not None)
            typer.echo(f"{message['timestamp']}  {message['type']:<20} {message.get('user_id', '-'):<36}  {data}")
        sys.stdout.flush()

    def ready() -> None:
        typer.echo("changefeed: live; waiting for changes", err=True)

    asyncio.run(live_events(Settings(), owner, table, show, ready))


@command
def relay() -> None:
    """Run a relay as a process of its own, beside an API whose processes only follow."""
    asyncio.run(relaying(Settings(), lambda text: typer.echo(f"changefeed: {text}", err=True)))


@command
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(help="Where to listen.")] = None,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
) -> None:
    """Run the API: WebSocket, server-sent events, long poll, and the dashboard page."""
    served(Settings(), host, port, workers)


@command
def token(
    sub: Annotated[str, typer.Option(help="The user's id.")],
    admin: Annotated[bool, typer.Option(help="With the claim that makes an administrator.")] = False,
    hours: Annotated[float, typer.Option(help="How long it is valid.")] = 1.0,
    claim: Annotated[list[str] | None, typer.Option(help="One more claim, as name=value.")] = None,
) -> None:
    """Print a token signed with CHANGEFEED_JWT_SECRET, to try things out."""
    typer.echo(issued_token(Settings(), sub, admin=admin, hours=hours, claims=claim or []))


def _asked(question: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Asks the database one thing."""

    async def ask() -> T:
        dsn = Settings().dsn
        if dsn is None:
            raise ConfigurationError("No database is configured. Set DATABASE_URL (or CHANGEFEED_DSN).")
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
        try:
            return await question(connection)
        finally:
            await connection.close()

    return asyncio.run(ask())
