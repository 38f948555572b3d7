"""The faults, each over when its function returns, but for what it leaves behind.

They strike while writers write and viewers view, and are paced by what arrives, not by the clock: `until_arrived` waits for
so many messages. What cannot be told by messages (a frozen process must stay so for as long as others need to notice) waits
for what the others do about it.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tests.adversity.stage import Fault, Scene
from tests.support.issuer import claims, token
from tests.support.stuck import StuckPeer

SOME = 40
"""Messages after which it goes on."""
FEW = 5
BULK = 12_000
"""Rows of one statement: more than the watch's bulk_rows."""


async def nothing(scene: Scene) -> None:
    """For comparison."""
    await scene.until_arrived(SOME)


async def backends_terminated(scene: Scene) -> None:
    """Every database session of the service ends, three times."""
    for _ in range(3):
        await _as_admin(
            scene,
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'changefeed%'",
        )
        await scene.until_arrived(FEW)


async def database_killed(scene: Scene) -> None:
    """SIGKILL to every process of the server, and a new start: the log is empty, and a new epoch begins."""
    await scene.until_arrived(FEW)
    assert scene.server.postgres is not None
    await asyncio.to_thread(scene.server.postgres.kill)
    await asyncio.to_thread(scene.server.postgres.start)
    await scene.until_arrived(FEW)


async def database_restarted(scene: Scene) -> None:
    """A fast shutdown and a new start."""
    await scene.until_arrived(FEW)
    assert scene.server.postgres is not None
    await asyncio.to_thread(scene.server.postgres.stop)
    await asyncio.to_thread(scene.server.postgres.start)
    await scene.until_arrived(FEW)


async def leader_killed(scene: Scene) -> None:
    """SIGKILL to the process whose relay leads; another takes over, and a new process comes in its place."""
    number = await scene.leader()
    await scene.until_arrived(scene.chance.randrange(FEW, SOME))
    scene.processes[number].kill()
    assert await scene.leader() != number
    await scene.until_arrived(FEW)
    await scene.begin(number)


async def leader_frozen(scene: Scene) -> None:
    """SIGSTOP to it: the connection stays, and with it the lock, until a follower ends that session."""
    number = await scene.leader()
    scene.processes[number].send_signal(signal.SIGSTOP)
    try:
        other = scene.processes[1 - number]
        await other.readiness(200, leading=True)
        await scene.until_arrived(FEW)
    finally:
        scene.processes[number].send_signal(signal.SIGCONT)


async def both_killed(scene: Scene) -> None:
    """Nobody is there for a while."""
    for process in scene.processes.values():
        process.kill()
    await asyncio.gather(*(scene.begin(number) for number in scene.processes))
    await scene.until_arrived(FEW)


async def restarted_politely(scene: Scene) -> None:
    """SIGTERM: clients are sent away, and come back to the other one."""
    number = scene.chance.randrange(2)
    scene.processes[number].send_signal(signal.SIGTERM)
    await scene.processes[number].ended()
    await scene.until_arrived(FEW)
    await scene.begin(number)


async def database_network_cut(scene: Scene) -> None:
    """Resets between the service and the database."""
    for _ in range(3):
        for network in scene.before_database:
            network.cut()
        await scene.until_arrived(FEW)


async def database_network_frozen(scene: Scene) -> None:
    """Nothing gets through to one process, and later it does."""
    number = await scene.leader()
    scene.before_database[number].freeze()
    try:
        await scene.processes[1 - number].readiness(200, leading=True)
        await scene.until_arrived(FEW)
    finally:
        scene.before_database[number].thaw()


async def database_network_half_open(scene: Scene) -> None:
    """A pulled cable: what is connected hears nothing more, ever."""
    number = await scene.leader()
    scene.before_database[number].half_open()
    await scene.processes[1 - number].readiness(200, leading=True)
    await scene.until_arrived(FEW)


async def database_network_slow(scene: Scene) -> None:
    """Every byte is late."""
    for network in scene.before_database:
        network.delay = 0.03
    await scene.until_arrived(SOME)
    for network in scene.before_database:
        network.delay = 0.0


async def client_network_cut(scene: Scene) -> None:
    """Every client loses its connection, again and again."""
    for _ in range(4):
        for front in scene.before_service:
            front.cut()
        await scene.until_arrived(FEW)


async def client_network_slow(scene: Scene) -> None:
    """So little gets through that the buffers overflow."""
    for front in scene.before_service:
        front.bytes_per_second = 4000.0
    await scene.until_arrived(SOME)
    for front in scene.before_service:
        front.bytes_per_second = 0.0


async def client_stops_reading(scene: Scene) -> None:
    """Of each user one client, with a zero window."""
    peers = [
        StuckPeer(scene.url(number % 2), "/ws/dashboard", token(claims(sub=viewer.owner)), websocket=True)
        for number, viewer in enumerate(scene.viewers)
    ]
    for peer in peers:
        await peer.__aenter__()
    await scene.until_arrived(SOME)
    for peer in peers:
        await peer.__aexit__(None, None, None)


async def transaction_held_open(scene: Scene) -> None:
    """A writer that wrote at the beginning, and commits when everybody else is done."""
    connection = await asyncpg.connect(scene.database.app_dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await _write_of_a_stranger(connection, 1)
        await scene.until_arrived(SOME * 2)
        await transaction.commit()
    finally:
        connection.terminate()


async def bulk_statement(scene: Scene) -> None:
    """One statement with more rows than are captured one by one: everybody is told to refetch the table."""
    connection = await asyncpg.connect(scene.database.app_dsn)
    try:
        await _write_of_a_stranger(connection, BULK)
    finally:
        connection.terminate()
    await scene.until_arrived(FEW)


async def tokens_expire(scene: Scene) -> None:
    """Tokens that are good for two seconds, for a while; each connection needs a new one."""
    scene.token_seconds = 2.0
    for front in scene.before_service:
        front.cut()
    await scene.until_arrived(SOME * 2)
    scene.token_seconds = 3600.0


async def users_kicked(scene: Scene) -> None:
    """Everybody is sent away; tokens from before are refused."""
    for viewer in scene.viewers:
        await _as_admin(scene, "select changefeed.kick($1)", viewer.owner)
    await scene.until_arrived(FEW)


async def log_rotated(scene: Scene) -> None:
    """Retention takes every leaf that it may take, again and again."""
    for _ in range(5):
        await _as_admin(
            scene,
            "update changefeed.leaf set sealed_at = sealed_at - interval '2 days' where sealed_at is not null",
        )
        await _as_admin(scene, "select changefeed.rotate()")
        await scene.until_arrived(FEW)


async def capture_fails(scene: Scene) -> None:
    """A watched column is gone for a while: the writes succeed, and everybody is told to refetch."""
    connection = await asyncpg.connect(scene.database.app_dsn)
    try:
        await connection.execute("alter table workflow_execution rename column current_node to node")
        await scene.until_arrived(FEW)
        await connection.execute("alter table workflow_execution rename column node to current_node")
    finally:
        connection.terminate()
    await scene.until_arrived(FEW)


async def _write_of_a_stranger(connection: "asyncpg.Connection[Any]", rows: int) -> None:
    """Rows of somebody who has no viewer."""
    await connection.execute(
        """
        with w as (insert into workflow (owner_id, name) values (gen_random_uuid(), 'stranger') returning id)
        insert into workflow_execution (workflow_id) select w.id from w, generate_series(1, $1)
        """,
        rows,
    )


async def _as_admin(scene: Scene, sql: str, *arguments: object) -> None:
    connection = await asyncpg.connect(scene.database.admin_dsn)
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()


_FAULTS: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    nothing,
    backends_terminated,
    database_killed,
    database_restarted,
    leader_killed,
    leader_frozen,
    both_killed,
    restarted_politely,
    database_network_cut,
    database_network_frozen,
    database_network_half_open,
    database_network_slow,
    client_network_cut,
    client_network_slow,
    client_stops_reading,
    transaction_held_open,
    bulk_statement,
    tokens_expire,
    users_kicked,
    log_rotated,
    capture_fails,
)

FAULTS = tuple(Fault(strike.__name__.replace("_", " "), strike) for strike in _FAULTS)
