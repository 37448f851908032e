"""Suggested interventions and what became of them."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber, SortableText

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table; its unique index keeps one open suggestion of each kind and tenant."""
    op.create_table(
        "interventions",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("tenant_id", SortableText, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("playbook_id", sa.Text),
        sa.Column("window_days", sa.BigInteger),
        sa.Column("intervention_type", sa.Text, nullable=False),
        sa.Column("priority", sa.Text, nullable=False),
        sa.Column("suggested_action", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("expected_outcome", sa.Text, nullable=False),
        sa.Column("triggering_signals", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("suggested_at", Instant, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("accepted_at", Instant),
        sa.Column("dismissed_at", Instant),
        sa.Column("dismiss_reason", sa.Text),
        sa.Column("done_at", Instant),
        sa.Column("note", sa.Text),
        sa.Column("changed_at", Instant),
        sa.Column("changed_by", sa.Text),
        sa.Column("ended_at", Instant),
        sa.Column("effect", sa.Text),
        sa.Column("effect_closed_at", Instant),
        sa.Column("alone_effect", sa.Text),
        sa.Column("alone_closed_at", Instant),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("is_measured", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "interventions_one_open",
        "interventions",
        ["tenant_uuid", "rule"],
        unique=True,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index("interventions_tenant", "interventions", ["tenant_uuid", "id"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("interventions")
