"""Alerts: how each rule stands, the channels, and what is sent over them."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "alert_states",
        sa.Column("alert_id", sa.Text, primary_key=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("alert_group", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("tenant_uuid", sa.Text),
        sa.Column("since", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("told", sa.Text),
        sa.Column("told_at", Instant),
        sa.Column("starts_at", Instant),
        sa.Column("ok_since", Instant),
        sa.Column("acked_at", Instant),
        sa.Column("acked_by", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("snoozed_until", Instant),
        sa.Column("snoozed_by", sa.Text),
    )
    op.create_index("alert_states_tenant", "alert_states", ["tenant_uuid"])
    op.create_table(
        "alert_channels",
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("least", sa.Text, nullable=False),
        sa.Column("wants_brief", sa.Boolean, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("disabled_reason", sa.Text),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("delivery_id", sa.Text, nullable=False, unique=True),
        sa.Column("channel_id", sa.Text, nullable=False),
        sa.Column("matter", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("num_attempts", sa.BigInteger, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("reason", sa.Text),
        sa.Column("ended_at", Instant),
        sqlite_autoincrement=True,
    )
    op.create_index("alert_deliveries_due", "alert_deliveries", ["due_at"])
    op.create_table(
        "alert_delivery_tenants",
        sa.Column("delivery_id", sa.Text, primary_key=True),
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
    )
    op.create_index("alert_delivery_tenants_tenant", "alert_delivery_tenants", ["tenant_uuid"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("alert_delivery_tenants")
    op.drop_table("alert_deliveries")
    op.drop_table("alert_channels")
    op.drop_table("alert_states")
