"""Samples of resources, the lines that they crossed, what was expected of them, and the probes."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, SortableText

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "resources",
        sa.Column("resource", SortableText, primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("used", sa.Double, nullable=False),
        sa.Column("limit_value", sa.Double),
        sa.Column("unit", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
    )
    op.create_table(
        "resource_samples",
        sa.Column("resource", SortableText, primary_key=True),
        sa.Column("at", Instant, primary_key=True),
        sa.Column("used", sa.Double, nullable=False),
        sa.Column("limit_value", sa.Double),
        sa.Column("unit", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
    )
    op.create_table(
        "resource_edges",
        sa.Column("resource", SortableText, primary_key=True),
        sa.Column("at", Instant, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("used", sa.Double, nullable=False),
        sa.Column("limit_value", sa.Double, nullable=False),
    )
    op.create_table(
        "resource_projections",
        sa.Column("resource", SortableText, primary_key=True),
        sa.Column("as_of", Instant, primary_key=True),
        sa.Column("formula", sa.Text, nullable=False),
        sa.Column("used", sa.Double, nullable=False),
        sa.Column("limit_value", sa.Double),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("days_to_limit", sa.Double),
        sa.Column("days_low", sa.Double),
        sa.Column("days_high", sa.Double),
        sa.Column("growth_per_day", sa.Double),
        sa.Column("num_samples", sa.BigInteger, nullable=False),
        sa.Column("span_days", sa.Double, nullable=False),
        sa.Column("num_steps", sa.BigInteger, nullable=False),
        sa.Column("is_first_of_day", sa.Boolean, nullable=False),
    )
    op.create_index(
        "resource_projections_first",
        "resource_projections",
        ["resource", "as_of"],
        sqlite_where=sa.text("is_first_of_day"),
        postgresql_where=sa.text("is_first_of_day"),
    )
    op.create_table(
        "resource_probes",
        sa.Column("probe", sa.Text, primary_key=True),
        sa.Column("checked_at", Instant, nullable=False),
        sa.Column("is_available", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in (
        "resource_probes",
        "resource_projections",
        "resource_edges",
        "resource_samples",
        "resources",
    ):
        op.drop_table(table)
