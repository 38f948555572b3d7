"""`python -m tests.adversity` (`make adversity`): the long form, which writes `docs/adversity.md`.

    make adversity ARGS="--changes 1000000 --seed 7"

Each round plays every fault once, in an order that the seed decides, on a stage of its own; so many rounds as are needed for
the changes, two at least. What the oracle finds is in the report, and printed; the exit code is 1 then, and also where time
was over before every fault was played twice, or before there were as many changes as were asked for.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time

from tests.adversity.faults import FAULTS
from tests.adversity.report import Report, page
from tests.adversity.stage import Fault, stage
from tests.support.database import ROOT
from tests.support.requirements import LackError, found
from tests.support.subscribers import TRANSPORTS

TARGET = ROOT / "docs" / "adversity.md"
TIMES = 2
"""Each fault, at least."""
BULK = 100_000


async def run(faults: list[Fault], options: argparse.Namespace) -> list[Report]:
    """All rounds. Raises AssertionError where a run did not come to its end."""
    chance = random.Random(options.seed)
    total = {fault.name: Report(fault.name) for fault in faults}
    begun = time.monotonic()
    done = rounds = 0

    def over() -> bool:
        return bool(time.monotonic() - begun >= options.minutes * 60)

    while not over() and (rounds < TIMES or done < options.changes):
        rounds += 1
        async with stage(chance.getrandbits(32), BULK) as scene:
            for number, fault in enumerate(chance.sample(faults, len(faults))):
                # What one run has too many, the next ones need not have.
                left = len(faults) * max(TIMES - rounds, 0) + len(faults) - number
                changes = max(1000, -(-(options.changes - done) // left))
                report = await scene.play(fault, changes=changes, rate=options.rate, seed=chance.getrandbits(32))
                done += report.changes
                total[fault.name] = total[fault.name].plus(report)
                minutes = (time.monotonic() - begun) / 60
                print(
                    f"{minutes:5.1f} min, {done:>9,} changes, {report.seconds:5.1f} s: {' | '.join(report.row())}",
                    flush=True,
                )
                for word in report.verdict.words[:10]:
                    print(f"    {word}", file=sys.stderr, flush=True)
                if over():
                    break
    return list(total.values())


def main() -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversity", description="Everything broken, for long.")
    parser.add_argument("--changes", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--minutes", type=float, default=60, help="how long, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--rate", type=float, default=1500, help="changes a second that are committed, at most")
    parser.add_argument("--only", default="", help="faults whose name contains this; no page is written")
    options = parser.parse_args()
    faults, lacking = _here(options.only)
    circumstances = vars(options) | {"cores": os.cpu_count()}
    print(json.dumps(circumstances), flush=True)
    try:
        reports = asyncio.run(run(faults, options))
    except AssertionError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if not options.only:
        TARGET.write_text(page(reports, len(TRANSPORTS), lacking, circumstances), encoding="utf-8")
        print(f"written: {TARGET.relative_to(ROOT)}")
    whole = sum(report.changes for report in reports) >= options.changes and all(
        report.runs >= TIMES for report in reports
    )
    return 0 if whole and not any(report.verdict.words for report in reports) else 1


def _here(only: str) -> tuple[list[Fault], dict[str, str]]:
    """The faults that this machine can play, and why it cannot play the others."""
    faults, lacking = list[Fault](), dict[str, str]()
    for fault in FAULTS:
        try:
            for need in fault.needs:
                found(need)
        except LackError as lack:
            lacking[fault.name] = str(lack)
            continue
        if only in fault.name:
            faults.append(fault)
    return faults, lacking


if __name__ == "__main__":
    sys.exit(main())
