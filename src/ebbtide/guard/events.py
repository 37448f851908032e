"""What a call to a model and its verdicts are as events: one way for every door.

Ids are made from the call's own id, so that a call that is reported twice is stored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from ebbtide.domain.call import Call, ReportedCall
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.policy import Finding, Result, Stage, Verdict
from ebbtide.domain.time import format_instant

CALL_MADE, CALL_FAILED = "LLM_CALL_MADE", "LLM_CALL_FAILED"
EVALUATED, BLOCKED, INCIDENT = "POLICY_EVALUATED", "POLICY_BLOCKED", "INCIDENT_CREATED"
FAILURE_SEVERITY = 3
REASON_MAX_CHARS = 500
BUDGET_LIMITS = ("cost", "token")

Fields = dict[str, Any]


def events_of(
    reported: ReportedCall,
    verdicts: Sequence[Verdict] = (),
    *,
    was_made: bool = True,
    is_enforced: bool = True,
) -> list[Fields]:
    """A call as events, in the order in which they happened.

    Args:
        verdicts: what our policies said of it, beside those that its producer reported.
        was_made: whether the model was called; not so when its input was blocked.
        is_enforced: whether what ours blocked was held back; not so for a call that was made
            elsewhere, which is told of when all is over.

    Returns:
        The call itself when it was made, a POLICY_EVALUATED for each verdict, POLICY_BLOCKED
        where one blocked, and one INCIDENT_CREATED when a policy fired or the model failed.
    """
    call = reported.call
    every = (*reported.verdicts, *verdicts)
    found: list[Fields] = []

    def judged(stage: Stage, after_ms: int) -> None:
        for one in reported.verdicts:
            if one.stage is stage:
                found.extend(_of_verdict(reported, one, after_ms, True))
        for one in verdicts:
            if one.stage is stage:
                found.extend(_of_verdict(reported, one, after_ms, is_enforced))

    judged(Stage.INPUT, 0)
    if was_made:
        found.append(_of_call(reported, every))
    judged(Stage.OUTPUT, call.latency_ms or 0)
    incident = _incident(reported, every)
    return found if incident is None else [*found, incident]


def call_event_id(call: Call) -> str:
    """The id of the event of a call itself."""
    return to_uuid_text(_key(call, "call"))


def is_failure_of_model(call: Call) -> bool:
    """Whether the other side failed, not the request: no answer, half of one, or a 5xx."""
    if call.error_type is None:
        return False
    status = call.http_status
    return status is None or status >= 500 or 200 <= status < 300


def _of_call(reported: ReportedCall, verdicts: Iterable[Verdict]) -> Fields:
    call = reported.call
    metadata = dict(reported.metadata) | {
        "model": call.model,
        "provider": call.provider,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "tokens_cache_read": reported.tokens_cache_read,
        "tokens_cache_write": reported.tokens_cache_write,
        "retry_count": reported.retry_count,
        "http_status": call.http_status,
        "error_type": call.error_type,
        "finish_reason": call.finish_reason,
        "policy_versions": sorted({f"{one.policy_id}@{one.policy_version}" for one in verdicts})
        or None,
    }
    kind = CALL_MADE if call.error_type is None else CALL_FAILED
    fields = _fields(reported, kind, "call", 0, metadata)
    return fields | {
        "entity_type": "llm_call",
        "entity_id": call.call_id,
        "latency_ms": call.latency_ms,
        "cost_usd": None if call.cost_usd is None else f"{call.cost_usd:f}",
    }


def _of_verdict(
    reported: ReportedCall, verdict: Verdict, after_ms: int, is_enforced: bool
) -> list[Fields]:
    name = f"{verdict.stage}:{verdict.policy_id}:{verdict.policy_version}"
    about = {
        "policy_id": verdict.policy_id,
        "policy_version": verdict.policy_version,
        "reason": _short(verdict.reason),
        "call_id": reported.call.call_id,
        "model": reported.call.model,
        "stage": verdict.stage.value,
    }
    common = {"entity_type": "policy", "severity": verdict.severity}
    result: dict[str, Any] = {"result": verdict.result.value}
    if verdict.result is Result.BLOCKED and not is_enforced:
        result["is_enforced"] = False
    found = [_fields(reported, EVALUATED, f"evaluated:{name}", after_ms, about | result) | common]
    if verdict.result is Result.BLOCKED and is_enforced:
        found.append(_fields(reported, BLOCKED, f"blocked:{name}", after_ms, about) | common)
    return found


def _incident(reported: ReportedCall, verdicts: Sequence[Verdict]) -> Fields | None:
    call = reported.call
    fired = [one for one in verdicts if one.has_fired]
    has_failed = is_failure_of_model(call)
    if not fired and not has_failed:
        return None
    worst = max(fired, key=lambda one: one.severity or 0, default=None)
    metadata: dict[str, Any] = {
        "model": call.model,
        "trigger_type": "policy_violation" if fired else "llm_failure",
        "call_id": call.call_id,
        "policies_fired": list(dict.fromkeys(one.policy_id for one in fired)),
        "input_violation": any(one.stage is Stage.INPUT for one in fired),
        "context_empty": _is_empty(call.context),
        "error_type": call.error_type,
        "http_status": call.http_status,
        "limit": _limit([finding for one in fired for finding in one.findings]),
    }
    if worst is not None:
        metadata |= {
            "policy_id": worst.policy_id,
            "policy_version": worst.policy_version,
            "reason": _short(worst.reason),
        }
    severity = FAILURE_SEVERITY if worst is None else worst.severity or FAILURE_SEVERITY
    fields = _fields(reported, INCIDENT, "incident", call.latency_ms or 0, metadata)
    return fields | {
        "entity_type": "incident",
        "entity_id": incident_id_of(call),
        "severity": severity,
    }


def incident_id_of(call: Call) -> str:
    """The id of the incident of a call, should it have one."""
    return "inc_" + to_uuid_text(_key(call, "incident")).replace("-", "")[:20]


def _fields(
    reported: ReportedCall, kind: str, name: str, after_ms: int, metadata: Mapping[str, Any]
) -> Fields:
    call = reported.call
    return {
        "event_id": to_uuid_text(_key(call, name)),
        "timestamp": format_instant(call.at + timedelta(milliseconds=after_ms)),
        "tenant_id": call.tenant_id,
        "user_id": reported.user_id,
        "session_id": reported.session_id,
        "event_type": kind,
        "source": reported.source,
        "metadata": {name: value for name, value in metadata.items() if value is not None},
    }


def _key(call: Call, name: str) -> str:
    return f"llm call\0{call.call_id}\0{name}"


def _is_empty(context: Mapping[str, Any] | None) -> bool | None:
    """Whether the facts that were given hold nothing; None when none were to be given."""
    if context is None:
        return None
    return all(value is None or value in ("", [], {}) for value in context.values())


def _limit(findings: Iterable[Finding]) -> str | None:
    return next((one.rule for one in findings if one.rule in BUDGET_LIMITS), None)


def _short(reason: str | None) -> str | None:
    return None if reason is None else reason[:REASON_MAX_CHARS]
