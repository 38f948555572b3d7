"""What a fault came to, and the page that says so of all of them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.support.oracle import Verdict


@dataclass
class Report:
    """What a run came to, or several with the same fault."""

    fault: str
    runs: int = 0
    transactions: int = 0
    overtaken: int = 0
    """Of them, committed after one that had begun later."""
    changes: int = 0
    """Committed, each to be seen by its owner."""
    verdict: Verdict = field(default_factory=Verdict)
    """Over all clients, of which each owner has several."""
    replayed: int = 0
    """Of what was delivered: after a connection was lost."""
    repeats: int = 0
    connections: int = 0
    seconds: float = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    resyncs: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Transactions that the server did not take."""

    def plus(self, other: "Report") -> "Report":
        """Both together."""
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__dataclass_fields__
            if name not in ("fault", "verdict")
        }
        return replace(self, **sums, verdict=self.verdict.plus(other.verdict))

    def row(self) -> list[str]:
        """As a line of a table."""
        verdict = self.verdict
        told = ", ".join(f"{reason} {number:,}" for reason, number in sorted(self.resyncs.items())) or "-"
        numbers = (
            self.runs,
            self.changes,
            verdict.delivered - self.replayed,
            self.replayed,
            verdict.resynced,
            verdict.lost,
            verdict.leaked,
            verdict.disordered,
            self.connections,
        )
        return [self.fault, *(f"{number:,}" for number in numbers), told]


HEADING = [
    "fault",
    "runs",
    "committed",
    "delivered",
    "replayed",
    "resynced",
    "lost",
    "leaked",
    "out of order",
    "connections",
    "told to refetch",
]

OPENING = """# Adversity

Two processes of the service over one database; writers that commit at random (inserts, updates, deletes, rows that pass to
another owner, cascades, savepoints, rollbacks, batches, transactions held open and committed out of order, REPEATABLE READ);
for each owner a client over WebSocket, one over server-sent events, and one by long poll; and in the middle of it a fault.
Afterwards an oracle that knows what was committed accounts for every change of every row, for each client whose it was:

- **delivered**: a message came, while the client was connected; **replayed**: it came after the client had lost its connection;
- **resynced**: no message came, but the client was told to refetch, and found this change or what came after it;
- **lost**: neither. **leaked**: a message to somebody whose row it was not, or about what was never committed. **out of
  order**: a message that came after one about a later change of the same row.

So delivered, replayed, resynced and lost together are the committed changes times the clients of an owner. What comes a second
time is dropped by its id, as every client does. `make adversity` does it again; a short form is part of `make test`.

"""


def page(reports: Sequence[Report], clients: int, lacking: Mapping[str, str], circumstances: dict[str, object]) -> str:
    """`docs/adversity.md`. `clients`: of each owner; `lacking`: faults that this machine cannot play, and why."""
    total = Report("all")
    for report in reports:
        total = total.plus(report)
    verdict = total.verdict
    table = [f"| {' | '.join(row)} |" for row in (HEADING, *(report.row() for report in (*reports, total)))]
    table.insert(1, "|---" + "|--:" * (len(HEADING) - 2) + "|---|")
    result = (
        f"**{total.changes:,} changes under {len(reports)} faults: {verdict.lost:,} lost without a refetch, "
        f"{verdict.leaked:,} to the wrong user, {verdict.disordered:,} out of order per row.**\n\n"
        f"{total.transactions:,} transactions, of which {total.overtaken:,} committed after one that had begun later; "
        f"{clients} clients for each owner, {total.repeats:,} messages that came a second time, "
        f"{verdict.unsure:,} about changes that need not have come (a commit that was not answered, or an owner change at that "
        f"very moment). The server refused "
        f"{', '.join(f'{number:,} x {name}' for name, number in total.refused.most_common()) or 'no transaction'}.\n\n"
    )
    left_out = "".join(f"- Not played: {fault}: {why}\n" for fault, why in lacking.items())
    return (
        OPENING
        + result
        + "\n".join(table)
        + (f"\n\n{left_out}" if left_out else "\n")
        + f"\nTaken with `{json.dumps(circumstances)}`.\n"
    )
