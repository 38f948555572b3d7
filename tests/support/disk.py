"""A disk that can be full: a file system in memory, mounted where a server has its data.

    with Postgres() as postgres, small_disk(postgres) as disk:
        disk.fill()
        disk.empty()

Guarantees: while it is full, nothing on it can grow by a page, whoever asks; what is there can be written over. The data
that the server had are on it, and are not kept. Needs root, and Linux.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.postgres import Postgres
from tests.support.requirements import found

SIZE = 4 << 30
"""More than a run writes. It takes memory only for what is on it."""


class Disk:
    """See above."""

    def __init__(self, mount: str, folder: Path) -> None:
        self._mount = mount
        self._folder = folder

    def fill(self) -> None:
        """It has no free page any more."""
        about = os.statvfs(self._folder)
        # What is written while we look makes the kernel refuse to shrink below it.
        while not self._resized((about.f_blocks - about.f_bfree) * about.f_frsize):
            about = os.statvfs(self._folder)

    def empty(self) -> None:
        """There is room again."""
        assert self._resized(SIZE)

    def _resized(self, size: int) -> bool:
        command = [self._mount, "-o", f"remount,size={size}", str(self._folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def small_disk(postgres: Postgres) -> Iterator[Disk]:
    """This server's data are on a disk of its own, for as long as the block lasts. Raises LackError."""
    mount = found("disk")
    data = postgres.data
    about = data.stat()
    postgres.stop()
    former = data.rename(data.with_name("former"))
    data.mkdir()
    options = f"size={SIZE},mode=0700,uid={about.st_uid},gid={about.st_gid}"
    subprocess.run([mount, "-t", "tmpfs", "-o", options, "changefeed-disk", str(data)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{former}/.", str(data)], check=True)
        shutil.rmtree(former)
        postgres.start()
        yield Disk(mount, data)
    finally:
        postgres.stop()
        subprocess.run(["umount", str(data)], check=True)
