"""A replay: a recorded call made again, and what can be said of the two outputs.

The recorded call is the baseline, a new one a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from ebbtide.domain.call import Call
from ebbtide.domain.policy import Verdict

SAMPLES_MAX = 20


class Match(StrEnum):
    """How well two outputs agree, the strongest first; the word of ``match_level``.

    Said of like with like only: same model at the same provider, same parameters, same input.
    """

    EXACT = "exact"  # the same text
    LOGICAL = "logical"  # the policies say the same of both
    SEMANTIC = "semantic"  # alike by a method that is named
    MISMATCH = "mismatch"
    NOT_COMPARABLE = "not_comparable"


class ReplayState(StrEnum):
    """Where a replay, or one sample of it, stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Determinism:
    """What can be said of two outputs, and by what.

    Attributes:
        reason: why it is this level, in words; for NOT_COMPARABLE what differs.
        method: what measured the similarity, such as ``text similarity``; None where nothing
            had to be measured.
        similarity: 0 to 1 by that method; None where nothing had to be measured.
        threshold: from which similarity on it counts as SEMANTIC.
    """

    level: Match
    reason: str
    method: str | None = None
    similarity: float | None = None
    threshold: float | None = None


class SpanKind(StrEnum):
    """What became of a stretch of text."""

    EQUAL = "equal"
    INSERT = "insert"
    DELETE = "delete"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of two texts: ``before`` is empty for an insertion, ``after`` for a deletion."""

    kind: SpanKind
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class WordDiff:
    """Two texts word by word: all ``before`` joined is the first text, all ``after`` the second.

    Attributes:
        is_exact: False where the texts were too long to look at word by word; their unlike
            middle is one REPLACE then.
    """

    spans: tuple[Span, ...]
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Delta:
    """A figure of the baseline and of the candidate; None where it is not known."""

    before: Decimal | None
    after: Decimal | None

    @property
    def change(self) -> Decimal | None:
        """After minus before; None when one of them is not known."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate beside its baseline.

    Attributes:
        diff: None where one of the outputs is not there (any more).
        severity: highest severity of a policy that fired; 1 where all were checked and none did.
        baseline_verdicts: of the baseline, by the versions in force when the call was made.
        candidate_verdicts: of the candidate, by the versions that the replay was asked for.
    """

    determinism: Determinism
    diff: WordDiff | None
    severity: Delta
    cost_usd: Delta
    latency_ms: Delta
    baseline_verdicts: tuple[Verdict, ...]
    candidate_verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate of a replay.

    Attributes:
        number: from 1.
        call: the new call; None where none was made or its text is not kept any more.
        comparison: None until the call is done, and where it failed.
        error_type: class of the error; None while all is well.
        reserved_usd: what was set aside before the call.
        spent_usd: what counts as spent; None until it is settled.
        is_spending_certain: False where nobody saw the end of the call or its cost: the whole
            reservation counts as spent then.
    """

    number: int
    state: ReplayState
    call: Call | None = None
    comparison: Comparison | None = None
    error_type: str | None = None
    reserved_usd: Decimal | None = None
    spent_usd: Decimal | None = None
    is_spending_certain: bool = True


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """One version of one policy."""

    policy_id: str
    version: str


@dataclass(frozen=True, slots=True)
class Replay:
    """An incident's call, made again some times.

    Attributes:
        replay_id: ``rep_`` and 24 characters.
        model: the model asked for; that of the baseline when none was named.
        is_model_changed: whether another model than the baseline's was asked for.
        policies: versions asked for instead of those in force.
        num_samples: how many were asked for; ``samples`` holds those that were begun.
        baseline: the recorded call; None where the recording is not there any more.
        asked_by: id of the key.
        error_type: why it failed; None otherwise.
    """

    replay_id: str
    tenant_id: str
    incident_id: str
    call_id: str
    model: str | None
    is_model_changed: bool
    policies: tuple[PolicyChoice, ...]
    num_samples: int
    state: ReplayState
    asked_by: str
    started_at: datetime
    ended_at: datetime | None = None
    error_type: str | None = None
    baseline: Call | None = None
    baseline_verdicts: tuple[Verdict, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def match(self) -> Match | None:
        """The weakest level of its samples; None while there is none."""
        order = list(Match)
        levels = [one.comparison.determinism.level for one in self.samples if one.comparison]
        return max(levels, key=order.index, default=None)

    @property
    def spent_usd(self) -> Decimal:
        """What all samples together count as spent."""
        return sum((one.spent_usd for one in self.samples if one.spent_usd is not None), Decimal(0))


@dataclass(frozen=True, slots=True)
class TenantDifference:
    """What one version of a policy would have made of one tenant's calls, against another.

    A false block is a blocked call that a person marked as wrongly blocked. A blocked call that
    nobody judged is ``unjudged``: neither right nor wrong.

    Attributes:
        num_unknown_before, num_unknown_after: calls that the version could not check.
        num_newly_blocked, num_let_through: blocked by B and not by A; by A and not by B.
        newly_blocked, let_through: ids of some of those calls, oldest first.
    """

    tenant_id: str
    num_calls: int
    num_blocked_before: int
    num_blocked_after: int
    num_warned_before: int
    num_warned_after: int
    num_unknown_before: int
    num_unknown_after: int
    num_newly_blocked: int
    num_let_through: int
    num_false_blocks_before: int
    num_false_blocks_after: int
    num_unjudged_before: int
    num_unjudged_after: int
    newly_blocked: tuple[str, ...] = ()
    let_through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyReplay:
    """What version B of a policy would have said of recorded calls, against version A.

    Attributes:
        policy_replay_id: ``prp_`` and 24 characters.
        before, after: the versions A and B.
        start, as_of: calls with ``start < at <= as_of``.
        tenant_ids: only these; None for all that are recorded.
        num_done: calls looked at so far.
        digest: sha256 over window, versions' texts and result; the same run gives the same.
        tenants: by tenant id.
    """

    policy_replay_id: str
    policy_id: str
    before: str
    after: str
    start: datetime
    as_of: datetime
    tenant_ids: tuple[str, ...] | None
    state: ReplayState
    asked_by: str
    started_at: datetime
    ended_at: datetime | None = None
    error_type: str | None = None
    num_done: int = 0
    digest: str | None = None
    tenants: tuple[TenantDifference, ...] = ()


class PromotionState(StrEnum):
    """What became of a promotion."""

    WATCHED = "watched"
    KEPT = "kept"  # its watch ended, and nothing was found
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version given to chosen tenants by a person who reviewed a run of it.

    Attributes:
        review_id: the replay or policy-only replay that was reviewed.
        previous: the version that each tenant had before; None where it had none.
        watched_until: until when a regression takes it back.
        reason: why it was rolled back.
    """

    promotion_id: str
    policy_id: str
    version: str
    previous: tuple[tuple[str, str | None], ...]
    review_id: str
    promoted_by: str
    promoted_at: datetime
    watched_until: datetime
    state: PromotionState = PromotionState.WATCHED
    ended_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that replays may cost, US dollars: a run, a tenant's UTC day, everybody's."""

    run_usd: Decimal
    tenant_day_usd: Decimal
    day_usd: Decimal


@dataclass(frozen=True, slots=True)
class Spending:
    """What replays of one UTC day cost; ``reserved_usd`` is set aside for calls under way.

    Attributes:
        tenant_id: whose; None for everybody's.
        uncertain_usd: the part of ``spent_usd`` whose call nobody saw the end of.
    """

    day: date
    tenant_id: str | None
    spent_usd: Decimal
    uncertain_usd: Decimal
    reserved_usd: Decimal
    cap_usd: Decimal
