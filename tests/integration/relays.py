"""Relays of tests: in processes of their own, and what is done to them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS
from changefeed.sql import query
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
)
from tests.support.database import ROOT


class Process:
    """`changefeed relay`, as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, word: str) -> None:
        """Waits until it says so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                if word in line:
                    return
        pytest.fail(f"the process ended without saying {word!r}")


@asynccontextmanager
async def relay_process(dsn: str, **settings: Any) -> AsyncIterator[Process]:
    """One that runs, and is gone in the end."""
    environment = {f"CHANGEFEED_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "changefeed",
        "relay",
        cwd=ROOT,
        env={**os.environ, "CHANGEFEED_DSN": dsn, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_leader(admin: Connection) -> None:
    """End the leading session, as an administrator would."""
    row = await admin.fetchrow(query("leader"), LOCK_CLASS, LEADER)
    assert row is not None
    assert await admin.fetchval("select pg_terminate_backend($1)", row["pid"])


async def end_listeners(admin: Connection) -> None:
    """End every relay's session."""
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'changefeed listener'"
    )


def until_more(running: Feed, connections: int) -> Callable[[], bool]:
    """Whether it has connected once more."""
    return lambda: running.pulse.connected and running.pulse.connections > connections


async def somebody_leads(*feeds: Feed) -> None:
    """Waits until one of them leads."""
    waiting = [
        asyncio.create_task(running.pulse.until(lambda pulse=running.pulse: pulse.leading, PATIENCE))  # type: ignore[misc]
        for running in feeds
    ]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.result() for task in done)


async def end_leaders(one: Feed, other: Feed, admin: Connection) -> None:
    """Whichever of the two leads, three times in turn."""
    for _ in range(3):
        leader = one if one.pulse.leading else other
        connections = leader.pulse.connections
        await end_leader(admin)
        assert await leader.pulse.until(until_more(leader, connections), PATIENCE)
        await somebody_leads(one, other)
