"""Rows of files that wait in quarantine: shown as they stood, read again by a mended mapping."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from api_server import NOON, Server, open_server
from typer.testing import CliRunner, Result

from ebbtide.cli.door import Door
from ebbtide.cli.main import build_cli

SHOP = """
[source]
name = "shop"
[columns]
tenant_id = "customer"
timestamp = "when"
user_id = "who"
cost_usd = "paid"
metadata.model = "model"
metadata.tokens_in = "num in"
metadata.tokens_out = "num out"
metadata.note = "note"
[metadata]
rest = true
"""
CALLS = '[[events]]\ntype = "LLM_CALL_MADE"\nwhen = { kind = "call" }\n'
ALL = CALLS + '[[events]]\ntype = "EXPORT_GENERATED"\n'


@contextmanager
def door_to(server: Server) -> Iterator[Door]:
    assert server.admin.key is not None
    door = Door(f"http://127.0.0.1:{server.admin.port}", server.admin.key, is_running=True)
    try:
        yield door
    finally:
        door.close()


def run(server: Server, *words: str | Path) -> Result:
    """``ebbtide`` against a server."""
    app = build_cli(lambda **_: door_to(server), {})
    return CliRunner().invoke(app, [str(word) for word in words])


def import_file(server: Server, *words: str | Path) -> dict[str, Any]:
    """``ebbtide import``; what became of the file."""
    told = run(server, "import", *words, "--json")
    assert told.exit_code in (0, 2), told.output
    (summary,) = json.loads(told.stdout)["files"]
    assert told.exit_code == (0 if summary["is_clean"] else 2)
    return dict(summary)


def release(server: Server, *words: str | Path) -> dict[str, Any]:
    """``ebbtide quarantine release``; its report."""
    told = run(server, "quarantine", "release", *words, "--json")
    report: dict[str, Any] = json.loads(told.stdout)
    assert told.exit_code == (2 if report["remaining"] else 0)
    assert report["tried"] == report["released"] + report["remaining"]
    assert sum(report["reasons"].values()) == report["remaining"]
    return report


def waiting(server: Server) -> list[dict[str, Any]]:
    """Rows that wait, in the order of their lines."""
    items = server.admin.get("/v1/quarantine", limit=1000).json["items"]
    return sorted(items, key=lambda row: row["line"])


def stored(server: Server) -> list[tuple[Any, ...]]:
    """Everything that the events say, but the moment that they came."""
    return sorted(
        server.house.services.events.query(
            "SELECT event_id, timestamp, tenant_id, user_id, event_type, severity, latency_ms,"
            " cost_usd, source, metadata FROM events"
        )
    )


def mapping(folder: Path, rules: str, more: str = "", *, name: str = "shop.toml") -> Path:
    file = folder / name
    file.write_text(SHOP + more + rules)
    return file


# -- what is shown -----------------------------------------------------------------------------


def test_a_csv_row_waits_with_all_its_cells_as_they_were(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(
        "customer,when,who,kind,num in,spare\n"
        "a,2026-03-01T00:00:00Z,u,call,7,\n"  # lacks a model
        "b,2026-03-01T00:00:00Z,,other,,\n"  # no rule takes it
        "c,2026-03-01 00:00:00,u,call,007,x\n"
    )
    told = import_file(fresh, file, "--mapping", mapping(tmp_path, CALLS))

    assert (told["stored"], told["quarantined"]) == (1, 2)
    assert [(row["line"], row["reason"], row["mapping"]) for row in waiting(fresh)] == [
        (3, "unmapped_event", "shop"), (4, "naive_timestamp", "shop"),
    ]  # fmt: skip
    assert [json.loads(row["raw"]) for row in waiting(fresh)] == [
        {"customer": "b", "when": "2026-03-01T00:00:00Z", "who": "", "kind": "other",
         "num in": "", "spare": ""},
        {"customer": "c", "when": "2026-03-01 00:00:00", "who": "u", "kind": "call",
         "num in": "007", "spare": "x"},
    ]  # fmt: skip
    fresh.check_identity()


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_json_line_waits_letter_by_letter(fresh: Server, tmp_path: Path, is_ours: bool) -> None:
    lines = [
        '{"tenant_id": "a", "timestamp": "2026-03-01T00:00:00Z",  "event_type": "LOGIN"}',
        '{ "event_type":"LOGIN", "tenant_id":"b", "timestamp":"2026-03-01T00:00:00" }',
        '{"tenant_id":"c","timestamp":"2026-03-01T00:00:00Z","event_type":"NOPE","severity":1.50}',
    ]
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(lines))
    words = []
    if not is_ours:
        layout = tmp_path / "layout.toml"
        layout.write_text(
            '[source]\nname = "layout"\n[columns]\ntenant_id = "tenant_id"\n'
            'timestamp = "timestamp"\n[[events]]\ntype_column = "event_type"\n'
        )
        words = ["--mapping", layout]
    import_file(fresh, file, *words)

    assert [(row["line"], row["raw"]) for row in waiting(fresh)] == [(2, lines[1]), (3, lines[2])]
    assert {row["mapping"] for row in waiting(fresh)} == {None if is_ours else "layout"}


def test_a_parquet_row_waits_with_its_columns(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.parquet"
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    pq.write_table(
        pa.table({
            "customer": ["a"], "when": pa.array([moment], pa.timestamp("ns", tz="UTC")),
            "who": pa.array([None], pa.string()), "kind": ["other"],
            "paid": pa.array([Decimal("1.50")], pa.decimal128(9, 2)),
            "score": [float("nan")], "day": [date(2026, 3, 1)],
        }),
        file,
    )  # fmt: skip
    import_file(fresh, file, "-m", mapping(tmp_path, CALLS))

    (row,) = waiting(fresh)
    assert json.loads(row["raw"], parse_float=str) == {
        "customer": "a", "when": "2026-03-01T00:00:00Z", "who": None, "kind": "other",
        "paid": "1.50", "score": "nan", "day": "2026-03-01",
    }  # fmt: skip


def test_a_conflict_waits_as_it_stood_in_its_file(fresh: Server, tmp_path: Path) -> None:
    one = {"event_id": "same", "tenant_id": "a", "timestamp": "2026-03-01T00:00:00Z"}
    lines = [json.dumps(one | {"event_type": kind}) for kind in ("LOGIN", "LOGIN", "EXPORT_FAILED")]
    lines[2] = json.dumps(one | {"event_type": "LOGIN", "severity": 4})
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(lines))
    told = import_file(fresh, file)

    assert (told["stored"], told["duplicate"], told["conflict"]) == (1, 1, 1)
    assert told["examples"] == [{"line": 3, "reason": "conflict"}]
    assert [row["raw"] for row in waiting(fresh)] == [lines[2]]
    fresh.check_identity()


def test_a_line_too_long_to_travel_twice_waits_as_the_event_it_became(
    fresh: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebbtide.ingest.file_import.SEND_BYTES", 600)
    one = {"tenant_id": "a", "timestamp": "2026-03-01T00:00:00Z", "event_type": "NOPE"}
    lines = [json.dumps(one | {"user_id": "u" * size}) for size in (10, 190, 20)]
    file = tmp_path / "own.jsonl"
    file.write_text(" \n".join(lines))
    import_file(fresh, file)

    short, long, _ = waiting(fresh)
    assert short["raw"] == lines[0] + " "
    assert json.loads(long["raw"]) | {"event_id": None} == json.loads(lines[1]) | {"event_id": None}
    assert [row["reason"] for row in waiting(fresh)] == ["unknown_event_type"] * 3


# -- what is read again ------------------------------------------------------------------------


def calls(num: int) -> list[dict[str, Any]]:
    """Rows of many shapes; every value is what JSON has."""
    return [
        {
            "customer": f"c{i % 4}", "when": f"2026-03-01T00:{i:02}:00Z",
            "who": f"{i:03}" if i % 3 else None, "paid": f"{i}.{i:02}1" if i % 2 else None,
            "kind": "call" if i % 5 else "other", "model": "m-1", "num in": i * 10,
            "num out": i if i % 7 else None, "note": "ü \"quoted\", and\nmore" if i % 4 else "",
            "flag": "yes" if i % 6 else "no",
        }
        for i in range(num)
    ]  # fmt: skip


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    table = pa.Table.from_pylist(rows).drop_columns(["when", "paid"])
    moments = [start + timedelta(minutes=i, microseconds=i) for i in range(len(rows))]
    paid = [None if row["paid"] is None else Decimal(row["paid"]) for row in rows]
    table = table.append_column("when", pa.array(moments, pa.timestamp("us", tz="UTC")))
    table = table.append_column("paid", pa.array(paid, pa.decimal128(12, 4)))
    pq.write_table(table, file, row_group_size=7)


def write_odd_parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    write_parquet(file, rows)
    table = pq.read_table(file)
    table = table.append_column("list", pa.array([[i, None] for i in range(len(rows))]))
    table = table.append_column("inner", pa.array([{"a": {"b": i / 4}} for i in range(len(rows))]))
    table = table.append_column("bytes", pa.array([bytes([i]) for i in range(len(rows))]))
    pq.write_table(table, file)


WRITERS = [
    pytest.param("calls.csv", write_csv, id="CSV"),
    pytest.param("calls.jsonl", write_json, id="JSON Lines"),
    pytest.param("calls.parquet", write_parquet, id="Parquet"),
    pytest.param("calls.parquet", write_odd_parquet, id="Parquet with objects"),
]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_release_gives_the_events_of_an_import_with_the_mended_mapping(
    fresh: Server, tmp_path: Path, name: str, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    file = tmp_path / name
    write(file, calls(40))
    broken = '[[events]]\ntype = "LLM_CALL_MADE"\nwhen = { kind = "telephone" }\n'
    first = import_file(fresh, file, "-m", mapping(tmp_path, broken))
    assert (first["quarantined"], first["stored"]) == (40, 0)

    mended = mapping(tmp_path, ALL, name="mended.toml")
    report = release(fresh, "--reason", "unmapped_event", "--mapping", mended)
    assert (report["tried"], report["released"], report["reasons"]) == (40, 40, {})
    assert not waiting(fresh)
    # The same file, read now, says nothing new.
    again = import_file(fresh, file, "-m", mended)
    assert (again["duplicate"], again["stored"], again["conflict"]) == (40, 0, 0)
    for other in open_server(tmp_path / "other"):
        assert import_file(other, file, "-m", mended)["stored"] == 40
        assert stored(other) == stored(fresh)
    fresh.check_identity()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_of_our_own_format_are_released_without_a_mapping(
    fresh: Server, tmp_path: Path, kind: str
) -> None:
    rows: list[dict[str, Any]] = [
        {"tenant_id": "a", "timestamp": f"2026-03-13T00:00:0{i}Z", "event_type": "LLM_CALL_MADE",
         "severity": 3, "cost_usd": 0.25, "user_id": "007"}
        for i in range(3)
    ]  # fmt: skip
    file = tmp_path / f"own.{kind}"
    if kind == "jsonl":
        write_json(file, [row | {"metadata": {"model": "m", "tokens_in": 7}} for row in rows])
    else:
        rows = [row | {"metadata.model": "m", "metadata.tokens_in": 7} for row in rows]
        if kind == "csv":
            write_csv(file, rows)
        else:
            pq.write_table(pa.Table.from_pylist(rows), file)
    assert import_file(fresh, file)["reasons"] == {"future_timestamp": 3}
    assert release(fresh)["reasons"] == {"future_timestamp": 3}

    fresh.clock.advance(hours=24)
    assert release(fresh)["released"] == 3
    assert import_file(fresh, file, "--again")["duplicate"] == 3
    (one, *_) = fresh.admin.get("/v1/events").json["events"]
    assert (one["severity"], one["cost_usd"], one["source"]) == (3, 0.25, "import")
    assert (one["user_id"], one["metadata"]) == ("007", {"model": "m", "tokens_in": 7})


def test_a_row_without_its_mapping_waits_for_what_it_waited_and_the_answer_says_so(
    fresh: Server, tmp_path: Path
) -> None:
    file = tmp_path / "calls.csv"
    write_csv(file, calls(10))
    layout = mapping(tmp_path, CALLS)
    import_file(fresh, file, "-m", layout)
    fresh.admin.send({"tenant_id": "a", "timestamp": "x", "event_type": "LOGIN", "event_id": "e"})
    before = waiting_reasons(fresh)

    report = release(fresh)
    assert report["missing_mappings"] == {"shop": 2}
    assert report["reasons"] == {"unmapped_event": 2, "invalid_timestamp": 1}
    assert waiting_reasons(fresh) == before
    told = run(fresh, "quarantine", "release")
    assert told.exit_code == 2
    assert told.stdout == (
        "Tried 3: released 0, 3 still wait: 2 unmapped_event, 1 invalid_timestamp.\n"
        "2 of them came with the mapping 'shop', which the server does not have: "
        "give its file with --mapping.\n"
    )
    # A mapping of another name is not theirs.
    other = tmp_path / "other.toml"
    other.write_text(layout.read_text().replace('"shop"', '"cellar"'))
    assert release(fresh, "-m", other)["missing_mappings"] == {"shop": 2}
    # In the server's folder it is known.
    folder = fresh.house.settings.effective_sources_dir
    folder.mkdir(exist_ok=True)
    mapping(folder, ALL)
    assert release(fresh)["released"] == 2


def waiting_reasons(server: Server) -> dict[str, int]:
    reasons: dict[str, int] = server.admin.get("/v1/quarantine").json["by_reason"]
    return reasons


def test_a_release_that_only_finds_another_reason_says_so(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(
        "customer,when,kind\na,2026-03-01T00:00:00Z,other\nb,2026-03-01 00:00:00,other\n"
        ",2026-03-01T00:00:00Z,other\n"
    )
    import_file(fresh, file, "-m", mapping(tmp_path, CALLS))
    told = run(
        fresh, "quarantine", "release", "--reason", "unmapped_event",
        "-m", mapping(tmp_path, ALL),
    )  # fmt: skip
    assert told.exit_code == 2
    assert told.stdout == (
        "Tried 3: released 1, 2 still wait: 1 missing_tenant_id, 1 naive_timestamp.\n"
    )
    assert waiting_reasons(fresh) == {"missing_tenant_id": 1, "naive_timestamp": 1}
    zoned = mapping(tmp_path, ALL, '[timestamp]\nzone = "UTC"\n')
    assert release(fresh, "-m", zoned)["reasons"] == {"missing_tenant_id": 1}


def test_prices_travel_with_the_mapping(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    write_csv(file, [row | {"paid": None} for row in calls(3)])
    import_file(fresh, file, "-m", mapping(tmp_path, CALLS.replace("call", "none")))
    (tmp_path / "prices.json").write_text(
        '{"m-1": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 3e-10, "mode": "chat"}}'
    )
    priced = mapping(tmp_path, ALL, '[cost]\nprices = "prices.json"\n')
    assert release(fresh, "-m", priced)["released"] == 3
    costs = fresh.house.services.events.query("SELECT cost_usd FROM events ORDER BY timestamp")
    assert costs == [(None,), (Decimal("0.0000015003"),), (Decimal("0.0000030006"),)]


def test_what_was_no_row_stays_with_its_reason(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_bytes(b'customer,when,kind\n5\n7,8\na,2026-03-01T00:00:00Z,\xff\n"open,2026,call\n')
    layout = mapping(tmp_path, ALL)
    import_file(fresh, file, "-m", layout)
    before = [(row["line"], row["reason"], row["raw"]) for row in waiting(fresh)]
    assert [one[:2] for one in before] == [
        (2, "invalid_csv"), (3, "invalid_csv"), (4, "invalid_utf8"), (5, "invalid_csv"),
    ]  # fmt: skip
    assert release(fresh, "-m", layout)["reasons"] == {"invalid_csv": 3, "invalid_utf8": 1}
    assert [(row["line"], row["reason"], row["raw"]) for row in waiting(fresh)] == before


def test_values_that_were_only_shown_never_become_data(fresh: Server, tmp_path: Path) -> None:
    file = tmp_path / "calls.parquet"
    no_text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    good = pa.array([NOON], pa.timestamp("us", tz="UTC"))
    late = pa.array([300_000_000_000], pa.int64()).cast(pa.timestamp("s", tz="UTC"))
    names = ["customer", "when", "who"]
    pq.write_table(pa.table([pa.array(["a"]), good, no_text], names), file)
    layout = mapping(tmp_path, ALL, '[timestamp]\nformat = "epoch_ms"\n')
    import_file(fresh, file, "-m", layout)
    pq.write_table(pa.table([pa.array(["a"]), late, pa.array(["u"])], names), file)
    import_file(fresh, file, "-m", layout)
    assert sorted(waiting_reasons(fresh)) == ["invalid_timestamp", "invalid_utf8"]
    assert release(fresh, "-m", layout)["reasons"] == {"invalid_timestamp": 1, "invalid_utf8": 1}


# -- the mapping that is given -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"toml": "[source]\nname = 5"}, 422),
        ({"toml": "nonsense"}, 422),
        ({"toml": 5}, 422),
        ({"file_name": "x"}, 422),
        ({"toml": SHOP + ALL + '[cost]\nprices = "/etc/hostname"\n'}, 422),
        ({"toml": SHOP + ALL, "more": 1}, 422),
        ({"toml": "x" * 500_001}, 422),
    ],
    ids=lambda given: str(given)[:25],
)
def test_a_mapping_that_cannot_be_used_is_told_and_nothing_is_tried(
    server: Server, given: dict[str, Any], status: int
) -> None:
    server.admin.send({"tenant_id": "a", "timestamp": "x", "event_type": "LOGIN", "event_id": "e"})
    answer = server.admin.post("/v1/quarantine/release", {"mapping": given})
    assert answer.status == status
    assert {row["num_attempts"] for row in waiting(server)} == {0}


def test_a_broken_mapping_file_is_told_by_the_command(server: Server, tmp_path: Path) -> None:
    layout = mapping(tmp_path, ALL, '[cost]\nprices = "prices.json"\n')
    told = run(server, "quarantine", "release", "-m", layout)
    assert told.exit_code == 1
    assert "prices.json is missing" in str(told.exception)
