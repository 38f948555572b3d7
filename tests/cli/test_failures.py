"""Every failure is one sentence with what to do, exit code 1, and no traceback."""

import pytest

from tests.cli.program import run
from tests.support.database import Database

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"
ASKING = {
    "migrate": ["migrate"],
    "watch": ["watch", "workflow", "--owner", "owner_id"],
    "unwatch": ["unwatch", "workflow"],
    "kick": ["kick", "somebody"],
    "status": ["status"],
    "tail": ["tail"],
    "explain": ["explain", "--owner", "somebody", "--table", "workflow", "--key", "1"],
}


@pytest.mark.parametrize("name", ASKING)
async def test_without_a_database_that_answers(name: str) -> None:
    complaint = (await run(*ASKING[name], dsn=NOWHERE)).complaint
    assert "the database cannot be reached" in complaint
    assert "DATABASE_URL" in complaint
    assert "secret" not in complaint


@pytest.mark.parametrize("name", [*ASKING, "relay", "serve"])
async def test_without_a_database_that_is_configured(name: str) -> None:
    complaint = (await run(*ASKING.get(name, [name]), dsn=None)).complaint
    assert "No database is configured. Set DATABASE_URL" in complaint


@pytest.mark.parametrize("name", [name for name in ASKING if name != "migrate"])
async def test_where_it_is_not_installed(name: str, fresh: Database) -> None:
    assert "changefeed migrate" in (await run(*ASKING[name], dsn=fresh.feed_dsn)).complaint


@pytest.mark.parametrize("name", ["migrate", "status", "tail"])
async def test_with_a_wrong_password(name: str, migrated: Database) -> None:
    dsn = migrated.feed_dsn.replace(migrated.feed_dsn.split(":")[2].split("@")[0], "wrong-password")
    complaint = (await run(*ASKING[name], dsn=dsn)).complaint
    assert "password authentication failed" in complaint
    assert "wrong-password" not in complaint


@pytest.mark.parametrize("name", ["kick", "status", "explain"])
async def test_as_a_role_that_may_not_look_into_the_schema(name: str, migrated: Database) -> None:
    complaint = (await run(*ASKING[name], dsn=migrated.app_dsn)).complaint
    assert "permission denied for schema changefeed" in complaint
    assert "CHANGEFEED_DSN" in complaint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dsn": "mysql://root@127.0.0.1/x"}, "CHANGEFEED_DSN: mysql:// is not PostgreSQL"),
        ({"poll_interval": "fast"}, "CHANGEFEED_POLL_INTERVAL: "),
        ({"sources": "{nonsense"}, "sources"),
        ({"sources": '{"a.b": {"columns": {}}}'}, "CHANGEFEED_SOURCES, a.b: it needs a kind"),
        (
            {"sources": '{"a.b": {"kind": "execution", "runing": []}}'},
            "CHANGEFEED_SOURCES, a.b, execution, runing: there is no such thing",
        ),
        ({"jwt_secret": "short"}, "CHANGEFEED_JWT_SECRET: an HS256 secret needs at least 32 bytes"),
        ({"jwt_jwks_url": "https://127.0.0.1/jwks"}, "CHANGEFEED_JWT_SECRET and CHANGEFEED_JWT_JWKS_URL are set"),
    ],
)
@pytest.mark.parametrize("name", ["status", "serve"])
async def test_with_settings_that_cannot_work(name: str, settings: dict[str, str], words: str) -> None:
    complaint = (await run(name, **({"dsn": NOWHERE} | settings))).complaint
    assert words in complaint
    assert "short" not in complaint.replace("shorter", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["migrate", "nonsense"], "nonsense"),
        (["watch", "nowhere", "--owner", "x"], 'relation "nowhere" does not exist'),
        (["watch", "workflow", "--owner", "nobody"], "nobody"),
        (["watch", "workflow", "--owner", "owner_id", "--bulk-rows", "99999999999"], "99999999999"),
        (["unwatch", "nowhere"], 'relation "nowhere" does not exist'),
        (["kick", ""], "whom to kick is missing"),
    ],
)
async def test_with_what_the_database_does_not_have(arguments: list[str], words: str, migrated: Database) -> None:
    complaint = (await run(*arguments, dsn=migrated.feed_dsn)).complaint
    assert words in complaint
    # The table is the one that is missing, not the installation.
    assert "changefeed migrate" not in complaint


async def test_without_the_right_to_install(fresh: Database) -> None:
    assert "permission denied" in (await run("migrate", dsn=fresh.app_dsn)).complaint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hours", "nan"], "--hours nan"),
        (["--hours", "inf"], "--hours inf"),
        (["--claim", "nothing"], "write it as name=value"),
        (["--claim", "=x"], "write it as name=value"),
        (["--admin", "--claim", "role.name=x"], "leads through role"),
    ],
)
async def test_a_token_that_cannot_be_made(arguments: list[str], words: str) -> None:
    assert words in (await run("token", "--sub", "u", *arguments, dsn=None)).complaint


async def test_a_token_without_a_secret() -> None:
    complaint = (await run("token", "--sub", "u", dsn=None, jwt_secret=None)).complaint
    assert complaint.startswith("CHANGEFEED_JWT_SECRET is not set")
