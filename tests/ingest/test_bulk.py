"""The bulk way in gives the same events and the same reasons as the validator, row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.errors import BadRequest, StoreRefused, StoreUnavailable
from ebbtide.domain.event import Event, Outcome
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.domain.tenant import Fact, Origin, Sighting
from ebbtide.ingest import bulk, plain_metadata
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.bulk import BulkLoader, BulkOutcome
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.event_uuids import to_texts, uuids_of, uuids_of_lines
from ebbtide.ingest.plain_rows import find_plain
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.store.events.base import EventStore, Outcomes, to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from example_counts import examples

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
KEY = "the-content-of-a-file"
VALIDATOR = Validator(load_catalog(), TokenPrices())
TYPES = sorted(VALIDATOR.rules)
INSTANT = pa.timestamp("us", tz="UTC")


class KeepingStore:
    """Takes every event as new and remembers it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def append(self, batch: pa.RecordBatch) -> Outcomes:
        self.rows.extend(batch.to_pylist())
        return np.full(batch.num_rows, Outcome.STORED, np.uint8)


class KeepingState:
    """A quarantine shelf in memory."""

    def __init__(self) -> None:
        self.quarantine = self
        self.entries: list[QuarantineEntry] = []

    def add(self, entries: Sequence[QuarantineEntry]) -> None:
        self.entries.extend(entries)


class OpenDirectory:
    """Knows no other spellings and no erasures."""

    erasures: dict[str, datetime] = {}  # noqa: RUF012
    steady = nullcontext()

    def canonical(self, tenant_ids: Iterable[str], _: datetime) -> dict[str, str]:
        return {sent: sent for sent in tenant_ids}

    def sighting_of(self, _: Event) -> None:
        return None


def load_apart(table: pa.Table) -> tuple[list[dict[str, Any]], list[QuarantineEntry], BulkOutcome]:
    """Load a table where nothing else is: the events, the quarantine, the outcome."""
    events, state = KeepingStore(), KeepingState()
    loader = BulkLoader(VALIDATOR, events, state, OpenDirectory(), Accounting())  # type: ignore[arg-type]
    outcome = loader.load(
        table, door="import", received_at=NOW, default_source="the-file", file="f.csv", key=KEY
    )
    return events.rows, state.entries, outcome


def _is_huge(value: object) -> bool:
    """Whether JSON data is, or has in a list, an integer beyond 64 bits."""
    if isinstance(value, list):
        return any(_is_huge(inner) for inner in value)
    return type(value) is int and not -(2**63) <= value < 2**64


def decide_by_row(table: pa.Table) -> tuple[list[Event], list[tuple[int, str]]]:
    """What the validator says of each row, read here in the plainest way."""
    events, reasons = [], []
    for row in table.to_pylist():
        line = row.pop("line")
        fields = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in row.items()
            if value is not None and not name.startswith("metadata")
        }
        metadata = {
            name.removeprefix("metadata."): value
            for name, value in row.items()
            if value is not None and name.startswith("metadata.")
        }
        reason = None
        if any(isinstance(v, float) and not math.isfinite(v) for v in metadata.values()):
            reason = "number_out_of_range"
        if row.get("metadata") is not None:
            try:
                members = json.loads(row["metadata"])
            except ValueError:
                members = None
            if not isinstance(members, dict):
                reason = "invalid_metadata"
            elif any(_is_huge(value) for value in members.values()):
                reason = "number_out_of_range"
            else:
                metadata |= {k: v for k, v in members.items() if k not in metadata}
                fields["metadata"] = metadata
        elif metadata:
            fields["metadata"] = metadata
        if "event_id" not in fields:
            fields["event_id"] = to_texts(uuids_of_lines(KEY, np.array([line])))[0]
        received_at = NOW
        if reason is None and "received_at" in fields:
            received_at = datetime.fromisoformat(fields["received_at"])
            if not datetime(1970, 1, 1, tzinfo=UTC) <= received_at <= NOW:
                reason = "invalid_received_at"
        if reason is None:
            event = VALIDATOR.check(fields, received_at=received_at, default_source="the-file")
            if isinstance(event, Event):
                events.append(event)
                continue
            assert isinstance(event, Rejection)
            reason = event.reason
        reasons.append((line, reason))
    return events, reasons


# -- random tables -----------------------------------------------------------------------------

odd_text = st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "x" * 200,
        "é" * 200,
        "x" * 201,
        'q"uo\\te',
        "line\nbreak",
        "\x7f\u2028",
        "😀",
    ]
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = st.one_of(st.sampled_from(["acme", "globex", "u-1"]), words, odd_text)
event_ids = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda u: str(u).upper()),
    st.uuids().map(lambda u: u.hex),
    st.just("6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e5g"),
    st.just("6f1f4f4e_9c5b-5d0e-8f0a-2b7d3c9a1e55"),
    ids,
)
moments = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2026, 3, 1)),
    st.sampled_from(
        [
            datetime(1969, 12, 31, 23, 59, 59, 999_999),
            datetime(1970, 1, 1),
            datetime(2026, 3, 12, 12, 5),
            datetime(2026, 3, 12, 12, 5, 0, 1),
            datetime(9999, 12, 31, 23, 59, 59, 999_999),
        ]
    ),
).map(lambda m: m.replace(tzinfo=UTC))
moment_texts = st.one_of(
    moments.map(datetime.isoformat),
    moments.map(lambda m: m.isoformat().replace("+00:00", "Z")),
    st.sampled_from(
        [
            "2026-02-30T08:00:00Z",
            "2024-02-29T08:00:00+05:30",
            "2025-02-29 08:00:00Z",
            "2026-01-01T08:00:00",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T08:00:60Z",
            "2026-01-01T08:00:00.1234567Z",
            "2026-01-01T08:00Z",
            "20260101T080000Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+10:00",
            "2026-01-01T08:00:00+24:00",
            "2026-01-01T08:00:00z",
            "yesterday",
            "",
        ]
    ),
)
floats = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        [0.0, -0.0, 1.0, 3.0, 5.0, 1e-8, 9e-9, 1e-11, 99_999_999.5, 1e8, 2.5e-10, 1e20]
    ),
    st.floats(0, 100),
)
costs = st.decimals(-1, 200_000_000, places=12, allow_nan=False)
cost_texts = st.one_of(
    costs.map(str),
    st.sampled_from(
        [
            "0",
            "1.5",
            ".5",
            "1.",
            "-1",
            "1e-7",
            "NaN",
            "",
            " 1",
            "0.00000000005",
            "0.00000000015",
            "99999999.99999999999",
            "12345678.1234567890123456789012345",
            "١",
        ]
    ),
)
metadata_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    words,
    st.lists(st.integers(), max_size=2),
)
KEYS = sorted({key for rule in VALIDATOR.rules.values() for key in rule.types}) + ["extra", "a.b"]
metadata_texts = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), metadata_values, max_size=4).map(json.dumps),
    st.dictionaries(st.sampled_from(KEYS), metadata_values, max_size=4).map(
        lambda m: json.dumps(m, separators=(",", ":"), ensure_ascii=False)
    ),
    st.sampled_from(
        ["{}", "", "null", "[]", "{", '{"a": 1.50}', '{"a":"\\u0000"}', '{"cost_usd":0.5}']
    ),
)


def column(values: st.SearchStrategy[Any], kind: pa.DataType) -> st.SearchStrategy[Any]:
    """A function from a number of rows to a column of that type, some values null."""
    return st.tuples(st.lists(st.one_of(values, st.none()), min_size=1, max_size=12), st.just(kind))


integers = column(st.one_of(st.integers(-3, 9), st.integers(-(2**63), 2**63 - 1)), pa.int64())
unsigned = column(st.integers(0, 2**64 - 1), pa.uint64())
doubles = column(floats, pa.float64())
truths = column(st.booleans(), pa.bool_())
texts = column(ids, pa.string())
numbers = st.one_of(integers, doubles, unsigned, texts, truths)
fields = {
    "event_id": column(event_ids, pa.string()),
    "timestamp": st.one_of(
        column(moments, INSTANT),
        column(moment_texts, pa.string()),
        column(moments.map(lambda m: m.replace(tzinfo=None)), pa.timestamp("us")),
    ),
    "received_at": column(moments, INSTANT),
    "tenant_id": st.one_of(texts, integers),
    "user_id": texts,
    "session_id": st.one_of(texts, truths),
    "entity_type": texts,
    "entity_id": st.one_of(texts, doubles),
    "source": texts,
    "event_type": column(
        st.one_of(st.sampled_from(TYPES), st.sampled_from(["NOPE", ""])), pa.string()
    ),
    "severity": st.one_of(numbers, column(st.sampled_from(["high", "3"]), pa.string())),
    "latency_ms": numbers,
    "cost_usd": st.one_of(
        numbers,
        column(costs, pa.decimal128(24, 12)),
        column(costs.map(lambda c: round(c, 2)), pa.decimal128(20, 2)),
        column(cost_texts, pa.string()),
    ),
    "metadata": column(metadata_texts, pa.string()),
}
names = st.one_of(
    st.sampled_from(sorted(fields)), st.sampled_from(KEYS).map(lambda key: f"metadata.{key}")
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table of unchecked rows, mostly near the shape of events."""
    rows = draw(st.integers(1, 12))
    chosen = draw(st.lists(names, max_size=9, unique=True))
    if draw(st.booleans()):  # most random rows die of their tenant or time: let some live
        chosen = [n for n in chosen if n not in ("tenant_id", "timestamp", "event_type")]
        own = {
            "tenant_id": pa.array(["acme"] * rows),
            "timestamp": pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * rows, INSTANT),
            "event_type": pa.array([draw(st.sampled_from(TYPES)) for _ in range(rows)]),
        }
    else:
        own = {}
        chosen = list(dict.fromkeys([*chosen, "tenant_id", "timestamp", "event_type"]))
    for name in chosen:
        strategy = fields.get(name, st.one_of(numbers, column(words, pa.string())))
        values, kind = draw(strategy)
        own[name] = pa.array([values[i % len(values)] for i in range(rows)], kind)
    return pa.table({"line": pa.array(range(7, 7 + rows), pa.int64()), **own})


@settings(max_examples=examples(400), deadline=None)
@given(tables())
def test_bulk_says_what_the_validator_says_of_each_row(table: pa.Table) -> None:
    rows, entries, outcome = load_apart(table)
    events, reasons = decide_by_row(table)

    assert rows == (to_batch(events).to_pylist() if events else [])
    assert [(entry.line, entry.reason) for entry in entries] == reasons
    assert outcome.counts[Outcome.STORED] == len(events)
    assert outcome.counts[Outcome.QUARANTINED] == len(reasons)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.one_of(event_ids.filter(len), words.filter(len)), min_size=1))
def test_uuids_of_a_column_are_those_of_its_texts(sent: list[str]) -> None:
    uuids, is_canonical = uuids_of(pa.array(["skipped", *sent], pa.string()).slice(1))

    assert to_texts(uuids) == [to_uuid_text(one) for one in sent]
    assert is_canonical.tolist() == [to_uuid_text(one) == one for one in sent]


# -- with real stores --------------------------------------------------------------------------


class House:
    """A loader on real embedded stores."""

    def __init__(self, folder: Path, events: EventStore | None = None) -> None:
        self.events = events or DuckDBEventStore(folder / "events.duckdb")
        self.events.migrate()
        self.state = SQLiteStateStore(folder / "state.db")
        self.state.migrate()
        self.directory = Directory(self.state)
        self.accounting = Accounting()
        self.loader = BulkLoader(
            VALIDATOR, self.events, self.state, self.directory, self.accounting
        )

    def load(self, table: pa.Table, **details: Any) -> BulkOutcome:
        given = {
            "door": "import",
            "received_at": NOW,
            "default_source": "s",
            "file": "f",
            "key": KEY,
        }
        return self.loader.load(table, **(given | details))

    def held(self) -> list[tuple[int | None, str, str | None]]:
        rows = self.state.quarantine.list_newest(limit=1000)
        return sorted((row.entry.line, row.entry.reason, row.raw_text) for row in rows)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.events.close()
    made.state.close()


def plain_table(num: int, **columns: Any) -> pa.Table:
    """Rows that are all valid events without an id of their own."""
    own = {
        "line": pa.array(range(1, num + 1), pa.int64()),
        "timestamp": pa.array([NOW - timedelta(minutes=i) for i in range(num)], INSTANT),
        "tenant_id": pa.array([f"tenant-{i % 5}" for i in range(num)]),
        "event_type": pa.array([TYPES_WITHOUT_DEMANDS[i % 3] for i in range(num)]),
        "metadata.note": pa.array([f"note {i}" for i in range(num)]),
    }
    return pa.table(own | columns)


TYPES_WITHOUT_DEMANDS = [
    name for name, rule in VALIDATOR.rules.items() if not rule.required and not rule.friction_signal
]


def test_a_cost_comes_from_tokens_as_in_single_events() -> None:
    table = pa.table(
        {
            "line": pa.array([1, 2, 3, 4, 5], pa.int64()),
            "event_id": ["a", "b", "c", "d", "e"],
            "tenant_id": ["acme"] * 5,
            "event_type": ["LLM_CALL_MADE"] * 4 + ["LOGIN"],
            "timestamp": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 5, INSTANT),
            "cost_usd": pa.array([None, 0.5, None, None, None], pa.float64()),
            "metadata.model": ["gpt-4o-mini", "gpt-4o-mini", "nobody", None, "gpt-4o-mini"],
            "metadata.tokens_in": pa.array([1000, 1000, 1000, None, 1000], pa.int64()),
            "metadata.tokens_out": pa.array([100, 100, 100, None, 100], pa.int64()),
            "metadata": pa.array(
                [None, None, None, '{"model":"gpt-4o-mini","tokens_in":10,"tokens_out":0}', None]
            ),
        }
    )
    rows, _, _ = load_apart(table)
    expected, _ = decide_by_row(table)
    by_id = {row["event_id"]: row for row in rows}
    assert [by_id[one.event_id] for one in expected] == to_batch(expected).to_pylist()
    costs = [by_id[name]["cost_usd"] for name in "abcde"]
    assert costs == [Decimal("0.00021"), Decimal("0.5"), None, Decimal("0.0000015"), None]


def test_no_depth_of_metadata_ends_the_process() -> None:
    depths = (60, 70, 100_000)
    texts = ['{"a":' * depth + "1" + "}" * depth for depth in depths]
    texts += ['{"a":' + "[" * depth + "]" * depth + "}" for depth in depths]
    table = plain_table(len(texts), metadata=pa.array(texts)).drop_columns(["metadata.note"])

    rows, held, _ = load_apart(table)

    assert [row["metadata"] for row in rows] == [texts[0], texts[3]]
    assert {entry.reason for entry in held} <= {"too_deep", "invalid_metadata"}
    assert len(held) == 4


@pytest.mark.parametrize(
    "odd",
    ["null", '{"a":1}null', '{"a":1} null', '{"a":1}\nnull', 'null{"a":1}', '{"a":null}null{}'],
)
def test_a_null_that_is_no_member_never_comes_to_the_reader_that_it_breaks(
    odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes where it must not, which ends the process now or later, or not at all."""
    asked: list[bytes] = []
    parsed = plain_metadata._parsed

    def noted(lines: bytes, *rest: pa.Schema) -> pa.Table | None:
        asked.append(lines)
        return parsed(lines, *rest)

    monkeypatch.setattr(plain_metadata, "_parsed", noted)
    usual = [f'{{"source":"s{i}"}}' for i in range(6)]
    table = plain_table(6).drop_columns(["metadata.note"])
    texts = [odd if i % 3 == 1 else text for i, text in enumerate(usual)]
    _, held, outcome = load_apart(table.append_column("metadata", pa.array(texts)))
    assert outcome.counts[Outcome.STORED] == 4
    assert all(entry.reason.startswith("invalid_metadata") for entry in held)
    assert not any(odd.encode() in lines for lines in asked)
    load_apart(table.append_column("metadata", pa.array(usual)))
    assert any(usual[1].encode() in lines for lines in asked)


def test_usual_rows_never_go_through_the_validator() -> None:
    table = plain_table(
        50,
        user_id=pa.array([f"u-{i}" for i in range(50)]),
        latency_ms=pa.array(range(50)),
        cost_usd=pa.array([i / 7 for i in range(50)]),
        event_id=pa.array([f"event {i}" for i in range(50)]),
    )

    found = find_plain(table, VALIDATOR, received_at=NOW, default_source="s", key=KEY)

    assert found.plain.all(), "the short cut must take what every file holds"


def test_the_same_file_again_gives_duplicates_only(house: House) -> None:
    first = house.load(plain_table(120))
    again = house.load(plain_table(120))
    other = house.load(plain_table(120), key="another file")

    assert first.counts[Outcome.STORED] == 120
    assert again.counts == {Outcome.DUPLICATE: 120} | dict.fromkeys(
        set(Outcome) - {Outcome.DUPLICATE}, 0
    )
    assert other.counts[Outcome.STORED] == 120, "equal rows of two files are two facts"
    assert house.accounting.snapshot()["import"] == {
        "received": 360, "stored": 240, "duplicate": 120,
        "conflict": 0, "quarantined": 0, "refused": 0,
    }  # fmt: skip


def test_rows_of_all_fates_in_one_table(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH_ROWS", 3)  # the fates meet across batches too
    house.directory.erase("gone", NOW - timedelta(days=1))
    old, new = NOW - timedelta(days=2), NOW - timedelta(hours=1)
    rows = [
        # line, tenant, type, moment, id, severity, record, fault, raw
        (1, "acme", "API_CALL_RECEIVED", new, "a", 1, None, None, None),
        (2, "ACME2", "NOPE", new, "b", 1, None, None, None),
        (3, "acme", "API_CALL_RECEIVED", new, "a", 2, None, None, None),
        (4, "acme", "API_CALL_RECEIVED", new, "a", 1, None, None, None),
        (5, "gone", "API_CALL_RECEIVED", old, "c", 1, None, None, None),
        (6, "gone", "API_CALL_RECEIVED", new, "d", 1, None, None, None),
        (7, None, None, None, None, None, '{"tenant_id":"acme","timestamp":"2026-03-01T00:00:00Z",'
         '"event_type":"API_CALL_RECEIVED","severity":"high"}', None, None),
        (8, None, None, None, None, None, None, "invalid_json", b"\xff{"),
        (9, "acme", "API_CALL_RECEIVED", new, None, 9, None, None, None),
    ]  # fmt: skip
    names = ["line", "tenant_id", "event_type", "timestamp", "event_id", "severity"]
    names += ["record", "fault", "raw"]
    types = [pa.int64(), pa.string(), pa.string(), INSTANT, pa.string(), pa.int64()]
    types += [pa.string(), pa.string(), pa.binary()]
    columns = [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types, strict=True)]

    outcome = house.load(pa.table(dict(zip(names, columns, strict=True))))

    assert outcome.counts == {
        Outcome.STORED: 3, Outcome.DUPLICATE: 1, Outcome.CONFLICT: 1,
        Outcome.QUARANTINED: 3, Outcome.REFUSED: 1,
    }  # fmt: skip
    assert [(one.line, one.reason) for one in outcome.examples] == [
        (2, "unknown_event_type"), (3, "conflict"), (5, "erased_tenant"),
        (8, "invalid_json"), (9, "invalid_severity"),
    ]  # fmt: skip
    held = house.held()
    assert [(line, reason) for line, reason, _ in held] == [
        (2, "unknown_event_type"), (3, "conflict"), (8, "invalid_json"), (9, "invalid_severity"),
    ]  # fmt: skip
    assert json.loads(held[1][2] or "")["severity"] == 2
    derived = to_texts(uuids_of_lines(KEY, np.array([9])))[0]
    assert json.loads(held[3][2] or "")["event_id"] == derived, "a release must not store it twice"
    stored = house.events.query("SELECT tenant_id, severity FROM events ORDER BY timestamp")
    assert sorted(stored) == [("acme", 1), ("acme", 4), ("gone", 1)]


def test_rows_that_must_wait_are_asked_for_when_their_sender_has_them(house: House) -> None:
    table = plain_table(
        4,
        tenant_id=pa.array(["acme"] * 4),
        severity=pa.array([9, 1, 1, 1]),
        event_id=pa.array(list("abbd")),
    )
    first = house.load(table, asks_raw=True, mapping="shop")
    assert (first.raw_wanted, house.held()) == ([1, 3], [])
    assert (first.counts[Outcome.STORED], sum(first.counts.values())) == (2, 2)
    assert first.reasons == {}

    wanted = table.take(pa.array([0, 2])).append_column("raw", pa.array([b"one", b"three"]))
    second = house.load(wanted, mapping="shop")
    assert (second.counts[Outcome.QUARANTINED], second.counts[Outcome.CONFLICT]) == (1, 1)
    assert house.held() == [(1, "invalid_severity", "one"), (3, "conflict", "three")]
    assert {row.entry.mapping for row in house.state.quarantine.list_newest()} == {"shop"}
    assert house.accounting.snapshot()["import"]["received"] == 4


def test_a_tenant_keeps_its_first_spelling(house: House) -> None:
    uuid = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    house.load(plain_table(1, tenant_id=pa.array([uuid.upper()])))
    house.load(plain_table(1, tenant_id=pa.array([uuid])), key="other")

    assert house.events.query("SELECT DISTINCT tenant_id FROM events") == [(uuid.upper(),)]


def test_subscriptions_reach_the_directory(house: House) -> None:
    table = plain_table(
        1,
        event_type=pa.array(["SUBSCRIPTION_STARTED"]),
        **{"metadata.plan": pa.array(["pro"]), "metadata.source": pa.array(["web"])},
    )
    outcome = house.load(table)

    assert outcome.counts[Outcome.STORED] == 1, outcome.reasons
    assert house.state.tenants.get(to_uuid_text("tenant-0")).plan == "pro"


def test_what_was_said_of_an_erased_past_does_not_come_back(house: House) -> None:
    erased_at = NOW - timedelta(days=1)
    house.directory.erase("gone", erased_at)
    plan = [Fact("plan", "pro", erased_at, Origin.EVENT)]
    house.directory.apply(
        [
            Sighting.of("gone", NOW, plan, said_at=erased_at),
            Sighting.of("GONE-2", NOW, plan, said_at=erased_at),
            Sighting.of(to_uuid_text("gone"), erased_at),
        ]
    )
    assert [one.tenant_id for one in house.state.tenants.list()] == ["GONE-2"]
    house.directory.apply([Sighting.of("gone", NOW, said_at=erased_at + timedelta(seconds=1))])
    assert house.state.tenants.get(to_uuid_text("gone")).plan is None


def test_history_keeps_its_own_moment_of_receipt(house: House) -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    table = plain_table(
        3,
        timestamp=pa.array([then] * 3, INSTANT),
        received_at=pa.array([then, None, NOW + timedelta(seconds=1)], INSTANT),
    )
    outcome = house.load(table)

    assert house.events.query("SELECT received_at FROM events ORDER BY received_at") == [
        (then,), (NOW,),
    ]  # fmt: skip
    assert [(e.line, e.reason) for e in outcome.examples] == [(3, "invalid_received_at")]


def test_a_row_that_the_engine_refuses_is_set_aside(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = house.events.append

    def picky(batch: pa.RecordBatch) -> Outcomes:
        if "note 5" in "".join(batch.column("metadata").to_pylist()):
            raise StoreRefused("not this one")
        return append(batch)

    monkeypatch.setattr(house.events, "append", picky)
    outcome = house.load(plain_table(9))

    assert outcome.counts[Outcome.STORED] == 8
    assert [(line, reason) for line, reason, _ in house.held()] == [(6, "store_refused")]


def test_a_failing_store_stops_the_load_and_nothing_is_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: pa.RecordBatch) -> Outcomes:
        raise StoreUnavailable("no disk")

    monkeypatch.setattr(house.events, "append", broken)
    with pytest.raises(StoreUnavailable):
        house.load(plain_table(9))

    assert house.accounting.snapshot() == {}
    assert house.held() == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"nonsense": pa.array([1])}, "nonsense"),
        ({"metadata": pa.array([1])}, "metadata"),
        ({"line": pa.array([None], pa.int64())}, "line"),
        ({"line": pa.array(["1"])}, "line"),
        ({"timestamp": pa.array([1], pa.timestamp("s", tz="UTC"))}, "timestamp"),
        ({"metadata.when": pa.array([NOW], INSTANT)}, "metadata.when"),
        ({"user_id": pa.array(["a"]).dictionary_encode()}, "user_id"),
        ({"user_id": pa.array(["a"], pa.string_view())}, "user_id"),
        ({"metadata." + "k" * 300: pa.array(["a"])}, "200"),
        ({f"metadata.{i}": pa.array(["a"]) for i in range(501)}, "500"),
    ],
)
def test_a_table_of_another_shape_is_refused(columns: dict[str, pa.Array], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        load_apart(pa.table({"line": pa.array([1], pa.int64())} | columns))


def test_an_empty_table_is_no_work() -> None:
    rows, entries, outcome = load_apart(pa.table({"line": pa.array([], pa.int64())}))

    assert (rows, entries, sum(outcome.counts.values())) == ([], [], 0)
