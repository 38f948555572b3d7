"""What a process of the service holds: memory, descriptors, tasks, and whoever is connected.

Assumes Linux, and that the process serves `/metrics`. Looking opens one connection, which is in every figure.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.scrape import Scrape, scraped
from tests.support.service import LONGEST, PAUSE, ServiceProcess


@dataclass(frozen=True, slots=True)
class Footprint:
    """See above."""

    resident: int
    """Bytes in memory."""
    descriptors: int
    tasks: int
    visitors: int
    """Connections, also of those whose names are not yet known."""
    sessions: int
    waiting: int
    """Messages in buffers."""

    @property
    def nobody(self) -> bool:
        """Whether everybody has left."""
        return not (self.visitors or self.sessions or self.waiting)


def resident_bytes(pid: int) -> int:
    """What a process holds in memory."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def footprint(pid: int, scrape: Scrape) -> Footprint:
    """As it is at the moment of a scrape."""

    def figure(name: str) -> int:
        value = scrape.value(name)
        assert value is not None, name
        return int(value)

    return Footprint(
        resident=resident_bytes(pid),
        descriptors=figure("process_open_fds"),
        tasks=figure("tasks"),
        visitors=figure("visitors"),
        sessions=int(sum(scrape.by("sessions", "state").values())),
        waiting=figure("messages_waiting"),
    )


async def calm(process: ServiceProcess, former: Footprint | None = None) -> Footprint:
    """Waits until everybody has left, and no more descriptors and tasks are there than were formerly.

    Returns what there is then; where that does not come to pass, what there is in the end.
    """
    found = footprint(process.pid, await scraped(process.url))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LONGEST
    while loop.time() < deadline:
        most = former or found
        if found.nobody and found.descriptors <= most.descriptors and found.tasks <= most.tasks:
            break
        await asyncio.sleep(PAUSE)
        found = footprint(process.pid, await scraped(process.url))
    return found
