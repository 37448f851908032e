"""Quarantine: raw events that were not accepted."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table and its indexes."""
    op.create_table(
        "quarantine",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("door", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("raw_sha256", sa.Text, nullable=False),
        sa.Column("raw_bytes", sa.BigInteger, nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("tenant_uuid", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("file", sa.Text),
        sa.Column("line", sa.BigInteger),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("num_seen", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", Instant, nullable=False),
        sa.Column("num_attempts", sa.BigInteger, nullable=False),
        sa.Column("released_at", Instant),
        sa.Column("released_outcome", sa.Text),
        sqlite_autoincrement=True,
    )
    is_pending = sa.text("status = 'pending'")
    op.create_index(
        "quarantine_pending_identity",
        "quarantine",
        ["identity"],
        unique=True,
        sqlite_where=is_pending,
        postgresql_where=is_pending,
    )
    op.create_index("quarantine_reason", "quarantine", ["status", "reason"])
    op.create_index("quarantine_tenant", "quarantine", ["tenant_uuid"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("quarantine")
