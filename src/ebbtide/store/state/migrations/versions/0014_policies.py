"""Versions of policies, and who has which; rows of both are only added."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "policy_versions",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.UniqueConstraint("policy_id", "version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policy_assignments",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("assignment_id", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("tenant_uuid", sa.Text),
        sa.Column("tenant_id", sa.Text),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("assigned_at", Instant, nullable=False),
        sa.Column("assigned_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("undoes", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("policy_assignments_tenant", "policy_assignments", ["tenant_uuid"])
    op.create_index("policy_assignments_assignment", "policy_assignments", ["assignment_id"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("policy_assignments")
    op.drop_table("policy_versions")
