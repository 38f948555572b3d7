"""The project's own Python environment: makes `.venv` once and brings it up to date when it has to.

    python3 tools/environment.py demo            what `make demo` needs
    python3 tools/environment.py test check      what the tests and the checks need

Guarantees: afterwards `.venv/bin/python` imports the project (an editable install) with the extras named. When
nothing has changed it does nothing, in milliseconds: a stamp records a hash of what decides the contents.
Two runs at the same time take turns.

Assumes Python 3.11 or newer and a package index that pip can reach; nothing else. pip comes as a wheel from
this folder, because Debian's python lacks `ensurepip` unless one more package is installed.

Never touches the Python that runs it, and never removes an environment that works. Standard library only.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


class EnvironmentFault(Exception):
    """The environment cannot be made; the message says what to do."""


def pip_wheel() -> Path:
    """The vendored pip. Raises EnvironmentFault unless there is exactly one."""
    wheels = sorted((ROOT / "tools").glob("pip-*-py3-none-any.whl"))
    if len(wheels) != 1:
        raise EnvironmentFault(f"expected one pip wheel in tools/, found {len(wheels)}: restore it from git")
    return wheels[0]


def contents_key(wheel: Path) -> str:
    """A hash of everything that decides what the environment contains."""
    digest = hashlib.sha256(repr(sys.version_info[:3]).encode())
    for path in (ROOT / "pyproject.toml", wheel):
        digest.update(path.read_bytes())
    digest.update(str(ROOT).encode())  # the editable install points here: a moved clone needs it anew
    return digest.hexdigest()


def installed_extras(stamp: Path, key: str) -> set[str]:
    """The extras that the stamp vouches for; none when it is missing, damaged or of other contents."""
    try:
        record = json.loads(stamp.read_text(encoding="utf-8"))
        return set(record["extras"]) if record["key"] == key else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def works(python: Path) -> bool:
    """Whether this interpreter starts and is new enough."""
    try:
        check = f"import sys; sys.exit(sys.version_info < {OLDEST})"
        return subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def run(what: str, command: list[str]) -> None:
    """Runs a command in the repository. Raises EnvironmentFault, saying what failed, unless it exits with 0."""
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        raise EnvironmentFault(f"{what} failed; its own words are above")


def prepare(extras: set[str]) -> None:
    """Makes `.venv` hold the project and these extras, beside whatever extras it holds already."""
    wheel = pip_wheel()
    key = contents_key(wheel)
    venv = ROOT / ".venv"
    python = venv / "bin" / "python"
    stamp = venv / "contents.json"
    present = installed_extras(stamp, key)
    if extras <= present and works(python):
        return
    if not works(python):
        print(f"making .venv with {sys.executable}", flush=True)
        run("making .venv", [sys.executable, "-m", "venv", "--without-pip", "--clear", str(venv)])
        present = set()
    wanted = sorted(extras | present)
    print(f"installing changefeed[{','.join(wanted)}] into .venv", flush=True)
    stamp.unlink(missing_ok=True)
    pip = [str(python), str(wheel / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    run("pip install (it needs a package index)", [*pip, "--editable", f".[{','.join(wanted)}]"])
    stamp.write_text(json.dumps({"key": key, "extras": wanted}), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """The command line: the names of the extras. Returns the exit code."""
    if sys.version_info < OLDEST:  # noqa: UP036 - started by whatever `python3` happens to be
        print(
            "changefeed needs Python 3.11 or newer, and {} is {}. Name another one: make PYTHON=python3.12 ...".format(
                sys.executable, ".".join(map(str, sys.version_info[:3]))
            ),
            file=sys.stderr,
        )
        return 1
    try:
        with (ROOT / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            prepare(set(arguments))
    except EnvironmentFault as fault:
        print(f"tools/environment.py: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
