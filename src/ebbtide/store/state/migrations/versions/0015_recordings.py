"""Recorded calls, for whom calls are recorded, and who is frozen."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "recorded_calls",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("policies", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("recorded_calls_at", "recorded_calls", ["at", "tenant_uuid", "call_id"])
    op.create_index("recorded_calls_tenant", "recorded_calls", ["tenant_uuid", "at"])
    op.create_index("recorded_calls_call", "recorded_calls", ["call_id"])
    op.create_table(
        "recording_choices",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("is_on", sa.Boolean, nullable=False),
        sa.Column("retention_days", sa.BigInteger, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("recording_choices_tenant", "recording_choices", ["tenant_uuid"])
    op.create_table(
        "freezes",
        sa.Column("freeze_id", sa.Text, primary_key=True),
        sa.Column("tenant_uuid", sa.Text),
        sa.Column("tenant_id", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("frozen_at", Instant, nullable=False),
        sa.Column("frozen_by", sa.Text, nullable=False),
        sa.Column("lifted_at", Instant),
        sa.Column("lifted_by", sa.Text),
        sa.Column("lift_reason", sa.Text),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("freezes")
    op.drop_table("recording_choices")
    op.drop_table("recorded_calls")
