"""How often writers do what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Habits:
    """How often the writers do what: probabilities."""

    insert: float = 0.12
    delete: float = 0.06
    handover: float = 0.08
    """A task that passes to another owner."""
    idle: float = 0.05
    """An update that changes nothing."""
    savepoint: float = 0.2
    rollback: float = 0.1
    repeatable_read: float = 0.1
    statements: int = 4
    """On tasks, in one transaction, at most."""
    execution: float = 0.2
    """A transaction that ends with an execution, whose owner is found through its workflow."""
    cascade: float = 0.02
    """A transaction that ends with an execution's end, which takes its tasks along."""
    hold: float = 0.1
    """A pause before the transaction ends."""
    batch: float = 0
    """A transaction of one statement on many tasks."""
    rows: int = 60
    """Tasks in a batch, about."""


USUAL = Habits()
ONE_UPDATE = Habits(
    insert=0, delete=0, handover=0, idle=0, savepoint=0, rollback=0, repeatable_read=0,
    statements=1, execution=0, cascade=0, hold=0,
)  # fmt: skip
"""The load that benchmarks use: one changed row in each transaction."""
