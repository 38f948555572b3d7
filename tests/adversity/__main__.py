"""`python -m tests.adversity` (`make adversity`): the long form, which writes `docs/adversity.md`.

    make adversity ARGS="--changes 1000000 --seed 7"

Each round plays every fault once, in an order that the seed decides, on a stage of its own, until so many changes were
committed or so many minutes have passed. The first fault that the oracle finds ends the run with its words and exit code 1.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import replace

from tests.adversity.faults import FAULTS
from tests.adversity.stage import HEADING, Report, stage
from tests.support.database import ROOT

TARGET = ROOT / "docs" / "adversity.md"

OPENING = """# Adversity

Two processes of the service over one database; writers that commit at random (inserts, updates, deletes, rows that pass to
another owner, cascades, savepoints, rollbacks, transactions held open and committed out of order, REPEATABLE READ); for each
owner a client over WebSocket, one over server-sent events, and one by long poll; and in the middle of it a fault. Afterwards an
oracle that knows what was committed compares: every committed change arrived at its owner and at nobody else, in each row's
order, or a refetch was asked for and found it. `make adversity` does it again; a short form is part of `make test`.

"""


async def run(changes: int, minutes: float, seed: int, writers: int, transactions: int) -> list[Report]:
    """All rounds. Raises AssertionError with what the oracle found."""
    chance = random.Random(seed)
    total: dict[str, Report] = {fault.name: Report(fault.name) for fault in FAULTS}
    begun = time.monotonic()
    done = rounds = 0
    while done < changes and time.monotonic() - begun < minutes * 60:
        rounds += 1
        async with stage(chance.getrandbits(32)) as scene:
            for fault in chance.sample(FAULTS, len(FAULTS)):
                report = await scene.play(
                    fault, writers=writers, transactions=transactions, seed=chance.getrandbits(32)
                )
                done += report.changes
                total[fault.name] = _added(total[fault.name], report)
                print(f"round {rounds}, {done:>9,} changes: {' | '.join(report.row())}", flush=True)
                if done >= changes or time.monotonic() - begun >= minutes * 60:
                    break
    return [report for report in total.values() if report.changes]


def _added(one: Report, other: Report) -> Report:
    return replace(
        one,
        transactions=one.transactions + other.transactions,
        changes=one.changes + other.changes,
        delivered=one.delivered + other.delivered,
        repeats=one.repeats + other.repeats,
        connections=one.connections + other.connections,
        outcomes=Counter(one.outcomes) + other.outcomes,
        resyncs=Counter(one.resyncs) + other.resyncs,
    )


def page(reports: list[Report], circumstances: dict[str, object]) -> str:
    """`docs/adversity.md`."""
    changes = sum(report.changes for report in reports)
    rows = [HEADING, *(report.row() for report in reports)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    table.insert(1, "|" + "---|" * len(HEADING))
    result = (
        f"**{changes:,} changes, {len(reports)} faults: 0 lost without a refetch, 0 to the wrong user, 0 out of order"
        f" per row.** {sum(report.repeats for report in reports):,} messages came a second time, and were dropped by id.\n\n"
    )
    return OPENING + result + "\n".join(table) + f"\n\nTaken with `{json.dumps(circumstances)}`.\n"


def main() -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversity", description="Everything broken, for long.")
    parser.add_argument("--changes", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--minutes", type=float, default=60, help="how long, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--transactions", type=int, default=1500, help="of each writer, for each fault")
    options = parser.parse_args()
    circumstances = vars(options) | {"cores": os.cpu_count()}
    print(json.dumps(circumstances), flush=True)
    try:
        reports = asyncio.run(
            run(options.changes, options.minutes, options.seed, options.writers, options.transactions)
        )
    except AssertionError as found:
        print(found, file=sys.stderr)
        return 1
    TARGET.write_text(page(reports, circumstances), encoding="utf-8")
    print(f"written: {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
