"""``emit_now`` answers with the server's word on each event, or says exactly what was not sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from event_server import EventServer, cut_after, status, too_large_above

from ebbtide.client.emit_now import emit_now
from ebbtide.client.errors import DeliveryFailed, EmitterSettingsError, InvalidEvent
from ebbtide.client.result import EventResult


def logins(number: int) -> list[dict[str, Any]]:
    return [
        {"event_type": "LOGIN", "tenant_id": "acme", "event_id": f"e-{i}"} for i in range(number)
    ]


def no_sleep(seconds: float) -> None:
    pass


def test_one_result_per_event_in_order(server: EventServer) -> None:
    server.verdict = lambda event: ("quarantined", "why") if event["event_id"] == "e-3" else None
    events = logins(250)
    results = emit_now(server.url, "key", [*events, events[0]])
    assert [r.event_id for r in results] == [e["event_id"] for e in events] + ["e-0"]
    assert results[0] == EventResult("e-0", "stored", None)
    assert results[3] == EventResult("e-3", "quarantined", "why")
    assert results[-1].result == "duplicate"
    assert [len(r.ids) for r in server.requests] == [100, 100, 51]


def test_no_events_make_no_request(server: EventServer) -> None:
    assert emit_now(server.url, None, []) == []
    assert server.requests == []


def test_events_get_ids_and_defaults(server: EventServer) -> None:
    (result,) = emit_now(server.url, None, [{"event_type": "LOGIN"}], tenant_id="t", source="cli")
    ((_, event),) = server.stored.items()
    assert (event["tenant_id"], event["source"]) == ("t", "cli")
    assert event["event_id"] == result.event_id
    assert event["timestamp"].endswith("Z")
    assert "x-api-key" not in server.requests[0].headers


def test_it_retries_with_the_same_ids(server: EventServer) -> None:
    server.script.extend([cut_after, status(503, Retry_After="9")])
    pauses: list[float] = []
    (result,) = emit_now(server.url, None, [{"event_type": "LOGIN"}], sleep=pauses.append)
    assert result.result == "duplicate"
    assert len({r.ids[0] for r in server.requests}) == 1
    assert 0.1 <= pauses[0] <= 0.2
    assert 9.0 <= pauses[1] <= 10.0


def test_a_failure_says_what_became_of_each_event(server: EventServer) -> None:
    refuse = status(401, {"code": "unauthorized"})
    server.script.extend([lambda handler, events: False, refuse])
    with pytest.raises(DeliveryFailed, match=r"HTTP 401 \(unauthorized\)") as caught:
        emit_now(server.url, "key", logins(6), batch_size=2)
    assert caught.value.status == 401
    assert [(r.result, r.reason) for r in caught.value.results] == [
        *[("stored", None)] * 2,
        *[("dropped", "HTTP 401 (unauthorized)")] * 2,
        *[("dropped", "not tried")] * 2,
    ]


def test_it_gives_up_after_max_retries(server: EventServer) -> None:
    server.always = status(500)
    with pytest.raises(DeliveryFailed, match="HTTP 500"):
        emit_now(server.url, None, logins(1), max_retries=2, sleep=no_sleep)
    assert len(server.requests) == 3


def test_batches_are_halved_on_413(server: EventServer) -> None:
    server.always = too_large_above(4)
    results = emit_now(server.url, None, logins(30))
    assert {r.result for r in results} == {"stored"}
    assert server.stored_ids == [f"e-{i}" for i in range(30)]


def test_a_bad_event_stops_all_before_anything_is_sent(server: EventServer) -> None:
    events = [*logins(3), {"event_type": "LOGIN", "timestamp": datetime(2026, 1, 1)}]
    with pytest.raises(InvalidEvent, match="event 4: timestamp names no time zone"):
        emit_now(server.url, None, events)
    assert server.requests == []


def test_unusable_settings_are_raised(server: EventServer) -> None:
    with pytest.raises(EmitterSettingsError):
        emit_now("nowhere", None, logins(1))
