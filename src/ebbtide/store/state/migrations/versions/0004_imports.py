"""Progress of imports."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "imports",
        sa.Column("import_key", sa.Text, primary_key=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("rows_done", sa.BigInteger, nullable=False),
        sa.Column("num_stored", sa.BigInteger, nullable=False),
        sa.Column("num_duplicate", sa.BigInteger, nullable=False),
        sa.Column("num_conflict", sa.BigInteger, nullable=False),
        sa.Column("num_quarantined", sa.BigInteger, nullable=False),
        sa.Column("num_refused", sa.BigInteger, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("imports")
