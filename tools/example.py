"""The client's packages and its example, made from the lock file: `python -m tools.example` builds `client/example/dist`.

Guarantees: afterwards `client/node_modules` is what `client/package-lock.json` says, and the build is of the sources as
they lie there. Where nothing has changed, nothing is done: a stamp beside the build holds a hash of everything that it
was made of. Two runs at the same time take turns.

Assumes Node with npm, and a package registry where the packages are not installed yet. Never changes the lock file.
"""

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "client"
BUILD = CLIENT / "example" / "dist"
SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "src", "scripts", "example")


class BuildError(Exception):
    """npm failed; the message is what it printed."""


def packages() -> Path:
    """Brings `client/node_modules` up to date, and returns it. Raises BuildError."""
    modules, lock = CLIENT / "node_modules", CLIENT / "package-lock.json"
    with _alone():
        # npm keeps its own record of what it has installed.
        installed = modules / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _npm("ci", "--no-audit", "--no-fund")
    return modules


def build() -> Path:
    """Builds the package and the example with it, unless that was done already. Returns the folder. Raises BuildError."""
    packages()
    with _alone():
        stamp, wanted = BUILD / ".contents", _contents()
        if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
            _npm("run", "--silent", "example:build")
            stamp.write_text(wanted, encoding="ascii")
    return BUILD


def _contents() -> str:
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(CLIENT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for name in SOURCES:
        source = CLIENT / name
        yield from [source] if source.is_file() else _within(source)


def _within(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and BUILD not in path.parents:
            yield path


@contextmanager
def _alone() -> Iterator[None]:
    with (CLIENT / ".npmrc").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _npm(*arguments: str) -> None:
    run = subprocess.run(["npm", *arguments], cwd=CLIENT, check=False, capture_output=True, text=True)
    if run.returncode:
        raise BuildError(f"npm {' '.join(arguments)} failed:\n{run.stdout[-4000:]}{run.stderr[-4000:]}")


if __name__ == "__main__":
    try:
        print(build())
    except (BuildError, OSError) as fault:
        print(f"tools/example.py: {fault}", file=sys.stderr)
        sys.exit(1)
