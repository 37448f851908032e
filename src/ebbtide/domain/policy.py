"""What a policy says of one call: whether it fired, how badly, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: What an assignment says in the place of a version: not checked at all, or as all others have it.
OFF = "off"
DEFAULT = "default"


class Stage(StrEnum):
    """Which side of a call is looked at."""

    INPUT = "input"
    OUTPUT = "output"


class Result(StrEnum):
    """What came out of a check; the word stands in ``metadata.result`` of POLICY_EVALUATED.

    ``UNKNOWN`` is a policy that could not be checked, with the reason: it is never "allowed".
    """

    ALLOWED = "allowed"
    WARNED = "warned"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a policy found.

    Attributes:
        rule: the rule of the policy, or the recogniser, that found it.
        text: in words for a person, without the secret or the personal data itself.
        start, end: where, as characters of the text looked at; None when it is nowhere in it.
    """

    rule: str
    text: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one version of one policy says of one side of one call.

    Attributes:
        severity: 1 to 5 where it fired, else None.
        reason: why, in the policy's words; for UNKNOWN what was missing.
    """

    policy_id: str
    policy_version: str
    stage: Stage
    result: Result
    severity: int | None = None
    reason: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def has_fired(self) -> bool:
        """Whether it warned or blocked."""
        return self.result in (Result.WARNED, Result.BLOCKED)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a policy as it is kept: the text that was written, and its digest."""

    policy_id: str
    version: str
    digest: str
    definition: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which version of a policy somebody has from a moment on.

    Attributes:
        number: grows with each; of two for the same tenant the higher one holds.
        assignment_id: of the act that it belongs to, which may be about many tenants.
        tenant_uuid, tenant_id: None: it is for all who have nothing of their own.
        version: a version, :data:`OFF`, or :data:`DEFAULT`.
        previous: what the act before had said; DEFAULT or OFF where there was none.
        undoes: the act that it takes back.
    """

    number: int
    assignment_id: str
    policy_id: str
    tenant_uuid: str | None
    tenant_id: str | None
    version: str
    previous: str
    assigned_at: datetime
    assigned_by: str
    reason: str
    undoes: str | None
