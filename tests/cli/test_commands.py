"""The commands that ask the database something and end."""

import json
import time

import asyncpg
import jwt
import pytest

from changefeed.settings import Settings
from tests.cli.program import run
from tests.support.database import Database
from tests.support.issuer import SECRET
from tests.support.site import Site


async def test_migrate_installs_and_base_leaves_no_trace(host_database: Database) -> None:
    dsn = host_database.feed_dsn
    connection = await asyncpg.connect(dsn)
    there = "select to_regnamespace('changefeed') is not null"
    installed = await run("migrate", dsn=dsn)
    assert installed.code == 0, installed.err
    assert await connection.fetchval(there)
    # Once more changes nothing.
    assert (await run("migrate", dsn=dsn)).code == 0
    assert (await run("migrate", "base", dsn=dsn)).code == 0
    assert not await connection.fetchval(there)
    await connection.close()


async def test_migrate_prints_the_sql_for_review_without_touching_the_database(fresh: Database) -> None:
    said = await run("migrate", "--sql", dsn=fresh.feed_dsn)
    assert said.code == 0, said.err
    connection = await asyncpg.connect(fresh.feed_dsn)
    assert not await connection.fetchval("select to_regnamespace('changefeed') is not null")
    # And what it prints is what it would do.
    await connection.execute(said.out)
    assert await connection.fetchval("select count(*) from changefeed.state") == 1
    await connection.close()


async def test_watch_and_unwatch_say_what_they_did(place: Site) -> None:
    dsn = place.database.feed_dsn
    await place.app.execute("create table note (id int primary key, writer text, body text, more text)")
    watched = await run("watch", "note", "--owner", "writer", "--columns", "writer, body", dsn=dsn)
    assert (watched.code, watched.out) == (0, "public.note is watched.\n")
    row = await place.feed.fetchrow("select owner, columns from changefeed.watch where source = 'public.note'")
    assert row is not None
    assert row["owner"] == "writer"
    assert {"writer", "body"} <= set(row["columns"])
    assert "more" not in row["columns"]
    assert (await run("unwatch", "note", dsn=dsn)).out == "note is no longer watched.\n"
    again = await run("unwatch", "note", dsn=dsn)
    assert (again.code, again.out) == (0, "note was not watched.\n")


async def test_status_names_every_problem_and_its_exit_code_says_whether_there_is_one(place: Site) -> None:
    dsn = place.database.feed_dsn
    alone = await run("status", "--json", dsn=dsn)
    found = json.loads(alone.out)
    assert alone.code == 1
    assert found["leader"] is None
    assert any("no relay is running" in problem for problem in found["problems"])
    assert {watch["table"] for watch in found["watches"]} >= {"public.workflow_execution", "public.agent_task"}

    await place.start()
    well = await run("status", "--json", dsn=dsn)
    assert (well.code, json.loads(well.out)["problems"]) == (0, [])
    assert isinstance(json.loads(well.out)["leader"], int)
    text = await run("status", dsn=dsn)
    assert text.code == 0
    assert "public.workflow_execution" in text.out
    assert "problem:" not in text.out

    await place.app.execute("alter table agent_task disable trigger user")
    broken = await run("status", dsn=dsn)
    assert broken.code == 1
    assert "public.agent_task: its triggers are disabled" in broken.out


async def test_a_token_is_one_that_the_service_accepts(place: Site) -> None:
    process = await place.start()
    tenant = await place.tenant()
    said = await run("token", "--sub", str(tenant.id), "--hours", "2", dsn=None)
    client = await place.joined("websocket", said.out.strip(), process.url)
    assert client.seen[0]["user_id"] == str(tenant.id)


async def test_a_token_has_the_claims_that_the_settings_ask_for() -> None:
    settings = {"jwt_audience": "b,a", "jwt_issuer": "https://issuer", "admin_claim": "app_metadata.role"}
    wishes = ["--admin", "--hours", "0.5", "--claim", "org=acme", "--claim", "app_metadata.team=t=1"]
    said = await run("token", "--sub", "u", *wishes, dsn=None, **settings)
    claims = jwt.decode(said.out.strip(), SECRET, ["HS256"], audience="a", issuer="https://issuer")
    assert claims["aud"] == ["a", "b"]
    assert claims["org"] == "acme"
    assert claims["app_metadata"] == {"role": min(Settings().admin_values), "team": "t=1"}
    assert claims["exp"] - claims["iat"] == 1800
    assert abs(claims["iat"] - time.time()) < 60


async def test_a_kick_ends_the_users_connections(place: Site) -> None:
    await place.start()
    tenant, other = await place.tenant(), await place.tenant()
    client, bystander = await place.joined("websocket", tenant), await place.joined("websocket", other)
    said = await run("kick", str(tenant.id), dsn=place.database.feed_dsn)
    assert said.code == 0, said.err
    assert said.out.startswith(f"{tenant.id} is disconnected everywhere")
    end = await client.end()
    assert (end.error, end.code) == ("kicked", 4403)
    await other.begin()
    await bystander.until("execution-started")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["nonsense"], ["watch"]])
async def test_wrong_usage_is_explained(arguments: list[str]) -> None:
    said = await run(*arguments, dsn=None)
    assert said.code == (0 if arguments == ["--help"] else 2)
    assert "Usage" in said.out + said.err
    assert "Traceback" not in said.err
