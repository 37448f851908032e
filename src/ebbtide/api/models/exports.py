"""What the routes of evidence take and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import TenantId
from ebbtide.domain.evidence import Certificate, EvidenceKey, Export, FileFormat
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.time import format_instant

Id = Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARS)]


class Parts(BaseModel):
    """Parts of the file; what is left out is said to be."""

    model_config = ConfigDict(extra="forbid", strict=True)

    timeline: Annotated[bool, Field(description="The events of the call.")] = True
    raw_output: Annotated[
        bool, Field(description="Inputs, context and outputs, where they were recorded.")
    ] = True


class ExportBody(BaseModel):
    """An incident or a replay, and the form of the file."""

    model_config = ConfigDict(extra="forbid")

    incident_id: Id | None = None
    replay_id: Id | None = None
    tenant_id: TenantId | None = Field(None, description="Where tenants use one id.")
    format: FileFormat = FileFormat.PDF
    include: Parts = Parts()


class AbortBody(BaseModel):
    """Why it was given up, in a word."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=100)] = "changed_mind"


class ExportShown(BaseModel):
    """A file of evidence, and what became of it."""

    export_id: str
    tenant_id: str
    subject: Literal["incident", "replay"]
    subject_id: str
    incident_id: str
    format: Literal["json", "pdf"]
    include: Parts
    state: Literal["started", "generated", "aborted", "failed"]
    started_at: str
    asked_by: str
    ended_at: str | None
    reason: str | None = Field(description="Why it failed or was given up.")
    certificate_id: str | None
    num_bytes: int | None
    file: str | None = Field(description="Where the file is fetched; null when it is not there.")
    verify: str | None = Field(description="Where anybody can look whether it is genuine.")


class ExportList(BaseModel):
    """Newest first."""

    items: list[ExportShown]


class EvidenceKeyShown(BaseModel):
    """A key that signs, or signed, evidence."""

    key_id: str
    public_key: str = Field(description="The x of a JWK.")
    created_at: str
    retired_at: str | None
    revoked_at: str | None


class CertificateShown(BaseModel):
    """Whether a certificate is genuine; nothing of what it says."""

    certificate_id: str
    status: Literal["valid", "revoked_key"]
    text: str
    subject: Literal["incident", "replay"]
    incident_kind: str = Field(description="Cause of the incident, one of six.")
    issued_at: str
    digest: str = Field(description="SHA-256 of its canonical text, as `ebbtide verify` shows it.")
    key_id: str


def export_shown(export: Export) -> ExportShown:
    """An export for the wire."""
    path = f"/ops/exports/{export.export_id}/file" if export.is_kept else None
    certificate = export.certificate_id
    return ExportShown(
        export_id=export.export_id,
        tenant_id=export.tenant_id,
        subject=export.subject.value,
        subject_id=export.subject_id,
        incident_id=export.incident_id,
        format=export.format.value,
        include=Parts(**export.include),
        state=export.state.value,
        started_at=format_instant(export.started_at),
        asked_by=export.asked_by,
        ended_at=None if export.ended_at is None else format_instant(export.ended_at),
        reason=export.reason,
        certificate_id=certificate,
        num_bytes=export.num_bytes,
        file=path,
        verify=None if certificate is None else f"/verify/{certificate}",
    )


def key_shown(key: EvidenceKey) -> EvidenceKeyShown:
    """A key for the wire."""
    return EvidenceKeyShown(
        key_id=key.key_id,
        public_key=key.public_key,
        created_at=format_instant(key.created_at),
        retired_at=None if key.retired_at is None else format_instant(key.retired_at),
        revoked_at=None if key.revoked_at is None else format_instant(key.revoked_at),
    )


def certificate_shown(certificate: Certificate, *, is_revoked: bool) -> CertificateShown:
    """A certificate for anybody who has its id."""
    return CertificateShown(
        certificate_id=certificate.certificate_id,
        status="revoked_key" if is_revoked else "valid",
        text="Its key was revoked: a file with this signature may be anybody's."
        if is_revoked
        else "We issued it. Whether your file is this one, the digest and its signature say.",
        subject=certificate.subject.value,
        incident_kind=certificate.incident_kind,
        issued_at=format_instant(certificate.issued_at),
        digest=certificate.digest,
        key_id=certificate.key_id,
    )
