"""A clock that can be put forward and back, for the processes that are started with it.

    with stepped_clock() as clock:
        ServiceProcess(dsn, variables=clock.variables)
        clock.step(-3600)

libfaketime answers when they ask for the time of day. Guarantees: a step takes effect at the next question, in all of them;
what measures durations (the monotonic clock) goes on evenly, as on a machine whose clock is set. A program that is started
through `launcher` has the clock only if it was started between `wind` and `unwind`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.postgres import traversable_folder, unprivileged_identity
from tests.support.requirements import found


class Clock:
    """See above."""

    def __init__(self, folder: Path, library: str) -> None:
        """`folder`: which also the user of the database server can read."""
        self._time = folder / "time"
        self._wound = folder / "wound"
        self.variables = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._time),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }
        """Of the environment of a process that has this clock."""
        given = " ".join(f"{name}={value}" for name, value in self.variables.items())
        self.launcher = ("sh", "-c", f'[ ! -e {self._wound} ] || export {given}; exec "$@"', "sh")
        """As for Postgres."""
        self.step(0)

    def wind(self) -> None:
        """What is started from now on has it."""
        self._wound.touch()

    def unwind(self) -> None:
        """What is started from now on has the machine's."""
        self._wound.unlink()

    def step(self, seconds: float) -> None:
        """So far from the machine's time it is from now on."""
        new = self._time.with_suffix(".new")
        new.write_text(f"{seconds:+.1f}", encoding="ascii")
        new.chmod(0o644)
        # In one piece: it is read all the time.
        new.replace(self._time)


@contextmanager
def stepped_clock() -> Iterator[Clock]:
    """A clock that agrees with the machine's, until it is stepped. Raises LackError."""
    library = found("clock")
    uid, _ = unprivileged_identity()
    folder = Path(tempfile.mkdtemp(prefix="changefeed-clock-", dir=traversable_folder(uid)))
    try:
        folder.chmod(0o755)
        yield Clock(folder, library)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
