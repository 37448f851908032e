"""What became of each event: stored, duplicate, conflict, quarantined or refused."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from api_server import Client, Server, event

from ebbtide.domain.ids import to_uuid_text

_tenants = itertools.count(1)


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test knows."""
    return f"tenant-{next(_tenants)}"


def stored(server: Server, tenant: str) -> list[dict[str, Any]]:
    """What is stored of a tenant, oldest first."""
    events = server.admin.get("/v1/events", tenant_id=tenant, limit=1000).json["events"]
    return list(reversed(events))


# -- exactly once ------------------------------------------------------------------------------


def test_an_event_is_stored_once(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant)
    assert server.admin.send(one).json == {
        "results": [{"event_id": one["event_id"], "result": "stored", "reason": None}],
        "stored": 1,
        "duplicate": 0,
        "conflict": 0,
        "quarantined": 0,
        "refused": 0,
    }
    assert server.admin.send(one).results == ["duplicate"]
    assert [one["event_id"] for one in stored(server, tenant)] == [one["event_id"]]


def test_a_repeat_keeps_the_first_received_at(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant)
    server.admin.send(one)
    server.clock.advance(days=3)
    assert server.admin.send(one).results == ["duplicate"]
    assert stored(server, tenant)[0]["received_at"] == "2026-03-12T12:00:00Z"


def test_a_batch_is_answered_in_its_order(server: Server, tenant: str) -> None:
    a, b, c = (event(tenant_id=tenant) for _ in range(3))
    assert server.admin.send(b).results == ["stored"]
    bad = event(tenant_id=tenant, severity=99)
    answer = server.admin.send(a, b, bad, {**b, "user_id": "other"}, c, a)
    assert answer.results == [
        "stored", "duplicate", "quarantined", "conflict", "stored", "duplicate",
    ]  # fmt: skip
    ids = [one["event_id"] for one in answer.json["results"]]
    assert ids == [one["event_id"] for one in (a, b, bad, b, c, a)]


def test_a_batch_sent_again_in_any_order_changes_nothing(server: Server, tenant: str) -> None:
    events = [event(tenant_id=tenant, latency_ms=i, cost_usd=i / 1000) for i in range(50)]
    assert set(server.admin.send(*events).results) == {"stored"}
    before = stored(server, tenant)
    for seed in range(3):
        random.Random(seed).shuffle(events)
        server.clock.advance(days=400)  # no window after which a repeat would be new
        assert set(server.admin.send(*events).results) == {"duplicate"}
    assert stored(server, tenant) == before


def test_eight_senders_of_one_batch_store_it_once(server: Server, tenant: str) -> None:
    events = [event(tenant_id=tenant) for _ in range(40)]
    start = threading.Barrier(8)

    def send(seed: int) -> list[tuple[str, str]]:
        mine = random.Random(seed).sample(events, len(events))
        start.wait()
        results = server.admin.send(*mine).results
        return [(one["event_id"], result) for one, result in zip(mine, results, strict=True)]

    with ThreadPoolExecutor(8) as pool:
        answers = [pair for part in pool.map(send, range(8)) for pair in part]
    for one in events:
        results = sorted(result for event_id, result in answers if event_id == one["event_id"])
        assert results == ["duplicate"] * 7 + ["stored"]
    assert len(stored(server, tenant)) == 40


def test_eight_senders_with_other_content_leave_one_and_seven_conflicts(
    server: Server, tenant: str
) -> None:
    one = event(tenant_id=tenant)
    start = threading.Barrier(8)

    def send(number: int) -> str:
        start.wait()
        return str(server.admin.send({**one, "user_id": f"u-{number}"}).results[0])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert sorted(answers) == ["conflict"] * 7 + ["stored"]
    (kept,) = stored(server, tenant)
    assert kept["user_id"] == f"u-{answers.index('stored')}"
    waiting = server.admin.get("/v1/quarantine", tenant_id=tenant, reason="conflict").json
    assert waiting["total"] == 7


@pytest.mark.parametrize(
    "again",
    [
        {"timestamp": "2026-03-12T12:00:00.000000+01:00"},
        {"user_id": None},
        {"metadata": {}},
        {"metadata": None},
        {"source": "another"},
        {"received_at": "2020-01-01T00:00:00Z"},
        {"latency_ms": 5.0},
        {"cost_usd": "0.50"},
        {"severity": "medium"},
    ],
    ids=str,
)
def test_the_same_content_in_another_dress_is_a_duplicate(
    server: Server, tenant: str, again: dict[str, Any]
) -> None:
    one = event(tenant_id=tenant, latency_ms=5, cost_usd=0.5, severity=3)
    assert server.admin.send(one).results == ["stored"]
    assert server.admin.send({**one, **again}).results == ["duplicate"]


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "2026-03-12T11:00:00.000001Z"},
        {"event_type": "SESSION_STARTED"},
        {"user_id": "someone"},
        {"latency_ms": 6},
        {"cost_usd": 0.5000000001},
        {"severity": 4},
        {"metadata": {"a": None}},
        {"metadata": {"a": 1.5}},
    ],
    ids=str,
)
def test_other_content_is_a_conflict_and_the_first_stays(
    server: Server, tenant: str, change: dict[str, Any]
) -> None:
    one = event(tenant_id=tenant, latency_ms=5, cost_usd=0.5, severity=3)
    server.admin.send(one)
    before = stored(server, tenant)
    answer = server.admin.send({**one, **change})
    assert (answer.results, answer.reasons) == (["conflict"], ["conflict"])
    assert stored(server, tenant) == before
    (row,) = server.admin.get("/v1/quarantine", tenant_id=tenant).json["items"]
    assert row["reason"] == "conflict"
    assert '"event_id"' in row["raw"]


def test_two_tenants_may_use_one_id(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant)
    assert server.admin.send(one, {**one, "tenant_id": tenant + "-b"}).results == ["stored"] * 2
    assert len(stored(server, tenant)) == len(stored(server, tenant + "-b")) == 1


def test_without_an_id_the_server_makes_one_and_says_so(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant, event_id=None)
    first, second = server.admin.send(one), server.admin.send(one)
    assert first.results == second.results == ["stored"]
    assert first.reasons == second.reasons == ["generated_event_id"]
    made = {one["event_id"] for one in stored(server, tenant)}
    assert made == {answer.json["results"][0]["event_id"] for answer in (first, second)}


# -- spellings of ids --------------------------------------------------------------------------


def test_a_uuid_is_the_same_in_upper_and_lower_case(server: Server, tenant: str) -> None:
    sent = "6F1F4F4E-9C5B-5D0E-8F0A-2B7D3C9A1E55"
    one = event(tenant_id=tenant, event_id=sent)
    assert server.admin.send(one).results == ["stored"]
    assert server.admin.send({**one, "event_id": sent.lower()}).results == ["duplicate"]
    (kept,) = stored(server, tenant)
    assert (kept["event_id"], kept["event_uuid"]) == (sent, sent.lower())
    for spelling in (sent, sent.lower()):
        found = server.admin.get("/v1/events", tenant_id=tenant, event_id=spelling).json
        assert len(found["events"]) == 1


def test_an_id_and_its_uuid_are_one_event(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant, event_id="order 7/ä")
    assert server.admin.send(one).results == ["stored"]
    twin = {**one, "event_id": to_uuid_text("order 7/ä")}
    assert server.admin.send(twin).results == ["duplicate"]


@pytest.mark.parametrize(
    "sent",
    ["{6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55}", "6f1f4f4e9c5b5d0e8f0a2b7d3c9a1e55", " a", "a", "A"],
)
def test_other_forms_are_texts_of_their_own(server: Server, tenant: str, sent: str) -> None:
    assert server.admin.send(event(tenant_id=tenant, event_id=sent)).results == ["stored"]
    (kept,) = stored(server, tenant)
    assert kept["event_id"] == sent
    assert kept["event_uuid"] == to_uuid_text(sent) != sent


def test_a_tenant_as_text_and_as_its_uuid_is_one_tenant(server: Server, tenant: str) -> None:
    one = event(tenant_id=tenant)
    uuid = to_uuid_text(tenant)
    assert server.admin.send(one).results == ["stored"]
    assert server.admin.send({**one, "tenant_id": uuid}).results == ["duplicate"]
    assert server.admin.send({**one, "tenant_id": uuid.upper()}).results == ["duplicate"]
    assert server.admin.send(event(tenant_id=uuid)).results == ["stored"]
    shown = server.admin.get(f"/v1/tenants/{uuid}").json
    assert (shown["tenant_id"], shown["tenant_uuid"]) == (tenant, uuid)
    for spelling in (tenant, uuid, uuid.upper()):
        events = stored(server, spelling)
        assert {(one["tenant_id"], one["tenant_uuid"]) for one in events} == {(tenant, uuid)}
        assert len(events) == 2


@pytest.mark.parametrize(
    "odd",
    ["a/b", "a/../b", "..", ".", "a%2Fb", "100%", "a b+c", "ünï/😀", "a?b#c", "a//b", "/", "a/",
     "';--", '"', "a;x", "%00x"],
)  # fmt: skip
def test_any_tenant_id_works_in_a_path(server: Server, odd: str) -> None:
    assert server.admin.send(event(tenant_id=odd)).results == ["stored"]
    for spelling in (quote(odd, safe=""), to_uuid_text(odd)):
        answer = server.admin.ask("GET", f"/v1/tenants/{spelling}")
        assert (answer.status, answer.json["tenant_id"]) == (200, odd)
    named = server.admin.put(f"/v1/tenants/{quote(odd, safe='')}", {"name": "N"})
    assert (named.json["tenant_id"], named.json["name"]) == (odd, "N")
    assert len(stored(server, odd)) == 1


# -- keys that are bound to a tenant -----------------------------------------------------------


@pytest.fixture
def bound(server: Server, tenant: str) -> Client:
    """May send for one tenant only."""
    return server.client("ingest", tenant=tenant)


def test_a_bound_key_stores_its_own_and_is_refused_others(
    server: Server, bound: Client, tenant: str
) -> None:
    before = server.admin.get("/v1/quarantine").json["total"]
    answer = bound.send(
        event(tenant_id=tenant),
        event(tenant_id="somebody-else"),
        event(tenant_id=to_uuid_text(tenant).upper()),
        event(tenant_id=None),
        event(tenant_id=""),
        event(tenant_id="somebody-else", severity=99),
        event(tenant_id=tenant, severity=99),
    )
    assert answer.results == [
        "stored", "refused", "stored", "stored", "quarantined", "refused", "quarantined",
    ]  # fmt: skip
    assert answer.reasons[1] == answer.reasons[5] == "tenant_mismatch"
    assert server.admin.get("/v1/tenants/somebody-else").status == 404
    assert {one["tenant_id"] for one in stored(server, tenant)} == {tenant}
    assert len(stored(server, tenant)) == 3
    # What is refused is not kept either, and what waits belongs to the key's tenant.
    assert server.admin.get("/v1/quarantine").json["total"] == before + 2
    assert server.admin.get("/v1/quarantine", tenant_id=tenant).json["total"] == 2


@pytest.mark.parametrize(
    ("tenant_id", "result"),
    [
        (5, "quarantined"),
        (["x"], "quarantined"),
        ("x" * 201, "quarantined"),
        (None, "quarantined"),
        ("a\0", "refused"),
    ],
)
def test_what_a_bound_key_sends_waits_under_its_tenant(
    server: Server, bound: Client, tenant: str, tenant_id: Any, result: str
) -> None:
    answer = bound.send(event(severity=99) | {"tenant_id": tenant_id})
    assert answer.results == [result]
    waiting = server.client("read", tenant=tenant).get("/v1/quarantine").json["total"]
    assert waiting == (1 if result == "quarantined" else 0)


def test_quarantine_shows_what_came_and_not_what_we_added(
    server: Server, bound: Client, tenant: str
) -> None:
    raw = b'{"event_type": "LOGIN", "severity": 99, "timestamp": "2026-03-12T11:00:00Z"}'
    assert bound.post("/v1/events", raw).results == ["quarantined"]
    (row,) = server.admin.get("/v1/quarantine", tenant_id=tenant).json["items"]
    assert row["raw"].encode() == raw


def test_segment_and_cloudevents_hold_bound_keys_to_their_tenant(
    server: Server, bound: Client, tenant: str
) -> None:
    call = {"event": "LOGIN", "userId": "u", "messageId": str(event()["event_id"])}
    other = {**call, "context": {"groupId": "somebody-else"}}
    assert bound.post("/v1/track", other).results == ["refused"]
    assert bound.post("/v1/track", call).results == ["stored"]
    about = {"groupId": "somebody-else", "traits": {"name": "X"}}
    assert bound.post("/v1/group", about).results == ["refused"]
    cloud = {
        "specversion": "1.0", "id": "1", "source": "/a", "type": "LOGIN",
        "subject": "somebody-else", "time": "2026-03-12T11:00:00Z",
    }  # fmt: skip
    headers = {"Content_Type": "application/cloudevents+json"}
    assert bound.post("/v1/cloudevents", cloud, **headers).results == ["refused"]
    assert bound.post("/v1/cloudevents", {**cloud, "subject": tenant}, **headers).results == [
        "stored"
    ]
    assert server.admin.get("/v1/tenants/somebody-else").status == 404
