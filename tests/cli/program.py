"""The program `changefeed`, run as a process of its own: once, or until it is told to stop."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.database import ROOT
from tests.support.issuer import SECRET
from tests.support.service import LONGEST, Process, environment

PROGRAM = str(Path(sys.executable).with_name("changefeed"))


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a command that failed, without the program's name."""
        assert self.code == 1, self
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("changefeed: "), self.err
        return lines[0].removeprefix("changefeed: ")


async def run(*arguments: str, dsn: str | None, **settings: Any) -> Said:
    """Runs a command to its end."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        cwd=ROOT,
        env=environment(**({"dsn": dsn, "jwt_secret": SECRET} | settings)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST * 2):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


def begin(*arguments: str, dsn: str, **settings: Any) -> Process:
    """Starts a command that runs until it is told to stop. Whoever starts it kills it."""
    return Process([PROGRAM, *arguments], environment(**({"dsn": dsn, "jwt_secret": SECRET} | settings)))
