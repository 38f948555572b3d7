"""A hundred clients stop reading while a thousand read: do the thousand notice?"""

import statistics

from tests.support.footprint import resident_bytes

from .latency import observed
from .place import api, furnish, postgres
from .result import Result


async def measure(sockets: int, stalled: int, per_second: int, seconds: int) -> list[Result]:
    """With and without, in turn."""
    alone: list[float] = []
    beside: list[float] = []
    with postgres() as server:
        place = await furnish(server, "stalled", sockets, sockets)
        async with api(place) as (port, pid):
            before = resident_bytes(pid)
            for _ in range(2):
                alone.append(_p99(await observed(place, port, sockets, per_second, seconds)))
                beside.append(_p99(await observed(place, port, sockets, per_second, seconds, stalled)))
            grown = (resident_bytes(pid) - before) / 1024 / 1024
    result = Result(
        f"{stalled} clients stop reading while {sockets:,} read",
        f"{per_second:,} changes/s for {seconds} s, with and without them, twice in turn.",
        raw={"alone": alone, "beside": beside, "grown_mib": grown},
    )
    ratio = statistics.median(beside) / statistics.median(alone)
    result.compare("p99 of the others against without", ratio, 1.25, at_least=False)
    result.table = [
        ["", "p99, ms"],
        ["without", f"{statistics.median(alone):.2f}"],
        ["with", f"{statistics.median(beside):.2f}"],
    ]
    return [result]


def _p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100, method="inclusive")[98]
