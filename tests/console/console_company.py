"""A small company: a customer that went silent, and one whose every text is hostile."""

from __future__ import annotations

from datetime import timedelta

from api.api_server import NOON, Server, event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant

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
