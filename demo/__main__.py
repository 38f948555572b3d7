"""`python -m demo` (`make demo`): a live dashboard beside a host application, all of it on this machine.

Starts, in this order: PostgreSQL, the host's schema and data, changefeed's migrations, the API, and a
simulator that writes to the host's tables. When the API says that it is ready, prints its address and tokens
and, last of all, writes them to `.demo/demo.json`, whole or not at all.

Guarantees: Ctrl-C or SIGTERM leaves no process and no `demo.json` behind. When a part ends by itself, its
name is said, the rest is stopped, and the exit code is 1. PORT, when set, is kept to; otherwise it is 8000
or, when that is taken, any free port. Everything listens on 127.0.0.1 only, and passwords and tokens are new
in every run.
"""

import argparse
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
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from demo import host, leash
from demo.postgres import Postgres, ServerError, free_port, installed_binaries

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1"
USUAL_PORT = 8000
TOKEN_SECONDS = 12 * 3600
READY_SECONDS = 60.0


class DemoError(Exception):
    """The demo cannot go on; the message names the part and says what to do."""


@dataclass
class Parts:
    """The child processes, by name, each on a leash: they end when we end them, or when we die.

    Each is in a session of its own, so that Ctrl-C reaches us alone.
    """

    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Starts a part that is meant to run until we stop it."""
        # Otherwise it would win over DATABASE_URL, and the demo would run on somebody's real database.
        inherited = {name: value for name, value in os.environ.items() if name != "CHANGEFEED_DSN"}
        self.running[name] = await asyncio.create_subprocess_exec(
            sys.executable,
            leash.__file__,
            *command,
            cwd=ROOT,
            env=inherited | dict(environment),
            start_new_session=True,
            stdin=subprocess.PIPE,
        )

    async def run(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Runs a part that is meant to end by itself. Raises DemoError unless it ends well."""
        await self.start(name, command, environment)
        if code := await self.running[name].wait():
            raise DemoError(f"{name} ended with code {code}; its last words are above")
        del self.running[name]

    async def first_to_end(self) -> None:
        """Waits until a part ends by itself. Raises DemoError, which names it."""
        waits = {asyncio.ensure_future(process.wait()): name for name, process in self.running.items()}
        try:
            (ended, *_), _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        raise DemoError(f"{waits[ended]} ended with code {ended.result()}; its last words are above")

    async def stop(self) -> None:
        """Ends all parts, the newest first, and waits for each."""
        for process in reversed(self.running.values()):
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


def chosen_port() -> int:
    """The port to listen on. Raises DemoError when PORT is no port or is taken."""
    wish = os.environ.get("PORT")
    if wish is None:
        return USUAL_PORT if is_free(USUAL_PORT) else free_port(ADDRESS)
    if not wish.isdecimal() or not 0 < int(wish) < 65536:
        raise DemoError(f"PORT={wish} is no port: choose a number from 1 to 65535")
    if not is_free(int(wish)):
        raise DemoError(f"port {wish} is taken: choose another PORT, or none to get a free one")
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


async def prepare_database(server: Postgres, parts: Parts) -> host.Dsns:
    """The host database with its data, and changefeed installed in it. Raises DemoError."""
    await host.create_roles(server.dsn("postgres"))
    dsns = await host.create_database(server.dsn("postgres"), "platform")
    await host.install_schema(dsns.app_dsn)
    await host.seed(dsns.app_dsn)
    command = Path(sys.executable).with_name("changefeed")
    if not command.exists():
        raise DemoError(f"{command} is missing: start the demo with `make demo`, which installs it")
    await parts.run("changefeed migrate", [str(command), "migrate"], {"DATABASE_URL": dsns.feed_dsn})
    return dsns


def unreadiness(url: str) -> str:
    """Why `/readyz` does not say 200 now; empty when it does."""
    # A proxy from the environment must not stand between two processes of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/readyz", timeout=2):
            return ""
    except urllib.error.HTTPError as answer:
        return f"{answer.code} {answer.read().decode(errors='replace')}"
    except OSError as failure:
        return str(failure)


async def until_ready(url: str) -> None:
    """Waits for the API. Raises DemoError when it takes longer than READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while reason := await asyncio.to_thread(unreadiness, url):
        if time.monotonic() > deadline:
            raise DemoError(f"the API did not become ready in {READY_SECONDS:.0f} s; /readyz said: {reason}")
        await asyncio.sleep(0.1)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is either there completely or not at all, and readable by its owner alone."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def show(server: Postgres, port: int, parts: Parts, result: Path) -> None:
    """Starts everything, says where it is, and runs until cancelled. Raises DemoError."""
    url = f"http://{ADDRESS}:{port}"
    dsns = await prepare_database(server, parts)
    secret = secrets.token_urlsafe(48)
    tokens = made_tokens(secret)
    api = [sys.executable, "-m", "uvicorn", "api.app:app", "--host", ADDRESS, "--port", str(port)]
    await parts.start(
        "the API",
        [*api, "--log-level", "warning", "--timeout-graceful-shutdown", "3"],
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
        print(f"The application's database:\n{psql}\n", flush=True)
        write_whole(result, json.dumps(facts, indent=2) + "\n")
        print(f"All of this is in {result}. Ctrl-C stops everything.", flush=True)

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


async def main(result: Path) -> int:
    """Runs the demo until it is told to stop; `result` then holds its facts. Returns the exit code."""
    result.unlink(missing_ok=True)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A shell that starts us in the background ignores SIGINT for us, which we undo; but nohup is meant.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    parts = Parts()
    try:
        port = chosen_port()
        print("starting PostgreSQL, the host application and the API ...", flush=True)
        with Postgres(settings={"max_connections": "200"}) as server:
            showing = asyncio.ensure_future(show(server, port, parts, result))
            stopping = asyncio.ensure_future(stopped.wait())
            try:
                await asyncio.wait([showing, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                showing.cancel()
                await asyncio.gather(showing, return_exceptions=True)
                result.unlink(missing_ok=True)
                await parts.stop()
            if not showing.cancelled():
                showing.result()
    except (DemoError, ServerError) as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    print("\nstopped; nothing is left running")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m demo", description="A live dashboard on this machine.")
    parser.add_argument("--result", type=Path, default=ROOT / ".demo" / "demo.json", help="where demo.json goes")
    sys.exit(asyncio.run(main(parser.parse_args().result.absolute())))
