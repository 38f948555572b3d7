"""The guardian: a process that owns one database server and one folder, so that neither outlives its user.

`python guardian.py FOLDER UID GID COMMAND...` reads orders from its standard input, one word a line, and
answers each with one line on its standard output:

    start   runs COMMAND, waits until it says that it is ready           started PID | failed
    stop    SIGINT (a fast shutdown, in PostgreSQL's terms), then wait   stopped
    kill    SIGKILL to the server and to everything it had started       stopped

Guarantees: when its input ends, however its user died, it stops the server, removes FOLDER and exits. A user
that closes the input and waits for the guardian has therefore cleaned up.

Assumes a server that writes its log to standard error; the guardian keeps that in FOLDER/log. It runs in a
session of its own, so that Ctrl-C in a terminal reaches its user and not the server. With UID 0 the command
keeps the guardian's own identity. Standard library only, and no import of this package: it starts in
milliseconds.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

READY = b"database system is ready to accept connections"
FAST_SHUTDOWN_SECONDS = 10.0


class Guardian:
    """Holds at most one running server. One order at a time; not thread-safe."""

    def __init__(self, folder: Path, uid: int, gid: int, command: list[str]) -> None:
        """Owns `folder` from now on; `uid` 0 means the guardian's own identity."""
        self._folder = folder
        self._uid = uid
        self._gid = gid
        self._command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._log_reader: threading.Thread | None = None

    def start(self) -> str:
        """Returns `started PID` once the server is ready, or `failed` when it exits before that."""
        identity = {"user": self._uid, "group": self._gid, "extra_groups": []} if self._uid else {}
        # The log's language decides whether READY is ever seen.
        environment = {**os.environ, "LC_ALL": "C", "LC_MESSAGES": "C"}
        server = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            start_new_session=True,
            **identity,  # type: ignore[call-overload]
        )
        ready_or_over = threading.Event()
        self._server = server
        self._log_reader = threading.Thread(target=self._keep_log, args=(server, ready_or_over), daemon=True)
        self._log_reader.start()
        ready_or_over.wait()
        if server.poll() is not None:
            return "failed"
        return f"started {server.pid}"

    def _keep_log(self, server: "subprocess.Popen[bytes]", ready_or_over: threading.Event) -> None:
        assert server.stderr is not None
        with (self._folder / "log").open("ab", buffering=0) as log:
            for line in server.stderr:
                log.write(line)
                if READY in line:
                    ready_or_over.set()
        server.wait()
        ready_or_over.set()

    def stop(self) -> str:
        """Shuts the server down and waits for it; disconnects clients, keeps the data whole."""
        server = self._server
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(FAST_SHUTDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._forget()

    def kill(self) -> str:
        """As a crash would: no shutdown of any kind. Returns when no process of the server is left."""
        server = self._server
        if server is not None:
            # Stopped first, so that it starts no child that we would not see.
            server.send_signal(signal.SIGSTOP)
            children = children_of(server.pid)
            server.kill()
            server.wait()
            # Without the server they would go by themselves, but only when next idle; until then their shared
            # memory keeps a new server from starting.
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            while any(status_of(child) for child in children):
                time.sleep(0.005)
        return self._forget()

    def _forget(self) -> str:
        if self._log_reader is not None:
            self._log_reader.join()
        self._server = self._log_reader = None
        return "stopped"

    def serve(self) -> None:
        """Obeys until the input ends, then leaves nothing behind."""
        orders = {"start": self.start, "stop": self.stop, "kill": self.kill}
        try:
            for line in sys.stdin:
                print(orders[line.strip()](), flush=True)
        except BrokenPipeError:
            pass  # the user is gone: the same as the end of its orders
        finally:
            self.stop()
            shutil.rmtree(self._folder, ignore_errors=True)


def status_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name; empty for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started. Empty where there is no /proc: they then end by themselves."""
    running = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [child for child in running if status_of(child)[1:2] == [str(pid)]]


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.umask(0o077)
    Guardian(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]).serve()
