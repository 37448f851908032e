"""Replays, what they may spend, policy-only replays, judged blocks and promotions."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber

revision = "0016"
down_revision = "0015"

TABLES = (
    "replays",
    "replay_samples",
    "replay_spending",
    "policy_replays",
    "policy_replay_tenants",
    "block_judgements",
    "policy_promotions",
)


def upgrade() -> None:
    """Make all of them."""
    op.create_table(
        "replays",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("replay_id", sa.Text, nullable=False, unique=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("is_model_changed", sa.Boolean, nullable=False),
        sa.Column("policies", sa.Text, nullable=False),
        sa.Column("num_samples", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("error_type", sa.Text),
        sa.Column("content", sa.LargeBinary),
        sa.Column("keep_until", Instant),
        sqlite_autoincrement=True,
    )
    op.create_index("replays_tenant", "replays", ["tenant_uuid"])
    op.create_index("replays_due", "replays", ["due_at"])
    op.create_table(
        "replay_samples",
        sa.Column("replay_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("match_level", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("content", sa.LargeBinary),
    )
    op.create_table(
        "replay_spending",
        sa.Column("reservation_id", sa.Text, primary_key=True),
        sa.Column("replay_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("tenant_uuid", sa.Text),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger),
        sa.Column("is_certain", sa.Boolean),
        sa.Column("reserved_at", Instant, nullable=False),
        sa.Column("settled_at", Instant),
    )
    op.create_index("replay_spending_day", "replay_spending", ["day"])
    op.create_index("replay_spending_replay", "replay_spending", ["replay_id"])
    op.create_table(
        "policy_replays",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("policy_replay_id", sa.Text, nullable=False, unique=True),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("version_before", sa.Text, nullable=False),
        sa.Column("version_after", sa.Text, nullable=False),
        sa.Column("start", Instant, nullable=False),
        sa.Column("as_of", Instant, nullable=False),
        sa.Column("tenant_ids", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("error_type", sa.Text),
        sa.Column("num_done", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policy_replay_tenants",
        sa.Column("policy_replay_id", sa.Text, primary_key=True),
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("difference", sa.Text, nullable=False),
    )
    op.create_index("policy_replay_tenants_tenant", "policy_replay_tenants", ["tenant_uuid"])
    op.create_table(
        "block_judgements",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("is_wrong", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("judged_at", Instant, nullable=False),
        sa.Column("judged_by", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("block_judgements_tenant", "block_judgements", ["tenant_uuid"])
    op.create_table(
        "policy_promotions",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("promotion_id", sa.Text, nullable=False, unique=True),
        sa.Column("assignment_id", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("review_id", sa.Text, nullable=False),
        sa.Column("promoted_by", sa.Text, nullable=False),
        sa.Column("promoted_at", Instant, nullable=False),
        sa.Column("watched_until", Instant, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("reason", sa.Text),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop all of them."""
    for name in reversed(TABLES):
        op.drop_table(name)
