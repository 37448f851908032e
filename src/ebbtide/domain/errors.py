"""Every error that Ebbtide raises on purpose, with a stable code that the doors translate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class EbbtideError(Exception):
    """Root of all errors raised on purpose; ``code`` is stable and documented."""

    code = "ebbtide-error"


class CatalogError(EbbtideError):
    """A definition file is wrong; the message names the file and the key."""

    code = "catalog-error"


class SettingsError(EbbtideError):
    """A setting is missing, malformed, or contradicts another one."""

    code = "settings-error"

    @classmethod
    def of_faults(cls, faults: Iterable[Mapping[str, Any]], prefix: str = "") -> SettingsError:
        """One sentence that names the variables, and not their values, which may be secrets.

        Args:
            faults: as a model lists them: ``loc``, the path of a field, and ``msg``.
            prefix: of all variables.
        """
        named = (
            f"{prefix}{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in faults
        )
        return cls("; ".join(named))


class DataDirInUse(EbbtideError):
    """Another process owns this data folder; one process owns the embedded stores."""

    code = "data-dir-in-use"


class StoreUnavailable(EbbtideError):
    """A store cannot answer or cannot write now; nothing was acknowledged, so retry later."""

    code = "store-unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageFull(StoreUnavailable):
    """No space is left for the store; reads go on, writes resume when space returns."""

    code = "storage-full"


class StoreRefused(EbbtideError):
    """The engine refused a row that had passed every check of ours; the row is set aside."""

    code = "store-refused"


class IngestOverloaded(StoreUnavailable):
    """More events wait for the disk than we allow in memory; retry after a pause."""

    code = "ingest-overloaded"


class MigrationError(EbbtideError):
    """The schema on disk cannot be brought to the version this program needs."""

    code = "migration-error"


class SchemaTooNew(MigrationError):
    """The stored schema was written by a newer Ebbtide; refuse to touch it."""

    code = "schema-too-new"


class QueryError(EbbtideError):
    """A query text is not usable: a parameter is missing, or the engine refused it."""

    code = "query-error"


class MappingError(EbbtideError):
    """A mapping file cannot be used; the message names the file and the key."""

    code = "mapping-error"


class ImportFailed(EbbtideError):
    """A file cannot be imported (any further); the message names it and says where."""

    code = "import-failed"


class BadRequest(EbbtideError):
    """The request as a whole cannot be read (its events were never seen)."""

    code = "bad-request"


class BodyTooLarge(BadRequest):
    """The body is larger than the limit, before or after decompression."""

    code = "body-too-large"


class UnsupportedEncoding(BadRequest):
    """The content type or content encoding is not one we read."""

    code = "unsupported-encoding"


class Unprocessable(BadRequest):
    """The request can be read, but a value in it cannot be used; the message names it."""

    code = "unprocessable"


class PolicyRefused(BadRequest):
    """A version of a policy cannot be used; the message names the key and says why."""

    code = "policy-refused"


class ReceiveTimeout(BadRequest):
    """The body arrived too slowly."""

    code = "receive-timeout"


class TooManyAttempts(EbbtideError):
    """Too many wrong credentials came from one address."""

    code = "too-many-attempts"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WrongState(EbbtideError):
    """The thing is in a state in which this cannot be done to it; the message names the state."""

    code = "wrong-state"


class SpendingCapReached(WrongState):
    """A replay may cost more than a cap leaves; the message names the cap and what it leaves."""

    code = "spending-cap-reached"


class AlreadyRunning(WrongState):
    """The job runs already, and one run at a time is allowed; ``run_id`` says which."""

    code = "already-running"

    def __init__(self, message: str, *, run_id: int) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunEnded(EbbtideError):
    """A run may not go on: its deadline is over, it lost its turn, or the process stops."""

    code = "run-ended"


class StaleRun(RunEnded):
    """Another runner has taken this run's place; nothing of it was written."""

    code = "stale-run"


class JobFailed(EbbtideError):
    """A job could not do its work; the message says why, and nothing was written."""

    code = "job-failed"

    def __init__(self, message: str, *, run_id: int | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class NotFound(EbbtideError):
    """The thing asked for does not exist, or does not belong to the caller."""

    code = "not-found"


class Unauthorized(EbbtideError):
    """No valid credential came with the request; the body is the same for every cause."""

    code = "unauthorized"


class WrongSignature(EbbtideError):
    """A message that came without a key was not signed by whom it claims to be from."""

    code = "wrong-signature"


class Forbidden(EbbtideError):
    """The credential is valid but lacks the scope for this route."""

    code = "forbidden"
