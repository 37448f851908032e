"""Which learners were told of, so that each is told of once."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "learner_alerts",
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("told_week", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("learner_alerts")
