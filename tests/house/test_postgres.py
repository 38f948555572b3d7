"""The embedded server: runs for everybody, root too, keeps what was committed, leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from demo import postgres
from demo.postgres import Postgres, ServerError

RUN_UNTIL_KILLED = """
import sys
from demo.postgres import Postgres
with Postgres(durable=False) as server:
    print(server.pid, server._folder, flush=True)
    sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_server_is_ours_alone_and_gone_afterwards() -> None:
    with Postgres(settings={"max_connections": "17"}, durable=False) as server:
        folder, pid = server._folder, server.pid
        assert is_running(pid)
        connection = await asyncpg.connect(server.dsn("postgres"))
        shown = [
            await connection.fetchval(f"show {name}")
            for name in (
                "listen_addresses",
                "unix_socket_directories",
                "max_connections",
                "fsync",
                "server_encoding",
            )
        ]
        await connection.close()
        assert shown == ["127.0.0.1", "", "17", "off", "UTF8"]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn("postgres", password="wrong"))
    assert not is_running(pid)
    assert not folder.exists()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncpg.connect(server.dsn("postgres"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_for_root_the_server_runs_as_somebody_without_rights_who_owns_the_data() -> None:
    with Postgres(durable=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        data = server._folder / "data"
        assert data.stat().st_uid == Path(f"/proc/{server.pid}").stat().st_uid
        assert data.stat().st_mode & 0o777 == 0o700


async def test_a_crash_keeps_what_was_committed_and_empties_unlogged_tables() -> None:
    with Postgres(durable=False) as server:
        connection = await asyncpg.connect(server.dsn("postgres"))
        await connection.execute("create table kept as select 1 as n; create unlogged table emptied as select 1 as n")
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        await asyncio.to_thread(server.kill)
        await asyncio.wait_for(closed.wait(), 30)
        await asyncio.to_thread(server.start)
        connection = await asyncpg.connect(server.dsn("postgres"))
        assert await connection.fetchval("select count(*) from kept") == 1
        assert await connection.fetchval("select count(*) from emptied") == 0
        await connection.close()


async def test_a_stopped_server_starts_again_on_the_same_port() -> None:
    with Postgres(durable=False) as server:
        port = server.port
        await asyncio.to_thread(server.stop)
        assert server.pid == 0
        await asyncio.to_thread(server.start)
        connection = await asyncpg.connect(server.dsn("postgres"))
        assert await connection.fetchval("select inet_server_port()") == port
        await connection.close()


@pytest.mark.parametrize("death", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_server_does_not_outlive_its_user_however_that_one_died(death: signal.Signals) -> None:
    user = subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert user.stdout is not None
    pid, folder = user.stdout.readline().split()
    assert is_running(int(pid))
    user.send_signal(death)
    # The guardian shares the user's standard error: its end is the guardian's end.
    user.communicate()
    assert not is_running(int(pid))
    assert not Path(folder).exists()


def test_a_port_that_somebody_else_took_meanwhile_is_given_up_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Postgres(durable=False) as first:
        choices = iter([first.port, postgres.free_port("127.0.0.1")])
        monkeypatch.setattr(postgres, "free_port", lambda _: next(choices))
        with Postgres(durable=False) as second:
            assert second.port != first.port
            assert is_running(first.pid)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Postgres(settings={"max_connections": "many"})
    with pytest.raises(ServerError, match="max_connections"):
        server.__enter__()
    assert not server._folder.exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerError, match="pip install"):
        Postgres().__enter__()


def test_root_finds_a_folder_that_others_can_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert postgres.traversable_folder(65534) != tmp_path
    assert postgres.traversable_folder(0) == tmp_path
