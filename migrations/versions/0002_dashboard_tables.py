"""Watch workflow_execution and agent_task where they exist, and say what was skipped where they do not.

A database with other names needs no change of this file: call changefeed.watch() for its tables.
"""

from changefeed.migration import run_frozen

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen text."""
    run_frozen("0002_dashboard_tables.up.sql")


def downgrade() -> None:
    """Undo it."""
    run_frozen("0002_dashboard_tables.down.sql")
