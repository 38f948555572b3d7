"""A leash: runs one command, and ends it when standard input ends.

`python leash.py COMMAND...` exits with the command's own code (128 and the signal's number, when a signal
ended it).

Guarantees: the command does not outlive whoever holds the other end of the input, however that one died: it
gets SIGTERM and, 10 seconds later, SIGKILL. SIGTERM and SIGINT are passed on. Standard library only.
"""

import signal
import subprocess
import sys
import threading
from types import FrameType

STOP_SECONDS = 10.0


def run(command: list[str]) -> int:
    """Runs the command until it ends or standard input does; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_the_input() -> None:
        sys.stdin.read()
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    threading.Thread(target=end_with_the_input, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
