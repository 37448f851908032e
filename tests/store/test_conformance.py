"""What every event store engine promises, shown once and run on all of them."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from ebbtide.domain.errors import QueryError, StoreRefused
from ebbtide.domain.event import Event, Outcome
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore, to_batch
from ebbtide.store.events.relations import event_counts
from event_factory import NOON, make_event, make_full_event, make_many, stored_ids
from homes import Home

US = timedelta(microseconds=1)
STORED, DUPLICATE, CONFLICT = Outcome.STORED, Outcome.DUPLICATE, Outcome.CONFLICT


def put(store: EventStore, *events: Event) -> list[Outcome]:
    """Append events and return what became of each."""
    return [Outcome(value) for value in store.append(to_batch(events))]


def read_back(store: EventStore) -> list[Event]:
    """All stored events, by the order of their timestamps."""
    rows = store.query(f"SELECT {', '.join(EVENT_COLUMNS)} FROM events ORDER BY timestamp")
    return [Event(row[0], row[1] or row[0], *row[2:]) for row in rows]


def count(store: EventStore, where: str, **params: Any) -> int:
    """How many events meet a condition."""
    number: int = store.query(f"SELECT COUNT(*) FROM events WHERE {where}", params)[0][0]
    return number


# -- what goes in comes out ----------------------------------------------------------------


def test_every_column_comes_back_as_it_went_in(store: EventStore) -> None:
    event = make_full_event()
    assert put(store, event) == [STORED]
    (found,) = read_back(store)
    assert found == event
    assert [type(value) for value in found] == [type(value) for value in event]


def test_what_was_not_said_comes_back_as_none(store: EventStore) -> None:
    event = make_event()
    put(store, event)
    (found,) = read_back(store)
    assert found == event
    assert found.cost_usd is None and found.latency_ms is None and found.user_id is None


def test_zero_and_empty_text_are_not_none(store: EventStore) -> None:
    event = make_event(cost_usd=Decimal(0), latency_ms=0, user_id="", model="", tokens_in=0)
    put(store, event)
    (found,) = read_back(store)
    assert found == event
    assert (found.cost_usd, found.latency_ms, found.user_id, found.model) == (0, 0, "", "")


@pytest.mark.parametrize(
    "cost",
    ["0.0000000001", "-0.0000000001", "0.1", "1.0000000000", "99999999.9999999999", "12345678"],
)
def test_cost_is_exact_to_ten_decimals(store: EventStore, cost: str) -> None:
    put(store, make_event(cost_usd=Decimal(cost)))
    ((found,),) = store.query("SELECT cost_usd FROM events")
    assert isinstance(found, Decimal)
    assert found == Decimal(cost)


def test_sums_of_cost_are_exact_where_floats_are_not(store: EventStore) -> None:
    cents = [
        Decimal("0.1"),
        Decimal("0.2"),
        Decimal("99999999.9999999999"),
        Decimal("0.0000000001"),
    ]
    put(store, *[make_event(f"e{i}", cost_usd=cost) for i, cost in enumerate(cents)])
    ((total,),) = store.query("SELECT SUM(cost_usd) FROM events")
    assert isinstance(total, Decimal)
    assert total == Decimal("100000000.3000000000")


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, microsecond=1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 0, 0, 1, tzinfo=UTC),  # summer time begins in Europe
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),  # a local hour that comes twice in Berlin
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    ],
    ids=str,
)
def test_moments_keep_their_microseconds_and_utc(store: EventStore, moment: datetime) -> None:
    put(store, make_event(timestamp=moment))
    (found,) = read_back(store)
    assert found.timestamp == moment
    assert found.timestamp.utcoffset() == timedelta(0)
    assert found.received_at == moment + timedelta(seconds=1)


def test_offsets_are_only_another_way_to_say_the_same_moment(store: EventStore) -> None:
    berlin = timezone(timedelta(hours=1))
    put(store, make_event(timestamp=NOON.astimezone(berlin)))
    assert count(store, "timestamp = :noon", noon=NOON) == 1
    assert count(store, "timestamp = :noon", noon=NOON.astimezone(berlin)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "ünïcödé",
        "日本語",
        "🦀" * 50,
        "a'b\"c`d",
        "back\\slash \\N \\. \\x00 \\t",
        "tab\tnew\nline\rreturn",
        "\\.",
        "\n\\.\n",
        "  spaces  ",
        "{curly,braces}",
        "%s %(x)s :name $1 ?",
        "x" * 200,
        "\u200b\u202e\ufeff",
        "e\u0301 is not \u00e9",
        "\x01\x1f\x7f",
        "NULL",
    ],
    ids=ascii,
)
def test_texts_come_back_unchanged_and_are_found(store: EventStore, text: str) -> None:
    event = make_event(text, tenant_id=text, user_id=text, entity_id=text, model=text)
    put(store, event)
    (found,) = read_back(store)
    assert found == event
    assert found.event_id == text
    assert count(store, "user_id = :text AND tenant_id IN (:text)", text=text) == 1


def test_event_id_is_null_in_the_table_when_it_is_the_uuid_itself(store: EventStore) -> None:
    uuid = "0190f3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6"
    put(store, make_event(uuid), make_event("named", timestamp=NOON + US))
    rows = store.query("SELECT event_uuid, event_id FROM events ORDER BY timestamp")
    assert rows == [(uuid, None), (make_event("named").event_uuid, "named")]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": None},
        {"a": {"b": [1, 2, {"c": None}], "d": {}}, "e": []},
        {"whole": 1, "float": 1.0, "tiny": 5e-324, "huge": 1.7976931348623157e308, "ten": 1e23},
        {"big": 2**200, "negative": -(2**64), "edge": 2**53 + 1},
        {"zero": 0, "minus_zero": -0.0, "true": True, "false": False, "empty": ""},
        {"text": "quotes \" ' back\\slash / new\nline tab\t nul-free \u0001", "üñ": "日本 🦀"},
        {"__proto__": "x", "": "empty key", " ": "blank", "a.b": 1, "a": {"b": 2}, "$x": 3},
        {"deep": json.loads("[" * 30 + "]" * 30)},
        {"long": "x" * 100_000},
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_metadata_comes_back_as_json_text_of_an_equal_object(
    store: EventStore, metadata: dict[str, Any]
) -> None:
    put(store, make_event(metadata_json=json.dumps(metadata, separators=(",", ":"))))
    ((text,),) = store.query("SELECT metadata FROM events")
    assert isinstance(text, str)
    found = json.loads(text)
    assert found == metadata
    assert _kinds(found) == _kinds(metadata)  # 1, 1.0 and true are equal in Python


def _kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_kinds(item) for item in value]
    return type(value)


@pytest.mark.parametrize("time_ordered_ids", [False, True], ids=["random ids", "ordered ids"])
def test_a_large_batch_is_stored_whole(store: EventStore, time_ordered_ids: bool) -> None:
    events = make_many(20_000, seed=1, time_ordered_ids=time_ordered_ids)
    batch = to_batch(events)
    assert (store.append(batch) == STORED).all()
    assert sorted(stored_ids(store, "tenant-3")) == sorted(
        event.event_uuid for event in events if event.tenant_id == "tenant-3"
    )
    totals = "SELECT COUNT(*), SUM(cost_usd), SUM(latency_ms), MIN(timestamp), MAX(received_at)"
    assert store.query(f"{totals} FROM events") == [
        (
            20_000,
            sum(event.cost_usd for event in events if event.cost_usd is not None),
            sum(event.latency_ms for event in events if event.latency_ms is not None),
            min(event.timestamp for event in events),
            max(event.received_at for event in events),
        )
    ]
    assert (store.append(batch) == DUPLICATE).all()
    assert count(store, "1 = 1") == 20_000


# -- never twice ---------------------------------------------------------------------------


def test_a_repeat_is_a_duplicate_whenever_it_comes(home: Home, store: EventStore) -> None:
    event = make_full_event()
    assert put(store, event, event) == [STORED, DUPLICATE]
    assert put(store, event) == [DUPLICATE]
    store = home.reopen(store)
    assert put(store, event) == [DUPLICATE]
    assert read_back(store) == [event]


def test_repeats_amid_new_events_are_told_apart(store: EventStore) -> None:
    old = [make_event(f"old{i}", timestamp=NOON + i * US) for i in range(5)]
    new = [make_event(f"new{i}", timestamp=NOON + i * US) for i in range(5)]
    put(store, *old)
    mixed = [old[0], new[0], old[1], new[1], new[0], old[0], new[2]]
    assert put(store, *mixed) == [
        DUPLICATE, STORED, DUPLICATE, STORED, DUPLICATE, DUPLICATE, STORED,
    ]  # fmt: skip
    assert count(store, "1 = 1") == 8


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": NOON + US},
        {"event_type": "LOGOUT"},
        {"user_id": "another"},
        {"user_id": None},
        {"session_id": "another"},
        {"entity_type": "replay"},
        {"entity_id": "another"},
        {"severity": 4},
        {"latency_ms": 1235},
        {"cost_usd": Decimal("0.0123456788")},
        {"cost_usd": None},
        {"metadata_json": '{"model":"m-2"}'},
        {"metadata_json": '{"model":"m-1","extra":null}'},
        {"metadata_json": "{}"},
        {"model": "m-2"},
        {"plan": None},
    ],
    ids=str,
)
def test_other_content_under_a_known_id_is_a_conflict_and_the_first_is_kept(
    home: Home, store: EventStore, change: dict[str, Any]
) -> None:
    first = make_full_event(timestamp=NOON, metadata_json='{"model":"m-1"}')
    other = first._replace(**change)
    assert put(store, first) == [STORED]
    assert put(store, other) == [CONFLICT]
    assert put(store, other, first) == [CONFLICT, DUPLICATE]
    assert read_back(store) == [first]
    store = home.reopen(store)
    assert put(store, other) == [CONFLICT]
    assert read_back(store) == [first]


def test_a_conflict_inside_one_batch_meets_the_first_row(store: EventStore) -> None:
    first = make_event(user_id="one")
    second = make_event(user_id="two")
    assert put(store, first, second, first, second) == [STORED, CONFLICT, DUPLICATE, CONFLICT]
    assert read_back(store) == [first]


@pytest.mark.parametrize(
    "again",
    [
        {"received_at": NOON + timedelta(days=1)},
        {"source": "import"},
        {"metadata_json": '{ "b": [1.0, 2], "a": 1 }'},
        {"cost_usd": Decimal("0.5000000000")},
        {"timestamp": NOON.astimezone(timezone(timedelta(hours=-5)))},
    ],
    ids=str,
)
def test_the_same_said_in_another_way_is_a_duplicate(
    store: EventStore, again: dict[str, Any]
) -> None:
    first = make_event(metadata_json='{"a":1,"b":[1,2]}', cost_usd=Decimal("0.5"), received_at=NOON)
    assert put(store, first) == [STORED]
    assert put(store, first._replace(**again)) == [DUPLICATE]
    assert read_back(store) == [first]


def test_numbers_that_no_float_holds_are_still_duplicates_of_themselves(store: EventStore) -> None:
    event = make_event(metadata_json='{"a":1e23,"b":1e300,"c":18446744073709551617,"d":0.1}')
    assert put(store, event) == [STORED]
    assert put(store, event) == [DUPLICATE]


def test_one_event_id_in_two_tenants_is_two_events(store: EventStore) -> None:
    ours, theirs = make_event("same", tenant_id="ours"), make_event("same", tenant_id="theirs")
    assert put(store, ours, theirs) == [STORED, STORED]
    assert put(store, theirs, ours) == [DUPLICATE, DUPLICATE]
    assert stored_ids(store, "ours") == stored_ids(store, "theirs") == [ours.event_uuid]


def test_tenants_that_look_alike_are_not_one(store: EventStore) -> None:
    tenants = ["acme", "Acme", "acme ", " acme", "acmé", "acme\u0301", "ACME"]
    events = [make_event("same", tenant_id=tenant) for tenant in tenants]
    assert put(store, *events) == [STORED] * len(tenants)
    rows = store.query("SELECT tenant_id, COUNT(*) FROM events GROUP BY tenant_id")
    assert dict(rows) == dict.fromkeys(tenants, 1)


def test_a_repeat_is_found_whatever_lies_between(store: EventStore) -> None:
    early = make_event("early", timestamp=NOON - timedelta(days=400))
    put(store, early)
    put(store, *make_many(3_000, seed=2))
    assert put(store, early) == [DUPLICATE]
    assert put(store, early._replace(timestamp=NOON)) == [CONFLICT]


def test_a_batch_in_any_order_of_time_is_stored(store: EventStore) -> None:
    events = make_many(500, seed=3)
    random.Random(3).shuffle(events)
    assert (store.append(to_batch(events)) == STORED).all()
    assert sorted(read_back(store)) == sorted(events)


def test_a_slice_of_a_batch_is_a_batch(store: EventStore) -> None:
    full = [make_full_event(f"f{i}", timestamp=NOON + i * US) for i in range(4)]
    plain = [make_event(f"p{i}", timestamp=NOON - i * US) for i in range(4)]
    events = [*full, *plain, *full[:1]]
    batch = to_batch(events)
    assert list(store.append(batch.slice(2, 5))) == [STORED] * 5
    assert sorted(read_back(store), key=str) == sorted(events[2:7], key=str)
    assert list(store.append(batch.slice(1))) == [STORED, *[DUPLICATE] * 5, STORED, STORED]


def test_an_empty_batch_changes_nothing(store: EventStore) -> None:
    assert len(store.append(to_batch([make_event()]).slice(0, 0))) == 0
    assert count(store, "1 = 1") == 0


def test_a_row_the_engine_refuses_stores_nothing_of_its_batch(store: EventStore) -> None:
    """No engine is asked to take what validation refuses; one that would refuse says so."""
    try:
        outcomes = put(store, make_event("good"), make_event("bad", user_id="a\0b"))
    except StoreRefused:
        assert count(store, "1 = 1") == 0
        assert put(store, make_event("good")) == [STORED]
    else:
        assert outcomes == [STORED, STORED]
        assert count(store, "user_id = :nul", nul="a\0b") == 1


# -- moments and windows -------------------------------------------------------------------


def test_a_window_is_open_at_its_start_and_closed_at_its_end(store: EventStore) -> None:
    start, as_of = NOON, NOON + timedelta(hours=1)
    moments = [start - US, start, start + US, as_of - US, as_of, as_of + US]
    put(store, *[make_event(f"e{i}", timestamp=moment) for i, moment in enumerate(moments)])
    inside = store.query(
        "SELECT timestamp FROM events WHERE timestamp > :start AND timestamp <= :as_of"
        " ORDER BY timestamp",
        {"start": start, "as_of": as_of},
    )
    assert [row[0] for row in inside] == moments[2:5]


def test_neighbouring_windows_share_no_event_and_lose_none(store: EventStore) -> None:
    edge = NOON
    moments = [edge - US, edge, edge + US]
    put(store, *[make_event(f"e{i}", timestamp=moment) for i, moment in enumerate(moments)])
    day = timedelta(days=1)
    where = "timestamp > :start AND timestamp <= :as_of"
    before = count(store, where, start=edge - day, as_of=edge)
    after = count(store, where, start=edge, as_of=edge + day)
    assert (before, after) == (2, 1)


def test_late_events_count_in_the_window_in_which_they_happened(store: EventStore) -> None:
    put(store, make_event("now"))
    late = make_event("late", timestamp=NOON - timedelta(days=30), received_at=NOON)
    assert put(store, late) == [STORED]
    window = {"start": NOON - timedelta(days=31), "as_of": NOON - timedelta(days=29)}
    assert count(store, "timestamp > :start AND timestamp <= :as_of", **window) == 1


def test_what_was_known_at_a_moment_can_be_asked_later(store: EventStore) -> None:
    day = timedelta(days=1)
    in_time = make_event("in time", timestamp=NOON, received_at=NOON)
    on_the_edge = make_event("edge", timestamp=NOON, received_at=NOON + day)
    too_late = make_event("late", timestamp=NOON, received_at=NOON + day + US)
    put(store, in_time, on_the_edge, too_late)
    known = store.query(
        "SELECT event_id FROM events WHERE timestamp <= :as_of AND received_at <= :known_at"
        " ORDER BY received_at",
        {"as_of": NOON + day, "known_at": NOON + day},
    )
    assert known == [("in time",), ("edge",)]


@pytest.fixture(params=["America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone of the process that is as odd as they come."""
    import time

    monkeypatch.setenv("TZ", request.param)
    monkeypatch.setenv("PGTZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_the_process_time_zone_changes_nothing(zone: str, home: Home) -> None:
    store = home.open()
    store.migrate()
    event = make_event(timestamp=NOON, received_at=NOON + US)
    put(store, event)
    store = home.reopen(store)
    assert read_back(store) == [event]
    assert count(store, "timestamp > :before AND timestamp <= :noon", before=NOON - US, noon=NOON)
    assert put(store, event) == [DUPLICATE]
    assert store.query("SELECT hour_end FROM event_rollup") == [(NOON,)]


def test_a_moment_without_a_zone_is_refused_as_a_parameter(store: EventStore) -> None:
    with pytest.raises(QueryError):
        count(store, "timestamp <= :as_of", as_of=NOON.replace(tzinfo=None))


# -- portable SQL --------------------------------------------------------------------------


@pytest.fixture
def sample(store: EventStore) -> EventStore:
    """Six events of two tenants."""
    put(
        store,
        make_event("1", user_id="ann", cost_usd=Decimal("0.25"), latency_ms=10),
        make_event("2", user_id="ann", event_type="REPLAY_EXECUTED", timestamp=NOON + US),
        make_event("3", user_id="bob", event_type="REPLAY_EXECUTED", latency_ms=5, severity=2),
        make_event("4", tenant_id="zoo", user_id="cat", cost_usd=Decimal("1.5"), severity=5),
        make_event("5", tenant_id="zoo", event_type="EXPORT_GENERATED"),
        make_event("6", tenant_id="zoo", event_type="EXPORT_GENERATED", metadata_json='{"a":"b"}'),
    )
    return store


def test_conditional_sums_are_integers(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT tenant_id, SUM(CASE WHEN event_type = 'LOGIN' THEN 1 ELSE 0 END) AS logins,"
        " SUM(CASE WHEN event_type IN (:work) THEN 1 ELSE 0 END) AS work, SUM(latency_ms) AS total"
        " FROM events GROUP BY tenant_id ORDER BY tenant_id",
        {"work": ["REPLAY_EXECUTED", "EXPORT_GENERATED"]},
    )
    assert rows == [("acme", 1, 2, 15), ("zoo", 1, 2, None)]
    assert {type(value) for row in rows for value in row[1:] if value is not None} == {int}


def test_conditional_sums_of_cost_are_decimals(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT tenant_id, SUM(CASE WHEN event_type = 'LOGIN' THEN cost_usd END) AS login_cost,"
        " SUM(CASE WHEN event_type = 'REPLAY_EXECUTED' THEN cost_usd END) AS replay_cost"
        " FROM events GROUP BY tenant_id ORDER BY tenant_id"
    )
    assert rows == [("acme", Decimal("0.25"), None), ("zoo", Decimal("1.5"), None)]
    assert type(rows[0][1]) is Decimal


def test_distinct_counts_skip_what_is_unknown(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT COUNT(DISTINCT user_id), COUNT(user_id), COUNT(*),"
        " COUNT(DISTINCT CASE WHEN event_type = :kind THEN user_id END) FROM events",
        {"kind": "REPLAY_EXECUTED"},
    )
    assert rows == [(3, 4, 6, 2)]


def test_aggregates_over_nothing_are_null_and_counts_zero(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT MIN(timestamp), MAX(timestamp), MIN(user_id), SUM(cost_usd), SUM(latency_ms),"
        " COUNT(*), MAX(CASE WHEN event_type = 'NEVER' THEN timestamp END)"
        " FROM events WHERE tenant_id = :nobody",
        {"nobody": "nobody"},
    )
    assert rows == [(None, None, None, None, None, 0, None)]


def test_a_conditional_maximum_that_meets_nothing_is_null(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT tenant_id, MAX(CASE WHEN event_type = 'REPLAY_EXECUTED' THEN timestamp END)"
        " FROM events GROUP BY tenant_id ORDER BY tenant_id"
    )
    assert rows == [("acme", NOON + US), ("zoo", None)]


def test_texts_sort_by_code_point(store: EventStore) -> None:
    tenants = ["b", "B", "a", "Z", "é", "z", "_", "1", "10", "2", "ä", "🦀", "\uffff", "-"]
    put(store, *[make_event("same", tenant_id=tenant) for tenant in tenants])
    rows = store.query("SELECT tenant_id FROM events GROUP BY tenant_id ORDER BY tenant_id")
    assert [row[0] for row in rows] == sorted(tenants)
    ((low, high),) = store.query("SELECT MIN(tenant_id), MAX(tenant_id) FROM events")
    assert (low, high) == (min(tenants), max(tenants))
    assert count(store, "tenant_id > :a", a="a") == sum(tenant > "a" for tenant in tenants)


def test_uuids_compare_and_sort_like_their_text(store: EventStore) -> None:
    events = make_many(200, seed=4, tenants=1)
    store.append(to_batch(events))
    uuids = sorted(event.event_uuid for event in events)
    assert list(stored_ids(store, "tenant-0")) == uuids
    assert count(store, "event_uuid = :it", it=uuids[5]) == 1
    assert count(store, "event_uuid IN (:them)", them=uuids[:7]) == 7
    assert count(store, "event_uuid < :it", it=uuids[50]) == 50


def test_every_kind_of_parameter_keeps_its_type(sample: EventStore) -> None:
    assert count(sample, "user_id = :text", text="ann") == 2
    assert count(sample, "latency_ms = :whole", whole=10) == 1
    assert count(sample, "latency_ms < :whole", whole=2**62) == 2
    assert count(sample, "cost_usd = :exact", exact=Decimal("0.25")) == 1
    assert count(sample, "cost_usd > :exact", exact=Decimal("0.2499999999")) == 2
    assert count(sample, "cost_usd > :exact", exact=Decimal("0.2500000000")) == 1
    assert count(sample, "severity >= :whole", whole=2) == 2
    assert count(sample, "timestamp > :moment", moment=NOON) == 1
    assert count(sample, "CASE WHEN :flag THEN severity ELSE 5 END = 5", flag=True) == 1
    assert count(sample, "CASE WHEN :flag THEN severity ELSE 5 END = 5", flag=False) == 6
    assert count(sample, "user_id = :nothing", nothing=None) == 0
    assert count(sample, "severity IN (:several)", several=[2, 5]) == 2
    assert count(sample, "timestamp IN (:several)", several=(NOON, NOON + US)) == 6


def test_one_parameter_may_be_named_many_times(sample: EventStore) -> None:
    where = "user_id = :who OR (user_id > :who AND severity > :n) OR tenant_id IN (:who, :other)"
    assert count(sample, where, who="ann", n=1, other="zoo") == 6


def test_values_that_nobody_names_are_ignored(sample: EventStore) -> None:
    assert count(sample, "user_id = :who", who="bob", unused="x", unused_list=[]) == 1


def test_many_values_fit_in_a_list(sample: EventStore) -> None:
    names = [f"user-{i}" for i in range(2_000)] + ["ann"]
    assert count(sample, "user_id IN (:names)", names=names) == 2


def test_an_empty_list_is_refused(sample: EventStore) -> None:
    with pytest.raises(QueryError, match="work"):
        count(sample, "event_type IN (:work)", work=[])


def test_a_missing_parameter_is_refused_by_name(sample: EventStore) -> None:
    with pytest.raises(QueryError, match="as_of"):
        sample.query("SELECT COUNT(*) FROM events WHERE timestamp <= :as_of", {"start": NOON})


def test_quotes_colons_and_percent_signs_inside_texts_are_left_alone(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT ':tenant', 'it''s :noon', '100%', '%s %(x)s $1 ?', '::', :tenant"
        " -- a comment with :colons, 100% and a ' quote\n"
        " FROM events /* and :another 'one' */ WHERE event_id = '1' AND user_id LIKE 'a%'",
        {"tenant": "acme"},
    )
    assert rows == [(":tenant", "it's :noon", "100%", "%s %(x)s $1 ?", "::", "acme")]


@pytest.mark.parametrize(
    "hostile",
    [
        "x'; DELETE FROM events; --",
        "' OR '1'='1",
        "x') OR 1=1 --",
        "\\'; DELETE FROM events; --",
        '"; DROP TABLE events; --',
        "acme%",
        "$1",
        ":tenant",
    ],
)
def test_a_hostile_value_is_only_a_value(sample: EventStore, hostile: str) -> None:
    assert count(sample, "tenant_id = :tenant", tenant=hostile) == 0
    assert count(sample, "tenant_id IN (:tenants)", tenants=[hostile, "acme"]) == 3
    assert sample.query("SELECT :it", {"it": hostile}) == [(hostile,)]
    assert count(sample, "1 = 1") == 6


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DELETE FROM events",
        "SELECT 1; SELECT 2",
        "DELETE FROM events",
        "INSERT INTO event_rollup SELECT * FROM event_rollup",
        "UPDATE events SET user_id = 'x'",
        "DROP TABLE events",
        "TRUNCATE TABLE events",
        "CREATE TABLE mine (a INTEGER)",
        "",
        "SELEC 1",
        "SELECT nothing_of_this_name FROM events",
        "SELECT * FROM no_such_table",
        "SELECT COUNT(*) FROM events WHERE timestamp > 'not a moment'",
    ],
)
def test_what_is_not_one_correct_select_is_refused(sample: EventStore, sql: str) -> None:
    with pytest.raises(QueryError):
        sample.query(sql)
    assert count(sample, "1 = 1") == 6
    assert put(sample, make_event("still writable")) == [STORED]


def test_a_wrong_query_leaves_the_next_one_alone(sample: EventStore) -> None:
    for _ in range(20):
        with pytest.raises(QueryError):
            sample.query("SELECT nothing_of_this_name FROM events")
    assert count(sample, "1 = 1") == 6


def test_with_joins_unions_and_nested_selects_work(sample: EventStore) -> None:
    rows = sample.query(
        "WITH per_user AS (SELECT tenant_id, user_id, COUNT(*) AS n FROM events"
        " WHERE user_id IS NOT NULL GROUP BY tenant_id, user_id)"
        " SELECT tenant_id, user_id, n, total FROM"  # an ORDER BY of a union needs this frame
        " (SELECT p.tenant_id, p.user_id, p.n, t.total FROM per_user p"
        " JOIN (SELECT tenant_id, COUNT(*) AS total FROM events GROUP BY tenant_id) t"
        " ON t.tenant_id = p.tenant_id WHERE p.n >= :least"
        " UNION ALL SELECT 'none', NULL, 0, 0) both_parts ORDER BY tenant_id, user_id",
        {"least": 1},
    )
    assert rows == [
        ("acme", "ann", 2, 3), ("acme", "bob", 1, 3), ("none", None, 0, 0), ("zoo", "cat", 1, 3),
    ]  # fmt: skip


def test_a_left_join_that_meets_nothing_gives_null(sample: EventStore) -> None:
    rows = sample.query(
        "SELECT a.event_id, b.tenant_id, b.timestamp, b.cost_usd FROM events a LEFT JOIN"
        " (SELECT * FROM events WHERE event_type = 'NEVER') b ON a.event_id = b.event_id"
        " WHERE a.event_id = '1'"
    )
    assert rows == [("1", None, None, None)]


def test_an_empty_answer_is_an_empty_list(sample: EventStore) -> None:
    assert sample.query("SELECT tenant_id FROM events WHERE tenant_id = 'nobody'") == []


def test_a_columnar_answer_says_the_same(sample: EventStore) -> None:
    put(sample, make_full_event("whole", tenant_id="whole"))
    sql = (
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE tenant_id IN (:tenants)"
        " ORDER BY timestamp, tenant_id, event_type"
    )
    params = {"tenants": ["acme", "whole"]}
    table = sample.query_arrow(sql, params)
    assert table.column_names == list(EVENT_COLUMNS)
    assert [tuple(row.values()) for row in table.to_pylist()] == sample.query(sql, params)


def test_a_columnar_answer_of_sums_says_the_same(sample: EventStore) -> None:
    sql = (
        "SELECT tenant_id, COUNT(*) AS num, SUM(latency_ms) AS latency_ms, SUM(cost_usd) AS cost,"
        " MAX(timestamp) AS last_at FROM events GROUP BY tenant_id ORDER BY tenant_id"
    )
    table = sample.query_arrow(sql)
    assert [tuple(row.values()) for row in table.to_pylist()] == sample.query(sql)
    empty = sample.query_arrow("SELECT tenant_id, timestamp FROM events WHERE 1 = 0")
    assert (empty.num_rows, empty.column_names) == (0, ["tenant_id", "timestamp"])


def test_readers_beside_the_writer_see_whole_batches(store: EventStore) -> None:
    numbers = _read_while_writing(store, "SELECT COUNT(*) FROM events")
    assert {row[0] % 50 for row in numbers} == {0}
    assert count(store, "1 = 1") == 1_000


def test_events_and_their_rollup_are_seen_together(store: EventStore) -> None:
    pairs = _read_while_writing(
        store, "SELECT (SELECT COUNT(*) FROM events), (SELECT SUM(num) FROM event_rollup)"
    )
    assert [pair for pair in pairs if pair[0] != (pair[1] or 0)] == []


def _read_while_writing(store: EventStore, sql: str) -> list[tuple[Any, ...]]:
    """The answers that three readers got while 20 batches of 50 events were stored."""
    answers: list[tuple[Any, ...]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            answers.extend(store.query(sql))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for i in range(20):
            put(store, *make_many(50, seed=100 + i))
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert len(answers) >= 3
    return answers


# -- erasure -------------------------------------------------------------------------------


def test_erasing_a_tenant_leaves_nothing_of_it_and_all_of_the_others(
    home: Home, store: EventStore
) -> None:
    ours = [make_event(f"o{i}", tenant_id="ours", timestamp=NOON + i * US) for i in range(30)]
    theirs = [make_event(f"o{i}", tenant_id="theirs", timestamp=NOON + i * US) for i in range(20)]
    put(store, *ours, *theirs)
    assert store.erase_tenant("ours") == 30
    for again in (False, True):
        if again:
            store = home.reopen(store)
        assert stored_ids(store, "ours") == []
        assert len(stored_ids(store, "theirs")) == 20
        rollup = "SELECT tenant_id, SUM(num) FROM event_rollup GROUP BY tenant_id"
        assert store.query(rollup) == [("theirs", 20)]
    assert put(store, theirs[0]) == [DUPLICATE]


def test_what_was_erased_can_be_stored_again(home: Home, store: EventStore) -> None:
    event, sibling = make_event(user_id="one"), make_event("other", user_id="x")
    put(store, event, sibling)
    store.erase_tenant("acme")
    assert put(store, event._replace(user_id="two")) == [STORED]
    assert put(store, event._replace(user_id="two")) == [DUPLICATE]
    assert put(home.reopen(store), sibling) == [STORED]


def test_erasing_an_unknown_tenant_erases_nothing(store: EventStore) -> None:
    put(store, make_event())
    assert store.erase_tenant("nobody") == 0
    assert store.erase_tenant("acm%") == 0
    assert store.erase_tenant("x' OR '1'='1") == 0
    assert count(store, "1 = 1") == 1


# -- the roll-up, by hand-made cases (its property test is test_rollup.py) -------------------


def test_an_event_on_the_full_hour_belongs_to_the_hour_that_ends_there(store: EventStore) -> None:
    put(
        store,
        make_event("before", timestamp=NOON - US),
        make_event("on", timestamp=NOON),
        make_event("after", timestamp=NOON + US),
    )
    rows = store.query(
        "SELECT hour_end, SUM(num) FROM event_rollup GROUP BY hour_end ORDER BY hour_end"
    )
    assert rows == [(NOON, 2), (NOON + timedelta(hours=1), 1)]


def test_the_rollup_sums_only_what_was_really_stored(store: EventStore) -> None:
    known = make_event("a", cost_usd=Decimal("0.25"), latency_ms=7)
    unknown = make_event("b", timestamp=NOON - US)
    put(store, known, unknown, known, known._replace(cost_usd=Decimal(9)))
    put(store, known, unknown._replace(latency_ms=3))
    rows = store.query(
        "SELECT tenant_id, event_type, SUM(num), SUM(num_cost), SUM(cost_usd), SUM(num_latency),"
        " SUM(latency_ms), MIN(first_at), MAX(last_at), MAX(last_received_at)"
        " FROM event_rollup GROUP BY tenant_id, event_type"
    )
    second = timedelta(seconds=1)
    assert rows == [("acme", "LOGIN", 2, 1, Decimal("0.25"), 1, 7, NOON - US, NOON, NOON + second)]
    assert type(rows[0][2]) is int and type(rows[0][6]) is int


def test_an_unknown_cost_stays_unknown_in_the_rollup(store: EventStore) -> None:
    put(store, make_event())
    rows = store.query("SELECT SUM(cost_usd), SUM(latency_ms), SUM(num_cost) FROM event_rollup")
    assert rows == [(None, None, 0)]
    put(store, make_event("free", cost_usd=Decimal(0), latency_ms=0))
    rows = store.query("SELECT SUM(cost_usd), SUM(latency_ms), SUM(num_cost) FROM event_rollup")
    assert rows == [(0, 0, 1)]


def test_sums_beyond_64_bits_stay_exact(store: EventStore) -> None:
    most = 2**53 - 1
    events = [make_event(f"e{i}", latency_ms=most, timestamp=NOON + i * US) for i in range(1_100)]
    put(store, *events[:600])
    put(store, *events[600:])
    for source in ("events", "event_rollup"):
        assert store.query(f"SELECT SUM(latency_ms) FROM {source}") == [(1_100 * most,)], source


def test_known_at_hides_later_arrivals_from_the_counts(store: EventStore) -> None:
    put(store, make_event("a", received_at=NOON), make_event("b", received_at=NOON + US))
    start, as_of = NOON - timedelta(hours=3), NOON + timedelta(hours=3)
    for known_at, expected in ((None, 2), (NOON, 1), (NOON + US, 2), (NOON - US, None)):
        relation, params = event_counts(start, as_of, known_at=known_at)
        assert store.query(f"SELECT SUM(num) FROM {relation} counts", params) == [(expected,)]


# -- the store as a whole ------------------------------------------------------------------


def test_a_store_says_what_it_is(home: Home, store: EventStore) -> None:
    put(store, make_event())
    store.ping()
    store.maintain()
    assert store.engine == home.engine
    assert store.durability.survives_process_kill
    assert store.durability.note
    size = store.storage_bytes()
    assert size is None or size > 0
    assert count(store, "1 = 1") == 1


def test_everything_is_there_after_a_restart(home: Home, store: EventStore) -> None:
    events = make_many(300, seed=5)
    store.append(to_batch(events))
    store = home.reopen(store)
    assert sorted(read_back(store)) == sorted(events)
    assert store.query("SELECT SUM(num) FROM event_rollup") == [(300,)]
