"""Where measurements take place: a server of our own, the host's schema with many owners, and processes to measure.

Everything is on this machine and ends with the block. Durability is as in production (fsync on), because the cost of a
commit is what some of the figures are about; `flush_ms` makes each flush take longer, as on a volume behind a network.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import jwt

from demo import host
from demo.postgres import Postgres, free_port

ROOT = Path(__file__).resolve().parent.parent
SECRET = "bench-" * 8
EXPIRY = 4_000_000_000
READY_ATTEMPTS = 600


@dataclass(frozen=True, slots=True)
class Place:
    """A migrated database with executions that belong to numbered owners."""

    server: Postgres
    dsns: host.Dsns
    owners: int
    rows: int

    @staticmethod
    def owner(number: int) -> str:
        """The id of owner `number`."""
        return f"00000000-0000-4000-9000-{number:012d}"

    def token(self, number: int) -> str:
        """A token of owner `number`."""
        return jwt.encode({"sub": self.owner(number), "exp": EXPIRY}, SECRET, "HS256")


@contextmanager
def postgres(flush_ms: float = 0.0, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A server as in production. `flush_ms`: how much longer a flush takes."""
    delay = {"commit_delay": str(round(flush_ms * 1000)), "commit_siblings": "0"} if flush_ms else {}
    usual = {"max_connections": "200", "shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
    with Postgres(settings={**usual, **delay, **(settings or {})}) as server:
        yield server


async def furnish(server: Postgres, name: str, owners: int, rows: int, *, migrate: bool = True) -> Place:
    """A database with `rows` executions spread over the workflows of `owners`."""
    await host.create_roles(server.dsn("postgres"))
    dsns = await host.create_database(server.dsn("postgres"), name)
    await host.install_schema(dsns.app_dsn)
    connection = await asyncpg.connect(dsns.app_dsn)
    try:
        await connection.execute(
            f"""
            insert into workflow (id, owner_id, name)
              select md5('w' || n)::uuid, ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, 'w' || n
              from generate_series(0, {owners - 1}) n;
            insert into workflow_execution (id, workflow_id, status, started_at)
              select md5(n::text)::uuid, md5('w' || n % {owners})::uuid, 'running', now()
              from generate_series(0, {rows - 1}) n;
            """
        )
        await connection.execute("analyze")
    finally:
        await connection.close()
    if migrate:
        await migrated(dsns)
    return Place(server, dsns, owners, rows)


async def migrated(dsns: host.Dsns) -> None:
    """Installs changefeed in a database, as an operator would. Raises RuntimeError."""
    command = Path(sys.executable).with_name("changefeed")
    environment = {**os.environ, "CHANGEFEED_DSN": dsns.feed_dsn}
    run = await asyncio.create_subprocess_exec(command, "migrate", env=environment, stdout=subprocess.DEVNULL)
    if await run.wait():
        raise RuntimeError("changefeed migrate failed")


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours, ended with the block."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        await running.wait()


@asynccontextmanager
async def api(place: Place, **settings: str) -> AsyncIterator[tuple[int, int]]:
    """The service in a process of its own: its port and pid, when it is ready."""
    port = free_port("127.0.0.1")
    environment = {
        "CHANGEFEED_DSN": place.dsns.feed_dsn,
        "CHANGEFEED_JWT_SECRET": SECRET,
        "CHANGEFEED_MAX_USER_CONNECTIONS": "100000",
        "CHANGEFEED_MAX_CONNECTIONS": "100000",
        "CHANGEFEED_DRAIN_TIMEOUT": "0",
        **{f"CHANGEFEED_{name.upper()}": value for name, value in settings.items()},
    }
    command = ["-m", "changefeed", "serve", "--port", str(port)]
    async with process(*command, **environment) as running:
        await until_ready(f"http://127.0.0.1:{port}/readyz")
        yield port, running.pid


@asynccontextmanager
async def relay(place: Place) -> AsyncIterator[None]:
    """A relay in a process of its own, when it leads."""
    async with process("-m", "changefeed", "relay", CHANGEFEED_DSN=place.dsns.feed_dsn):
        connection = await asyncpg.connect(place.dsns.admin_dsn)
        try:
            for _ in range(READY_ATTEMPTS):
                if await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory' and granted"):
                    break
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
        yield


async def until_ready(url: str) -> None:
    """Waits for a 200. Raises RuntimeError where none comes."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            return False

    for _ in range(READY_ATTEMPTS):
        if await asyncio.to_thread(ready):
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{url} did not become ready")


def machine() -> str:
    """What the figures were taken on."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return json.dumps({"cores": os.cpu_count(), "processor": model})
