"""What a measurement found: rows of a table, with what was to be reached, and the raw numbers for whoever doubts."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One figure."""

    what: str
    measured: str
    reach: str
    reached: bool


@dataclass(slots=True)
class Result:
    """One measurement's figures."""

    name: str
    how: str
    """The circumstances, in a sentence or two."""
    lines: list[Line] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    """A heading and rows: the absolute numbers."""
    raw: dict[str, Any] = field(default_factory=dict)

    def compare(self, what: str, value: float, reach: float, *, at_least: bool, unit: str = "x") -> None:
        """Add a figure and whether it is good enough."""
        sign = "≥" if at_least else "≤"
        reached = value >= reach if at_least else value <= reach
        self.lines.append(Line(what, f"{value:.3g} {unit}".strip(), f"{sign} {reach:g} {unit}".strip(), reached))

    def markdown(self) -> str:
        """As it goes into `docs/performance.md`."""
        text = [f"## {self.name}", "", self.how, "", "| what | measured | reach | |", "|---|---|---|---|"]
        text += [
            f"| {line.what} | {line.measured} | {line.reach} | {'✓' if line.reached else '✗'} |" for line in self.lines
        ]
        if self.table:
            heading, *rows = self.table
            text += ["", "| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
            text += ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join(text) + "\n"
