"""The stage on which faults strike.

A server, two processes of the service, networks between all of them, writers, and viewers.

    async with stage(seed=1) as scene:
        report = await scene.play(fault, writers=4, transactions=60)

Guarantees: every viewer is a client as `docs/protocol.md` asks for one, which comes back with its last cursor and
refetches when it is told to; a run ends when each viewer has seen its owner's last change; then the oracle judges. The
same seed makes the same choices, though not the same interleaving.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from websockets.exceptions import WebSocketException

from demo import host
from tests.support.database import Database, Databases
from tests.support.issuer import claims, token
from tests.support.oracle import Viewer, verify
from tests.support.proxy import Proxy
from tests.support.server import Server, embedded_server
from tests.support.service import ServiceProcess, Services, services
from tests.support.subscribers import TRANSPORTS, EndedError, Subscriber, subscriber
from tests.support.writers import Writers, fetch

OWNERS = 3
LONGEST = 240.0
"""Seconds after which a run is given up: something has hung."""
CONNECTION_SECONDS = 15.0
"""After which a client gives a connection up that it has heard nothing new on, as one with a timer of its own would."""
AGAIN_SECONDS = 0.1
"""After which a client that was refused comes back."""
SETTINGS: dict[str, Any] = {
    "heartbeat_timeout": 1.5,
    "send_timeout": 3,
    "buffer_messages": 200,
    "max_user_connections": 100,
    "ready_timeout": 2,
    "window_events": 400,
    "jwt_leeway": 60,
}
"""Small ones, so that a short run reaches every limit: the memory, the buffer, and patience with the frozen."""


BROKEN = (OSError, EndedError, AssertionError, TimeoutError, WebSocketException, httpx.HTTPError)
"""What a connection looks like that is refused, lost, or silent."""


@dataclass
class Report:
    """What a run came to."""

    fault: str
    transactions: int = 0
    changes: int = 0
    delivered: int = 0
    repeats: int = 0
    connections: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    resyncs: Counter[str] = field(default_factory=Counter)

    def row(self) -> list[str]:
        """As a line of a table."""
        told = ", ".join(f"{reason} {number}" for reason, number in sorted(self.resyncs.items())) or "-"
        outcomes = [str(self.outcomes[kind]) for kind in ("fresh", "replayed", "resync")]
        numbers = (self.transactions, self.changes, self.delivered, self.connections)
        return [self.fault, *(f"{number:,}" for number in numbers), *outcomes, told]


HEADING = [
    "fault",
    "transactions",
    "changes",
    "delivered",
    "connections",
    "fresh",
    "replayed",
    "resync",
    "told to refetch",
]


@dataclass
class Scene:
    """What a fault may lay hands on."""

    server: Server
    database: Database
    services: Services
    before_database: list[Proxy]
    """Between each process of the service and PostgreSQL."""
    before_service: list[Proxy]
    """Between the clients and each process."""
    chance: random.Random
    viewers: list[Viewer] = field(default_factory=list)
    processes: dict[int, ServiceProcess] = field(default_factory=dict)
    """Of the service."""
    token_seconds: float = 3600.0
    """How long the tokens are good that clients get."""
    written: bool = False
    """Whether the writers have ended that write while the fault strikes."""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def begin(self, number: int) -> None:
        """A process of the service, the first or in place of one that has ended."""
        process = ServiceProcess(self.before_database[number].dsn, **SETTINGS)
        self.services.running.append(process)
        self.processes[number] = process
        await process.ready()
        host_, _, port = process.url.removeprefix("http://").partition(":")
        self.before_service[number].address = (host_, int(port))

    async def leader(self) -> int:
        """The process whose relay leads. Waits until one does."""
        while True:
            for number, process in self.processes.items():
                if process.running and (await process.readiness(200)).json()["leading"]:
                    return number

    async def until_arrived(self, messages: int) -> None:
        """Waits until the viewers have got so many more messages about rows, or nobody writes any more."""
        target = self._arrived() + messages
        async with self.arrived:
            await self.arrived.wait_for(lambda: self._arrived() >= target or self.written)

    def _arrived(self) -> int:
        return sum(viewer.arrived for viewer in self.viewers)

    def url(self, number: int) -> str:
        """Where clients find process `number`, whichever runs there now."""
        return f"http://127.0.0.1:{self.before_service[number].port}"

    async def play(
        self, fault: "Fault", *, owners: int = OWNERS, writers: int = 4, transactions: int = 40, seed: int = 0
    ) -> Report:
        """Writers write, viewers view, the fault strikes in the middle; then everything that was promised must be true."""
        report = Report(fault.name)
        people = [UUID(int=self.chance.getrandbits(128), version=4) for _ in range(owners)]
        async with Writers(self.database.app_dsn, people, seed=seed) as writing, asyncio.timeout(LONGEST):
            self.viewers = [Viewer(owner) for owner in writing.owners for _ in TRANSPORTS]
            async with asyncio.TaskGroup() as group:
                for number, viewer in enumerate(self.viewers):
                    group.create_task(self._view(viewer, number, report))
                await writing.run(writers, transactions // 4)
                self.written = False
                load = group.create_task(self._write(writing, writers, transactions // 2))
                await fault.strike(self)
                await load
                await writing.run(writers, transactions // 4)
                await writing.finish()
        verify(writing.history, self.viewers, repeats=True)
        report.transactions = writing.history.transactions
        report.changes = sum(len(changes) for changes in writing.history.changes.values())
        report.delivered = sum(viewer.arrived for viewer in self.viewers)
        report.repeats = sum(viewer.repeats for viewer in self.viewers)
        for viewer in self.viewers:
            report.outcomes.update(viewer.outcomes)
            report.resyncs.update(viewer.resyncs)
        return report

    async def _write(self, writing: Writers, writers: int, transactions: int) -> None:
        await writing.run(writers, transactions)
        self.written = True
        await self._tell()

    async def _tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()

    async def _view(self, viewer: Viewer, number: int, report: Report) -> None:
        """A client, as long as it takes."""
        transport = TRANSPORTS[number % len(TRANSPORTS)]
        places = itertools.cycle((number % 2, 1 - number % 2))
        while not viewer.done.is_set():
            good = token(claims(sub=viewer.owner, exp=time.time() + self.token_seconds))
            client = subscriber(transport, self.url(next(places)), good, since=viewer.cursor)
            try:
                async with asyncio.timeout(CONNECTION_SECONDS):
                    await client.open()
                    report.connections += 1
                    await self._follow(viewer, client)
            except BROKEN:
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                with contextlib.suppress(*BROKEN):
                    await client.close()

    async def _follow(self, viewer: Viewer, client: Subscriber) -> None:
        while not viewer.done.is_set():
            message = await client.next()
            wanted = viewer.saw(message)
            await self._tell()
            if wanted is not None:
                viewer.fetched(await fetch(self.database.app_dsn, viewer.owner), None if wanted == "all" else wanted)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and is over when `strike` returns."""

    name: str
    strike: Callable[[Scene], Awaitable[None]]


@asynccontextmanager
async def stage(seed: int) -> AsyncIterator[Scene]:
    """A server of its own, which may be killed, and everything around it."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(embedded_server())
        await host.create_roles(server.admin_dsn)
        database = await stack.enter_async_context(Databases(server).clone(migrated=True))
        running = stack.enter_context(services(database.feed_dsn))
        networks = [await stack.enter_async_context(Proxy.to(database.feed_dsn)) for _ in range(2)]
        fronts = [await stack.enter_async_context(Proxy("127.0.0.1", 0)) for _ in range(2)]
        scene = Scene(server, database, running, networks, fronts, random.Random(seed))
        for number in range(2):
            await scene.begin(number)
        yield scene
