"""The tenant directory and the ledger of erased tenants."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, SortableText

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "tenants",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("tenant_id", SortableText, nullable=False, unique=True),
        sa.Column("first_seen_at", Instant, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("plan", sa.Text),
        sa.Column("price_usd", sa.Text),
        sa.Column("started_at", Instant),
        sa.Column("cancelled_at", Instant),
        sa.Column("contacts", sa.Text),
        sa.Column("provenance", sa.Text, nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("erased_at", Instant, nullable=False),
    )


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("erasures")
    op.drop_table("tenants")
