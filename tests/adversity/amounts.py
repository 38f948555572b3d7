"""How much has to happen before a fault goes on: faults are paced by what arrives and what is committed, not by the clock."""

FEW = 5
"""Messages after which it is clear that they arrive."""
SOME = 40
"""Messages after which it goes on."""
