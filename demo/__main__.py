"""`python -m demo` (`make demo`): a live dashboard beside a host application, all of it on this machine.

Starts, in this order: PostgreSQL, the host's schema and data, changefeed's migrations, the API, and a simulator that
writes to the host's tables. When the API says that it is ready, prints its address and tokens and, last of all,
writes them to `.demo/demo.json`, whole or not at all.

Guarantees: Ctrl-C or SIGTERM leaves no process and no `demo.json` behind. When a part ends by itself, its name is
said, the rest is stopped, and the exit code is 1. PORT, when set, is kept to; otherwise it is 8000 or, when that is
taken, any free port. Everything listens on 127.0.0.1 only, and passwords and tokens are new in every run.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from demo import host
from demo.postgres import Postgres, PostgresFault, free_port, installed_binaries

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
ADDRESS = "127.0.0.1"
USUAL_PORT = 8000
TOKEN_SECONDS = 12 * 3600
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


class DemoFault(Exception):
    """The demo cannot go on; the message names the part and says what to do."""


@dataclass
class Parts:
    """The child processes, by name. Each runs in a session of its own: Ctrl-C reaches us alone, and we end them."""

    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Starts a part that is meant to run until we stop it."""
        self.running[name] = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True, stdin=subprocess.DEVNULL
        )

    async def first_to_end(self) -> None:
        """Waits until a part ends by itself. Raises DemoFault, which names it."""
        waits = {asyncio.ensure_future(process.wait()): name for name, process in self.running.items()}
        try:
            (ended, *_), _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise DemoFault(f"{waits[ended]} ended with code {ended.result()}; its last words are above")

    async def stop(self) -> None:
        """Ends all parts, the newest first: SIGTERM, then SIGKILL for what has not gone in time."""
        for process in reversed(self.running.values()):
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def chosen_port() -> int:
    """The port to listen on. Raises DemoFault when PORT is no port or is taken."""
    wish = os.environ.get("PORT")
    if wish is None:
        return USUAL_PORT if is_free(USUAL_PORT) else free_port(ADDRESS)
    if not wish.isdecimal() or not 0 < int(wish) < 65536:
        raise DemoFault(f"PORT={wish} is no port: choose a number from 1 to 65535")
    if not is_free(int(wish)):
        raise DemoFault(f"port {wish} is taken: choose another PORT, or none to get a free one")
    return int(wish)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading away counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
        return True


def made_tokens(secret: str) -> dict[str, str]:
    """A signed token for each of the three people, by name, valid for 12 hours."""
    expiry = int(time.time()) + TOKEN_SECONDS
    people = {
        "user1": {"sub": str(host.USER1)},
        "user2": {"sub": str(host.USER2)},
        "admin": {"sub": str(host.ADMIN), "role": "admin"},
    }
    return {name: jwt.encode({**claims, "exp": expiry}, secret, "HS256") for name, claims in people.items()}


def psql_command(dsn: str) -> str:
    """A shell command that opens this database here: the first psql that answers, else our own."""
    for psql in filter(None, (shutil.which("psql"), str(installed_binaries() / "psql"))):
        with contextlib.suppress(OSError):
            if subprocess.run([psql, dsn, "-Atc", "select 1"], check=False, capture_output=True).returncode == 0:
                return shlex.join([psql, dsn])
    return shlex.join([sys.executable, "-m", "demo.psql", dsn])


async def prepare_database(server: Postgres) -> host.Dsns:
    """The host database with its data, and changefeed installed in it. Raises DemoFault."""
    await host.create_roles(server.dsn("postgres"))
    dsns = await host.create_database(server.dsn("postgres"), "platform")
    await host.install_schema(dsns.app_dsn)
    await host.seed(dsns.app_dsn)
    command = Path(sys.executable).with_name("changefeed")
    if not command.exists():
        raise DemoFault(f"{command} is missing: start the demo with `make demo`, which installs it")
    migrate = await asyncio.create_subprocess_exec(
        command, "migrate", cwd=ROOT, env={**os.environ, "DATABASE_URL": dsns.feed_dsn}
    )
    if await migrate.wait():
        raise DemoFault("changefeed migrate failed; its own words are above")
    return dsns


def answers_ready(url: str) -> bool:
    """Whether `/readyz` says 200 now."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def until_ready(url: str) -> None:
    """Waits for the API. Raises DemoFault when it takes longer than READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(answers_ready, url):
        if time.monotonic() > deadline:
            raise DemoFault(f"the API did not become ready in {READY_SECONDS:.0f} s: see what {url}/readyz says")
        await asyncio.sleep(0.1)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is either there completely or not at all, and readable by its owner alone."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def show(server: Postgres, parts: Parts, result: Path) -> None:
    """Starts everything, says where it is, and runs until cancelled. Raises DemoFault."""
    url = f"http://{ADDRESS}:{chosen_port()}"
    dsns = await prepare_database(server)
    secret = secrets.token_urlsafe(48)
    tokens = made_tokens(secret)
    api = [sys.executable, "-m", "uvicorn", "api.app:app", "--host", ADDRESS, "--port", url.rpartition(":")[2]]
    await parts.start(
        "the API",
        [*api, "--log-level", "warning"],
        {
            "DATABASE_URL": dsns.feed_dsn,
            "CHANGEFEED_JWT_SECRET": secret,
            "CHANGEFEED_DEMO_TOKENS": json.dumps(tokens),
        },
    )
    await parts.start("the simulator", [sys.executable, "-m", "demo.simulator"], {"DATABASE_URL": dsns.app_dsn})

    async def announce() -> None:
        await until_ready(url)
        psql = await asyncio.to_thread(psql_command, dsns.app_dsn)
        facts = {
            "url": url,
            "dsn": dsns.app_dsn,
            "admin_dsn": dsns.admin_dsn,
            "psql": psql,
            "tokens": tokens,
            "execution_id": str(host.EXECUTION),
        }
        print(f"\nThe dashboard is live: {url}\n", flush=True)
        for name, token in tokens.items():
            print(f"token of {name}:\n{token}\n")
        print(f"The application's database:\n{psql}\n\nCtrl-C stops everything.", flush=True)
        write_whole(result, json.dumps(facts, indent=2) + "\n")

    announcing = asyncio.ensure_future(announce())
    dying = asyncio.ensure_future(parts.first_to_end())
    try:
        await asyncio.wait([announcing, dying], return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()
        await dying
    finally:
        announcing.cancel()
        dying.cancel()


async def main() -> int:
    """Runs the demo until it is told to stop. Returns the exit code."""
    result = FOLDER / "demo.json"
    result.unlink(missing_ok=True)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    parts = Parts()
    print("starting PostgreSQL, the host application and the API ...", flush=True)
    try:
        with Postgres(settings={"max_connections": "200"}) as server:
            showing = asyncio.ensure_future(show(server, parts, result))
            stopping = asyncio.ensure_future(stopped.wait())
            try:
                await asyncio.wait([showing, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                result.unlink(missing_ok=True)
                stopping.cancel()
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
                await parts.stop()
            if not showing.cancelled():
                showing.result()
    except (DemoFault, PostgresFault) as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    print("\nstopped; nothing is left running")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
