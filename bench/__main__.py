"""`python -m bench [NAME...] [--quick] [--write]`: runs measurements and prints them; `--write` keeps them in the docs."""

import argparse
import asyncio
import json
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

from . import backlog, dashboard, latency, leaks, resuming, sockets, stalled, writing
from .place import ROOT, machine
from .result import Result

DOCS = ROOT / "docs" / "performance.md"
RAW = ROOT / "bench" / "figures.json"

Measure = Callable[[], Awaitable[list[Result]]]


def chosen(quick: bool) -> dict[str, Measure]:
    """Everything that can be measured. `quick`: small and short, to see that it works, not for figures."""
    if quick:
        return {
            "writing": lambda: writing.measure(1, 2),
            "latency": lambda: latency.measure(50, 100, 5),
            "sockets": lambda: sockets.measure(1, 20, 200, 200),
            "backlog": lambda: backlog.measure(50_000, 20_000, 1),
            "resuming": lambda: resuming.measure(200),
            "stalled": lambda: stalled.measure(50, 5, 100, 5),
            "dashboard": lambda: dashboard.measure(0.5),
            "leaks": lambda: leaks.measure(0.2),
        }
    return {
        "writing": lambda: writing.measure(7, 6),
        "latency": lambda: latency.measure(1000, 1000, 20),
        "sockets": lambda: sockets.measure(5, 200, 1000, 5000),
        "backlog": lambda: backlog.measure(1_000_000, 100_000, 5),
        "resuming": lambda: resuming.measure(10_000),
        "stalled": lambda: stalled.measure(1000, 100, 1000, 20),
        "dashboard": lambda: dashboard.measure(10),
        "leaks": lambda: leaks.measure(10),
    }


async def main(names: list[str], quick: bool, write: bool) -> None:
    """Runs them one after the other."""
    everything = chosen(quick)
    results: list[Result] = []
    for name in names or everything:
        found = await everything[name]()
        for result in found:
            print(result.markdown(), flush=True)
        results += found
    if write:
        keep(results)


def keep(results: list[Result]) -> None:
    """Puts the results in the place of former ones of the same name, and leaves others alone."""
    former = json.loads(RAW.read_text(encoding="utf-8")) if RAW.exists() else {}
    for result in results:
        former[result.name] = {"text": result.markdown(), "raw": result.raw, "machine": json.loads(machine())}
    RAW.write_text(json.dumps(former, indent=1), encoding="utf-8")
    opening = (Path(__file__).parent / "opening.md").read_text(encoding="utf-8")
    DOCS.write_text(opening + "\n" + "\n".join(entry["text"] for entry in former.values()), encoding="utf-8")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures changefeed.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of: {', '.join(chosen(True))}; all when none is given"
    )
    parser.add_argument("--quick", action="store_true", help="small and short, to see that it works")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/performance.md")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.names, arguments.quick, arguments.write))
