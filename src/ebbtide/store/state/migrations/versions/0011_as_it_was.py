"""What rows were before somebody changed them, and when samples came: for questions about then."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the tables, and the column of samples."""
    op.create_table(
        "intervention_steps",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("intervention_id", sa.BigInteger, nullable=False),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
    )
    op.create_index(
        "intervention_steps_row", "intervention_steps", ["intervention_id", "recorded_at"]
    )
    op.create_index("intervention_steps_tenant", "intervention_steps", ["tenant_uuid"])
    op.create_table(
        "tenant_pasts",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("recorded_at", Instant, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
    )
    op.create_index("tenant_pasts_tenant", "tenant_pasts", ["tenant_uuid", "recorded_at"])
    op.add_column("resource_samples", sa.Column("received_at", Instant))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("resource_samples", "received_at")
    op.drop_table("tenant_pasts")
    op.drop_table("intervention_steps")
