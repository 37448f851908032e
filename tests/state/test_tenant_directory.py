"""The tenant directory: facts in any order settle into the same entry, on both engines."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebbtide.domain.errors import NotFound
from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import Scope
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.domain.tenant import (
    Contact,
    Fact,
    Origin,
    Provenance,
    Sighting,
    Tenant,
    facts_from_event,
    to_price_usd,
)
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.tables import TENANT_PASTS

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
DAY = timedelta(days=1)

instants = st.integers(0, 2).map(lambda n: AT + n * DAY)
values: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Acme", "Acme Ltd", "Ümläut \U0001f30a"]),
    "plan": st.sampled_from(["free", "pro"]),
    "price_usd": st.sampled_from([Decimal("0"), Decimal("49"), Decimal("49.00"), Decimal("1E+3")]),
    "started_at": instants,
    "cancelled_at": instants,
    "contacts": st.lists(
        st.builds(Contact, st.sampled_from(["Ada", None]), st.just("ada@acme.test")), max_size=2
    ).map(tuple),
}
facts = st.sampled_from(sorted(values)).flatmap(
    lambda name: st.builds(
        Fact, st.just(name), st.none() | values[name], instants, st.sampled_from(Origin)
    )
)


@st.composite
def two_tellings(draw: st.DrawFn) -> tuple[list[Fact], list[Fact]]:
    """The same facts twice: in another order and with repeats."""
    told = draw(st.lists(facts, max_size=8))
    repeats = draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    return told, draw(st.permutations(told + repeats))


@given(two_tellings())
def test_order_and_repeats_do_not_matter(tellings: tuple[list[Fact], list[Fact]]) -> None:
    one, other = tellings
    blank = Tenant(to_uuid_text("acme"), "acme", AT)
    at_once = blank.with_facts(one)
    one_by_one = blank
    for fact in other:
        one_by_one = one_by_one.with_facts([fact])
    assert at_once == one_by_one
    assert repr(at_once.price_usd) == repr(one_by_one.price_usd)
    assert at_once.with_facts(other) is at_once


_names = itertools.count(1)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(tellings=two_tellings(), cut=st.integers(0, 12))
def test_the_store_settles_as_the_domain_does(
    store: StateStore, tellings: tuple[list[Fact], list[Fact]], cut: int
) -> None:
    one, other = tellings
    tenant_id = f"tenant {next(_names)}"
    blank = Tenant(to_uuid_text(tenant_id), tenant_id, AT)
    store.tenants.remember([Sighting.of(tenant_id, AT, other[:cut])])
    store.tenants.remember([Sighting.of(tenant_id, AT, [fact]) for fact in other[cut:]])
    kept = store.tenants.get(tenant_id)
    assert kept == blank.with_facts(one)
    store.tenants.remember([Sighting.of(tenant_id, AT + DAY, one)])
    assert store.tenants.get(tenant_id) == kept


def test_the_newest_fact_counts_and_names_its_origin() -> None:
    blank = Tenant(to_uuid_text("acme"), "acme", AT)
    known = blank.with_facts(
        [
            Fact("plan", "pro", AT + DAY, Origin.EVENT),
            Fact("plan", "free", AT, Origin.API),
            Fact("name", "by event", AT, Origin.EVENT),
            Fact("name", "by hand", AT, Origin.API),
        ]
    )
    assert (known.plan, known.name) == ("pro", "by hand")
    assert known.provenance == {
        "plan": Provenance(Origin.EVENT, AT + DAY),
        "name": Provenance(Origin.API, AT),
    }
    assert known.updated_at == AT + DAY
    assert blank.updated_at == AT
    taken_back = known.with_facts([Fact("plan", None, AT + 2 * DAY, Origin.API)])
    assert taken_back.plan is None
    assert "plan" in taken_back.provenance


@pytest.mark.parametrize("said", [("free", "pro"), (None, "pro")])
def test_two_facts_of_one_instant_settle_the_same_way_in_either_order(
    said: tuple[str | None, str],
) -> None:
    blank = Tenant(to_uuid_text("acme"), "acme", AT)
    told = [Fact("plan", plan, AT, Origin.EVENT) for plan in said]
    assert blank.with_facts(told).plan == blank.with_facts(told[::-1]).plan == "pro"


@pytest.mark.parametrize(
    ("started", "cancelled", "expected"),
    [
        (None, None, None),
        (AT, None, False),
        (None, AT, True),
        (AT, AT, False),
        (AT, AT + timedelta(microseconds=1), True),
        (AT + timedelta(microseconds=1), AT, False),
    ],
)
def test_started_wins_at_the_same_instant(
    started: datetime | None, cancelled: datetime | None, expected: bool | None
) -> None:
    tenant = Tenant("u", "acme", AT, started_at=started, cancelled_at=cancelled)
    assert tenant.is_cancelled is expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "red"),
        ("name", 5),
        ("name", "a\0b"),
        ("plan", "\ud800"),
        ("price_usd", 49.0),
        ("price_usd", Decimal("NaN")),
        ("price_usd", Decimal("-0.01")),
        ("started_at", "2026-03-12"),
        ("started_at", datetime(2026, 3, 12)),
        ("contacts", [Contact("Ada")]),
        ("contacts", ("Ada",)),
    ],
)
def test_a_fact_of_the_wrong_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Fact(field, value, AT, Origin.API)


def event(event_type: str, at: datetime, plan: str | None = None, **metadata: Any) -> Event:
    nothing = dict.fromkeys(Event._fields)
    nothing |= {"event_type": event_type, "timestamp": at, "plan": plan}
    return Event(**{**nothing, "metadata_json": json.dumps(metadata)})  # type: ignore[arg-type]


def test_subscription_events_are_facts_and_others_are_not() -> None:
    started = event("SUBSCRIPTION_STARTED", AT, "pro", price_usd=49.9)
    assert facts_from_event(started) == [
        Fact("started_at", AT, AT, Origin.EVENT),
        Fact("plan", "pro", AT, Origin.EVENT),
        Fact("price_usd", Decimal("49.9"), AT, Origin.EVENT),
    ]
    cancelled = event("SUBSCRIPTION_CANCELLED", AT + DAY)
    assert facts_from_event(cancelled) == [Fact("cancelled_at", AT + DAY, AT + DAY, Origin.EVENT)]
    assert facts_from_event(event("API_CALL_RECEIVED", AT, "pro", price_usd=3)) == []


def test_an_old_price_does_not_live_on_under_a_new_plan() -> None:
    first = facts_from_event(event("SUBSCRIPTION_STARTED", AT, "pro", price_usd=49))
    second = facts_from_event(event("SUBSCRIPTION_STARTED", AT + DAY, "team"))
    for order in ([*first, *second], [*second, *first]):
        known = Tenant("u", "acme", AT).with_facts(order)
        assert (known.plan, known.price_usd, known.started_at) == ("team", None, AT + DAY)


def test_what_is_no_price_is_unknown() -> None:
    for value in (None, True, "n/a", "NaN", float("inf"), -1, [], {}, 10**5000, "\0"):
        assert to_price_usd(value) is None


def test_the_first_spelling_stays(store: StateStore) -> None:
    upper = "6F1F4F4E-9C5B-5D0E-8F0A-2B7D3C9A1E55"
    first = store.tenants.remember(
        [Sighting.of(upper, AT), Sighting.of(upper.lower(), AT), Sighting.of("acme", AT)]
    )
    assert first == {upper.lower(): upper, to_uuid_text("acme"): "acme"}
    again = store.tenants.remember([Sighting.of(upper.lower(), AT - DAY)])
    assert again == {upper.lower(): upper}
    kept = store.tenants.get(upper)
    assert (kept.tenant_id, kept.first_seen_at) == (upper, AT - DAY)
    store.tenants.remember([Sighting.of(upper, AT + DAY)])
    assert store.tenants.get(upper) == kept
    assert store.tenants.spellings([upper.lower(), "unknown"]) == {upper.lower(): upper}
    assert store.tenants.remember([]) == {}


def test_an_edit_by_hand_is_kept_whole(store: StateStore) -> None:
    edit = [
        Fact("name", "Acme \U0001f30a", AT, Origin.API),
        Fact("price_usd", Decimal("49.90"), AT, Origin.API),
        Fact("started_at", datetime(2026, 1, 1, tzinfo=timezone(5 * DAY / 24)), AT, Origin.API),
        Fact("contacts", (Contact("Ada", "ada@acme.test", "CTO"), Contact()), AT, Origin.API),
    ]
    put = store.tenants.put("acme", edit, AT)
    assert put == store.tenants.get("acme") == store.tenants.get(to_uuid_text("acme"))
    assert str(put.price_usd) == "49.90"
    assert put.started_at == datetime(2025, 12, 31, 19, tzinfo=UTC)
    assert put.contacts == (Contact("Ada", "ada@acme.test", "CTO"), Contact())
    assert put.plan is None
    emptied = store.tenants.put("acme", [Fact("contacts", (), AT + DAY, Origin.API)], AT + DAY)
    assert emptied.contacts == ()
    assert emptied.name == put.name


def test_an_entry_is_found_as_it_was_known(store: StateStore) -> None:
    """Names, contacts and what people entered; what events say is read from the events."""
    uuid = to_uuid_text("acme")
    told = [
        [("name", "Acme", Origin.EVENT)],
        [("plan", "pro", Origin.API), ("price_usd", Decimal("49.50"), Origin.API)],
        [("contacts", (Contact("Ada", None, "CTO"),), Origin.API)],
        [("plan", "free", Origin.EVENT)],
        [("name", None, Origin.API)],
    ]
    known = []
    for day, said in enumerate(told):
        at = AT + day * DAY
        store.tenants.put("acme", [Fact(name, value, at, by) for name, value, by in said], at)
        known.append(store.tenants.get(uuid))
    for day, then in enumerate(known):
        found = store.tenants.find([uuid], AT + day * DAY + DAY / 2)
        assert found == {uuid: then}
    before = store.tenants.find([uuid], AT - DAY)[uuid]
    assert (before.name, before.contacts, before.plan) == (None, None, None)
    assert store.tenants.find([uuid])[uuid] == known[-1]
    store.tenants.put("acme", [Fact("started_at", AT, AT + 9 * DAY, Origin.EVENT)], AT + 9 * DAY)
    with store._database.read() as connection:  # what only events say needs no past
        assert connection.scalar(sa.select(sa.func.count()).select_from(TENANT_PASTS)) == len(told)
    store.erase_tenant("acme", AT + 9 * DAY)
    with store._database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(TENANT_PASTS)) == 0


def test_many_tenants_at_once_are_listed_by_code_point(store: StateStore) -> None:
    ids = [f"{letter}{n}" for letter in "aBcÄz~\U0001f30a" for n in range(30)] + [
        "a b",
        "a-b",
        "a_b",
    ]
    spellings = store.tenants.remember([Sighting.of(one, AT) for one in ids])
    assert sorted(spellings.values()) == sorted(ids)
    listed: list[str] = []
    after = None
    while page := store.tenants.list(after=after, limit=50):
        listed += [tenant.tenant_id for tenant in page]
        after = page[-1].tenant_id
    assert listed == sorted(ids)
    assert store.tenants.list(after="\0\ud800", limit=1) != []


def test_an_unknown_tenant_is_not_found(store: StateStore) -> None:
    with pytest.raises(NotFound):
        store.tenants.get("nobody \0")
    assert store.tenants.delete("nobody") is False


def test_a_deleted_entry_is_gone_but_not_erased(store: StateStore) -> None:
    store.tenants.put("acme", [], AT)
    assert store.tenants.delete(to_uuid_text("acme")) is True
    assert store.tenants.list() == []
    assert store.tenants.erased_at("acme") is None


def test_erasure_takes_everything_of_one_tenant_and_is_remembered(store: StateStore) -> None:
    for tenant in ("acme", "globex"):
        store.tenants.put(tenant, [Fact("name", tenant, AT, Origin.API)], AT)
        store.quarantine.add([QuarantineEntry(AT, "http", "conflict", tenant.encode(), tenant)])
        store.keys.create(f"of {tenant}", {Scope.INGEST}, AT, tenant_id=tenant)
    store.keys.create("of all", {Scope.INGEST}, AT)
    gone = store.erase_tenant(to_uuid_text("acme"), AT + DAY)
    assert (gone.num_quarantine_rows, gone.num_keys) == (1, 1)
    assert [tenant.tenant_id for tenant in store.tenants.list()] == ["globex"]
    assert [row.entry.raw for row in store.quarantine.list_newest()] == [b"globex"]
    assert {key.name for key in store.keys.list()} == {"of globex", "of all"}
    assert store.tenants.erased_at("acme") == AT + DAY
    assert store.tenants.erased_at("globex") is None
    store.erase_tenant("acme", AT)
    assert store.tenants.erasures() == {to_uuid_text("acme"): AT + DAY}
