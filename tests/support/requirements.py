"""What a test needs, beyond Python: a container engine, a browser, Redis, Node, a clock, a disk; and the doorbell.

Guarantees: `require` returns what it found, or skips the test, naming the need and the remedy. When
CHANGEFEED_TEST_REQUIRE (comma-separated names) lists the need, a lack is a failure instead, so that a suite
that is meant to run everything cannot go green by skipping. The doorbell is there unless CHANGEFEED_DOORBELL=off: so the
whole suite can be played to a relay that only polls, but for the tests about the bell itself.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import pytest

Need = Literal["container", "browser", "redis", "node", "clock", "disk", "doorbell"]
NEEDS: tuple[Need, ...] = get_args(Need)

VARIABLE = "CHANGEFEED_TEST_REQUIRE"
IMAGE_VARIABLE = "CHANGEFEED_TEST_IMAGE"
DOORBELL = "CHANGEFEED_DOORBELL"

_COMMANDS: dict[Need, tuple[str, ...]] = {
    "browser": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "redis": ("redis-server", "valkey-server"),
    "node": ("node",),
}


class LackError(Exception):
    """The machine has no such thing; the message says what to do."""


def container_image() -> str:
    """The PostgreSQL image for the container server."""
    return os.environ.get(IMAGE_VARIABLE) or "postgres:16"


def demanded() -> frozenset[Need]:
    """The needs whose lack is a failure. Raises pytest.UsageError on a name that is no need."""
    names = {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
    if unknown := names - set(NEEDS):
        raise pytest.UsageError(f"{VARIABLE}: {', '.join(sorted(unknown))} is not one of {', '.join(NEEDS)}")
    return frozenset(need for need in NEEDS if need in names)


def require(need: Need) -> str:
    """What the machine has: a command's path; for `container` the name of an image that is here, for `clock` a library's.

    Skips the test where it has none, or fails it when the need is demanded.
    """
    try:
        return found(need)
    except LackError as lack:
        message = f"{need}: {lack}"
        if need in demanded():
            pytest.fail(f"{message} ({VARIABLE} demands it)", pytrace=False)
        pytest.skip(message)


def found(need: Need) -> str:
    """As `require`, without a word about tests. Raises LackError."""
    match need:
        case "container":
            return _container()
        case "clock":
            return _clock()
        case "disk":
            return _disk()
        case "doorbell":
            return _doorbell()
        case _:
            return _command(need)


def _command(need: Need) -> str:
    for name in _COMMANDS[need]:
        if path := shutil.which(name):
            return path
    raise LackError(f"no {' or '.join(_COMMANDS[need])} on the PATH: install one")


def _doorbell() -> str:
    value = os.environ.get(DOORBELL, "on")
    if value.lower() in ("off", "false", "no", "0"):
        raise LackError(f"{DOORBELL} is {value}: this is about the bell itself")
    return value


def _clock() -> str:
    """libfaketime, in its variant for programs with threads."""
    for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
        for path in sorted(
            [*Path(folder).glob("faketime/libfaketimeMT.so.1"), *Path(folder).glob("*/faketime/libfaketimeMT.so.1")]
        ):
            return str(path)
    raise LackError("no libfaketime: install faketime")


@cache
def _disk() -> str:
    """The command that mounts a file system in memory, where it may."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        raise LackError("only root can mount a small disk: run as root, on Linux")
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run([mount, "-t", "tmpfs", "none", folder], check=False, capture_output=True).returncode:
            raise LackError("this machine lets nobody mount a file system: run where root may")
        subprocess.run(["umount", folder], check=True)
    return mount


def _container() -> str:
    problem = _container_problem(container_image())
    if problem:
        raise LackError(problem)
    return container_image()


@cache
def _container_problem(image: str) -> str | None:
    import docker
    from docker.errors import DockerException, ImageNotFound

    silence = "no Docker daemon answers: start dockerd, or join the group that may talk to it"

    try:
        engine = docker.from_env()
    except DockerException:
        return silence
    with closing(engine):
        try:
            engine.ping()
            engine.images.get(image)
        except ImageNotFound:
            try:
                engine.images.pull(*image.rsplit(":", 1))
            except DockerException:
                return f"the image {image} is not here and cannot be pulled: run tools/image.sh {image}"
        except (DockerException, OSError):
            return silence
    return None
