"""Evidence: the public keys, the exports that people asked for, and their certificates."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.evidence import (
    Certificate,
    EvidenceKey,
    Export,
    ExportState,
    FileFormat,
    Subject,
)
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import CERTIFICATES, EVIDENCE_EXPORTS, EVIDENCE_KEYS

_E = EVIDENCE_EXPORTS.c
# Files are large, so lists leave them where they are.
_SHOWN = [column for column in EVIDENCE_EXPORTS.columns if column.name != "content"]


class Certificates:
    """Certificates are added, and stay; files go when their time is over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- keys --------------------------------------------------------------------------------

    def put_key(self, key: EvidenceKey) -> EvidenceKey:
        """Make a key the one that signs; those before it retire. Returns it as it is kept."""
        insert = self._database.insert(EVIDENCE_KEYS).values(**_key_row(key))
        this = EVIDENCE_KEYS.c.key_id == key.key_id
        with self._database.read() as connection:
            row = connection.execute(sa.select(EVIDENCE_KEYS).where(this)).one_or_none()
            others = sa.select(sa.func.count()).where(~this, EVIDENCE_KEYS.c.retired_at.is_(None))
            if row is not None and row.retired_at is None and not connection.scalar(others):
                return _key(row)  # as nearly always
        with self._database.write() as connection:
            connection.execute(insert.on_conflict_do_nothing(index_elements=["key_id"]))
            connection.execute(
                sa.update(EVIDENCE_KEYS)
                .where(~this, EVIDENCE_KEYS.c.retired_at.is_(None))
                .values(retired_at=key.created_at)
            )
            connection.execute(sa.update(EVIDENCE_KEYS).where(this).values(retired_at=None))
            return _key(connection.execute(sa.select(EVIDENCE_KEYS).where(this)).one())

    def keys(self) -> list[EvidenceKey]:
        """Every key there ever was: the one that signs, and then the newest first."""
        query = sa.select(EVIDENCE_KEYS).order_by(
            EVIDENCE_KEYS.c.retired_at.is_not(None),
            EVIDENCE_KEYS.c.created_at.desc(),
            EVIDENCE_KEYS.c.key_id,
        )
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke_key(self, key_id: str, at: datetime) -> EvidenceKey:
        """Write down that a key is not to be trusted; the first time counts.

        Raises:
            NotFound: there is no such key.
        """
        this = EVIDENCE_KEYS.c.key_id == key_id
        with self._database.write() as connection:
            connection.execute(
                sa.update(EVIDENCE_KEYS)
                .where(this, EVIDENCE_KEYS.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            row = connection.execute(sa.select(EVIDENCE_KEYS).where(this)).one_or_none()
        if row is None:
            raise NotFound("there is no such key")
        return _key(row)

    # -- exports -----------------------------------------------------------------------------

    def start(self, export: Export, *, most: int) -> None:
        """Write down that somebody wants a file.

        Args:
            most: how many may be under way at once.

        Raises:
            WrongState: so many are under way already.
        """
        row = {
            "export_id": export.export_id,
            "tenant_uuid": to_uuid_text(export.tenant_id),
            "tenant_id": export.tenant_id,
            "subject": export.subject,
            "subject_id": export.subject_id,
            "incident_id": export.incident_id,
            "format": export.format,
            "include": json.dumps(export.include, sort_keys=True),
            "state": export.state,
            "started_at": export.started_at,
            "asked_by": export.asked_by,
        }
        with self._database.write() as connection:
            self._database.take_turn(connection, "exports")
            running = sa.select(sa.func.count()).where(_E.state == ExportState.STARTED)
            if (connection.scalar(running) or 0) >= most:
                raise WrongState(f"{most} exports are being made already; try again in a moment")
            connection.execute(sa.insert(EVIDENCE_EXPORTS), row)

    def finish(
        self,
        export_id: str,
        certificate: Certificate,
        content: bytes,
        *,
        num_bytes: int,
        sealed_by: str | None,
    ) -> bool:
        """Keep a file and its certificate, unless the export has ended since.

        Args:
            content: the file, or its sealed form.
            num_bytes: size of the file itself.
            sealed_by: id of the key that sealed it; None where it is not sealed.

        Returns:
            Whether it was kept.
        """
        row = {
            "certificate_id": certificate.certificate_id,
            "tenant_uuid": to_uuid_text(certificate.tenant_id),
            "subject": certificate.subject,
            "incident_id": certificate.incident_id,
            "incident_kind": certificate.incident_kind,
            "digest": certificate.digest,
            "key_id": certificate.key_id,
            "issued_at": certificate.issued_at,
            "tenant_id": certificate.tenant_id,
        }
        end = {
            "state": ExportState.GENERATED,
            "ended_at": certificate.issued_at,
            "certificate_id": certificate.certificate_id,
            "num_bytes": num_bytes,
            "sealed_by": sealed_by,
            "content": content,
        }
        with self._database.write() as connection:
            if not _end(connection, export_id, end):
                return False
            connection.execute(sa.insert(CERTIFICATES), row)
            return True

    def give_up(self, export_id: str, state: ExportState, at: datetime, reason: str) -> bool:
        """End an export without a file; returns False when it has ended already."""
        with self._database.write() as connection:
            return _end(connection, export_id, {"state": state, "ended_at": at, "reason": reason})

    def list_exports(
        self,
        *,
        tenant_id: str | None = None,
        incident_id: str | None = None,
        limit: int = 100,
    ) -> list[Export]:
        """The newest exports, newest first."""
        query = sa.select(*_SHOWN, _E.content.is_not(None).label("is_kept"))
        if tenant_id is not None:
            query = query.where(_E.tenant_uuid == to_uuid_text(tenant_id))
        if incident_id is not None:
            query = query.where(_E.incident_id == incident_id)
        query = query.order_by(_E.started_at.desc(), _E.export_id).limit(limit)
        with self._database.read() as connection:
            return [_export(row) for row in connection.execute(query)]

    def overdue(self, before: datetime) -> list[Export]:
        """Exports that were begun before this moment and have not ended."""
        query = sa.select(*_SHOWN, sa.false().label("is_kept")).where(
            _E.state == ExportState.STARTED, _E.started_at < before
        )
        with self._database.read() as connection:
            return [_export(row) for row in connection.execute(query)]

    def find(self, export_id: str) -> Export:
        """One export.

        Raises:
            NotFound: there is none.
        """
        query = sa.select(*_SHOWN, _E.content.is_not(None).label("is_kept"))
        with self._database.read() as connection:
            row = connection.execute(query.where(_E.export_id == export_id)).one_or_none()
        if row is None:
            raise NotFound("there is no such export")
        return _export(row)

    def content(self, export_id: str) -> tuple[bytes, str | None] | None:
        """The file of an export, and which key sealed it; None when it is not there (any more)."""
        query = sa.select(_E.content, _E.sealed_by).where(_E.export_id == export_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None or row.content is None else (bytes(row.content), row.sealed_by)

    def forget_files(self, before: datetime) -> int:
        """Delete the files of exports that ended before this moment; returns how many."""
        with self._database.write() as connection:
            gone = connection.execute(
                sa.update(EVIDENCE_EXPORTS)
                .where(_E.ended_at < before, _E.content.is_not(None))
                .values(content=None)
            )
            return int(gone.rowcount)

    # -- certificates ------------------------------------------------------------------------

    def find_certificate(self, certificate_id: str) -> Certificate | None:
        """What is known of a certificate; None when there is none of this id."""
        query = sa.select(CERTIFICATES).where(CERTIFICATES.c.certificate_id == certificate_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Certificate(
            row.certificate_id,
            row.tenant_id,
            Subject(row.subject),
            row.incident_id,
            row.incident_kind,
            row.digest,
            row.key_id,
            row.issued_at,
        )


def forget_evidence(connection: sa.Connection, tenant_uuid: str) -> None:
    """Delete what is kept of a tenant's evidence."""
    for table in (EVIDENCE_EXPORTS, CERTIFICATES):
        connection.execute(sa.delete(table).where(table.c.tenant_uuid == tenant_uuid))


def _end(connection: sa.Connection, export_id: str, values: dict[str, Any]) -> bool:
    ended = connection.execute(
        sa.update(EVIDENCE_EXPORTS)
        .where(_E.export_id == export_id, _E.state == ExportState.STARTED)
        .values(**values)
    )
    return ended.rowcount == 1


def _key_row(key: EvidenceKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in EvidenceKey.__dataclass_fields__}


def _key(row: Any) -> EvidenceKey:
    return EvidenceKey(row.key_id, row.public_key, row.created_at, row.retired_at, row.revoked_at)


def _export(row: Any) -> Export:
    return Export(
        export_id=row.export_id,
        tenant_id=row.tenant_id,
        subject=Subject(row.subject),
        subject_id=row.subject_id,
        incident_id=row.incident_id,
        format=FileFormat(row.format),
        include=json.loads(row.include),
        state=ExportState(row.state),
        started_at=row.started_at,
        asked_by=row.asked_by,
        ended_at=row.ended_at,
        reason=row.reason,
        certificate_id=row.certificate_id,
        num_bytes=row.num_bytes,
        is_kept=bool(row.is_kept),
    )
