"""Quarantine: what a release needs to know about the row of an imported file."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add both columns; nothing is known of the rows that are there."""
    op.add_column("quarantine", sa.Column("event_id", sa.Text))
    op.add_column("quarantine", sa.Column("mapping", sa.Text))


def downgrade() -> None:
    """Drop both columns."""
    op.drop_column("quarantine", "mapping")
    op.drop_column("quarantine", "event_id")
