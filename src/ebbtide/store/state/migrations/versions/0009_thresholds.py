"""Thresholds of the pulse that were changed here, and causes of incidents that were corrected."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make both tables; rows are only added to them."""
    op.create_table(
        "alert_thresholds",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("than", sa.Text),
        sa.Column("level", sa.Text),
        sa.Column("min_baseline", sa.BigInteger),
        sa.Column("is_enabled", sa.Boolean),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "incident_attributions",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("event_uuid", sa.Text, nullable=False),
        sa.Column("attribution", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "incident_attributions_incident", "incident_attributions", ["tenant_uuid", "event_uuid"]
    )


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("incident_attributions")
    op.drop_table("alert_thresholds")
