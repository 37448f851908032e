"""Stripe over HTTP: signed, once, in any order, and kept before it is acknowledged."""

from __future__ import annotations

import gzip
import hmac
import itertools
import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from api_server import NOON, Answer, Server, open_server

from ebbtide.domain.errors import StoreUnavailable

SECRET, OLDER = "whsec_0123456789abcdef", "whsec_fedcba9876543210"
AT = int(NOON.timestamp())
DAY = 86_400
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that Stripe knows, while one secret is exchanged for another."""
    folder = tmp_path_factory.mktemp("data")
    for server in open_server(folder, stripe_webhook_secret=f"{SECRET}, {OLDER}"):
        yield server
        server.check_identity()


def subscription(number: str, **changes: Any) -> dict[str, Any]:
    price = {
        "id": "price_1",
        "unit_amount": 9900,
        "currency": "usd",
        "recurring": {"interval": "month", "interval_count": 1},
    }
    return {
        "id": f"sub_{number}",
        "customer": f"cus_{number}",
        "status": "active",
        "currency": "usd",
        "cancel_at": None,
        "cancel_at_period_end": False,
        "items": {"data": [{"price": price, "quantity": 1}]},
        "metadata": {"tenant_id": f"tenant-{number}"},
    } | changes


def message(kind: str, thing: Any, *, days_ago: float = 0, **changes: Any) -> bytes:
    data = {"object": thing, "previous_attributes": changes.pop("before", None)}
    whole = {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "type": kind,
        "created": int(AT - days_ago * DAY),
        "data": data,
    }
    return json.dumps(whole | changes).encode()


def signed(body: bytes, secret: str = SECRET, at: int = AT) -> dict[str, str]:
    digest = hmac.new(secret.encode(), b"%d.%s" % (at, body), sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


def deliver(server: Server, body: bytes, **signing: Any) -> Answer:
    headers = signed(body, **signing)
    return server.client().ask("POST", "/v1/webhooks/stripe", body, headers)


def events_of(server: Server, tenant: str) -> list[dict[str, Any]]:
    """What is stored of a tenant, oldest first."""
    items: list[dict[str, Any]] = server.admin.get("/v1/events", tenant_id=tenant).json["events"]
    return items[::-1]


def unit_of(server: Server, tenant: str, **params: Any) -> dict[str, Any]:
    page = server.admin.get("/ops/revenue/tenants", limit=200, **params)
    assert page.status == 200, page.body
    found: dict[str, Any] = next(one for one in page.json["items"] if one["tenant_id"] == tenant)
    return found


def test_a_signed_message_is_an_event_in_the_stream(server: Server) -> None:
    answer = deliver(server, message("customer.subscription.created", subscription("a")))
    assert answer.results == ["stored"]
    (event,) = events_of(server, "tenant-a")
    assert (event["event_type"], event["source"]) == ("SUBSCRIPTION_STARTED", "stripe")
    assert event["metadata"]["price_usd"] == 99
    assert server.admin.get("/v1/tenants/tenant-a").json["price_usd"] == 99
    assert unit_of(server, "tenant-a")["mrr_usd"] == 99


def test_both_secrets_are_good_while_one_is_exchanged(server: Server) -> None:
    body = message("customer.subscription.created", subscription("b"))
    assert deliver(server, body, secret=OLDER).results == ["stored"]
    assert deliver(server, body, secret=SECRET).results == ["duplicate"]


def test_a_message_counts_once_however_often_it_comes(server: Server) -> None:
    body = message("customer.subscription.created", subscription("c", cancel_at_period_end=True))
    assert deliver(server, body).results == ["stored", "stored"]
    before = server.num_stored()
    for _ in range(3):
        assert deliver(server, body).results == ["duplicate", "duplicate"]
    assert server.num_stored() == before


def test_the_newest_state_wins_whatever_comes_last(server: Server) -> None:
    leaves = subscription("d", cancel_at_period_end=True)
    story = [
        message("customer.subscription.created", subscription("d"), days_ago=40),
        message(
            "customer.subscription.updated",
            subscription("d", status="past_due"),
            days_ago=20,
            before={"status": "active"},
        ),
        message("invoice.payment_failed", invoice("d"), days_ago=20),
        message(
            "customer.subscription.updated",
            subscription("d"),
            days_ago=18,
            before={"status": "past_due"},
        ),
        message(
            "customer.subscription.updated",
            leaves,
            days_ago=5,
            before={"cancel_at_period_end": False},
        ),
        message("customer.subscription.deleted", subscription("d", status="canceled"), days_ago=1),
    ]
    random.Random(4).shuffle(story)
    for body in story:
        assert set(deliver(server, body).results) == {"stored"}
    (one,) = unit_of(server, "tenant-d")["subscriptions"]
    assert (one["is_paid"], one["ended_at"]) == (False, "2026-03-11T12:00:00Z")
    (one,) = unit_of(server, "tenant-d", as_of="2026-03-08T00:00:00Z")["subscriptions"]
    assert (one["is_paid"], one["is_leaving"], one["payment_failed_at"]) == (True, True, None)
    (one,) = unit_of(server, "tenant-d", as_of="2026-02-21T00:00:00Z")["subscriptions"]
    assert (one["status"], one["is_leaving"]) == ("past_due", False)
    assert one["payment_failed_at"] == "2026-02-20T12:00:00Z"
    assert unit_of(server, "tenant-d")["subscribed_days"] == 29


def invoice(number: str, **changes: Any) -> dict[str, Any]:
    of = {"subscription": f"sub_{number}", "metadata": {"tenant_id": f"tenant-{number}"}}
    return {
        "id": f"in_{number}",
        "customer": f"cus_{number}",
        "currency": "usd",
        "amount_due": 9900,
        "attempt_count": 1,
        "parent": {"subscription_details": of},
    } | changes


def test_failed_payments_are_apart_from_a_decision_to_leave(server: Server) -> None:
    before = server.admin.get("/ops/revenue").json
    for number, details in (
        ("e", {"reason": "payment_failed"}),
        ("f", {"reason": "cancellation_requested", "feedback": "too_expensive"}),
    ):
        deliver(server, message("customer.subscription.created", subscription(number), days_ago=9))
        gone = subscription(number, status="canceled", cancellation_details=details)
        deliver(server, message("customer.subscription.deleted", gone, days_ago=1))
    after = server.admin.get("/ops/revenue").json
    lost = after["churned_mrr_30d_usd"] - before["churned_mrr_30d_usd"]
    by_payment = [body["churned_by_failed_payment"]["mrr_usd"] for body in (before, after)]
    assert (lost, by_payment[1] - by_payment[0]) == (198, 99)
    labels = {one["label"]: one["mrr_usd"] for one in after["churn_labels"]}
    assert (labels["too_expensive"], labels["payment_failed"]) == (99, 99)


def test_other_messages_are_acknowledged_and_leave_nothing(server: Server) -> None:
    before = server.num_stored()
    assert deliver(server, message("charge.refunded", {"id": "ch_1"})).results == []
    assert server.num_stored() == before


def test_what_cannot_be_read_waits_in_quarantine(server: Server) -> None:
    body = message("customer.subscription.created", {"id": "sub_x"})
    answer = deliver(server, body)
    assert (answer.results, answer.reasons) == (["quarantined"], ["invalid_stripe_event"])
    rows = server.admin.get("/v1/quarantine", door="stripe").json
    assert "sub_x" in json.dumps(rows)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Stripe-Signature": "t=1,v1=00"}, 400),
        ({"Stripe-Signature": ""}, 400),
        ({"Stripe-Signature": f"t={AT},v1={'0' * 64}"}, 400),
        ({"Stripe-Signature": "t=" + "9" * 30_000}, 400),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Length": "1048577"}, 413),
    ],
    ids=range(6),
)
def test_hostile_requests_leave_nothing(
    server: Server, change: dict[str, str], status: int
) -> None:
    body = message("customer.subscription.created", subscription("evil"))
    before = server.num_stored()
    headers = signed(body) | change
    answer = server.client().ask("POST", "/v1/webhooks/stripe", body, headers)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert server.num_stored() == before
    for secret in (SECRET, OLDER, signed(body)["Stripe-Signature"].partition("v1=")[2]):
        assert secret.encode() not in answer.body


def test_a_signature_is_of_the_very_bytes(server: Server) -> None:
    body = message("customer.subscription.created", subscription("evil"))
    headers = signed(body)
    for other in (body + b" ", body.replace(b"9900", b"1"), gzip.compress(body), b""):
        answer = server.client().ask("POST", "/v1/webhooks/stripe", other, headers)
        assert (answer.status, answer.json["code"]) == (400, "wrong-signature")


def test_an_old_signature_is_not_heard_again(server: Server) -> None:
    body = message("customer.subscription.created", subscription("evil"))
    assert deliver(server, body, at=AT - 301).status == 400
    assert deliver(server, body, at=AT + 301).status == 400
    assert deliver(server, body, secret="whsec_of_somebody_else").status == 400


def test_an_admin_key_does_not_stand_in_for_a_signature(server: Server) -> None:
    body = message("customer.subscription.created", subscription("evil"))
    answer = server.admin.post("/v1/webhooks/stripe", body)
    assert (answer.status, answer.json["code"]) == (400, "wrong-signature")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"x"', b"1e999"])
def test_signed_rubbish_is_no_fault(server: Server, body: bytes) -> None:
    assert deliver(server, body).status == 400


def test_nothing_is_acknowledged_before_it_is_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe sends again what is not acknowledged: a disk that is full loses nothing."""
    body = message("customer.subscription.created", subscription("g"))

    def refuse(_: object) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(server.house.services.events, "append", refuse)
        answer = deliver(server, body)
    assert answer.status == 503 and "retry-after" in answer.headers
    assert events_of(server, "tenant-g") == []
    assert deliver(server, body).results == ["stored"]


def test_without_a_secret_the_endpoint_is_closed(tmp_path: Path) -> None:
    for server in open_server(tmp_path / "data"):
        answer = deliver(server, message("customer.subscription.created", subscription("h")))
        assert (answer.status, answer.json["code"]) == (404, "not-found")
        assert server.num_stored() == 0
