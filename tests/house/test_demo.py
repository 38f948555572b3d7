"""`make demo`: everything comes up, what it writes down is true, and nothing is left when it is stopped."""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import jwt
import pytest

from demo import __main__ as demo
from demo import host

LONGEST_START_SECONDS = 120
REFUSED = r"refused|Connect call failed"


@dataclass
class Running:
    """A demo that runs: its process, the file it wrote, and what the file says."""

    process: asyncio.subprocess.Process
    result: Path
    facts: dict[str, str]
    tokens: dict[str, str]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    result = tmp_path / "folder" / "demo.json"
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "demo",
        "--result",
        str(result),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd="/",
    )
    try:
        said = await asyncio.wait_for(until_said(process, "Ctrl-C stops everything"), LONGEST_START_SECONDS)
        assert result.exists(), said
        facts = json.loads(result.read_text())
        yield Running(process, result, facts, facts["tokens"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_said(process: asyncio.subprocess.Process, words: str) -> str:
    """Everything the process printed, up to the line with these words or to its end."""
    assert process.stdout is not None
    lines: list[str] = []
    async for line in process.stdout:
        lines.append(line.decode())
        if words in lines[-1]:
            break
    return "".join(lines)


async def test_what_the_demo_writes_down_is_true(running: Running) -> None:
    facts = running.facts
    assert list(facts) == ["url", "dsn", "admin_dsn", "psql", "tokens", "execution_id"]
    assert running.result.stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(demo.unreadiness, facts["url"]) == ""
    claims = {name: jwt.decode(token, options={"verify_signature": False}) for name, token in running.tokens.items()}
    assert {name: claim["sub"] for name, claim in claims.items()} == {
        "user1": str(host.USER1),
        "user2": str(host.USER2),
        "admin": str(host.ADMIN),
    }
    assert [name for name, claim in claims.items() if claim.get("role") == "admin"] == ["admin"]

    app, admin = await asyncpg.connect(facts["dsn"]), await asyncpg.connect(facts["admin_dsn"])
    assert not await app.fetchval("select rolsuper from pg_roles where rolname = current_user")
    assert await admin.fetchval("select rolsuper from pg_roles where rolname = current_user")
    owner = "select tableowner = current_user from pg_tables where tablename = 'workflow_execution'"
    assert await app.fetchval(owner)
    status = "select status from workflow_execution where id = $1::text::uuid"
    assert await app.fetchval(status, facts["execution_id"]) == "running"
    await app.close()
    await admin.close()

    psql = await asyncio.create_subprocess_exec(
        *shlex.split(facts["psql"]), "-c", "select 'it ' || 'works'", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await psql.communicate()
    assert b"it works" in output


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_leaves_nothing_running_when_told_to_stop(running: Running, order: signal.Signals) -> None:
    running.process.send_signal(order)
    output, _ = await running.process.communicate()
    assert running.process.returncode == 0, output.decode()
    await assert_nothing_is_left(running)
    assert not running.result.exists()


async def test_the_parts_end_with_a_demo_that_was_killed(running: Running) -> None:
    running.process.kill()
    # Every part writes to the same pipe: its end is the end of the last of them.
    await running.process.communicate()
    await assert_nothing_is_left(running)


async def assert_nothing_is_left(running: Running) -> None:
    assert "refused" in await asyncio.to_thread(demo.unreadiness, running.facts["url"])
    with pytest.raises(OSError, match=REFUSED):
        await asyncpg.connect(running.facts["dsn"])


async def test_a_part_that_ends_by_itself_is_named() -> None:
    parts = demo.Parts()
    await parts.start("the clock", ["sleep", "1000"], {})
    await parts.start("the bell", ["sh", "-c", "exit 3"], {})
    with pytest.raises(demo.DemoError, match="the bell ended with code 3"):
        await parts.first_to_end()
    await parts.stop()
    assert all(process.returncode is not None for process in parts.running.values())


async def test_a_step_that_fails_is_named() -> None:
    parts = demo.Parts()
    with pytest.raises(demo.DemoError, match="the migration ended with code 1"):
        await parts.run("the migration", ["false"], {})
    await parts.run("the migration", ["true"], {})
    await parts.stop()


async def test_a_connection_string_of_changefeeds_own_never_reaches_a_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHANGEFEED_DSN", "postgresql://production")
    parts = demo.Parts()
    await parts.run(
        "the look",
        ["sh", "-c", 'test -z "$CHANGEFEED_DSN" && test "$DATABASE_URL" = here'],
        {"DATABASE_URL": "here"},
    )


def test_a_port_that_is_taken_or_none_is_refused_and_a_wish_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((demo.ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(demo.DemoError, match="is taken"):
            demo.chosen_port()
        monkeypatch.delenv("PORT")
        monkeypatch.setattr(demo, "USUAL_PORT", port)
        assert demo.chosen_port() != port
    monkeypatch.setenv("PORT", str(port))
    assert demo.chosen_port() == port
    for nonsense in ("many", "0", "65536", ""):
        monkeypatch.setenv("PORT", nonsense)
        with pytest.raises(demo.DemoError, match="is no port"):
            demo.chosen_port()
