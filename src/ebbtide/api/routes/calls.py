"""``/v1/calls``, ``/v1/ingest/litellm``, ``/v1/otlp/v1/traces``: calls that were made elsewhere.

Each becomes events, is judged by the policies of its tenant, and is recorded where that is
switched on. Ids come from the call's own, so that a repeat stores nothing twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.auth import admit
from ebbtide.api.receive import receive_body
from ebbtide.api.routes.events import require_json
from ebbtide.api.services import Services, services_of
from ebbtide.domain.call import Call, ReportedCall
from ebbtide.domain.errors import UnsupportedEncoding
from ebbtide.domain.event import Outcome
from ebbtide.domain.keys import ApiKey, Scope
from ebbtide.domain.policy import Stage, Verdict
from ebbtide.guard.evaluate import evaluate
from ebbtide.guard.events import (
    call_event_id,
    events_of,
    incident_id_of,
    is_failure_of_model,
)
from ebbtide.ingest.call_values import UnreadCall
from ebbtide.ingest.calls import read_calls
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.litellm import read_litellm
from ebbtide.ingest.otlp import read_traces
from ebbtide.ingest.result import Result

Report = ReportedCall | UnreadCall
PROTOBUF = "application/x-protobuf"
_REASONS_MAX = 5
_KEPT = (Outcome.STORED, Outcome.DUPLICATE)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A call with our verdicts."""

    reported: ReportedCall
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class _Settled:
    """What became of one report."""

    result: Result
    judged: _Judged | None


async def post_calls(request: Request) -> Response:
    """Calls in our own words: one, a list, or ``{"calls": [...]}``."""
    return await _post(request, "calls", read_calls)


async def post_litellm(request: Request) -> Response:
    """What LiteLLM's callback ``generic_api`` sends: an object, a list, or lines."""
    return await _post(request, "litellm", read_litellm)


async def post_traces(request: Request) -> Response:
    """An export of OpenTelemetry spans, in protobuf or JSON; answered in the same."""
    services = services_of(request)
    key = await admit(services.authenticator, request, Scope.INGEST)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, "application/json"):
        raise UnsupportedEncoding(f"send {PROTOBUF} or application/json")
    is_protobuf = kind == PROTOBUF
    body = await receive_body(request)

    def read() -> list[Report]:
        return read_traces(body, is_protobuf=is_protobuf, tenant_id=key.tenant_id).calls

    reports = await run_in_threadpool(read)
    settled = await _settle(services, reports, "otlp", key)
    return _partial_success(settled, is_protobuf=is_protobuf)


async def _post(
    request: Request, door: str, read: Callable[[bytes, str | None], list[Report]]
) -> Response:
    services = services_of(request)
    key = await admit(services.authenticator, request, Scope.INGEST)
    if door == "calls":
        require_json(request)
    body = await receive_body(request)
    reports = await run_in_threadpool(read, body, key.tenant_id)
    settled = await _settle(services, reports, door, key)
    counts = Counter(one.result.outcome for one in settled)
    answer: dict[str, Any] = {"results": [_shown(one) for one in settled]}
    answer |= {outcome.word: counts[outcome] for outcome in Outcome}
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def _settle(
    services: Services, reports: Sequence[Report], door: str, key: ApiKey
) -> list[_Settled]:
    """Store what reports say; durable when it returns."""
    now = services.clock()
    judged = await run_in_threadpool(_judge, services, reports, key)
    incoming: list[Incoming] = []
    places = []
    for report, one in zip(reports, judged, strict=True):
        places.append(len(incoming))
        if one is None:
            incoming.append(_waiting(report))
            continue
        # The call itself comes first: what became of it is what became of the report.
        events = events_of(one.reported, one.verdicts, is_enforced=False)
        own = call_event_id(one.reported.call)
        events.sort(key=lambda fields: fields["event_id"] != own)
        incoming += [Incoming(fields, b"", None) for fields in events]
    future = services.ingestor.submit(
        incoming, door=door, received_at=now, key=key, default_source=door
    )
    results = await asyncio.wrap_future(future)
    settled = [_Settled(results[at], one) for at, one in zip(places, judged, strict=True)]
    kept = [
        (one.judged.reported.call, [verdict.policy_id for verdict in one.judged.verdicts])
        for one in settled
        if one.judged is not None and one.result.outcome in _KEPT
    ]
    if kept:
        await run_in_threadpool(services.guard.recorder.keep, kept)
    return settled


def _judge(services: Services, reports: Sequence[Report], key: ApiKey) -> list[_Judged | None]:
    return [_judge_one(services, one, key) for one in reports]


def _judge_one(services: Services, report: Report, key: ApiKey) -> _Judged | None:
    if isinstance(report, UnreadCall):
        return None
    call = report.call
    if not key.covers(call.tenant_id):
        return _Judged(report)  # it is refused, and nothing of it is looked at
    if call.cost_usd is None and call.tokens_in is not None:
        report = _priced(services, report)
        call = report.call
    versions = services.guard.versions_of(call.tenant_id)
    found = [*evaluate(call, versions, Stage.INPUT)]
    if call.output is not None or call.error_type is None:
        found += evaluate(call, versions, Stage.OUTPUT)
    return _Judged(report, tuple(found))


def _priced(services: Services, report: ReportedCall) -> ReportedCall:
    """With the cost that follows from its tokens, so that a policy can look at it."""
    call = report.call
    metadata = {
        "model": call.model,
        "provider": call.provider,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "tokens_cache_read": report.tokens_cache_read,
        "tokens_cache_write": report.tokens_cache_write,
    }
    found = services.guard.cost_of(metadata, call.at)
    if found is None:
        return report
    cost, table = found
    more = dict(report.metadata) | {"cost_table": table}
    return replace(report, call=replace(call, cost_usd=cost), metadata=more)


def _waiting(report: Report) -> Incoming:
    assert isinstance(report, UnreadCall)
    return Incoming(None, report.raw, report.reason, report.tenant_id)


def _shown(settled: _Settled) -> dict[str, Any]:
    event_id, outcome, reason = settled.result
    shown: dict[str, Any] = {"event_id": event_id, "result": outcome.word, "reason": reason}
    if settled.judged is None or outcome not in _KEPT:
        return shown
    reported, verdicts = settled.judged.reported, settled.judged.verdicts
    return shown | {
        "call_id": reported.call.call_id,
        "incident_id": _incident(reported.call, (*reported.verdicts, *verdicts)),
        "verdicts": [
            {
                "policy_id": one.policy_id,
                "policy_version": one.policy_version,
                "stage": one.stage.value,
                "result": one.result.value,
                "severity": one.severity,
                "reason": one.reason,
            }
            for one in verdicts
        ],
    }


def _incident(call: Call, verdicts: Sequence[Verdict]) -> str | None:
    has_one = any(one.has_fired for one in verdicts) or is_failure_of_model(call)
    return incident_id_of(call) if has_one else None


def _partial_success(settled: Sequence[_Settled], *, is_protobuf: bool) -> Response:
    """The answer of OTLP: empty when all went well, else how many spans did not, and why."""
    reasons = Counter(
        one.result.reason or one.result.outcome.word
        for one in settled
        if one.result.outcome not in _KEPT
    )
    num = reasons.total()
    listed = ", ".join(f"{word} ({n})" for word, n in reasons.most_common(_REASONS_MAX))
    text = f"they wait in quarantine or were refused: {listed}" if num else ""
    if not is_protobuf:
        said = {"partialSuccess": {"rejectedSpans": str(num), "errorMessage": text}}
        return Response(msgspec.json.encode(said if num else {}), media_type="application/json")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceResponse,
    )

    answer = ExportTraceServiceResponse()
    if num:
        answer.partial_success.rejected_spans = num
        answer.partial_success.error_message = text
    return Response(answer.SerializeToString(), media_type=PROTOBUF)
