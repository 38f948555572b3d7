"""The service as it runs in production: processes of `uvicorn api.app:app`, on free ports of 127.0.0.1.

Guarantees: what a process prints is kept, line by line, and can be waited for; no process outlives its test, whatever it
did to it; nothing of the developer's own environment gets in. Loop-agnostic: one process may serve several tests.
"""

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.support.database import ROOT
from tests.support.issuer import SECRET
from tests.support.requirements import DOORBELL

LONGEST = 20.0
"""Seconds after which waiting for anything is given up. A test that comes here has failed."""
PAUSE = 0.02
"""Seconds between two questions whether something is as it should be, where nobody tells."""

_ADDRESS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process with these settings: `drain_timeout=2` is CHANGEFEED_DRAIN_TIMEOUT.

    And no others, save whether there is a doorbell, which the whole suite can be told.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == DOORBELL or not (name.startswith("CHANGEFEED_") or name in ("DATABASE_URL", "PORT"))
    }
    given = {f"CHANGEFEED_{name.upper()}": str(value) for name, value in settings.items() if value is not None}
    return {**inherited, "PYTHONUNBUFFERED": "1", **given}


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _die_with_us() -> None:
    """In the child: also where the tests were killed, it is not to stay behind."""
    assert _LIBC is not None
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program that was started, and what it has printed so far, on either stream."""

    def __init__(self, command: Sequence[str], env: dict[str, str], cwd: Path = ROOT) -> None:
        self.lines: list[str] = []
        self._told = threading.Condition()
        self._ended = False
        self._popen = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_us if _LIBC else None,  # noqa: PLW1509
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def log(self) -> str:
        """Everything that it has printed so far."""
        with self._told:
            return "".join(self.lines)

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """At once, as a crash would."""
        self._popen.kill()
        self._popen.wait()
        self._reader.join()

    async def said(self, pattern: str) -> re.Match[str]:
        """Waits until it has printed something that matches, in one line or over several."""
        found: list[re.Match[str]] = []

        def looked() -> bool:
            match = re.search(pattern, "".join(self.lines), re.MULTILINE)
            found.extend([match] if match else [])
            return match is not None or self._ended

        await asyncio.to_thread(self._wait_for, looked)
        assert found, f"never said {pattern!r}:\n{self.log}"
        return found[0]

    async def ended(self) -> int:
        """Waits until it has ended by itself. Returns its exit code."""
        await asyncio.to_thread(self._wait_for, lambda: self._ended)
        assert self._ended, f"has not ended:\n{self.log}"
        return self._popen.wait()

    def _wait_for(self, reached: Callable[[], bool]) -> None:
        with self._told:
            self._told.wait_for(reached, LONGEST)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stream:
            for line in stream:
                with self._told:
                    self.lines.append(line.decode(errors="replace"))
                    self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()


class ServiceProcess(Process):
    """One process of the service."""

    def __init__(
        self,
        dsn: str,
        app: str = "api.app:app",
        options: Sequence[str] = (),
        *,
        variables: Mapping[str, str] = MappingProxyType({}),
        **settings: object,
    ) -> None:
        """`variables`: of its environment, beside the settings."""
        uvicorn = [sys.executable, "-m", "uvicorn", app, "--port", "0", "--no-use-colors", "--log-level", "info"]
        secret: dict[str, object] = {"jwt_secret": SECRET}
        super().__init__([*uvicorn, *options], {**environment(dsn=dsn, **(secret | settings)), **variables})
        self.url = ""
        """Where it listens, once it does."""

    async def listening(self) -> "ServiceProcess":
        """Waits until it listens."""
        self.url = (await self.said(_ADDRESS.pattern))[1]
        return self

    async def ready(self) -> "ServiceProcess":
        """Waits until it says that it is ready."""
        await self.listening()
        await self.readiness(200)
        return self

    async def readiness(self, status: int, **members: object) -> httpx.Response:
        """Waits until /readyz answers with this status, and with these members."""
        async with httpx.AsyncClient(base_url=self.url, verify=False) as client, asyncio.timeout(LONGEST):
            while True:
                answer = await client.get("/readyz")
                if answer.status_code == status and answer.json() | members == answer.json():
                    return answer
                await asyncio.sleep(PAUSE)


@dataclass
class Services:
    """The processes of one test, over one database."""

    dsn: str
    running: list[ServiceProcess] = field(default_factory=list)

    def begin(self, app: str = "api.app:app", options: Sequence[str] = (), **settings: Any) -> ServiceProcess:
        """Starts a process with these settings, and waits for nothing."""
        process = ServiceProcess(self.dsn, app, options, **settings)
        self.running.append(process)
        return process

    async def start(self, **settings: Any) -> ServiceProcess:
        """The same. Returns when it is ready."""
        return await self.begin(**settings).ready()


@contextmanager
def services(dsn: str) -> Iterator[Services]:
    """Processes over this database, as many as are started; killed at the end. A traceback in a log is a failure."""
    started = Services(dsn)
    try:
        yield started
    finally:
        for process in started.running:
            process.kill()
    for process in started.running:
        assert "Traceback" not in process.log, process.log
