"""10,000 clients come back after a restart of the service, all at once, each from where it was."""

import asyncio
import json
import time

import asyncpg

from .place import Place, api, furnish, postgres
from .result import Result
from .wire import Socket, connect

AT_A_TIME = 200


async def measure(clients: int) -> list[Result]:
    """From the moment the service is up again."""
    with postgres() as server:
        place = await furnish(server, "resuming", clients, clients)
        async with api(place) as (port, _):
            place_in_the_log = await _cursor(place, port)
        await _change_everything(place)
        async with api(place) as (port, _):
            queries = await _statements(place)
            began = time.monotonic()
            outcomes = await _storm(place, port, clients, place_in_the_log)
            elapsed = time.monotonic() - began
            queries = await _statements(place) - queries
    result = Result(
        f"{clients:,} clients resume after a restart",
        "One change of each was missed. The client is one process, and shares the machine with the server.",
        raw={"seconds": elapsed, "outcomes": outcomes, "transactions": queries},
    )
    result.compare("all live again", elapsed, 15, at_least=False, unit="s")
    result.compare("database transactions for each client", queries / clients, 0.1, at_least=False, unit="")
    result.table = [["fresh", "replayed", "resync"], [str(outcomes[kind]) for kind in ("fresh", "replayed", "resync")]]
    return [result]


async def _cursor(place: Place, port: int) -> str:
    ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    socket = await connect(port, place.token(0), lambda frame: None if ready.done() else ready.set_result(frame))
    cursor: str = json.loads(await ready)["cursor"]
    socket.close()
    return cursor


async def _change_everything(place: Place) -> None:
    connection = await asyncpg.connect(place.dsns.app_dsn)
    try:
        await connection.execute("update workflow_execution set progress = 1")
    finally:
        await connection.close()


async def _statements(place: Place) -> int:
    connection = await asyncpg.connect(place.dsns.admin_dsn)
    try:
        await connection.execute("select pg_stat_force_next_flush()")
        return int(
            await connection.fetchval(
                "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
            )
        )
    finally:
        await connection.close()


async def _storm(place: Place, port: int, clients: int, cursor: str) -> dict[str, int]:
    outcomes = dict.fromkeys(("fresh", "replayed", "resync"), 0)
    done = asyncio.Event()
    turns = asyncio.Semaphore(AT_A_TIME)
    sockets: list[Socket] = []

    def heard(frame: bytes) -> None:
        for kind in outcomes:
            if f'"outcome":"{kind}"'.encode() in frame:
                outcomes[kind] += 1
                if sum(outcomes.values()) == clients:
                    done.set()

    async def resume(number: int) -> None:
        async with turns:
            sockets.append(await connect(port, place.token(number), heard, f"/ws/dashboard?since={cursor}"))

    await asyncio.gather(*map(resume, range(clients)))
    await done.wait()
    for socket in sockets:
        socket.close()
    return outcomes
