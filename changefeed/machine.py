"""The machine that this process runs on: processor, memory, disk.

From the standard library, and from `/proc` where there is one. What the system does not say is None, never a guess. A
processor's use is that between two readings, so the first one has none.
"""

import os
import platform
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .figures import HostMetrics


@dataclass(frozen=True, slots=True)
class Ticks:
    """Of all processors since the machine started."""

    busy: int
    total: int


def ticks(stat: Path = Path("/proc/stat")) -> Ticks | None:
    """The processors' time so far."""
    with suppress(OSError, ValueError, IndexError):
        first = stat.read_text(encoding="ascii").splitlines()[0].split()
        # user nice system idle iowait irq softirq steal; what guests use is in user already.
        spent = [int(number) for number in first[1:9]]
        idle = spent[3] + spent[4]
        return Ticks(sum(spent) - idle, sum(spent))
    return None


def memory(meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Total and used bytes; what the system could free at once is not used."""
    with suppress(OSError, ValueError, KeyError, IndexError):
        lines = (line.split(":") for line in meminfo.read_text(encoding="ascii").splitlines())
        kilobytes = {name: int(rest.split()[0]) for name, rest in lines}
        total = kilobytes["MemTotal"]
        return total * 1024, (total - kilobytes["MemAvailable"]) * 1024
    return None


def host(before: Ticks | None, now: Ticks | None) -> HostMetrics:
    """The figures; the processors' use is that between the two readings."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (None, None, None)
    disk = shutil.disk_usage("/")
    total, used = memory() or (None, None)
    percent = None
    if before is not None and now is not None and now.total > before.total:
        percent = round(100 * (now.busy - before.busy) / (now.total - before.total), 1)
    return HostMetrics(
        name=platform.node(),
        cpu_count=os.cpu_count() or 1,
        cpu_percent=percent,
        load_1m=load[0],
        load_5m=load[1],
        load_15m=load[2],
        memory_total_bytes=total,
        memory_used_bytes=used,
        disk_total_bytes=disk.total,
        disk_used_bytes=disk.used,
    )
