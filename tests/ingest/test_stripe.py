"""What Stripe says becomes events; what nobody can read waits, and nothing is made up."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.errors import BadRequest, WrongSignature
from ebbtide.domain.event import Event
from ebbtide.ingest.stripe import INVALID, StripeEndpoint, read
from ebbtide.ingest.stripe_signature import check_signature
from ebbtide.ingest.validate import Validator
from example_counts import examples

AT = 1_772_353_800  # 2026-03-01T08:30:00Z
NOW = datetime.fromtimestamp(AT, UTC) + timedelta(seconds=2)
ENDPOINT = StripeEndpoint((b"whsec_0123456789abcdef",))
VALIDATOR = Validator(load_catalog())


def subscription(**changes: Any) -> dict[str, Any]:
    price = {
        "id": "price_1",
        "lookup_key": "pro",
        "unit_amount": 9900,
        "unit_amount_decimal": "9900",
        "currency": "usd",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    }
    return {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "currency": "usd",
        "cancel_at": None,
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "created": AT - 90 * 86_400,
        "start_date": AT - 90 * 86_400,
        "discounts": [],
        "items": {
            "data": [{"price": price, "quantity": 1, "current_period_end": AT + 86_400}],
            "has_more": False,
        },
        "metadata": {"tenant_id": "acme"},
    } | changes


def message(
    kind: str,
    thing: Any,
    before: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    data = {"object": thing} | ({} if before is None else {"previous_attributes": before})
    whole = {"id": "evt_1", "object": "event", "type": kind, "created": AT, "livemode": True}
    return json.dumps(whole | {"data": data} | changes).encode()


def fields(body: bytes) -> list[dict[str, Any]]:
    """What a message says, each part of it accepted by the validator."""
    found = []
    for one in read(body, ENDPOINT):
        assert one.fields is not None, one.reason
        event = VALIDATOR.check(one.fields, received_at=NOW, default_source="stripe")
        assert isinstance(event, Event), event
        found.append(one.fields)
    return found


def types(kind: str, thing: Any, before: dict[str, Any] | None = None) -> list[str]:
    return [
        one["event_type"] for one in fields(message(f"customer.subscription.{kind}", thing, before))
    ]


# -- subscriptions -----------------------------------------------------------------------------


def test_a_subscription_that_begins_is_a_start_with_plan_and_price() -> None:
    (found,) = fields(message("customer.subscription.created", subscription()))
    assert found["event_type"] == "SUBSCRIPTION_STARTED"
    assert (found["event_id"], found["tenant_id"], found["entity_id"]) == ("evt_1", "acme", "sub_1")
    assert found["timestamp"] == "2026-03-01T08:30:00Z"
    about = found["metadata"]
    assert (about["plan"], about["price_usd"], about["status"]) == ("pro", 99.0, "active")


@pytest.mark.parametrize(
    ("kind", "changes", "before", "expected"),
    [
        ("created", {"status": "incomplete"}, None, ["BILLING_UPDATED"]),
        ("created", {"status": "trialing"}, None, ["BILLING_UPDATED"]),
        ("updated", {}, {"status": "trialing"}, ["SUBSCRIPTION_STARTED"]),
        ("updated", {}, {"status": "incomplete"}, ["SUBSCRIPTION_STARTED"]),
        ("updated", {}, {"status": "past_due"}, ["BILLING_UPDATED"]),
        ("updated", {"status": "past_due"}, {"status": "active"}, ["BILLING_UPDATED"]),
        ("updated", {}, {"items": {"data": []}}, ["SUBSCRIPTION_STARTED"]),
        ("updated", {"status": "unpaid"}, {"quantity": 2}, ["BILLING_UPDATED"]),
        ("updated", {}, {"status": []}, ["BILLING_UPDATED"]),
        ("updated", {}, {"status": {}}, ["BILLING_UPDATED"]),
        ("updated", {}, {"metadata": {}}, ["BILLING_UPDATED"]),
        ("paused", {"status": "paused"}, None, ["BILLING_UPDATED"]),
        ("deleted", {"status": "canceled"}, None, ["SUBSCRIPTION_CANCELLED"]),
        (
            "updated",
            {"cancel_at_period_end": True},
            {"cancel_at_period_end": False},
            ["BILLING_UPDATED", "CANCELLATION_SCHEDULED"],
        ),
        (
            "updated",
            {"cancel_at": AT + 9},
            {"cancel_at": None},
            ["BILLING_UPDATED", "CANCELLATION_SCHEDULED"],
        ),
        (
            "updated",
            {},
            {"cancel_at_period_end": True},
            ["BILLING_UPDATED", "CANCELLATION_WITHDRAWN"],
        ),
        ("updated", {"cancel_at_period_end": True}, {"metadata": {}}, ["BILLING_UPDATED"]),
        (
            "created",
            {"cancel_at_period_end": True},
            None,
            ["SUBSCRIPTION_STARTED", "CANCELLATION_SCHEDULED"],
        ),
        ("trial_will_end", {}, None, []),
    ],
)
def test_what_each_change_is(
    kind: str, changes: dict[str, Any], before: dict[str, Any] | None, expected: list[str]
) -> None:
    assert types(kind, subscription(**changes), before) == expected


def test_the_intent_to_leave_says_when_and_why() -> None:
    details = {"feedback": "too_expensive", "comment": "sorry", "reason": "cancellation_requested"}
    thing = subscription(cancel_at_period_end=True, cancellation_details=details)
    body = message("customer.subscription.updated", thing, {"cancel_at_period_end": False})
    state, intent = fields(body)
    assert intent["event_id"] == "evt_1:cancellation" != state["event_id"]
    assert intent["metadata"]["leaves_at"] == "2026-03-02T08:30:00Z"
    assert intent["metadata"]["feedback"] == "too_expensive"
    assert intent["metadata"]["is_leaving"] is state["metadata"]["is_leaving"] is True


def test_an_end_keeps_the_label_and_tells_failed_payments_apart() -> None:
    for details, reason, is_involuntary in (
        ({"feedback": "unused", "reason": "cancellation_requested"}, "unused", False),
        ({"feedback": None, "reason": "payment_failed"}, "payment_failed", True),
    ):
        thing = subscription(status="canceled", cancellation_details=details)
        (found,) = fields(message("customer.subscription.deleted", thing))
        about = found["metadata"]
        assert (about["reason"], about["is_involuntary"]) == (reason, is_involuntary)
        assert about["tenure_days"] == 90


def priced(*items: dict[str, Any], quantity: Any = 1, **changes: Any) -> float | None:
    data = [{"price": {"currency": "usd", **one}, "quantity": quantity} for one in items]
    thing = subscription(items={"data": data}, **changes)
    (found,) = fields(message("customer.subscription.created", thing))
    price: float | None = found["metadata"].get("price_usd")
    return price


def every(interval: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {"recurring": {"interval": interval, "interval_count": count} | more}


def test_prices_are_of_30_days() -> None:
    assert priced({"unit_amount": 9900, **every("month")}) == 99
    assert priced({"unit_amount": 120_000, **every("year")}) == 100
    assert priced({"unit_amount": 30_000, **every("month", 3)}) == 100
    assert priced({"unit_amount": 700, **every("week")}) == 30
    assert priced({"unit_amount": 100, **every("day")}) == 30
    assert priced({"unit_amount_decimal": "0.5", **every("month")}, quantity=1000) == 5
    assert (
        priced({"unit_amount": 900, **every("month")}, {"unit_amount": 100, **every("month")}) == 10
    )
    assert priced({"unit_amount": 0, **every("month")}) == 0


@pytest.mark.parametrize(
    "item",
    [
        {"unit_amount": None, **every("month")},
        {"unit_amount": 100, **every("month", usage_type="metered")},
        {"unit_amount": 100, **every("fortnight")},
        {"unit_amount": 100},
        {"unit_amount": -1, **every("month")},
        {"unit_amount": True, **every("month")},
        {"unit_amount_decimal": "NaN", **every("month")},
        {"unit_amount_decimal": "1e400", **every("month")},
        {"unit_amount": 100, **every("month", 0)},
        {"unit_amount": 100, "currency": "eur", **every("month")},
    ],
    ids=str,
)
def test_a_price_that_is_not_known_is_not_said(item: dict[str, Any]) -> None:
    assert priced(item) is None
    assert priced({"unit_amount": 100, **every("month")}, item) is None


def test_another_currency_has_no_price_in_usd() -> None:
    assert priced({"unit_amount": 100, "currency": "eur", **every("month")}, currency="eur") is None


# -- whose it is -------------------------------------------------------------------------------


def test_the_tenant_is_named_in_metadata_or_is_the_customer() -> None:
    def tenant(**changes: Any) -> str:
        (found,) = fields(message("customer.subscription.created", subscription(**changes)))
        return str(found["tenant_id"])

    assert tenant() == "acme"
    assert tenant(metadata={}) == "cus_1"
    assert tenant(metadata={"tenant_id": ""}) == "cus_1"
    assert tenant(metadata={}, customer={"id": "cus_2", "metadata": {}}) == "cus_2"
    expanded = {"id": "cus_2", "metadata": {"tenant_id": "beta"}}
    assert tenant(metadata={}, customer=expanded) == "beta"


# -- payments ----------------------------------------------------------------------------------


def invoice(**changes: Any) -> dict[str, Any]:
    of = {"subscription": "sub_1", "metadata": {"tenant_id": "acme"}}
    return {
        "id": "in_1",
        "customer": "cus_1",
        "currency": "usd",
        "amount_due": 9900,
        "amount_paid": 9900,
        "attempt_count": 2,
        "next_payment_attempt": AT + 86_400,
        "billing_reason": "subscription_cycle",
        "parent": {"type": "subscription_details", "subscription_details": of},
    } | changes


def test_a_failed_payment_is_an_event_of_its_own_kind() -> None:
    (found,) = fields(message("invoice.payment_failed", invoice()))
    assert (found["event_type"], found["tenant_id"]) == ("PAYMENT_FAILED", "acme")
    about = found["metadata"]
    assert (about["subscription_id"], about["attempt_count"]) == ("sub_1", 2)
    assert (about["amount_usd"], about["next_attempt_at"]) == (99.0, "2026-03-02T08:30:00Z")


def test_older_versions_name_the_subscription_elsewhere() -> None:
    old = invoice(
        parent=None,
        subscription="sub_1",
        subscription_details={"metadata": {"tenant_id": "acme"}},
    )
    (found,) = fields(message("invoice.payment_failed", old))
    assert (found["tenant_id"], found["metadata"]["subscription_id"]) == ("acme", "sub_1")


def test_only_a_payment_that_had_failed_recovers() -> None:
    (found,) = fields(message("invoice.paid", invoice()))
    assert found["event_type"] == "PAYMENT_RECOVERED"
    assert fields(message("invoice.paid", invoice(attempt_count=1))) == []


# -- odd messages ------------------------------------------------------------------------------


def test_other_messages_are_none_of_ours() -> None:
    assert read(message("charge.refunded", {"id": "ch_1"}), ENDPOINT) == []


@pytest.mark.parametrize(
    "body",
    [
        message("customer.subscription.created", None),
        message("customer.subscription.created", []),
        message("customer.subscription.created", subscription(id=5)),
        message("customer.subscription.created", subscription(status=None)),
        message("customer.subscription.created", subscription(customer=None, metadata=None)),
        message("customer.subscription.created", subscription(), created="yesterday"),
        message("customer.subscription.created", subscription(), created=True),
        message("customer.subscription.created", subscription(), created=2**60),
        message("customer.subscription.created", subscription(), id=None),
        message("customer.subscription.updated", subscription(), data=7),
        message("invoice.payment_failed", {"id": "in_1"}),
        message("invoice.payment_failed", invoice(id="x" * 201)),
        message("nothing", {}, type=None),
        b"{}",
    ],
    ids=range(14),
)
def test_what_cannot_be_read_waits_as_it_came(body: bytes) -> None:
    (found,) = read(body, ENDPOINT)
    assert (found.fields, found.raw, found.reason) == (None, body, INVALID)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body, ENDPOINT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
KINDS = st.sampled_from(
    [
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "invoice.payment_failed",
        "invoice.paid",
    ]
)


@settings(max_examples=examples(150), deadline=None)
@given(
    KINDS, st.dictionaries(st.sampled_from([*subscription(), *invoice()]), JSON, max_size=4), JSON
)
def test_no_message_is_too_odd(kind: str, changes: dict[str, Any], before: Any) -> None:
    thing = (invoice if kind.startswith("invoice") else subscription)() | changes
    data = {"object": thing, "previous_attributes": before}
    for one in read(message(kind, None, data=data), ENDPOINT):
        assert (one.fields is None) == (one.reason is not None)
        if one.fields is not None:
            VALIDATOR.check(one.fields, received_at=NOW, default_source="stripe")


# -- signatures --------------------------------------------------------------------------------

SECRET, OTHER = b"whsec_0123456789abcdef", b"whsec_fedcba9876543210"
BODY = b'{"id": "evt_1"}'


def signature(body: bytes = BODY, secret: bytes = SECRET, at: int = AT) -> str:
    return hmac.new(secret, b"%d.%s" % (at, body), sha256).hexdigest()


def check(header: str, body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,)) -> None:
    check_signature(header, body, secrets, datetime.fromtimestamp(AT, UTC))


def test_a_signature_of_any_secret_in_use_holds() -> None:
    check(f"t={AT},v1={signature()}")
    check(f"t={AT},v1={signature()}", secrets=(OTHER, SECRET))
    check(f"t={AT},v1={signature(secret=OTHER)},v1={signature()},v0=abc")


def test_the_published_example_of_the_scheme_holds() -> None:
    """A value worked out by hand: HMAC-SHA256 of "1.{}" with the key "whsec_test_secret_123"."""
    expected = "".join(
        f"{byte:02x}" for byte in hmac.digest(b"whsec_test_secret_123", b"1.{}", "sha256")
    )
    check_signature(
        f"t=1,v1={expected}", b"{}", (b"whsec_test_secret_123",), datetime.fromtimestamp(1, UTC)
    )


def test_five_minutes_are_the_tolerance() -> None:
    for away in (-300, 300):
        check(f"t={AT + away},v1={signature(at=AT + away)}")
    for away in (-301, 301):
        with pytest.raises(WrongSignature, match="300 s"):
            check(f"t={AT + away},v1={signature(at=AT + away)}")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=,v1=",
        f"v1={signature()}",
        f"t={AT}",
        f"t={AT},v1=",
        f"t={AT},v1={signature(secret=OTHER)}",
        f"t={AT},v1={signature(body=BODY + b' ')}",
        f"t={AT + 1},v1={signature()}",
        f"t={AT},t={AT},v1={signature()}",
        f"t={AT},v0={signature()}",
        f"t={AT},v1={signature().upper()}",
        f"t={AT},v1={signature()[:-1]}",
        f"t={AT},v1=é{signature()}",
        f"t=+{AT},v1={signature()}",
        f"t={'9' * 5000},v1={signature()}",
        f"t=١٢٣,v1={signature()}",
        f"t={AT}," + ",".join(["v1=00"] * 16) + f",v1={signature()}",
    ],
    ids=range(17),
)
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(WrongSignature) as refused:
        check(header)
    assert SECRET.decode() not in str(refused.value)
    assert signature() not in str(refused.value)


def test_a_closed_endpoint_accepts_nothing() -> None:
    with pytest.raises(WrongSignature):
        check(f"t={AT},v1={signature()}", secrets=())


def test_secrets_do_not_show() -> None:
    assert SECRET.decode() not in repr(StripeEndpoint((SECRET,)))
