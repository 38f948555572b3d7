"""The stage on which faults strike.

A server, two processes of the service, networks between all of them, writers, and viewers.

    async with stage(seed=1) as scene:
        report = await scene.play(fault, changes=300, rate=200)

Guarantees: every viewer is a client as `docs/protocol.md` asks for one; the writers go on writing for as long as the fault
lasts, and a while after it; a run ends when each viewer has seen its owner's last change; then the oracle judges. The
same seed makes the same choices, though not the same interleaving.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from demo import host
from demo.postgres import Postgres
from tests.adversity.report import Report
from tests.adversity.viewing import Client, Credentials
from tests.support.clock import Clock, stepped_clock
from tests.support.database import Database, Databases
from tests.support.disk import Disk, small_disk
from tests.support.habits import USUAL
from tests.support.oracle import Viewer, judge
from tests.support.proxy import Proxy
from tests.support.requirements import LackError, Need
from tests.support.server import Server, embedded_server
from tests.support.service import ServiceProcess, Services, services
from tests.support.subscribers import TRANSPORTS
from tests.support.writers import Writers

OWNERS = 3
WRITERS = 4
LONGEST = 240.0
"""Seconds after which a run is given up: something has hung."""
BEHIND = 1.0
"""Seconds of writing that writers who were held up catch up with at once, at most."""
HABITS = replace(USUAL, batch=0.1)
SETTINGS: dict[str, Any] = {
    "heartbeat_interval": 1,
    "heartbeat_timeout": 1.5,
    "send_timeout": 3,
    "buffer_messages": 200,
    "max_user_connections": 100,
    "max_messages_per_minute": 100_000,
    "ready_timeout": 2,
    "window_events": 400,
    "expiry_grace": 0.2,
}
"""Small ones, so that a short run reaches every limit: the memory, the buffer, and patience with the frozen."""


@asynccontextmanager
async def _nothing(_scene: "Scene") -> AsyncIterator[None]:
    yield


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and is over when `strike` returns."""

    name: str
    strike: Callable[["Scene"], Awaitable[None]]
    needs: tuple[Need, ...] = ()
    around: Callable[["Scene"], AbstractAsyncContextManager[None]] = _nothing
    """Entered before anybody writes, left when everybody has written."""


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
    clock: Clock | None
    disk: Disk | None
    clients: list[Client] = field(default_factory=list)
    processes: dict[int, ServiceProcess] = field(default_factory=dict)
    """Of the service."""
    credentials: Credentials = field(default_factory=Credentials)
    bulk: int = 12_000
    """Rows of the statement that changes many."""
    rate: float = 200
    """Changes that the writers commit in a second, about."""
    writing: Writers = field(init=False)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _enough: float = float("inf")
    """Changes after which the writers end."""
    _begun: float = 0

    @property
    def postgres(self) -> Postgres:
        """The server's handle."""
        assert self.server.postgres is not None
        return self.server.postgres

    @property
    def viewers(self) -> list[Viewer]:
        """What the clients have seen."""
        return [client.viewer for client in self.clients]

    async def begin(self, number: int, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        """A process of the service, the first or in place of one that has ended; `variables`: of its environment."""
        process = ServiceProcess(self.before_database[number].dsn, variables=variables, **SETTINGS)
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

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits until it is so; looked at whenever a message has arrived or a transaction has ended."""
        async with self._news:
            await self._news.wait_for(reached)

    async def until_arrived(self, messages: int) -> None:
        """Waits until the viewers have got so many more messages about rows."""
        target = sum(viewer.arrived for viewer in self.viewers) + messages
        await self.until(lambda: sum(viewer.arrived for viewer in self.viewers) >= target)

    async def until_committed(self, changes: int) -> None:
        """Waits until the writers have committed so many more."""
        target = self.writing.history.committed + changes
        await self.until(lambda: self.writing.history.committed >= target)

    def resyncs(self, reason: str) -> int:
        """How often viewers were told to refetch for this reason."""
        return sum(viewer.resyncs.count(reason) for viewer in self.viewers)

    def url(self, number: int) -> str:
        """Where clients find process `number`, whichever runs there now."""
        return f"http://127.0.0.1:{self.before_service[number].port}"

    async def play(self, fault: Fault, *, changes: int, rate: float = 200, seed: int = 0) -> Report:
        """Writers write, viewers view, the fault strikes in the middle; then the oracle judges.

        Raises AssertionError where somebody waits for his last change in vain.
        """
        report = Report(fault.name, runs=1)
        begun = time.monotonic()
        people = [UUID(int=self.chance.getrandbits(128), version=4) for _ in range(OWNERS)]
        async with Writers(self.database.app_dsn, people, seed=seed, habits=HABITS, pause=self._pause) as writing:
            self.writing, self.rate = writing, rate
            self.clients = [
                self._client(owner, number) for number, owner in enumerate(writing.owners * len(TRANSPORTS))
            ]
            try:
                async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as group:
                    for client in self.clients:
                        group.create_task(client.view())
                    async with fault.around(self):
                        await self._write_meanwhile(fault, changes)
                    await writing.finish()
            except TimeoutError:
                late = [
                    f"{client.transport} of {client.viewer.owner}"
                    for client in self.clients
                    if not client.viewer.done.is_set()
                ]
                raise AssertionError(
                    f"{fault.name}: these never saw their last change: {', '.join(late) or '-'}"
                ) from None
        history, viewers = writing.history, self.viewers
        report.verdict = judge(history, viewers)
        report.transactions, report.overtaken, report.changes = history.transactions, history.overtaken, history.sure()
        report.replayed = sum(viewer.replayed for viewer in viewers)
        report.repeats = sum(viewer.repeats for viewer in viewers)
        report.connections = sum(client.connections for client in self.clients)
        report.refused = Counter(writing.refused)
        report.seconds = time.monotonic() - begun
        for viewer in viewers:
            report.outcomes.update(viewer.outcomes)
            report.resyncs.update(viewer.resyncs)
        verdict = report.verdict
        assert verdict.delivered + verdict.resynced + verdict.lost == report.changes * len(TRANSPORTS), report
        return report

    async def _write_meanwhile(self, fault: Fault, changes: int) -> None:
        history = self.writing.history
        self._enough, self._begun = float("inf"), time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writing.run_until(WRITERS, lambda: history.committed >= self._enough))
            await self.until_committed(changes // 4)
            await fault.strike(self)
            self._enough = max(changes, history.committed + changes // 4)

    async def _pause(self, _chance: random.Random) -> None:
        """Keeps the writers to their rate, so that those who read can keep up with them."""
        await self._tell()
        ahead = self.writing.history.committed / self.rate - (time.monotonic() - self._begun)
        if ahead < -BEHIND:
            self._begun += -BEHIND - ahead
        elif ahead > 0:
            await asyncio.sleep(min(ahead, 0.2))

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _client(self, owner: str, number: int) -> Client:
        urls = [self.url(number % 2), self.url(1 - number % 2)]
        transport = TRANSPORTS[number // OWNERS]
        framed = number == 0
        return Client(Viewer(owner), transport, urls, self.database.app_dsn, self.credentials, self._tell, framed)


@asynccontextmanager
async def stage(seed: int, bulk: int = 12_000) -> AsyncIterator[Scene]:
    """A server of its own, which may be killed, and everything around it; a clock and a disk, if the machine has them."""
    async with AsyncExitStack() as stack:
        clock: Clock | None = None
        disk: Disk | None = None
        with contextlib.suppress(LackError):
            clock = stack.enter_context(stepped_clock())
        server = stack.enter_context(embedded_server(clock.launcher if clock else ()))
        assert server.postgres is not None
        with contextlib.suppress(LackError):
            disk = stack.enter_context(small_disk(server.postgres))
        await host.create_roles(server.admin_dsn)
        database = await stack.enter_async_context(Databases(server).clone(migrated=True))
        running = stack.enter_context(services(database.feed_dsn))
        networks = [await stack.enter_async_context(Proxy.to(database.feed_dsn)) for _ in range(2)]
        fronts = [await stack.enter_async_context(Proxy("127.0.0.1", 0)) for _ in range(2)]
        scene = Scene(server, database, running, networks, fronts, random.Random(seed), clock, disk, bulk=bulk)
        await asyncio.gather(*(scene.begin(number) for number in range(2)))
        yield scene
