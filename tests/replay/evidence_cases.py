"""An incident and a replay with every kind of text in them, for the tests of evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ebbtide.domain.call import Call, Message
from ebbtide.domain.event import Event
from ebbtide.domain.policy import Finding, Result, Stage, Verdict
from ebbtide.domain.replay import (
    Comparison,
    Delta,
    Determinism,
    Match,
    PolicyChoice,
    Replay,
    ReplayState,
    Sample,
    Span,
    SpanKind,
    WordDiff,
)
from ebbtide.replay.evidence.contents import IncidentStory, Issue
from ebbtide.signals.attribution import Attribution

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
HOSTILE = (
    "Yes. <script>alert(1)</script> ![x](https://evil.example/x.png) \x1b[31mred\x1b[0m"
    " \u202eesrever \u200bzero\xad \u4e2d\u6587 \U0001f600 \ud83d <U+0041> {nb}"
    " **b** \n%%EOF\nendstream"
    '\n%ebbtide-evidence-signature {}\n{"evidence":{}}'
)
ISSUE = Issue("cert_" + "0" * 32, AT, is_simulated=False)


def event(event_type: str, entity_id: str | None, **metadata: Any) -> Event:
    """An event with some metadata; the rest of it says nothing."""
    known = {name: metadata.get(name) for name in ("model", "policy_id", "policy_version")}
    fields = dict.fromkeys(Event._fields) | {
        "event_uuid": "u",
        "event_id": f"e-{event_type}",
        "timestamp": AT,
        "received_at": AT,
        "tenant_id": "acme",
        "event_type": event_type,
        "entity_id": entity_id,
        "source": "proxy",
        "metadata_json": json.dumps(metadata),
        **known,
    }
    return Event(**fields)


POLICY = {"policy_id": "CONTENT_ACCURACY", "policy_version": "v12"}
INCIDENT = event(
    "INCIDENT_CREATED", "inc_1", model="m", call_id="call_1", ratio=0.1, big=2**60, **POLICY
)._replace(severity=4)
EVENTS = [
    event("POLICY_EVALUATED", None, result="blocked", reason="a claim about null", **POLICY),
    event("LLM_CALL_MADE", "call_1", model="m")._replace(cost_usd=Decimal("0.0023000000")),
]
CAUSE = Attribution("MODEL_HALLUCINATION", "accuracy", Fraction(4, 5), "it fired", False)
CALL = Call(
    "call_1",
    "acme",
    AT,
    model="m",
    provider="p",
    messages=(Message("user", "Is it renewed?"),),
    context={"auto_renew": None},
    output=HOSTILE,
    parameters={"temperature": 0.2},
    cost_usd=Decimal("0.0023"),
    latency_ms=790,
)
NEW = Call("call_2", "acme", AT, model="m", output="I do not know.", cost_usd=Decimal("0.0019"))
BAD = Verdict(
    "CONTENT_ACCURACY",
    "v12",
    Stage.OUTPUT,
    Result.BLOCKED,
    4,
    "a claim about null",
    (Finding("claim", "says yes", 0, 3),),
)
GOOD = Verdict("CONTENT_ACCURACY", "v11", Stage.OUTPUT, Result.ALLOWED)
STORY = IncidentStory(INCIDENT, CAUSE, EVENTS, CALL)
UNRECORDED = IncidentStory(INCIDENT, CAUSE, EVENTS)
COMPARISON = Comparison(
    Determinism(Match.SEMANTIC, "the texts are alike", "text similarity", 0.83, 0.8),
    WordDiff(
        (
            Span(SpanKind.EQUAL, "I ", "I "),
            Span(SpanKind.REPLACE, "say yes", "do not know"),
            Span(SpanKind.INSERT, "", "."),
        )
    ),
    Delta(Decimal(4), Decimal(1)),
    Delta(Decimal("0.0023"), Decimal("0.0019")),
    Delta(Decimal(790), None),
    (BAD,),
    (GOOD,),
)
REPLAY = Replay(
    "rep_1",
    "acme",
    "inc_1",
    "call_1",
    "m",
    False,
    (PolicyChoice("CONTENT_ACCURACY", "v11"),),
    2,
    ReplayState.DONE,
    "key",
    AT,
    AT,
    baseline=CALL,
    baseline_verdicts=(BAD,),
    samples=(
        Sample(1, ReplayState.DONE, NEW, COMPARISON, None, Decimal("0.01"), Decimal("0.0019")),
        Sample(2, ReplayState.FAILED, None, None, "timeout", Decimal("0.01"), Decimal("0.01")),
    ),
)
