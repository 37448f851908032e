"""Evidence: public keys, exports with their files, certificates."""

import sqlalchemy as sa
from alembic import op

from ebbtide.store.state.columns import Instant

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "evidence_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("retired_at", Instant),
        sa.Column("revoked_at", Instant),
    )
    op.create_table(
        "evidence_exports",
        sa.Column("export_id", sa.Text, primary_key=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("include", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("ended_at", Instant),
        sa.Column("reason", sa.Text),
        sa.Column("certificate_id", sa.Text),
        sa.Column("num_bytes", sa.BigInteger),
        sa.Column("sealed_by", sa.Text),
        sa.Column("content", sa.LargeBinary),
    )
    op.create_index("evidence_exports_tenant", "evidence_exports", ["tenant_uuid", "started_at"])
    op.create_index("evidence_exports_started", "evidence_exports", ["started_at"])
    op.create_table(
        "certificates",
        sa.Column("certificate_id", sa.Text, primary_key=True),
        sa.Column("tenant_uuid", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("incident_kind", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("issued_at", Instant, nullable=False),
    )
    op.create_index("certificates_tenant", "certificates", ["tenant_uuid"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("certificates")
    op.drop_table("evidence_exports")
    op.drop_table("evidence_keys")
