"""The schema changefeed: the event log, the capture of tables, the doorbell, retention.

Creates nothing outside that schema and touches no table of the application's.
"""

from changefeed.migration import run_frozen

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen text."""
    run_frozen("0001_event_log.up.sql")


def downgrade() -> None:
    """Undo it."""
    run_frozen("0001_event_log.down.sql")
