"""Quarantine: events we could not accept, kept exactly as they came until someone decides."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from ebbtide.domain.ids import ID_MAX_CHARS

REASON_MAX_CHARS = 300  # a code and the name of a field
FILE_MAX_CHARS = 4096  # the longest path of Linux


class QuarantineStatus(StrEnum):
    """What was decided about a row."""

    PENDING = "pending"
    RELEASED = "released"
    DISCARDED = "discarded"


def to_raw(text: str) -> bytes:
    """The bytes to keep for a text, also when it holds lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def printable(text: str, max_chars: int) -> str:
    """A text that every store can hold: NUL and lone surrogates become escapes, length is cut."""
    escaped = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return escaped[:max_chars]


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One event as it came, and why it was not accepted.

    Args:
        received_at: when we got it, UTC-aware.
        door: the way it came in, such as ``http``, ``segment``, ``cloudevents``, ``import``.
        reason: snake_case code, perhaps with a field: ``invalid_metadata:current``.
        raw: the bytes as received; :func:`to_raw` makes them from a text.
        tenant_id: the tenant it belongs to when that is known (from the event or the key).
            An id that no event may have (too long, NUL, lone surrogate) becomes None:
            ``raw`` still has it.
        key_id: public id of the API key it came with.
        file, line: name and 1-based line or row number when it was imported.
        event_id: the id it is stored under when it names none itself; None when nothing about
            it can be repeated, then its row gives the id.
        mapping: name of the mapping that an imported row came with; None when it speaks of our
            fields itself, or when its door knows the mapping.
    """

    received_at: datetime
    door: str
    reason: str
    raw: bytes
    tenant_id: str | None = None
    key_id: str | None = None
    file: str | None = None
    line: int | None = None
    event_id: str | None = None
    mapping: str | None = None

    def __post_init__(self) -> None:
        # Field names and file names in these texts come from outside; they must never be
        # the cause that an event cannot be kept.
        object.__setattr__(self, "reason", printable(self.reason, REASON_MAX_CHARS))
        object.__setattr__(self, "door", printable(self.door, ID_MAX_CHARS))
        if self.file is not None:
            object.__setattr__(self, "file", printable(self.file, FILE_MAX_CHARS))
        if self.mapping is not None:
            object.__setattr__(self, "mapping", printable(self.mapping, ID_MAX_CHARS))
        tenant_id = self.tenant_id
        if tenant_id is not None and (
            not tenant_id or printable(tenant_id, ID_MAX_CHARS) != tenant_id
        ):
            object.__setattr__(self, "tenant_id", None)

    @property
    def raw_sha256(self) -> str:
        """SHA-256 of the raw bytes, hex."""
        return sha256(self.raw).hexdigest()

    @property
    def identity(self) -> str:
        """Equal for two entries that are the same thing sent twice, hex.

        The same bytes through the same door for the same tenant; for imports also from the
        same place of the same file, because two equal lines of a file may be two facts.
        The key is no part of it: a client may change keys between two attempts.
        """
        place: tuple[object, ...] = (
            self.door, self.tenant_id, self.file, self.line, self.raw_sha256,
        )  # fmt: skip
        if self.event_id is not None:  # it stands for the content of the file
            place += (self.event_id,)
        return sha256(repr(place).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """An entry as it is kept.

    ``num_seen`` says how often the same thing came while it was pending, ``last_seen_at`` when
    it last did. ``released_at`` and ``released_outcome`` are None until it is settled.
    ``num_attempts`` counts the releases that were tried. ``raw_sha256`` and ``raw_bytes`` are of
    the whole, also where a listing has cut ``entry.raw``.
    """

    id: int
    entry: QuarantineEntry
    status: QuarantineStatus
    num_seen: int
    last_seen_at: datetime
    num_attempts: int
    released_at: datetime | None
    released_outcome: str | None
    raw_sha256: str
    raw_bytes: int

    @property
    def is_cut(self) -> bool:
        """Whether ``entry.raw`` holds only the beginning."""
        return len(self.entry.raw) < self.raw_bytes

    @property
    def raw_text(self) -> str | None:
        """The raw bytes as text; None when they are not valid UTF-8."""
        try:
            return self.entry.raw.decode("utf-8")
        except UnicodeDecodeError:
            return None

    @property
    def raw_base64(self) -> str:
        """The raw bytes in base64, for what is not text."""
        return base64.b64encode(self.entry.raw).decode()

    @property
    def fallback_event_id(self) -> str:
        """The event id to release under when the event names none.

        It is the same at every attempt, so a release that was cut off by a crash and is
        repeated stores the event once. That of an imported row is the one that its file would
        give it again.
        """
        return self.entry.event_id or f"quarantine-{self.id}-{self.raw_sha256[:16]}"


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Which rows are meant; None in a field means any.

    ``reason`` matches the whole code or its family: ``invalid_metadata`` also finds
    ``invalid_metadata:current``. ``tenant_id`` matches every spelling of the tenant's id.
    """

    status: QuarantineStatus | None = None
    reason: str | None = None
    tenant_id: str | None = None
    door: str | None = None
    ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """What one attempt to release a row gave: either an ``outcome`` or a new ``reason``.

    With an ``outcome`` (``stored`` or ``duplicate``) the row is released; with a ``reason``
    it stays pending for that reason.
    """

    id: int
    outcome: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.outcome is None) == (self.reason is None):
            raise ValueError("a release gives either an outcome or a reason")
