"""Watch connector_call where it exists, for the statistics, and say what was skipped where it does not.

A database with other names needs no change of this file: call changefeed.watch() for its table.
"""

from changefeed.migration import run_frozen

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen text."""
    run_frozen("0003_statistics_tables.up.sql")


def downgrade() -> None:
    """Undo it."""
    run_frozen("0003_statistics_tables.down.sql")
