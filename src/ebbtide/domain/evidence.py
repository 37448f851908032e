"""Evidence: a signed file about an incident or a comparison, and the key that signed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Subject(StrEnum):
    """What a file of evidence is about."""

    INCIDENT = "incident"
    REPLAY = "replay"


class FileFormat(StrEnum):
    """Form of the file; a PDF carries the JSON."""

    JSON = "json"
    PDF = "pdf"


class ExportState(StrEnum):
    """Where an export stands."""

    STARTED = "started"
    GENERATED = "generated"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EvidenceKey:
    """The public half of a key that signs evidence.

    Attributes:
        key_id: thumbprint of the key (RFC 7638).
        public_key: its 32 bytes as base64url without padding, the ``x`` of a JWK.
        retired_at: from when on another one signs; what this one signed stays valid.
        revoked_at: since when nothing that it signed can be trusted.
    """

    key_id: str
    public_key: str
    created_at: datetime
    retired_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """One wish for a file of evidence, and what became of it.

    Attributes:
        export_id: ``exp_`` and 24 characters.
        subject_id: the incident's or the replay's own id.
        incident_id: the incident that it is about in the end.
        include: parts that were chosen, each with whether it is in.
        reason: why it failed or was aborted.
        certificate_id: of the file; None until it is there.
        num_bytes: its size; None until it is there.
        is_kept: whether the file can still be fetched.
    """

    export_id: str
    tenant_id: str
    subject: Subject
    subject_id: str
    incident_id: str
    format: FileFormat
    include: dict[str, bool]
    state: ExportState
    started_at: datetime
    asked_by: str
    ended_at: datetime | None = None
    reason: str | None = None
    certificate_id: str | None = None
    num_bytes: int | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is kept of a file of evidence, so that it can be confirmed: none of its contents.

    Attributes:
        certificate_id: ``cert_`` and 32 characters, which nobody guesses.
        incident_kind: cause of the incident, one of the six words of attribution.
        digest: SHA-256 of the canonical text, hexadecimal.
        key_id: the key that signed it.
    """

    certificate_id: str
    tenant_id: str
    subject: Subject
    incident_id: str
    incident_kind: str
    digest: str
    key_id: str
    issued_at: datetime
