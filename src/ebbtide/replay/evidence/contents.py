"""What a file of evidence says: an incident, or a replay beside its original, as settled values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ebbtide import __version__
from ebbtide.domain.call import Call
from ebbtide.domain.event import Event
from ebbtide.domain.policy import Verdict
from ebbtide.domain.replay import Comparison, Delta, Replay, Sample
from ebbtide.replay.evidence.canonical import settle
from ebbtide.replay.evidence.sign import FORMAT
from ebbtide.signals.attribution import Attribution

#: Parts of a file, each with whether it is in unless somebody says otherwise.
PARTS = MappingProxyType({"timeline": True, "raw_output": True})
NOT_RECORDED = "not recorded: inputs and outputs of this call were not kept"
NO_CALL = "not recorded: the incident names no call"
LEFT_OUT = "left out by the person who made this file"
GONE = "not kept any more: its time was over"


@dataclass(frozen=True, slots=True)
class IncidentStory:
    """What is known of an incident.

    Attributes:
        event: its INCIDENT_CREATED.
        events: of its call, oldest first.
        call: as it was recorded; None when it was not.
        why_not: why there is no recorded call.
    """

    event: Event
    cause: Attribution
    events: Sequence[Event] = ()
    call: Call | None = None
    why_not: str = NOT_RECORDED


@dataclass(frozen=True, slots=True)
class Issue:
    """The file itself: which, when, of what."""

    certificate_id: str
    issued_at: datetime
    is_simulated: bool
    include: Mapping[str, bool] = field(default_factory=lambda: PARTS)


def of_incident(story: IncidentStory, issue: Issue) -> dict[str, Any]:
    """Evidence of an incident."""
    return _settled(_frame(issue, "incident", story) | {"original": _original(story, issue)})


def of_replay(story: IncidentStory, replay: Replay, issue: Issue) -> dict[str, Any]:
    """Evidence of a replay: the incident, the original call, and each sample beside it."""
    body = _frame(issue, "replay", story)
    body["original"] = _recorded(replay.baseline, GONE, issue)
    body["original"]["verdicts"] = [_verdict(one) for one in replay.baseline_verdicts]
    body["replay"] = {
        "replay_id": replay.replay_id,
        "model": replay.model,
        "is_model_changed": replay.is_model_changed,
        "policy_versions_asked_for": [
            {"policy_id": one.policy_id, "policy_version": one.version} for one in replay.policies
        ],
        "state": replay.state,
        "num_samples_asked_for": replay.num_samples,
        "asked_by_key": replay.asked_by,
        "started_at": replay.started_at,
        "ended_at": replay.ended_at,
        "error_type": replay.error_type,
        "match": replay.match,
        "spent_usd": replay.spent_usd,
        "samples": [_sample(one, issue) for one in replay.samples],
    }
    return _settled(body)


def _settled(body: dict[str, Any]) -> dict[str, Any]:
    settled: dict[str, Any] = settle(body)
    return settled


def _frame(issue: Issue, about: str, story: IncidentStory) -> dict[str, Any]:
    event, cause = story.event, story.cause
    timeline: dict[str, Any] = {"left_out": LEFT_OUT}
    if issue.include["timeline"]:
        timeline = {"events": [_event(one) for one in story.events]}
    metadata = json.loads(event.metadata_json)
    return {
        "format": FORMAT,
        "certificate_id": issue.certificate_id,
        "about": about,
        "issued_at": issue.issued_at,
        "issuer": {"program": "ebbtide", "version": __version__},
        "is_simulated": issue.is_simulated,
        "include": dict(issue.include),
        "tenant_id": event.tenant_id,
        "incident": {
            "incident_id": event.entity_id or event.event_id,
            "event_id": event.event_id,
            "happened_at": event.timestamp,
            "received_at": event.received_at,
            "severity": event.severity,
            "model": event.model,
            "source": event.source,
            "metadata": metadata,
            "cause": {
                "attribution": cause.attribution,
                "rule": cause.rule,
                "evidence": cause.evidence,
                "needs_review": cause.needs_review,
                "by_rule": None if cause.by_rule is None else cause.by_rule.attribution,
            },
        },
        "policy_versions": _versions(event, story.events),
        "timeline": timeline,
    }


def _versions(event: Event, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Every version that was in force on the call, with what it said."""
    checked = [one for one in events if one.event_type == "POLICY_EVALUATED"]
    found = [
        {
            "policy_id": one.policy_id,
            "policy_version": one.policy_version,
            "result": json.loads(one.metadata_json).get("result"),
            "reason": json.loads(one.metadata_json).get("reason"),
        }
        for one in checked
    ]
    named = {(one.policy_id, one.policy_version) for one in checked}
    if event.policy_id is not None and (event.policy_id, event.policy_version) not in named:
        found.append(
            {
                "policy_id": event.policy_id,
                "policy_version": event.policy_version,
                "result": None,
                "reason": None,
            }
        )
    return found


def _event(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "happened_at": event.timestamp,
        "received_at": event.received_at,
        "entity_id": event.entity_id,
        "latency_ms": event.latency_ms,
        "cost_usd": event.cost_usd,
        "source": event.source,
        "metadata": json.loads(event.metadata_json),
    }


def _original(story: IncidentStory, issue: Issue) -> dict[str, Any]:
    return _recorded(story.call, story.why_not, issue)


def _recorded(call: Call | None, why_not: str, issue: Issue) -> dict[str, Any]:
    if call is None:
        return {"is_recorded": False, "reason": why_not, "call": None}
    return {"is_recorded": True, "reason": None, "call": _call(call, issue)}


def _call(call: Call, issue: Issue) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "call_id": call.call_id,
        "at": call.at,
        "model": call.model,
        "provider": call.provider,
        "parameters": dict(call.parameters),
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "cost_usd": call.cost_usd,
        "latency_ms": call.latency_ms,
        "http_status": call.http_status,
        "error_type": call.error_type,
        "finish_reason": call.finish_reason,
        "holds_all_inputs": call.is_whole,
        "personal_data_taken_out": call.is_redacted,
    }
    if issue.include["raw_output"]:
        shown["messages"] = [{"role": one.role, "text": one.text} for one in call.messages]
        shown["context"] = None if call.context is None else dict(call.context)
        shown["output"] = call.output
    else:
        shown["texts"] = {"left_out": LEFT_OUT}
    return shown


def _sample(sample: Sample, issue: Issue) -> dict[str, Any]:
    return {
        "number": sample.number,
        "state": sample.state,
        "error_type": sample.error_type,
        "spent_usd": sample.spent_usd,
        "is_spending_certain": sample.is_spending_certain,
        "call": None if sample.call is None else _call(sample.call, issue),
        "comparison": None
        if sample.comparison is None
        else _comparison(sample.comparison, has_texts=issue.include["raw_output"]),
    }


def _comparison(found: Comparison, *, has_texts: bool) -> dict[str, Any]:
    level = found.determinism
    diff: dict[str, Any] | None = None
    if found.diff is not None and has_texts:
        diff = {
            "is_exact": found.diff.is_exact,
            "spans": [
                {"kind": one.kind, "before": one.before, "after": one.after}
                for one in found.diff.spans
            ],
        }
    return {
        "determinism": {
            "level": level.level,
            "reason": level.reason,
            "method": level.method,
            "similarity": level.similarity,
            "threshold": level.threshold,
        },
        "severity": _delta(found.severity),
        "cost_usd": _delta(found.cost_usd),
        "latency_ms": _delta(found.latency_ms),
        "original_verdicts": [_verdict(one) for one in found.baseline_verdicts],
        "replay_verdicts": [_verdict(one) for one in found.candidate_verdicts],
        "diff": diff,
    }


def _delta(delta: Delta) -> dict[str, Any]:
    return {"original": delta.before, "replay": delta.after, "change": delta.change}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "policy_id": verdict.policy_id,
        "policy_version": verdict.policy_version,
        "stage": verdict.stage,
        "result": verdict.result,
        "severity": verdict.severity,
        "reason": verdict.reason,
        "findings": [
            {"rule": one.rule, "text": one.text, "start": one.start, "end": one.end}
            for one in verdict.findings
        ],
    }
