"""The machine's figures: what the system says, what it does not say, and rates that need two readings."""

from pathlib import Path

import pytest

from changefeed.machine import Ticks, host, memory, ticks


def test_the_processors_use_is_that_between_two_readings(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3 4 5 6 7 8\n", encoding="ascii")
    before = ticks(stat)
    assert before == Ticks(busy=150, total=1000)
    stat.write_text("cpu  130 0 70 840 60 0 0 0 30 0\n", encoding="ascii")
    now = ticks(stat)
    assert host(before, now).cpu_percent == 50.0
    assert host(None, now).cpu_percent is None
    assert host(now, now).cpu_percent is None, "nothing has passed"
    assert host(now, before).cpu_percent is None, "a counter that goes backwards says nothing"


def test_memory_that_could_be_freed_at_once_is_not_used(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        "MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  400 kB\nHugePages_Total:  0\n", encoding="ascii"
    )
    assert memory(meminfo) == (1000 * 1024, 600 * 1024)


@pytest.mark.parametrize("text", [None, "", "nonsense", "cpu x y", "MemTotal: 1 kB"])
def test_what_the_system_does_not_say_is_unknown(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text, encoding="ascii")
    assert ticks(file) is None
    assert memory(file) is None


def test_this_machine_has_figures() -> None:
    figures = host(None, ticks())
    assert figures.cpu_count >= 1
    assert 0 < figures.disk_used_bytes <= figures.disk_total_bytes
