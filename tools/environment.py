"""The project's own Python environment: makes `.venv` once and brings it up to date when it has to.

    python3 tools/environment.py demo            what `make demo` needs
    python3 tools/environment.py test check      what the tests and the checks need

Guarantees: afterwards `.venv/bin/python` imports the project (an editable install) with the extras named.
When nothing has changed it does nothing, in milliseconds: a stamp records a hash of what decides the
contents. Two runs at the same time take turns.

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


class PreparationError(Exception):
    """The environment cannot be made; the message says what to do."""


def pip_wheel() -> Path:
    """The vendored pip. Raises PreparationError unless there is exactly one."""
    wheels = sorted((ROOT / "tools").glob("pip-*-py3-none-any.whl"))
    if len(wheels) != 1:
        raise PreparationError(f"expected one pip wheel in tools/, found {len(wheels)}: restore it from git")
    return wheels[0]


def contents_key(wheel: Path, version: str) -> str:
    """A hash of everything that decides what an environment of this Python version contains."""
    # The editable install points to ROOT: a clone that was moved needs it anew.
    digest = hashlib.sha256(f"{version} {ROOT}".encode())
    for path in (ROOT / "pyproject.toml", wheel):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed_extras(stamp: Path, key: str) -> set[str] | None:
    """The extras that the stamp vouches for; None when it is missing, damaged or of other contents."""
    try:
        record = json.loads(stamp.read_text(encoding="utf-8"))
        return set(record["extras"]) if record["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def version_of(python: Path) -> str | None:
    """What Python this is, for example `3.11`; None when it does not start or is too old."""
    question = f"import sys; print('%d.%d' % sys.version_info[:2]); sys.exit(sys.version_info < {OLDEST})"
    try:
        answer = subprocess.run([python, "-c", question], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def run(what: str, command: list[str]) -> None:
    """Runs a command in the repository. Raises PreparationError unless it exits with 0."""
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        raise PreparationError(f"{what} failed; its own words are above")


def prepare(extras: set[str]) -> None:
    """Makes `.venv` hold the project and these extras, beside whatever extras it holds already."""
    wheel = pip_wheel()
    venv = ROOT / ".venv"
    python = venv / "bin" / "python"
    stamp = venv / "contents.json"
    version = version_of(python)
    if version is None:
        print(f"making .venv with {sys.executable}", flush=True)
        run("making .venv", [sys.executable, "-m", "venv", "--without-pip", "--clear", str(venv)])
        version = ".".join(map(str, sys.version_info[:2]))
    key = contents_key(wheel, version)
    present = installed_extras(stamp, key)
    if present is not None and extras <= present:
        return
    wanted = sorted(extras | (present or set()))
    project = f".[{','.join(wanted)}]" if wanted else "."
    print(f"installing {project} into .venv; this takes a minute", flush=True)
    stamp.unlink(missing_ok=True)
    pip = [str(python), str(wheel / "pip"), "install", "--quiet", "--quiet", "--disable-pip-version-check"]
    run("pip install (it needs a package index)", [*pip, "--editable", project])
    stamp.write_text(json.dumps({"key": key, "extras": wanted}), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """The command line: the names of the extras. Returns the exit code."""
    if sys.version_info < OLDEST:
        print(
            f"changefeed needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 ...",
            file=sys.stderr,
        )
        return 1
    try:
        with (ROOT / ".venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            prepare(set(arguments))
    except (PreparationError, OSError) as fault:
        print(f"tools/environment.py: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
