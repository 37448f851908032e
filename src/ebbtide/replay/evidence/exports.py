"""Makes files of evidence: one at a time, told as events, and given up when a person says so."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from ebbtide.domain.errors import EbbtideError, NotFound, WrongState
from ebbtide.domain.event import Outcome
from ebbtide.domain.evidence import (
    Certificate,
    Export,
    ExportState,
    FileFormat,
    Subject,
)
from ebbtide.domain.time import format_instant
from ebbtide.guard.recording import NO_KEY, RecordingBroken, Vault
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.replay.evidence.contents import Issue
from ebbtide.replay.evidence.keys import SigningKeys
from ebbtide.replay.evidence.sign import (
    digest_of,
    public_bytes,
    sign_json,
    sign_pdf,
    thumbprint,
)
from ebbtide.signals.changes import EVERYBODY
from ebbtide.store.state.certificates import Certificates

SOURCE = "evidence"
UNDER_WAY_MAX = 8  # a person waits for one; more is a program that went wrong
OVERDUE = timedelta(minutes=15)  # a file takes seconds; then its process died
KEPT = timedelta(days=7)
FILE_MAX_BYTES = 64 * 1024 * 1024
EMIT_TIMEOUT_S = 30

log = structlog.get_logger(__name__)

#: Makes the contents of a file that is about to be issued.
Make = Callable[[Issue], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for.

    Attributes:
        incident_kind: cause of the incident.
        holds_texts: whether recorded texts will be in the file, which is sealed then.
    """

    tenant_id: str
    subject: Subject
    subject_id: str
    incident_id: str
    incident_kind: str
    format: FileFormat
    include: dict[str, bool]
    holds_texts: bool
    asked_by: str


class Exports:
    """The one place where evidence is made."""

    def __init__(
        self,
        shelf: Certificates,
        keys: SigningKeys,
        ingestor: Ingestor,
        clock: Callable[[], datetime],
        *,
        is_simulated: Callable[[], bool],
        vault: Vault,
    ) -> None:
        """Make nothing yet.

        Args:
            is_simulated: whether the data is a sample company's; the file says so.
            vault: seals files with recorded texts; without a key these cannot be made.
        """
        self.keys = keys
        self._shelf = shelf
        self._ingestor = ingestor
        self._clock = clock
        self._is_simulated = is_simulated
        self._vault = vault
        # One at a time: a large PDF holds the interpreter for a second.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="ebbtide-evidence")

    def ask(self, wish: Wish, make: Make, *, wait_s: float) -> Export:
        """Begin a file, and wait a little for it.

        Args:
            make: called once, in another thread.

        Returns:
            GENERATED or FAILED when it was fast enough, else STARTED.

        Raises:
            WrongState: too many are being made already, or there is nothing to seal it with.
        """
        if wish.holds_texts and not self._vault:
            raise WrongState(NO_KEY)
        self.tidy()
        export = Export(
            export_id="exp_" + secrets.token_hex(12),
            tenant_id=wish.tenant_id,
            subject=wish.subject,
            subject_id=wish.subject_id,
            incident_id=wish.incident_id,
            format=wish.format,
            include=wish.include,
            state=ExportState.STARTED,
            started_at=self._clock(),
            asked_by=wish.asked_by,
        )
        self._shelf.start(export, most=UNDER_WAY_MAX)
        self._tell(export, "EXPORT_STARTED", export.started_at, {})
        made: Future[None] = self._threads.submit(self._make, export, wish, make)
        made.add_done_callback(_say_fault)
        wait([made], wait_s)
        return self._shelf.find(export.export_id)

    def abort(self, export: Export, reason: str) -> Export:
        """Give an export up that is not there yet.

        Raises:
            WrongState: it has ended.
        """
        now = self._clock()
        if not self._shelf.give_up(export.export_id, ExportState.ABORTED, now, reason):
            raise WrongState(f"it is {self._shelf.find(export.export_id).state} already")
        self._tell(export, "EXPORT_ABORTED", now, {"abort_reason": reason})
        return self._shelf.find(export.export_id)

    def file(self, export: Export) -> bytes:
        """The file of an export.

        Raises:
            NotFound: there is none, or not any more.
            WrongState: it is sealed, and its key is not given.
        """
        found = self._shelf.content(export.export_id)
        if found is None:
            raise NotFound("its file is not there; files are kept for 7 days, make a new one")
        content, sealed_by = found
        if sealed_by is None:
            return content
        try:
            return self._vault.open(sealed_by, content, _about(export.export_id))
        except RecordingBroken as error:
            raise WrongState(f"its file is sealed and does not open: {error}") from error

    def tidy(self) -> None:
        """End exports whose process died, and delete files whose time is over."""
        now = self._clock()
        for one in self._shelf.overdue(now - OVERDUE):
            self._fail(one, "interrupted", "The process ended while the file was made.")
        self._shelf.forget_files(now - KEPT)

    def close(self) -> None:
        """Finish the file that is being made; those that wait are failed at the next start."""
        self._threads.shutdown(cancel_futures=True)

    def _make(self, export: Export, wish: Wish, make: Make) -> None:
        try:
            self._finish(export, wish, make)
        except EbbtideError as error:
            log.warning("evidence.failed", export_id=export.export_id, error=str(error))
            self._fail(export, error.code, str(error))
        except (TypeError, ValueError, RecursionError, OSError) as error:
            log.error("evidence.failed", export_id=export.export_id, exc_info=error)
            # The text of the error may hold contents; its class does not.
            self._fail(
                export, "render_error", f"The file could not be made ({type(error).__name__})."
            )

    def _finish(self, export: Export, wish: Wish, make: Make) -> None:
        begun = self._clock()
        key = self.keys.current()
        certificate_id = "cert_" + secrets.token_hex(16)
        evidence = make(Issue(certificate_id, begun, self._is_simulated(), wish.include))
        content = sign_json(evidence, key)
        if wish.format is FileFormat.PDF:
            # Only here: what makes pages is a third of all that a server would load.
            from ebbtide.replay.evidence.pdf import render_pdf

            content = sign_pdf(render_pdf(evidence, content), evidence, key)
        if len(content) > FILE_MAX_BYTES:
            raise WrongState(
                f"the file would have {len(content) // 1024**2} MB, over the 64 allowed"
            )
        certificate = Certificate(
            certificate_id,
            wish.tenant_id,
            wish.subject,
            wish.incident_id,
            wish.incident_kind,
            digest_of(evidence),
            thumbprint(public_bytes(key)),
            begun,
        )
        kept, sealed_by = content, None
        if wish.holds_texts:
            sealed_by, kept = self._vault.seal(content, _about(export.export_id))
        if not self._shelf.finish(
            export.export_id, certificate, kept, num_bytes=len(content), sealed_by=sealed_by
        ):
            return  # somebody gave it up, or the customer was erased
        now = self._clock()
        took_ms = int((now - export.started_at) / timedelta(milliseconds=1))
        self._tell(
            export,
            "EXPORT_GENERATED",
            now,
            {"include_flags": wish.include},
            latency_ms=max(0, took_ms),
        )

    def _fail(self, export: Export, error_type: str, reason: str) -> None:
        now = self._clock()
        if self._shelf.give_up(export.export_id, ExportState.FAILED, now, reason):
            said = {"error_type": error_type, "error_message": reason}
            self._tell(export, "EXPORT_FAILED", now, said, severity=3)

    def _tell(
        self, export: Export, event_type: str, at: datetime, more: dict[str, Any], **fields: Any
    ) -> None:
        """Store an event of an export; its identity follows from the export, so once."""
        metadata = {"incident_id": export.incident_id, "format": export.format.value, **more}
        event = {
            "event_id": f"{export.export_id}:{event_type}",
            "timestamp": format_instant(at),
            # It is the operator's doing: no customer looks busier by it.
            "tenant_id": EVERYBODY,
            "event_type": event_type,
            "entity_type": "export",
            "entity_id": export.export_id,
            "metadata": metadata,
            **fields,
        }
        store_event(self._ingestor, event, at)


def _about(export_id: str) -> bytes:
    return b"ebbtide evidence 1\0" + export_id.encode()


def _say_fault(made: Future[None]) -> None:
    """Whatever broke that nobody foresaw: its export ends as overdue, and the log has the trace."""
    error = None if made.cancelled() else made.exception()
    if error is not None:
        log.error("evidence.unforeseen", exc_info=error)


def store_event(ingestor: Ingestor, fields: dict[str, Any], at: datetime) -> None:
    """Store one event of ours.

    Raises:
        StoreUnavailable: the store cannot take it now.
    """
    (result,) = ingestor.submit(
        [Incoming(fields, msgspec.json.encode(fields), None)],
        door=SOURCE,
        received_at=at,
        default_source=SOURCE,
    ).result(EMIT_TIMEOUT_S)
    if result.outcome not in (Outcome.STORED, Outcome.DUPLICATE):
        log.error("evidence.event_not_stored", event_type=fields["event_type"], why=result.reason)
