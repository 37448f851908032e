"""Facts of tenants, the scores made of them, and the newest score of each customer."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant, RowNumber, SortableText

revision = "0007"
down_revision = "0006"

# Rows of all customers hold at the moment of the head, whenever they were written.
_VIEW = """
CREATE VIEW ops_customer_segments AS
SELECT facts_head.as_of AS as_of, tenant_calls.last_api_call AS last_api_call,
       tenant_calls.last_event_at AS last_event_at, customer_segments.*
FROM customer_segments
JOIN tenant_calls ON tenant_calls.tenant_uuid = customer_segments.tenant_uuid
CROSS JOIN facts_head
"""


def upgrade() -> None:
    """Make the tables, and the view over the newest ones."""
    op.create_table(
        "facts_head",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("as_of", Instant),
        sa.Column("changes_since", sa.BigInteger),
        sa.Column("definitions", sa.Text),
        sa.Column("run_id", sa.BigInteger),
    )
    op.create_table(
        "tenant_facts",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("tenant_id", SortableText, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("due_at", Instant),
        sa.Column("unsettled_until", Instant),
        sa.Column("keys", sa.Text, nullable=False),
    )
    op.create_table(
        "tenant_calls",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("last_api_call", Instant),
        sa.Column("last_event_at", Instant, nullable=False),
        sa.Column("newest", sa.Text, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("formula", sa.Text, nullable=False),
        sa.Column("as_of", Instant, nullable=False),
        sa.Column("inputs_hash", sa.Text, nullable=False),
        sa.Column("known_at", Instant),
        sa.Column("computed_at", Instant, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
    )
    op.create_index(
        "scores_only_once",
        "scores",
        ["tenant_uuid", "formula", "as_of", "inputs_hash"],
        unique=True,
    )
    op.create_index("scores_formula", "scores", ["formula", "as_of"])
    op.create_table(
        "customer_segments",
        sa.Column("tenant_uuid", sa.Text, primary_key=True),
        sa.Column("tenant_id", SortableText, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("computed_at", Instant, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("paying", sa.Text, nullable=False),
        sa.Column("signed_up_at", Instant, nullable=False),
        sa.Column("first_action", sa.Text),
        sa.Column("first_action_at", Instant),
        sa.Column("inferred_buyer_type", sa.Text, nullable=False),
        sa.Column("intent_confidence", sa.Double, nullable=False),
        sa.Column("intent_evidence", sa.Text, nullable=False),
        sa.Column("intent_provisional", sa.Boolean, nullable=False),
        sa.Column("current_stickiness", sa.Double, nullable=False),
        sa.Column("stickiness_7d", sa.Double, nullable=False),
        sa.Column("stickiness_30d", sa.Double, nullable=False),
        sa.Column("stickiness_delta", sa.Double),
        sa.Column("stickiness_delta_reason", sa.Text),
        sa.Column("stickiness_trend", sa.Text, nullable=False),
        sa.Column("stickiness_decayed", sa.Double, nullable=False),
        sa.Column("peak_stickiness", sa.Double, nullable=False),
        sa.Column("friction_score", sa.Double, nullable=False),
        sa.Column("friction_weighted_score", sa.Double, nullable=False),
        sa.Column("friction_events_7d", sa.BigInteger, nullable=False),
        sa.Column("top_friction_type", sa.Text),
        sa.Column("last_friction_event", Instant),
        sa.Column("is_silent_churn", sa.Boolean, nullable=False),
        sa.Column("last_investigation", Instant),
        sa.Column("risk_level", sa.Text),
        sa.Column("risk_level_reason", sa.Text),
        sa.Column("risk_signal_strength", sa.BigInteger, nullable=False),
        sa.Column("risk_reason", sa.Text),
        sa.Column("secondary_signals", sa.Text, nullable=False),
        sa.Column("is_on_list", sa.Boolean, nullable=False),
        sa.Column("playbooks", sa.Text, nullable=False),
        sa.Column("first_incident_at", Instant),
        sa.Column("first_view_at", Instant),
        sa.Column("first_replay_at", Instant),
        sa.Column("first_export_at", Instant),
        sa.Column("time_to_first_incident_m", sa.BigInteger),
        sa.Column("time_to_first_view_m", sa.BigInteger),
        sa.Column("time_to_first_replay_m", sa.BigInteger),
        sa.Column("time_to_first_export_m", sa.BigInteger),
        sa.Column("exact", sa.Text, nullable=False),
    )
    op.execute(_VIEW)


def downgrade() -> None:
    """Drop the view and the tables."""
    op.execute("DROP VIEW ops_customer_segments")
    op.drop_table("customer_segments")
    op.drop_table("scores")
    op.drop_table("tenant_calls")
    op.drop_table("tenant_facts")
    op.drop_table("facts_head")
