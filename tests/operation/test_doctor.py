"""`changefeed doctor`: each fault is made for real, and named with what mends it."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence

import asyncpg
import pytest

from changefeed.commands import diagnosis_of
from changefeed.commands.doctor import Finding
from changefeed.commands.doctor.finding import Patient
from changefeed.feed import Feed
from changefeed.settings import Settings
from tests.operation.diagnosis import BY_NAME, connected, found, the
from tests.support.database import Database
from tests.support.issuer import SECRET
from tests.support.server import Server
from tests.support.service import LONGEST, Process, environment
from tests.support.site import Site


@pytest.mark.needs("doorbell")
async def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(
    database: Database, leading: Feed, feed: asyncpg.Connection
) -> None:
    tables = (
        "select array_agg(relname::text order by relname) from pg_class where relnamespace = 'changefeed'::regnamespace"
    )
    functions = "select count(*) from pg_proc where pronamespace = 'changefeed'::regnamespace"
    before = [await feed.fetchval(tables), await feed.fetchval(functions)]
    watches = leading.pulse.watches
    diagnosis = await found(database)
    assert {finding.level for finding in diagnosis.findings} == {"ok"}, diagnosis.as_text()
    assert diagnosis.healthy
    assert "at its owner and nobody else" in the(diagnosis, "canary").sentence
    assert "others that follow the log: 1; all" in the(diagnosis, "processes").sentence
    assert [await feed.fetchval(tables), await feed.fetchval(functions)] == before
    assert await feed.fetchval("select count(*) from changefeed.event") == 0
    assert await feed.fetchval("select count(*) from changefeed.watch where source like 'changefeed.%'") == 0
    # Nobody's topics, and so nobody's statistics, have changed on its account.
    assert await leading.relay.look_anew(LONGEST)
    assert leading.pulse.watches is watches or leading.pulse.watches == watches


async def test_two_doctors_do_not_disturb_each_other(database: Database, leading: Feed) -> None:
    assert leading.pulse.leading
    both = await asyncio.gather(found(database), found(database))
    for diagnosis in both:
        assert diagnosis.healthy, diagnosis.as_text()
        assert the(diagnosis, "canary").level == "ok"


async def test_what_a_killed_doctor_has_left_behind_the_next_one_removes(
    database: Database, feed: asyncpg.Connection
) -> None:
    await feed.execute("create table changefeed.canary_999999 (id int primary key, owner text)")
    await feed.execute("select changefeed.watch('changefeed.canary_999999', 'owner')")
    assert the(await found(database, "flown"), "canary").level == "ok"
    assert await feed.fetchval("select to_regclass('changefeed.canary_999999')") is None
    assert await feed.fetchval("select count(*) from changefeed.watch where source like 'changefeed.%'") == 0


@pytest.mark.needs("doorbell")
@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("problem", 1)])
async def test_the_command_answers_for_people_and_programs_with_its_exit_code(own: Site, level: str, code: int) -> None:
    await own.start()
    if level == "problem":
        await own.app.execute('alter table agent_task disable trigger "!changefeed_update"')
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "changefeed", "doctor", *options]
        process = Process(command, environment(dsn=own.services.dsn, jwt_secret=SECRET))
        own.stack.callback(process.kill)
        assert await process.ended() == code, process.log
        if options:
            answer = json.loads(process.log)
            assert answer["healthy"] == (code == 0)
            levels = {finding["name"]: finding["level"] for finding in answer["findings"]}
            assert levels["table public.agent_task"] == level
            assert levels["canary"] == "ok"
        else:
            assert process.log.rstrip().endswith(f"{code} problems, 0 warnings")
            assert ("select changefeed.resume('public.agent_task')" in process.log) == (code == 1)


@pytest.mark.parametrize("fault", ["role", "settings"])
async def test_for_programs_it_says_in_json_why_it_could_ask_nothing(database: Database, fault: str) -> None:
    settings = {"dsn": database.app_dsn} if fault == "role" else {"dsn": database.feed_dsn, "jwt_secret": "short"}
    process = Process([sys.executable, "-m", "changefeed", "doctor", "--json"], environment(**settings))
    try:
        assert await process.ended() == 1, process.log
    finally:
        process.kill()
    answer = json.loads(process.log)
    assert not answer["healthy"]
    name, words, remedy = {
        "role": ("schema", "permission denied for schema changefeed", "CHANGEFEED_DSN"),
        "settings": ("settings", "CHANGEFEED_JWT_SECRET: an HS256 secret needs at least 32 bytes", "mend the setting"),
    }[fault]
    (problem,) = [finding for finding in answer["findings"] if finding["level"] == "problem"]
    assert problem["name"] == name
    assert words in problem["sentence"]
    assert remedy in problem["remedy"]


async def test_a_check_that_cannot_be_made_stops_no_other(database: Database) -> None:
    async def broken(_: Patient) -> Sequence[Finding]:
        raise ConnectionResetError("it went away")

    settings = Settings(dsn=database.feed_dsn)
    diagnosis = await diagnosis_of(settings, checks=[broken, BY_NAME["clock"]])
    assert diagnosis.healthy
    assert the(diagnosis, "broken").sentence == "this could not be checked: it went away"
    assert the(diagnosis, "clock").level == "ok"


async def test_without_a_database_it_says_where_to_look() -> None:
    for settings in (Settings(), Settings(dsn="postgresql://nobody@127.0.0.1:1/none")):
        diagnosis = await diagnosis_of(settings)
        assert not diagnosis.healthy
        assert "DATABASE_URL" in str(the(diagnosis, "connection").remedy)


async def test_a_database_without_the_schema_is_to_be_migrated(host_database: Database) -> None:
    diagnosis = await found(host_database)
    assert (the(diagnosis, "schema").level, the(diagnosis, "schema").remedy) == ("problem", "changefeed migrate")


@pytest.mark.parametrize(
    ("revision", "remedy"),
    [("0001", "changefeed migrate"), ("9999", "use the release that has installed it, or a later one")],
)
async def test_another_revision_than_this_releases_is_named(
    database: Database, feed: asyncpg.Connection, revision: str, remedy: str
) -> None:
    await feed.execute("update changefeed.alembic_version set version_num = $1", revision)
    finding = the(await found(database), "schema")
    assert (finding.level, finding.remedy) == ("problem", remedy)
    assert revision in finding.sentence


async def test_a_standby_is_refused_with_the_reason(private_server: Server, private_database: Database) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    await asyncio.to_thread(postgres.stop)
    (postgres._folder / "data" / "standby.signal").touch()
    # It counts as started when it accepts writes, which takes a promotion.
    starting = asyncio.create_task(asyncio.to_thread(postgres.start))
    standby = await connected(private_database.admin_dsn)
    diagnosis = await found(private_database)
    assert the(diagnosis, "server").sentence.startswith("this is a standby")
    assert "the primary's address" in str(the(diagnosis, "server").remedy)
    await standby.execute("select pg_promote()")
    await starting
    await standby.close()
    assert the(await found(private_database, "clock"), "server").level == "ok"


@pytest.mark.parametrize(("offset", "direction"), [(90.0, "ahead of"), (-90.0, "behind")])
async def test_clocks_that_differ_are_measured(database: Database, offset: float, direction: str) -> None:
    settings = Settings(dsn=database.feed_dsn)
    diagnosis = await diagnosis_of(settings, clock=lambda: time.time() + offset, checks=[BY_NAME["clock"]])
    finding = the(diagnosis, "clock")
    assert finding.level == "warning"
    assert f"90.0 s {direction} the database's" in finding.sentence
    assert diagnosis.healthy


@pytest.mark.parametrize(("left", "level"), [(1, "problem"), (5, "warning"), (50, "ok")])
async def test_too_few_connections_left_are_counted(
    database: Database, admin: asyncpg.Connection, left: int, level: str
) -> None:
    # The admin's and doctor's own are there.
    await admin.execute(f'alter database "{database.name}" connection limit {2 + left}')
    finding = the(await found(database, "connections"), "connections")
    assert finding.level == level
    if level != "ok":
        assert f"{left} more connections are allowed by the connection limit of this database" in finding.sentence
