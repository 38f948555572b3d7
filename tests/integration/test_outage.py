"""The server goes away: restarted, crashed, promoted to nothing. What is promised then is a resync, and nothing less."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

import asyncpg
import pytest

from changefeed.doorbell import Doorbell
from changefeed.errors import PoolerError
from changefeed.feed import Feed
from changefeed.listener import Listener
from changefeed.settings import Settings
from demo import postgres as postgres_module
from tests.integration.vocabulary import (
    PATIENCE,
    Tasks,
    live,
    marks_until,
    people,
    told,
    under_load,
    until_live,
)
from tests.support.database import Database
from tests.support.server import Server


async def epoch_of(running: Feed) -> str:
    """The epoch in which it is."""
    assert running.hub.cursor is not None
    return running.hub.cursor.epoch


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_comes_back_begins_a_new_epoch_and_everybody_refetches(
    private_server: Server, private_database: Database, how: str
) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    async with live(private_database.feed_dsn) as one, live(private_database.feed_dsn) as other:
        before = await epoch_of(one)

        async def trouble() -> None:
            await asyncio.to_thread(postgres.stop if how == "stop" else postgres.kill)
            for running in (one, other):
                assert await running.pulse.until(lambda pulse=running.pulse: not pulse.connected, PATIENCE)  # type: ignore[misc]
            await asyncio.to_thread(postgres.start)
            for running in (one, other):
                await until_live(running)

        viewers = await under_load(private_database, [one, other], trouble, seed=21)
        assert all("epoch" in viewer.resyncs for viewer in viewers)
        assert await epoch_of(one) == await epoch_of(other) != before
        assert one.pulse.leading != other.pulse.leading


async def test_a_crash_empties_the_log_and_a_clean_restart_does_not(
    private_server: Server, private_database: Database
) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    counts = []
    for end in (postgres.stop, postgres.kill):
        app = await asyncpg.connect(private_database.app_dsn)
        tasks = await Tasks.of(app, people(1)[0])
        await tasks.add()
        app.terminate()
        await asyncio.to_thread(end)
        await asyncio.to_thread(postgres.start)
        admin = await asyncpg.connect(private_database.admin_dsn)
        counts.append(await admin.fetchval("select count(*) from changefeed.event"))
        admin.terminate()
    assert counts[0] > 0
    assert counts[1] == 0


async def test_a_cursor_from_before_a_crash_is_answered_with_a_resync(
    private_server: Server, private_database: Database
) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    app = await asyncpg.connect(private_database.app_dsn)
    tasks = await Tasks.of(app, people(1)[0])
    app.terminate()
    async with live(private_database.feed_dsn) as running:
        async with tasks.subscribe(running) as subscription:
            (ready,) = await told(subscription)
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        assert await running.pulse.until(lambda: running.pulse.connections > 1 and running.pulse.live, PATIENCE)
        async with tasks.subscribe(running, since=ready["cursor"]) as subscription:
            said = await told(subscription)
            said += await told(subscription)
        assert [message["data"] for message in said[:1]] == [{"outcome": "resync"}]
        assert said[1]["data"]["reason"] == "epoch"


async def test_a_transaction_prepared_before_a_crash_makes_everybody_refetch_when_it_ends(
    preparing_server: Server, preparing_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changefeed.relay.PREPARED_CHECK", 0.0)
    postgres = preparing_server.postgres
    assert postgres is not None
    app = await asyncpg.connect(preparing_database.app_dsn)
    tasks = await Tasks.of(app, people(1)[0])
    task = await tasks.add()
    await app.execute("begin")
    await tasks.move(task)
    await app.execute("prepare transaction 'from before'")
    app.terminate()
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)
    async with live(preparing_database.feed_dsn) as running:
        app = await asyncpg.connect(preparing_database.app_dsn)
        try:
            async with tasks.subscribe(running) as subscription:
                (ready,) = await told(subscription)
                # Its event was in a leaf that the crash has emptied: nobody will ever be told of it otherwise.
                await app.execute("commit prepared 'from before'")
                (resync,) = await told(subscription)
                assert resync["data"]["reason"] == "epoch"
                assert resync["cursor"].partition(".")[0] != ready["cursor"].partition(".")[0]
                await until_live(running)
                tasks.app = app
                assert await marks_until(subscription, await tasks.move(task)) == [tasks.marks]
        finally:
            app.terminate()


async def test_a_standby_is_refused(private_server: Server, private_database: Database) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    await asyncio.to_thread(postgres.stop)
    (postgres._folder / "data" / "standby.signal").touch()
    uid, gid = postgres_module.unprivileged_identity()
    copied = next(postgres._folder.glob("program/**/bin/postgres"), None)
    binaries = copied.parent if copied else postgres_module.installed_binaries()
    standby = await asyncio.create_subprocess_exec(
        binaries / "postgres",
        "-D",
        postgres._folder / "data",
        cwd="/",
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        **({"user": uid, "group": gid, "extra_groups": []} if uid else {}),  # type: ignore[arg-type]
    )
    try:
        assert standby.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while b"ready to accept read-only connections" not in await standby.stderr.readline():
                assert standby.returncode is None
        with pytest.raises(PoolerError, match="standby"):
            await Listener(private_database.feed_dsn, Doorbell(), PATIENCE).__aenter__()
        async with Feed(Settings(dsn=private_database.feed_dsn)) as running:
            assert await running.pulse.until(lambda: running.pulse.failure is not None, PATIENCE)
            assert "primary" in running.pulse.reasons[0]
    finally:
        if standby.returncode is None:
            standby.send_signal(signal.SIGINT)
        await standby.communicate()
        (postgres._folder / "data" / "standby.signal").unlink()
        await asyncio.to_thread(postgres.start)


async def test_without_a_server_the_feed_waits_and_says_so_and_is_live_when_there_is_one(
    private_server: Server, private_database: Database
) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    await asyncio.to_thread(postgres.stop)
    async with Feed(Settings(dsn=private_database.feed_dsn)) as running:
        assert await running.pulse.until(lambda: running.pulse.failure is not None, PATIENCE)
        assert not running.pulse.live
        with pytest.raises(RuntimeError, match="not live yet"):
            running.subscribe([])
        await asyncio.to_thread(postgres.start)
        await until_live(running)
