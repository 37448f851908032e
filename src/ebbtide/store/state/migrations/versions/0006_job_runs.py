"""Runs of jobs, the tenants that they left out, and the alerts that they gave."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables; the two unique indexes are what "exactly once" rests on."""
    op.create_table(
        "job_runs",
        sa.Column("run_id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("slot", Instant),
        sa.Column("as_of", Instant, nullable=False),
        sa.Column("covers", sa.BigInteger, nullable=False),
        sa.Column("covers_from", Instant),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("runner", sa.Text, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
        sa.Column("message", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("counts", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "job_runs_one_running",
        "job_runs",
        ["job"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "job_runs_one_result",
        "job_runs",
        ["job", "slot"],
        unique=True,
        sqlite_where=sa.text("status IN ('completed', 'partial', 'failed')"),
        postgresql_where=sa.text("status IN ('completed', 'partial', 'failed')"),
    )
    op.create_table(
        "job_failed_tenants",
        sa.Column("run_id", RowNumber, primary_key=True, autoincrement=False),
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("job_failed_tenants_tenant", "job_failed_tenants", ["tenant_uuid"])
    op.create_table(
        "job_alerts",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("run_id", sa.BigInteger, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("job_alerts")
    op.drop_table("job_failed_tenants")
    op.drop_table("job_runs")
