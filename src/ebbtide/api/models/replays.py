"""What is asked of replays, and how they look at the door."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ebbtide.api.dependencies import StatedInstant, TenantId
from ebbtide.domain.call import Call
from ebbtide.domain.policy import Verdict
from ebbtide.domain.replay import (
    SAMPLES_MAX,
    Comparison,
    Delta,
    Match,
    PolicyReplay,
    Promotion,
    Replay,
    ReplayState,
    Sample,
    Spending,
    TenantDifference,
)
from ebbtide.domain.time import format_instant
from ebbtide.replay.difference import total

Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Note = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
POLICIES_MAX = 20
_USD_PLACES = 6


class PolicyChoiceBody(BaseModel):
    """One version of one policy."""

    model_config = ConfigDict(extra="forbid")

    policy_id: Name
    version: Name


class ReplayBody(BaseModel):
    """Which incident to replay, and what to do otherwise. There is nothing else to say."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "incident_id": "inc_a8f3c2",
                    "model": "gpt-4o-mini",
                    "policies": [{"policy_id": "CONTENT_ACCURACY", "version": "v13"}],
                    "samples": 3,
                }
            ]
        },
    )

    incident_id: Id
    tenant_id: TenantId | None = Field(None, description="Where tenants use one id.")
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="Another model; one that the operator's file of upstreams names."
    )
    policies: list[PolicyChoiceBody] = Field(
        [], max_length=POLICIES_MAX, description="Versions instead of those in force at the time."
    )
    samples: int = Field(1, ge=1, le=SAMPLES_MAX, strict=True)


class AbortReplayBody(BaseModel):
    """Why it is given up."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")] | None = None


class PolicyReplayBody(BaseModel):
    """Two versions of a policy, and the recorded calls to judge by both."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"policy_id": "PII_FILTER", "before": "v12", "after": "v13", "days": 7}]
        },
    )

    policy_id: Name
    before: Name = Field(description="Version A, such as the one in force.")
    after: Name = Field(description="Version B.")
    since: StatedInstant = Field(None, description="Open start; instead of days.")
    as_of: StatedInstant = Field(None, description="Closed end; now by default.")
    days: int | None = Field(None, ge=1, le=730, strict=True, description="7 by default.")
    tenants: list[TenantId] | None = Field(None, min_length=1, max_length=1000)


class PromoteBody(BaseModel):
    """A version for chosen customers, after a run of it was looked at."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "version": "v13",
                    "tenants": ["acme-ai"],
                    "review_id": "prp_0123456789abcdef01234567",
                    "confirm": "v13",
                }
            ]
        },
    )

    version: Name
    tenants: list[TenantId] = Field(min_length=1, max_length=1000)
    review_id: Id = Field(description="The replay or policy-only replay that was looked at.")
    confirm: Name = Field(description="The version once more, typed by a person.")
    watch_days: int = Field(
        7, ge=1, le=30, strict=True, description="For so long a regression takes it back."
    )


class JudgementBody(BaseModel):
    """Whether a policy was wrong to block a call."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: TenantId
    call_id: Id
    policy_id: Name
    is_wrong: bool = Field(strict=True)
    note: Note | None = None


class JudgementShown(BaseModel):
    """What was said."""

    tenant_id: str
    call_id: str
    policy_id: str
    is_wrong: bool
    judged_at: str


class FindingShown(BaseModel):
    """One thing that a policy found."""

    rule: str
    text: str
    start: int | None
    end: int | None


class VerdictShown(BaseModel):
    """What one version of a policy says of one side of a call."""

    policy_id: str
    policy_version: str
    stage: str
    result: str
    severity: int | None
    reason: str | None
    findings: list[FindingShown]


class TurnShown(BaseModel):
    """One message of a call."""

    role: str
    text: str


class CallShown(BaseModel):
    """A call, without personal data. Its texts are foreign: show them as text, and nothing else."""

    call_id: str
    at: str
    model: str | None
    provider: str | None
    messages: list[TurnShown]
    context: dict[str, Any] | None
    parameters: dict[str, Any]
    output: str | None
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float | None
    latency_ms: int | None
    finish_reason: str | None
    is_redacted: bool = Field(description="Personal data were taken out of it.")


class DeterminismShown(BaseModel):
    """What can be said of two outputs, and by what."""

    level: Match
    reason: str
    method: str | None
    similarity: float | None
    threshold: float | None


class SpanShown(BaseModel):
    """A stretch of both texts; kind is equal, insert, delete or replace."""

    kind: str
    before: str
    after: str


class DiffShown(BaseModel):
    """All ``before`` joined is the recorded output, all ``after`` the new one."""

    is_exact: bool = Field(description="False: too long to be looked at word by word.")
    spans: list[SpanShown]


class DeltaShown(BaseModel):
    """A figure of the recorded call and of the new one; null where it is not known."""

    before: float | None
    after: float | None
    change: float | None
    change_pct: float | None


class ComparisonShown(BaseModel):
    """A new call beside the recorded one."""

    determinism: DeterminismShown
    diff: DiffShown | None
    severity: DeltaShown
    cost_usd: DeltaShown
    latency_ms: DeltaShown
    baseline_verdicts: list[VerdictShown]
    candidate_verdicts: list[VerdictShown]


class SampleShown(BaseModel):
    """One new call of a replay."""

    number: int
    state: ReplayState
    error_type: str | None
    reserved_usd: float | None
    spent_usd: float | None
    is_spending_certain: bool
    call: CallShown | None
    comparison: ComparisonShown | None


class ReplayRow(BaseModel):
    """A replay without its texts."""

    replay_id: str
    tenant_id: str
    incident_id: str
    call_id: str
    state: ReplayState
    model: str | None
    is_model_changed: bool
    policies: list[PolicyChoiceBody]
    num_samples: int
    num_begun: int
    match_level: Match | None = Field(description="The weakest of its samples.")
    spent_usd: float
    asked_by: str
    started_at: str
    ended_at: str | None
    error_type: str | None


class ReplayShown(ReplayRow):
    """A replay with all that is kept of it."""

    baseline: CallShown | None = Field(description="null: the recording is not there any more.")
    baseline_verdicts: list[VerdictShown]
    samples: list[SampleShown]


class ReplayPage(BaseModel):
    """Replays, newest first."""

    items: list[ReplayRow]
    next_cursor: int | None


class DifferenceShown(BaseModel):
    """What version B would have made of one customer's calls, against version A.

    A false block is a blocked call that a person judged as wrongly blocked. A blocked call that
    nobody judged is unjudged: whether it is a false block is not known.
    """

    tenant_id: str | None = Field(description="null: all of them together.")
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
    newly_blocked: list[str] = Field(description="Ids of some of these calls, oldest first.")
    let_through: list[str]


class PolicyReplayRow(BaseModel):
    """A policy-only replay without its result."""

    policy_replay_id: str
    policy_id: str
    before: str
    after: str
    since: str
    as_of: str
    tenants: list[str] | None
    state: ReplayState
    num_done: int = Field(description="Calls judged so far.")
    asked_by: str
    started_at: str
    ended_at: str | None
    error_type: str | None
    digest: str | None = Field(description="The same run over the same calls gives the same.")


class PolicyReplayShown(PolicyReplayRow):
    """A policy-only replay with its result, once it is done."""

    total: DifferenceShown | None
    items: list[DifferenceShown]


class PolicyReplayPage(BaseModel):
    """Policy-only replays, newest first."""

    items: list[PolicyReplayRow]
    next_cursor: int | None


class PreviousShown(BaseModel):
    """What a customer had before."""

    tenant_id: str
    version: str | None


class PromotionShown(BaseModel):
    """A version given to customers after a review; it can be taken back like any assignment."""

    promotion_id: str
    policy_id: str
    version: str
    previous: list[PreviousShown]
    review_id: str
    promoted_by: str
    promoted_at: str
    watched_until: str
    state: str
    ended_at: str | None
    reason: str | None


class PromotionList(BaseModel):
    """Promotions of a policy, newest first."""

    items: list[PromotionShown]


class SpendingShown(BaseModel):
    """What replays of a UTC day cost, and what they may."""

    day: str
    tenant_id: str | None
    spent_usd: float
    uncertain_usd: float = Field(description="The part of it whose call nobody saw the end of.")
    reserved_usd: float = Field(description="Set aside for calls under way.")
    left_usd: float
    cap_usd: float


class SpendingPage(BaseModel):
    """A day of everybody, and of one customer where one is named."""

    run_cap_usd: float
    tenant_day_cap_usd: float
    day_cap_usd: float
    all: SpendingShown | None = Field(description="null for a key that is bound to a tenant.")
    tenant: SpendingShown | None


def replay_row(one: Replay, match: Match | None) -> ReplayRow:
    """A replay for a list."""
    return ReplayRow(**_row(one, match))


def replay_shown(one: Replay) -> ReplayShown:
    """A replay with its texts."""
    return ReplayShown(
        **_row(one, one.match),
        baseline=None if one.baseline is None else call_shown(one.baseline),
        baseline_verdicts=[_verdict(each) for each in one.baseline_verdicts],
        samples=[_sample(each) for each in one.samples],
    )


def policy_replay_row(one: PolicyReplay) -> PolicyReplayRow:
    """A policy-only replay for a list."""
    return PolicyReplayRow(**_policy_row(one))


def policy_replay_shown(one: PolicyReplay) -> PolicyReplayShown:
    """A policy-only replay with its result."""
    is_done = one.state is ReplayState.DONE
    return PolicyReplayShown(
        **_policy_row(one),
        total=_difference(total(one.tenants)) if is_done else None,
        items=[_difference(each) for each in one.tenants],
    )


def promotion_shown(one: Promotion) -> PromotionShown:
    """A promotion."""
    return PromotionShown(
        promotion_id=one.promotion_id,
        policy_id=one.policy_id,
        version=one.version,
        previous=[PreviousShown(tenant_id=who, version=had) for who, had in one.previous],
        review_id=one.review_id,
        promoted_by=one.promoted_by,
        promoted_at=format_instant(one.promoted_at),
        watched_until=format_instant(one.watched_until),
        state=one.state,
        ended_at=_moment(one.ended_at),
        reason=one.reason,
    )


def spending_shown(one: Spending) -> SpendingShown:
    """What a day cost."""
    left = max(Decimal(0), one.cap_usd - one.spent_usd - one.reserved_usd)
    return SpendingShown(
        day=one.day.isoformat(),
        tenant_id=one.tenant_id,
        spent_usd=usd(one.spent_usd),
        uncertain_usd=usd(one.uncertain_usd),
        reserved_usd=usd(one.reserved_usd),
        left_usd=usd(left),
        cap_usd=usd(one.cap_usd),
    )


def usd(value: Decimal) -> float:
    """US dollars with the decimals of the door."""
    return float(round(value, _USD_PLACES))


def _row(one: Replay, match: Match | None) -> dict[str, Any]:
    return {
        "replay_id": one.replay_id,
        "tenant_id": one.tenant_id,
        "incident_id": one.incident_id,
        "call_id": one.call_id,
        "state": one.state,
        "model": one.model,
        "is_model_changed": one.is_model_changed,
        "policies": [
            PolicyChoiceBody(policy_id=each.policy_id, version=each.version)
            for each in one.policies
        ],
        "num_samples": one.num_samples,
        "num_begun": len(one.samples),
        "match_level": match,
        "spent_usd": usd(one.spent_usd),
        "asked_by": one.asked_by,
        "started_at": format_instant(one.started_at),
        "ended_at": _moment(one.ended_at),
        "error_type": one.error_type,
    }


def _policy_row(one: PolicyReplay) -> dict[str, Any]:
    return {
        "policy_replay_id": one.policy_replay_id,
        "policy_id": one.policy_id,
        "before": one.before,
        "after": one.after,
        "since": format_instant(one.start),
        "as_of": format_instant(one.as_of),
        "tenants": None if one.tenant_ids is None else list(one.tenant_ids),
        "state": one.state,
        "num_done": one.num_done,
        "asked_by": one.asked_by,
        "started_at": format_instant(one.started_at),
        "ended_at": _moment(one.ended_at),
        "error_type": one.error_type,
        "digest": one.digest,
    }


def _difference(one: TenantDifference) -> DifferenceShown:
    fields = {name: getattr(one, name) for name in TenantDifference.__dataclass_fields__}
    return DifferenceShown(**fields | {"tenant_id": one.tenant_id or None})


def _sample(one: Sample) -> SampleShown:
    return SampleShown(
        number=one.number,
        state=one.state,
        error_type=one.error_type,
        reserved_usd=None if one.reserved_usd is None else usd(one.reserved_usd),
        spent_usd=None if one.spent_usd is None else usd(one.spent_usd),
        is_spending_certain=one.is_spending_certain,
        call=None if one.call is None else call_shown(one.call),
        comparison=None if one.comparison is None else _comparison(one.comparison),
    )


def _comparison(one: Comparison) -> ComparisonShown:
    told = one.determinism
    diff = None
    if one.diff is not None:
        spans = [SpanShown(kind=s.kind, before=s.before, after=s.after) for s in one.diff.spans]
        diff = DiffShown(is_exact=one.diff.is_exact, spans=spans)
    return ComparisonShown(
        determinism=DeterminismShown(
            level=told.level,
            reason=told.reason,
            method=told.method,
            similarity=None if told.similarity is None else round(told.similarity, 4),
            threshold=told.threshold,
        ),
        diff=diff,
        severity=_delta(one.severity),
        cost_usd=_delta(one.cost_usd),
        latency_ms=_delta(one.latency_ms),
        baseline_verdicts=[_verdict(each) for each in one.baseline_verdicts],
        candidate_verdicts=[_verdict(each) for each in one.candidate_verdicts],
    )


def _delta(one: Delta) -> DeltaShown:
    change = one.change
    share = None
    if change is not None and one.before:
        share = float(round(100 * change / one.before, 1))
    before, after, moved = (
        None if value is None else usd(value) for value in (one.before, one.after, change)
    )
    return DeltaShown(before=before, after=after, change=moved, change_pct=share)


def _verdict(one: Verdict) -> VerdictShown:
    return VerdictShown(
        policy_id=one.policy_id,
        policy_version=one.policy_version,
        stage=one.stage,
        result=one.result,
        severity=one.severity,
        reason=one.reason,
        findings=[
            FindingShown(rule=f.rule, text=f.text, start=f.start, end=f.end) for f in one.findings
        ],
    )


def call_shown(one: Call) -> CallShown:
    """A call with its texts."""
    return CallShown(
        call_id=one.call_id,
        at=format_instant(one.at),
        model=one.model,
        provider=one.provider,
        messages=[TurnShown(role=each.role, text=each.text) for each in one.messages],
        context=None if one.context is None else dict(one.context),
        parameters=dict(one.parameters),
        output=one.output,
        tokens_in=one.tokens_in,
        tokens_out=one.tokens_out,
        cost_usd=None if one.cost_usd is None else usd(one.cost_usd),
        latency_ms=one.latency_ms,
        finish_reason=one.finish_reason,
        is_redacted=one.is_redacted,
    )


def _moment(at: Any) -> str | None:
    return None if at is None else format_instant(at)
