"""Faults of the database: its sessions, its processes, its clock, its disk; and of what changefeed keeps in it."""

import asyncio
import time
from typing import Any

import asyncpg

from changefeed.cursor import Cursor, Snapshot
from tests.adversity.amounts import FEW
from tests.adversity.stage import Scene
from tests.adversity.viewing import MONTH
from tests.support.oracle import Viewer

HOUR = 3600.0
REFUSALS = 3


async def as_admin(scene: Scene, sql: str, *arguments: object) -> Any:
    """One statement of the server's superuser. Returns its first value."""
    connection = await asyncpg.connect(scene.database.admin_dsn)
    try:
        return await connection.fetchval(sql, *arguments)
    finally:
        await connection.close()


async def backends_terminated(scene: Scene) -> None:
    """Every database session of the service ends, three times."""
    struck = 0
    while struck < 3:
        ended = await as_admin(
            scene,
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'changefeed%'",
        )
        struck += ended > 0
        await scene.until_arrived(FEW)


async def database_killed(scene: Scene) -> None:
    """SIGKILL to every process of the server, and a new start: the log is empty, and a new epoch begins."""
    before = scene.resyncs("epoch")
    await asyncio.to_thread(scene.postgres.kill)
    await asyncio.to_thread(scene.postgres.start)
    await scene.until(lambda: scene.resyncs("epoch") > before)
    await scene.until_arrived(FEW)


async def database_restarted(scene: Scene) -> None:
    """A fast shutdown and a new start."""
    await asyncio.to_thread(scene.postgres.stop)
    await asyncio.to_thread(scene.postgres.start)
    await scene.until_arrived(FEW)


async def clock_of_the_database_stepped(scene: Scene) -> None:
    """Its time of day goes forward and back, by minutes, by hours, and by more than a relay may be away."""
    clock = scene.clock
    assert clock is not None
    scene.credentials.seconds, scene.credentials.age = MONTH, MONTH
    clock.wind()
    await database_restarted(scene)
    for seconds in (HOUR / 60, -HOUR / 60, 12 * HOUR, -12 * HOUR, 48 * HOUR, -48 * HOUR, 0):
        clock.step(seconds)
        told = (await as_admin(scene, "select clock_timestamp()")).timestamp() - time.time()
        assert abs(told - seconds) < HOUR / 120, f"a step by {seconds} s became one by {told} s"
        await scene.until_arrived(FEW)
    clock.unwind()
    await database_restarted(scene)
    scene.credentials.seconds, scene.credentials.age = HOUR, 0.0


async def disk_full(scene: Scene) -> None:
    """Not one page more: the application's own transactions fail, cleanly or with the whole server; then there is room."""
    disk = scene.disk
    assert disk is not None
    refused = scene.writing.refused
    before = refused["DiskFullError"]
    await asyncio.to_thread(disk.fill)
    try:
        await scene.until(lambda: refused["DiskFullError"] >= before + REFUSALS)
    finally:
        await asyncio.to_thread(disk.empty)
    await scene.until_arrived(FEW)


async def log_rotated(scene: Scene) -> None:
    """Retention takes what a client has not seen that was away."""
    away = scene.before_service
    for front in away:
        front.refusing = True
        front.cut()
    before = scene.resyncs("retention")
    await as_admin(scene, "select changefeed.configure(retention => interval '1 second')")
    try:
        await scene.until_committed(FEW)
        place = await as_admin(scene, "select pg_snapshot_xmax(pg_current_snapshot())::text")
        passed = "select pg_snapshot_xmax(s.floor) >= $1::text::xid8 from changefeed.state s"
        # Leaves that were sealed before take nothing that anybody has missed.
        while not await as_admin(scene, passed, place):
            await scene.until_committed(FEW)
            await as_admin(scene, "select changefeed.rotate()")
    finally:
        await as_admin(scene, "select changefeed.configure(retention => interval '24 hours')")
        for front in away:
            front.refusing = False
    await scene.until(lambda: scene.resyncs("retention") > before)
    await scene.until_arrived(FEW)


async def capture_fails(scene: Scene) -> None:
    """A watched column is gone for a while: the writes succeed, and everybody is told to refetch."""
    before = scene.resyncs("capture-error")
    connection = await asyncpg.connect(scene.database.app_dsn)
    try:
        await connection.execute("alter table workflow_execution rename column current_node to node")
        await scene.until(lambda: scene.resyncs("capture-error") > before)
    finally:
        await connection.execute("alter table workflow_execution rename column node to current_node")
        connection.terminate()
    # A second failure of one source is told after ten seconds at the earliest, and until then nobody is told a place behind it.
    place = Snapshot.parse(await as_admin(scene, "select pg_current_snapshot()::text"))

    def told(viewer: Viewer) -> bool:
        return viewer.cursor is not None and Cursor.parse(viewer.cursor).snapshot.covers(place)

    await scene.until(lambda: all(map(told, scene.viewers)))
