"""A mapping over columns gives what it gives record by record."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import SourceMapping, load_mapping
from ebbtide.domain.event import Event
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.ingest.bulk_table import check_table, read_rows
from ebbtide.ingest.file_reader import Chunk
from ebbtide.ingest.import_table import import_table
from ebbtide.ingest.imported_row import ImportedRowReader
from ebbtide.ingest.mapped_columns import map_columns
from ebbtide.ingest.source_rows import SourceTable
from ebbtide.ingest.translate import UNMAPPED, translate
from ebbtide.ingest.validate import Validator
from example_counts import examples

VALIDATOR = Validator(load_catalog())
NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
PRICES = {
    "gpt-x": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07},
    "gpt-y": {"input_cost_per_token": 0, "output_cost_per_token": 3.3e-13},
}
HEAD = '[source]\nname = "somewhere"\n'
MAPPINGS = {
    "rules": """
otherwise = "quarantine"
[columns]
tenant_id = ["team", "org"]
timestamp = "at"
user_id = "user"
severity = "level"
latency_ms = "ms"
metadata.kind = "kind"
metadata.flag = "is_bot"
[constants]
entity_type = "commit"
metadata.channel = "git"
[[events]]
type = "API_CALL_RECEIVED"
when = { is_bot = true }
[[events]]
type = "EXPORT_GENERATED"
when = { kind = ["release", "7"], user = { present = true } }
columns = { entity_id = "kind" }
constants = { metadata.format = "json" }
[[events]]
type = "INCIDENT_VIEWED"
when = { kind = { prefix = "fi" } }
[[events]]
type_column = ["kind", "org"]
""",
    "rest": """
otherwise = "skip"
[columns]
tenant_id = "team"
timestamp = "at"
metadata.note = ["kind", "org"]
[constants]
severity = 2
metadata.level = 9
[metadata]
rest = true
[values.tenant_id]
acme = "Acme"
7 = "Seven"
[values.metadata.note]
fix = "repair"
[[events]]
type = "API_CALL_RECEIVED"
when = { level = { present = false } }
[[events]]
type = "INCIDENT_VIEWED"
""",
    "zone": """
[columns]
tenant_id = "team"
timestamp = "at"
received_at = "seen"
[timestamp]
zone = "Europe/Berlin"
[[events]]
type = "API_CALL_RECEIVED"
""",
    "epoch": """
[columns]
tenant_id = "team"
timestamp = "at"
[timestamp]
format = "epoch_s"
[[events]]
type = "API_CALL_RECEIVED"
""",
    "cost": """
[columns]
tenant_id = "team"
timestamp = "at"
cost_usd = "cost"
metadata.model = "kind"
metadata.tokens_in = "level"
metadata.tokens_out = "ms"
[constants]
metadata.provider = "openai"
[cost]
prices = "prices.json"
[[events]]
type = "LLM_CALL_MADE"
""",
}


@pytest.fixture(scope="session")
def mappings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceMapping]:
    folder = tmp_path_factory.mktemp("mappings")
    (folder / "prices.json").write_text(json.dumps(PRICES))
    made = {}
    for name, text in MAPPINGS.items():
        file = folder / f"{name}.toml"
        file.write_text(HEAD + text.lstrip())
        made[name] = load_mapping(file)
    return made


texts = st.sampled_from(
    ["", "acme", "fix", "fine", "release", "7", "7.0", "007", "true", "+5", "-3", "3", "gpt-x",
     "gpt-y", "LOGIN", "API_CALL_RECEIVED", "é\n", "12345678901234567890"]
)  # fmt: skip
wholes = st.one_of(st.integers(-3, 9), st.sampled_from([7, 2**53, 10**9, 10**15, -(2**63)]))
doubles = st.sampled_from([0.0, 7.0, 7.5, -3.0, 2.0**53, 1e300, float("nan"), 1e15, 1.7e9, 0.25])
times = st.sampled_from(
    [
        "2026-03-01T00:00:00Z", "2026-03-29 02:30:00", "2025-10-26T02:30:00", "2026-01-01",
        "2026-02-30", "2026-03-01T00:00:00.1234567+01:00", "1700000000", "1700000000.25",
        "1e9", "99999999999999999", "-5", "", "x",
    ]
)  # fmt: skip
moments = st.sampled_from(
    [datetime(2026, 3, 1, 8), datetime(2025, 10, 26, 2, 30), datetime(2026, 3, 29, 2, 30),
     datetime(1, 1, 1), datetime(9999, 12, 31, 23)]
)  # fmt: skip
KINDS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "text": (texts, pa.string()),
    "whole": (wholes, pa.int64()),
    "unsigned": (st.sampled_from([7, 2**64 - 1, 10**19]), pa.uint64()),
    "double": (doubles, pa.float64()),
    "truth": (st.booleans(), pa.bool_()),
    "nothing": (st.none(), pa.null()),
    "time text": (times, pa.string()),
    "moment": (moments, pa.timestamp("us")),
    "instant": (moments.map(lambda m: m.replace(tzinfo=UTC)), pa.timestamp("us", tz="UTC")),
    "day": (st.just(date(2026, 3, 1)), pa.date32()),
    "decimal": (st.sampled_from([Decimal("1.50"), Decimal("7.00")]), pa.decimal128(9, 2)),
}
#: Column -> the kinds it usually has (listed more often) and others.
USUAL = {
    "team": ["text"] * 6 + list(KINDS),
    "org": ["text"] * 3 + list(KINDS),
    "at": ["time text"] * 4 + ["instant", "moment", "day", "whole", "double", *KINDS],
    "seen": ["time text", "instant"],
    "user": ["text", "whole"] * 3 + list(KINDS),
    "level": ["text", "whole"] * 3 + list(KINDS),
    "ms": ["text", "whole", "double"] * 3 + list(KINDS),
    "kind": ["text"] * 8 + list(KINDS),
    "is_bot": ["truth", "text"] * 3 + list(KINDS),
    "cost": ["text", "double", "decimal", "nothing"],
    "details": ["text", "whole"],
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    num = draw(st.integers(1, 6))
    columns = {}
    for name, usual in USUAL.items():
        if draw(st.integers(0, 5)) == 0:
            continue
        values, kind = KINDS[draw(st.sampled_from(usual))]
        cells = draw(st.lists(st.one_of(values, values, st.none()), min_size=num, max_size=num))
        columns[name] = pa.array(cells, kind)
    columns.setdefault("team", pa.array(["acme"] * num))
    return pa.table(columns)


def judged(fields: dict[str, Any]) -> Any:
    """What the validator makes of fields; the id is no matter of mappings."""
    fields = {"event_id": "one"} | fields
    fields.pop("received_at", None)
    verdict = VALIDATOR.check(fields, received_at=NOW, default_source="x")
    if isinstance(verdict, Event):
        return verdict._replace(metadata_json=json.loads(verdict.metadata_json))
    return verdict


def as_json(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as they travel: moments become text, costs stay exact."""
    cost = fields.get("cost_usd")
    if isinstance(cost, Decimal):
        fields = fields | {"cost_usd": str(cost)}
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.Encoder(decimal_format="number").encode(fields)
    )
    return made


def has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_nan(inner) for inner in value.values())
    return isinstance(value, float) and value != value


@pytest.mark.parametrize("name", sorted(MAPPINGS))
@settings(max_examples=examples(120), deadline=None)
@given(table=tables())
def test_columns_say_what_records_say(
    mappings: dict[str, SourceMapping], name: str, table: pa.Table
) -> None:
    mapping = mappings[name]
    lines = np.arange(1, table.num_rows + 1)

    made = import_table(Chunk(0, 0, table, lines, source=SourceTable(table, lines)), mapping)

    sent = check_table(made.table)
    places = {line: at for at, line in enumerate(sent.column("line").to_pylist())}
    assert list(places) == sorted(places), "rows keep the order of the file"
    num_skipped = 0
    for line, row in enumerate(table.to_pylist(), start=1):
        row = {key: value for key, value in row.items() if value is not None}
        expected = translate(mapping, dict(row))
        if expected is None and mapping.otherwise == "skip":
            num_skipped += 1
            assert line not in places
            continue
        record = read_rows(sent, np.array([places[line]]))[0]
        if expected is None:
            assert record.reason == UNMAPPED
        elif has_nan(expected):
            refused = record.fields is None or not isinstance(judged(record.fields), Event)
            assert refused, "JSON has no such number"
        else:
            assert judged(record.fields) == judged(as_json(expected))
    assert made.num_skipped == num_skipped


@pytest.mark.parametrize("name", sorted(MAPPINGS))
@settings(max_examples=examples(100), deadline=None)
@given(table=tables())
def test_what_quarantine_keeps_of_a_row_is_read_again_as_the_row(
    mappings: dict[str, SourceMapping], name: str, table: pa.Table
) -> None:
    mapping = mappings[name]
    lines = np.arange(1, table.num_rows + 1)
    kept = SourceTable(table, lines).raw(lines.tolist())
    reader = ImportedRowReader(load_catalog())

    for line, row in enumerate(table.to_pylist(), start=1):
        entry = QuarantineEntry(NOW, "import", "conflict", kept[line], file="f.parquet", line=line)
        record = reader.reread(entry, mapping)
        expected = translate(mapping, row)
        if expected is None:
            assert record.reason == UNMAPPED
        elif has_nan(expected):
            assert record.fields != expected, "a NaN becomes a word, never nothing"
        else:
            assert judged(record.fields) == judged(as_json(expected))


def test_the_usual_file_needs_no_records(mappings: dict[str, SourceMapping]) -> None:
    table = pa.table(
        {
            "team": pa.array(["a", "b", None]),
            "org": pa.array(["x", "y", "z"]),
            "at": pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC")),
            "user": pa.array([1467, 2, 3]),
            "kind": pa.array(["release", "fix", "LOGIN"]),
            "is_bot": pa.array([True, False, False]),
        }
    )
    mapped = map_columns(mappings["rules"], table)

    assert not mapped.odd.any()
    assert mapped.rule_of_row.tolist() == [0, 2, -1] or mapped.rule_of_row.tolist() == [0, 2, 3]
    assert mapped.columns["tenant_id"].to_pylist() == ["a", "b", "z"]
    assert mapped.columns["user_id"].to_pylist()[:2] == ["1467", "2"]


def test_prices_are_exact(mappings: dict[str, SourceMapping]) -> None:
    table = pa.table(
        {
            "team": pa.array(["a"] * 3),
            "at": pa.array(["2026-03-01T00:00:00Z"] * 3),
            "kind": pa.array(["gpt-x", "gpt-y", "unknown"]),
            "level": pa.array([1, 7, 1]),
            "ms": pa.array([3, 1515, 1]),
        }
    )
    cost = map_columns(mappings["cost"], table).columns["cost_usd"]

    assert cost.to_pylist() == [Decimal("0.00000195"), Decimal("5E-10"), None]
