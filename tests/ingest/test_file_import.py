"""Files come in whole, once, and in spite of bad rows, interruptions and hostile names."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import load_mapping
from ebbtide.domain.errors import ImportFailed, StoreUnavailable
from ebbtide.domain.event import Outcome
from ebbtide.ingest import file_import, file_reader
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.bulk import BulkLoader, BulkOutcome
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.file_import import (
    FileImport,
    ImportReport,
    Sink,
    TableOrigin,
    mapping_digest,
)
from ebbtide.ingest.file_reader import Chunk, open_file
from ebbtide.ingest.validate import Validator
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.imports import ImportProgress
from ebbtide.store.state.sqlite import SQLiteStateStore

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
CATALOG = load_catalog()
EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"


class Place:
    """Embedded stores with a loader, as a sink."""

    table_bytes_max = file_import.SEND_BYTES

    def __init__(self, folder: Path) -> None:
        self.events = DuckDBEventStore(folder / "events.duckdb")
        self.events.migrate()
        self.state = SQLiteStateStore(folder / "state.db")
        self.state.migrate()
        self.loader = BulkLoader(
            Validator(CATALOG), self.events, self.state, Directory(self.state), Accounting()
        )

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        done: Future[BulkOutcome] = Future()
        done.set_result(self.load(table, origin))
        return done

    def load(self, table: pa.Table, origin: TableOrigin) -> BulkOutcome:
        return self.loader.load(table, door="import", received_at=NOW, **asdict(origin))

    def find_progress(self, import_key: str) -> ImportProgress | None:
        return self.state.imports.find(import_key)

    def save_progress(self, progress: ImportProgress) -> None:
        self.state.imports.start(progress.import_key, progress.file, NOW)
        self.state.imports.save(progress)

    def held(self) -> list[tuple[int | None, str]]:
        rows = self.state.quarantine.list_newest(limit=10_000)
        return sorted((row.entry.line, row.entry.reason) for row in rows)

    def count(self) -> int:
        return int(self.events.query("SELECT COUNT(*) FROM events")[0][0])

    def close(self) -> None:
        self.events.close()
        self.state.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def run(
    path: Path, sink: Sink, mapping: Path | str | None = None, *, again: bool = False
) -> ImportReport:
    """Import a file; a mapping may be given as TOML text."""
    if isinstance(mapping, str):
        file = path.parent / "mapping.toml"
        file.write_text(mapping)
        mapping = file
    layout = None if mapping is None else load_mapping(mapping)
    return FileImport(path, layout, CATALOG).run(
        sink, started_at=NOW, clock=lambda: NOW, again=again
    )


def event(number: int, **details: Any) -> dict[str, Any]:
    """An event in our JSON; the same number gives the same event."""
    return {
        "event_id": f"event-{number}",
        "timestamp": (NOW - timedelta(minutes=number)).isoformat(),
        "tenant_id": f"tenant-{number % 3}",
        "event_type": "API_CALL_RECEIVED",
        "metadata": {"endpoint": f"/v1/{number}"},
    } | details


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def everything(
    path: Path, position: int = 0
) -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
    """All rows of a file by line, and its bad rows."""
    rows: list[tuple[int, Any]] = []
    bad = []
    for chunk in open_file(path).chunks(position):
        assert isinstance(chunk, Chunk)
        if chunk.table is not None:
            rows += zip(chunk.lines.tolist(), chunk.table.to_pylist(), strict=True)
        rows += chunk.records
        bad += [(one.line, one.reason) for one in chunk.bad]
    return sorted(rows, key=lambda row: row[0]), sorted(bad)


# -- reading -----------------------------------------------------------------------------------

cells = st.text(st.sampled_from('ab1 ,;"\n\r\té'), max_size=6)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), max_size=8),
    st.sampled_from([64, 100, 10_000]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_every_row_of_a_good_csv_file_is_read_at_its_line(
    tmp_path: Path, rows: list[list[str]], block: int, ending: str, ends: bool
) -> None:
    out = io.StringIO(newline="")
    if ending == "\n":  # the standard writer leaves a bare carriage return without quotes then
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    writer = csv.writer(out, lineterminator=ending)
    writer.writerow(["x", "y", "z"])
    expected = []
    for row in rows:
        line = out.getvalue().count("\n") + 1
        writer.writerow(row)
        expected.append((line, dict(zip("xyz", row, strict=True))))
    text = out.getvalue() if ends else out.getvalue().removesuffix(ending)
    path = tmp_path / "good.csv"
    path.write_bytes(text.encode())

    before = file_reader.CHUNK_BYTES
    file_reader.CHUNK_BYTES = block
    try:
        found, bad = everything(path)
        if rows:  # from any record on, the rest is the same
            at = len(rows) // 2
            position = expected[at][0] - 1
            assert everything(path, position) == (expected[at:], [])
    finally:
        file_reader.CHUNK_BYTES = before

    assert (found, bad) == (expected, [])


def test_bad_csv_rows_cost_only_themselves(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(
        b"\xef\xbb\xbfa,b,c\n"
        b"1,2,3\n"
        b"too,few\n"
        b"far,too,many,cells\n"
        b"\n"
        b'4,"quoted, and\nbroken",6\n'
        b'5,"never closed,6\n'
        b"7,8,9\n"
        b"\xff,\xfe,x\n"
        b'10,5" disk,12\n'
        b'13,"a"b,15\n'
        b"16,17,18"
    )
    rows, bad = everything(path)

    assert [(line, list(row.values())) for line, row in rows] == [
        (2, ["1", "2", "3"]),
        (6, ["4", "quoted, and\nbroken", "6"]),
        (9, ["7", "8", "9"]),
        (11, ["10", '5" disk', "12"]),
        (13, ["16", "17", "18"]),
    ]
    assert bad == [
        (3, "invalid_csv"), (4, "invalid_csv"), (8, "invalid_csv"),
        (10, "invalid_utf8"), (12, "invalid_csv"),
    ]  # fmt: skip


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "some.csv"
    path.write_text(delimiter.join(["a", "b", "c"]) + "\n" + delimiter.join("123") + "\n")

    assert everything(path) == ([(2, {"a": "1", "b": "2", "c": "3"})], [])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"a,,b\n1,2,3\n", "column 2 has no name"),
        ("a.csv", b"a,a\n1,2\n", "named 'a'"),
        ("a.parquet", b"PAR1 not at all", "no Parquet"),
        ("a.xlsx", b"", "must end in"),
        ("a.parquet.gz", b"", "must end in"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportFailed, match=told):
        open_file(path)
    with pytest.raises(ImportFailed, match="missing.csv"):
        open_file(tmp_path / "missing.csv")


@pytest.mark.parametrize("block", [10, 10_000])
def test_json_lines_are_isolated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(file_reader, "CHUNK_BYTES", block)
    lines = [
        b'\xef\xbb\xbf{"a":1}', b"", b"{", b"[1]", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff",
        b'{"a":2}\r', b'{"a":"\\ud800"}', b'{"a":3}',
    ]  # fmt: skip
    path = tmp_path / "some.jsonl"
    path.write_bytes(b"\n".join(lines))
    packed = tmp_path / "same.ndjson.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    long = block if block == 10 else 100
    expected = [(1, {"a": 1}), (8, {"a": 2}), (10, {"a": 3})]

    rows, bad = everything(path)

    assert long and everything(packed) == (rows, bad)
    assert rows == expected
    assert [line for line, _ in bad] == [3, 4, 5, 6, 7, 9]
    assert everything(path, 7)[0] == expected[1:]
    assert open_file(path).content_digest() == open_file(packed).content_digest()


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "CHUNK_BYTES", 1000)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":"' + b"x" * 50_000 + b'"}\n{"a":2}\n')

    rows, bad = everything(path)

    assert (rows, bad) == ([(1, {"a": 1}), (3, {"a": 2})], [(2, "too_large")])


def test_a_broken_gzip_file_gives_what_it_has(place: Place, tmp_path: Path) -> None:
    plain = "".join(json.dumps(event(i, user_id=str(random.random()))) + "\n" for i in range(2000))
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(plain.encode())[:-2000])

    with pytest.raises(ImportFailed, match=r"cut.jsonl.gz"):
        run(path, place)


def test_parquet_types_come_down_to_simple_ones(tmp_path: Path) -> None:
    table = pa.table(
        {
            "ns": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", tz="UTC")),
            "ms": pa.array([1_700_000_000_123, 2**62], pa.timestamp("ms")),
            "large": pa.array(["a", "b"], pa.large_string()),
            "coded": pa.array(["a", "b"]).dictionary_encode(),
            "day": pa.array([date(2026, 3, 1), None]),
            "small": pa.array([1, 2], pa.int8()),
            "amount": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
            "half": pa.array([0.5, None], pa.float32()),
        }
    )
    path = tmp_path / "typed.parquet"
    pq.write_table(table, path)

    rows, bad = everything(path)

    assert rows == [
        (
            1,
            {
                "ns": datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC),
                "ms": datetime(2023, 11, 14, 22, 13, 20, 123000),
                "large": "a",
                "coded": "a",
                "day": date(2026, 3, 1),
                "small": 1,
                "amount": Decimal("1.50"),
                "half": 0.5,
            },
        )
    ]
    assert bad == [(2, "invalid_timestamp")]


def test_parquet_goes_on_at_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reader, "CHUNK_ROWS", 7)
    path = tmp_path / "rows.parquet"
    nested = pa.array([{"b": [i]} for i in range(50)])
    pq.write_table(pa.table({"a": pa.array(range(50)), "n": nested}), path, row_group_size=20)

    for position in (0, 3, 7, 20, 33, 49, 50):
        rows, bad = everything(path, position)
        assert [line for line, _ in rows] == list(range(position + 1, 51))
        assert all(row == {"a": line - 1, "n": {"b": [line - 1]}} for line, row in rows)
        assert bad == []


# -- importing ---------------------------------------------------------------------------------


def test_our_own_json_lines(place: Place, tmp_path: Path) -> None:
    records: list[Any] = [event(i) for i in range(40)]
    records[3] = event(3, severity="high", user_id=7)
    records[5] = event(5, nonsense=1)
    records[8] = [1]
    records[9].pop("event_id")
    path = write_lines(tmp_path / "own.jsonl", records)

    report = run(path, place)

    assert report.counts[Outcome.STORED] == 37
    assert place.held() == [(4, "invalid_user_id"), (6, "unknown_field:nonsense"),
                            (9, "not_an_object")]  # fmt: skip
    assert not report.is_clean
    text = place.events.query("SELECT metadata FROM events WHERE event_id = 'event-1'")
    assert text == [('{"endpoint":"/v1/1"}',)]


def test_our_own_columns(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "tenant_id,timestamp,event_type,severity,latency_ms,cost_usd,user_id,"
        "metadata.tokens_in,metadata.note\n"
        "acme,2026-03-01T00:00:00Z,LLM_CALL_MADE,3,12,0.1234567890123,,7,\n"
        "acme,2026-03-01T00:00:01Z,LLM_CALL_MADE,,,,007,many,x\n"
        "acme,2026-03-01T00:00:02Z,NOPE,9,,,,,\n"
    )
    report = run(path, place)

    assert report.counts[Outcome.STORED] == 1
    assert place.held() == [(3, "invalid_metadata:tokens_in"), (4, "unknown_event_type")]
    stored = place.events.query(
        "SELECT severity, latency_ms, cost_usd, user_id, tokens_in, metadata FROM events"
    )
    assert stored == [(3, 12, Decimal("0.1234567890"), None, 7, '{"tokens_in":7,"note":""}')]


SHOP = """
[source]
name = "shop"
[columns]
tenant_id = "customer"
timestamp = "when"
user_id = "who'); DROP TABLE events; --"
cost_usd = "paid"
metadata.tokens_in = "num in"
metadata."odd key'" = "$note"
[timestamp]
format = "epoch_s"
[[events]]
type = "EXPORT_GENERATED"
when = { kind = "it's \\"done\\"; --" }
[[events]]
type = "LLM_CALL_MADE"
when = { kind = { prefix = "call" } }
"""
HOSTILE_HEADER = "customer,when,who'); DROP TABLE events; --,paid,num in,$note,kind\n"


def test_names_and_values_are_never_more_than_data(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "hostile.csv"
    path.write_text(
        HOSTILE_HEADER
        + '\'; DROP TABLE events; --,1770000000.5,${jndi},1.5,,"{""a"":1}","it\'s ""done""; --"\n'
        + "b,1770000001,\\',0,12,,call me\n"
        + "c,1770000002,x,0,12,,neither\n"
    )
    report = run(path, place, SHOP)

    assert report.counts[Outcome.STORED] == 2
    assert place.held() == [(4, "unmapped_event")]
    rows = place.events.query(
        "SELECT tenant_id, user_id, event_type, metadata, source FROM events ORDER BY timestamp"
    )
    assert rows == [
        ("'; DROP TABLE events; --", "${jndi}", "EXPORT_GENERATED",
         '{"odd key\'":"{\\"a\\":1}"}', "shop"),
        ("b", "\\'", "LLM_CALL_MADE", '{"tokens_in":12}', "shop"),
    ]  # fmt: skip
    raw = place.state.quarantine.list_newest()[0].raw_text
    assert json.loads(raw or "")["kind"] == "neither"


def test_the_same_rows_as_csv_json_and_parquet_are_the_same_events(
    tmp_path: Path,
) -> None:
    rows = [
        {"customer": f"c{i % 4}", "when": 1_770_000_000 + i,
         "who'); DROP TABLE events; --": f"u{i}",
         "paid": str(Decimal(i) / 8), "num in": i, "$note": f"n {i}", "kind": f"call {i}"}
        for i in range(25)
    ]  # fmt: skip
    names = list(rows[0])
    write_lines(tmp_path / "same.jsonl", rows)
    with (tmp_path / "same.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "same.parquet")
    found = []
    for suffix in ("jsonl", "csv", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        place = Place(folder)
        assert run(tmp_path / f"same.{suffix}", place, SHOP).counts[Outcome.STORED] == 25
        found.append(
            place.events.query(
                "SELECT timestamp, tenant_id, user_id, event_type, cost_usd, tokens_in, metadata"
                " FROM events ORDER BY timestamp"
            )
        )
        place.close()

    assert found[0] == found[1] == found[2]


def test_the_same_file_again_says_so(place: Place, tmp_path: Path) -> None:
    records = [{k: v for k, v in event(i).items() if k != "event_id"} for i in range(30)]
    path = write_lines(tmp_path / "once.jsonl", records)

    first = run(path, place)
    renamed = path.rename(tmp_path / "renamed.jsonl")
    second = run(renamed, place)
    third = run(renamed, place, again=True)

    assert first.counts[Outcome.STORED] == 30
    assert second.already_done is not None and second.already_done.num_stored == 30
    assert second.num_rows == 0
    assert third.counts[Outcome.DUPLICATE] == 30
    assert place.count() == 30


@dataclass
class Dying:
    """A sink whose process dies now and then: before a chunk, after it, or before its progress."""

    table_bytes_max: ClassVar[int] = 1000

    place: Place
    rng: random.Random

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        answer: Future[BulkOutcome] = Future()
        if self.rng.random() < 0.2:
            answer.set_exception(StoreUnavailable("died before"))
            return answer
        outcome = self.place.load(table, origin)
        if self.rng.random() < 0.2:
            answer.set_exception(StoreUnavailable("died after"))
        else:
            answer.set_result(outcome)
        return answer

    def find_progress(self, import_key: str) -> ImportProgress | None:
        return self.place.find_progress(import_key)

    def save_progress(self, progress: ImportProgress) -> None:
        if self.rng.random() < 0.2:
            raise StoreUnavailable("died before the progress")
        self.place.save_progress(progress)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_import_that_dies_often_counts_the_file_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(file_reader, "CHUNK_BYTES", 2000)
    monkeypatch.setattr(file_reader, "CHUNK_ROWS", 20)
    rows = [
        {"tenant_id": "acme", "timestamp": f"2026-03-01T00:{i // 60:02}:{i % 60:02}Z",
         "event_type": "NOPE" if i % 50 == 7 else "API_CALL_RECEIVED", "user_id": "same"}
        for i in range(400)
    ]  # fmt: skip
    path = tmp_path / f"long.{kind}"
    if kind == "jsonl":
        write_lines(path, rows)
    elif kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    sink = Dying(place, random.Random(3))
    deaths = 0
    while True:
        try:
            report = run(path, sink)
            break
        except StoreUnavailable:
            deaths += 1
    assert deaths > 5, "the test must interrupt"

    first = 2 if kind == "csv" else 1
    assert place.count() == 392
    assert place.held() == [(first + i, "unknown_event_type") for i in range(7, 400, 50)]
    progress = place.state.imports.list()[0]
    assert progress.finished_at is not None
    assert progress.rows_done == 400
    done = progress.num_stored + progress.num_duplicate
    assert (done, progress.num_quarantined, progress.num_conflict) == (392, 8, 0)
    assert run(path, sink).already_done is not None
    assert report.resumed_rows > 0


def test_a_changed_mapping_reads_the_file_anew(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("customer,when,kind\na,1770000000,call\nb,1770000001,other\n")
    first = run(path, place, SHOP)
    fixed = SHOP + '\n[[events]]\ntype = "LOGIN"\nwhen = { kind = "other" }\n'
    second = run(path, place, fixed)

    assert first.counts == Counter({Outcome.STORED: 1, Outcome.QUARANTINED: 1})
    assert second.counts == Counter({Outcome.STORED: 1, Outcome.DUPLICATE: 1})
    assert place.count() == 2


def test_the_digest_of_a_mapping_follows_its_meaning(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        file = tmp_path / "m.toml"
        file.write_text(text)
        return mapping_digest(load_mapping(file))

    assert digest(SHOP) == digest("# a comment\n" + SHOP)
    assert digest(SHOP) != digest(SHOP.replace('"call"', '"cal"'))
    assert digest(SHOP) != digest(SHOP.replace("epoch_s", "epoch_ms"))
    assert digest(SHOP) != mapping_digest(None)


def test_files_that_cannot_give_an_event_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("alpha,beta\n1,2\n")
    mapping = tmp_path / "m.toml"
    mapping.write_text(SHOP)

    with pytest.raises(ImportFailed, match=r"timestamp from 'when'.*alpha, beta"):
        FileImport(path, load_mapping(mapping), CATALOG)
    with pytest.raises(ImportFailed, match="'alpha' is none of our fields"):
        FileImport(path, None, CATALOG)
    path.write_text("tenant_id,timestamp\n1,2\n")
    with pytest.raises(ImportFailed, match="no column 'event_type'"):
        FileImport(path, None, CATALOG)


def test_a_fault_in_the_reading_thread_is_not_lost(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    path = write_lines(tmp_path / "own.jsonl", [event(1)])
    monkeypatch.setattr(file_import, "import_table", fault)
    with pytest.raises(ZeroDivisionError):
        run(path, place)


# -- real data ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("EBBTIDE_TEST_DATA")
    if not folder:
        pytest.skip("set EBBTIDE_TEST_DATA to the folder of public data sets to run this")
    return Path(folder)


def test_real_commits_of_teams(place: Place, data: Path) -> None:
    report = run(data / "teams" / "events.parquet", place, EXAMPLES / "teams.toml")

    assert report.is_clean
    assert report.num_rows == 144_316
    by_type = dict(
        place.events.query("SELECT event_type, SUM(num) FROM event_rollup GROUP BY event_type")
    )
    assert by_type == {
        "API_CALL_RECEIVED": 10_136,  # automation
        "INCIDENT_VIEWED": 18_209,  # fixes
        "REPLAY_EXECUTED": 39_222,  # features and merges
        "EXPORT_GENERATED": 1_947,  # releases
        "INCIDENT_CREATED": 654,  # reverts
    }
    assert report.num_skipped == 144_316 - sum(by_type.values())
    again = run(data / "teams" / "events.parquet", place, EXAMPLES / "teams.toml", again=True)
    assert again.counts[Outcome.DUPLICATE] == place.count() == 70_168


def test_real_llm_calls_cost_what_the_price_list_says(
    place: Place, data: Path, tmp_path: Path
) -> None:
    for file in (EXAMPLES / "azure-llm-calls.toml", data / "llm-calls" / "model_prices.json"):
        shutil.copy(file, tmp_path)
    report = run(
        data / "llm-calls" / "azure_2023.parquet", place, tmp_path / "azure-llm-calls.toml"
    )

    assert report.is_clean
    assert report.counts[Outcome.STORED] == 28_185
    portable = "SELECT tenant_id, SUM(cost_usd) FROM events GROUP BY tenant_id ORDER BY tenant_id"
    costs = {tenant: round(cost, 4) for tenant, cost in place.events.query(portable)}
    assert costs == {"code": Decimal("2.8565"), "conv": Decimal("5.8075")}
