"""Bulk loading over HTTP, and ``ebbtide import`` on top of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest
from api_server import NOON, Answer, Server
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from ebbtide.api.turns import Turns
from ebbtide.catalog.loader import load_catalog
from ebbtide.cli.door import CommandError, Door
from ebbtide.cli.main import build_cli
from ebbtide.cli.server_sink import ServerSink
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Outcome
from ebbtide.ingest.bulk import BulkLoader, BulkSource, CheckedTable
from ebbtide.ingest.bulk_table import check_table, read_rows
from ebbtide.ingest.bulk_wire import MEDIA_TYPE, from_stream, to_stream
from ebbtide.ingest.file_import import TableOrigin
from ebbtide.ingest.plain_rows import find_plain
from ebbtide.ingest.validate import Validator
from example_counts import examples

KEY = "k" * 64


def rows(num: int, **columns: Any) -> pa.Table:
    """Plain events without ids of their own."""
    own = {
        "line": pa.array(range(1, num + 1), pa.int64()),
        "tenant_id": pa.array(["bulk-co"] * num),
        "timestamp": pa.array([NOON] * num, pa.timestamp("us", tz="UTC")),
        "event_type": pa.array(["LOGIN"] * num),
    }
    return pa.table(own | columns)


def post(server: Server, body: bytes, *, kind: str = MEDIA_TYPE, **params: Any) -> Answer:
    query = urlencode({"key": KEY, **params})
    return server.admin.ask("POST", f"/v1/bulk?{query}", body, {"Content-Type": kind})


def test_a_table_is_loaded_and_counted(fresh: Server) -> None:
    table = rows(5, severity=pa.array([1, 2, 9, 9, None]))

    first = post(fresh, to_stream(table), file="some file.csv", source="shop")
    again = post(fresh, to_stream(table), file="some file.csv", source="shop")

    assert first.json == {
        "stored": 3, "duplicate": 0, "conflict": 0, "quarantined": 2, "refused": 0,
        "reasons": {"invalid_severity": 2},
        "examples": [{"line": 3, "reason": "invalid_severity"},
                     {"line": 4, "reason": "invalid_severity"}],
        "raw_wanted": [],
    }  # fmt: skip
    assert (again.json["duplicate"], again.json["stored"]) == (3, 0)
    held = fresh.admin.get("/v1/quarantine", door="import").json
    assert held["total"] == 2
    fresh.check_identity()


def test_a_sender_can_bring_the_rows_that_must_wait_later(fresh: Server) -> None:
    table = rows(3, severity=pa.array([1, 9, 1]))

    first = post(fresh, to_stream(table), raw_later="1").json
    assert (first["stored"], first["quarantined"], first["raw_wanted"]) == (2, 0, [2])
    assert fresh.admin.get("/v1/quarantine").json["total"] == 0
    fresh.check_identity()

    again = table.slice(1, 1).append_column("raw", pa.array([b"as it stood"]))
    assert post(fresh, to_stream(again)).json["quarantined"] == 1
    (held,) = fresh.admin.get("/v1/quarantine").json["items"]
    assert (held["raw"], held["line"], held["mapping"]) == ("as it stood", 2, None)
    fresh.check_identity()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no arrow at all", 400),
        (to_stream(rows(5))[:-30], 400),
        (to_stream(rows(5, nonsense=pa.array([1] * 5))), 400),
        (to_stream(rows(5).drop_columns(["line"])), 400),
    ],
)
def test_what_is_no_bulk_table_is_refused(server: Server, body: bytes, status: int) -> None:
    answer = post(server, body)

    assert answer.status == status
    assert answer.json["code"] == "bad-request"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"key": ""}, 422),
        ({"key": "a b"}, 422),
        ({"door": "../x"}, 422),
        ({"source": "s" * 201}, 422),
        ({"file": "a\0b"}, 422),
        ({"request_id": ""}, 422),
        ({"raw_later": "yes"}, 422),
        ({"mapping": "m" * 201}, 422),
        ({"kind": "application/json"}, 415),
    ],
)
def test_wrong_parameters_are_told(server: Server, params: dict[str, str], status: int) -> None:
    assert post(server, to_stream(rows(1)), **params).status == status


def packed(table: pa.Table, compression: str) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def test_small_bodies_cannot_grow_large() -> None:
    with pytest.raises(BadRequest, match="uncompressed"):
        from_stream(packed(rows(1000), "zstd"))
    with pytest.raises(BadRequest, match="uncompressed"):
        from_stream(packed(rows(1000), "lz4"))
    coded = rows(5, user_id=pa.array(["u" * 9] * 5).dictionary_encode())
    with pytest.raises(BadRequest, match="dictionar"):
        from_stream(to_stream(coded))


VALIDATOR = Validator(load_catalog())
GOOD = to_stream(rows(20, user_id=pa.array(["ü-1"] * 20)))


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_a_damaged_stream_is_read_right_or_refused(damage: list[tuple[int, int]]) -> None:
    body = bytearray(GOOD)
    for at, value in damage:
        body[at] = value
    try:
        table = check_table(from_stream(bytes(body)))
    except BadRequest:
        return
    read_rows(table, np.arange(table.num_rows))
    find_plain(table, VALIDATOR, received_at=NOON, default_source="s", key=KEY)


def test_a_request_waits_for_the_one_it_names() -> None:
    async def play() -> list[str]:
        turns, order = Turns(), []

        async def request(name: str, after: str | None, work_s: float) -> None:
            with turns.taken(name):
                await turns.after(after)
                await asyncio.sleep(work_s)
                order.append(name)

        await asyncio.gather(
            request("third", "second", 0), request("second", "first", 0.01),
            request("first", None, 0.05), request("alone", None, 0),
        )  # fmt: skip
        return order

    assert asyncio.run(play()) == ["alone", "first", "second", "third"]


def test_a_lost_predecessor_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebbtide.api.turns.UNSEEN_WAIT_S", 0.01)
    asyncio.run(asyncio.wait_for(Turns().after("never came"), 5))


def test_chunks_under_way_are_stored_in_their_order(
    fresh: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first table is slow to check; the second has the same event with other content."""
    check = BulkLoader.check

    def slow(self: BulkLoader, table: pa.Table, source: BulkSource) -> CheckedTable:
        if table.column("severity")[0].as_py() == 1:
            time.sleep(0.3)
        return check(self, table, source)

    monkeypatch.setattr(BulkLoader, "check", slow)
    with door_to(fresh) as door:
        sink = ServerSink(door, time.sleep)
        futures = [
            sink.begin(
                rows(1, event_id=pa.array(["same"]), severity=pa.array([severity])),
                TableOrigin("f", KEY, "s"),
            )
            for severity in (1, 2, 3)
        ]  # fmt: skip
        outcomes = [future.result().counts for future in futures]
        sink.close()

    assert [one[Outcome.STORED] for one in outcomes] == [1, 0, 0]
    assert [one[Outcome.CONFLICT] for one in outcomes] == [0, 1, 1]


def test_a_sink_asks_again_while_the_server_is_in_trouble() -> None:
    class Troubled:
        left = [503, None, 429]  # noqa: RUF012

        def get(self, _: str) -> dict[str, Any]:
            if self.left:
                raise CommandError("in trouble", self.left.pop())
            raise CommandError("there is none", 404)

    pauses: list[float] = []
    sink = ServerSink(Troubled(), pauses.append)  # type: ignore[arg-type]

    assert sink.find_progress(KEY) is None
    assert len(pauses) == 3
    Troubled.left = [503] * 99
    with pytest.raises(CommandError):
        sink.find_progress(KEY)


# -- the command -------------------------------------------------------------------------------


@contextmanager
def door_to(server: Server) -> Iterator[Door]:
    assert server.admin.key is not None
    door = Door(f"http://127.0.0.1:{server.admin.port}", server.admin.key, is_running=True)
    try:
        yield door
    finally:
        door.close()


def ebbtide(server: Server, *words: str | Path) -> Result:
    app = build_cli(lambda **_: door_to(server), {})
    return CliRunner().invoke(app, ["import", *map(str, words)])


def lines(path: Path, num: int, **details: Any) -> Path:
    one = {"tenant_id": "acme", "timestamp": "2026-03-12T11:00:00Z", "event_type": "LOGIN"}
    path.write_text(
        "".join(json.dumps(one | {"user_id": str(i)} | details) + "\n" for i in range(num))
    )
    return path


def test_import_says_what_became_of_every_row(fresh: Server, tmp_path: Path) -> None:
    good = lines(tmp_path / "good.jsonl", 7)
    mixed = lines(tmp_path / "mixed.jsonl", 2)
    mixed.write_text(mixed.read_text() + "broken\n")

    first = ebbtide(fresh, good)
    second = ebbtide(fresh, good, mixed)
    third = ebbtide(fresh, good, mixed, tmp_path / "missing.jsonl", "--json")

    assert first.exit_code == 0
    assert "good.jsonl: 7 rows" in first.output
    assert second.exit_code == 2
    assert "imported before" in second.output
    assert "invalid_json  (line 3)" in second.output
    assert third.exit_code == 1
    files = json.loads(third.stdout)["files"]
    assert [file["stored"] for file in files] == [0, 0, 0]
    assert files[0]["already_imported_at"] is not None
    assert "missing.jsonl" in files[2]["error"]
    known = fresh.admin.get("/v1/imports").json["imports"]
    assert sorted(one["rows_done"] for one in known) == [3, 7]
    assert all(one["finished_at"] for one in known)


def test_a_file_that_cannot_be_opened_is_told_in_one_line(server: Server, tmp_path: Path) -> None:
    told = ebbtide(server, tmp_path / "missing.jsonl")

    assert told.exit_code == 1
    assert told.output == "missing.jsonl: No such file or directory\n"


def test_a_file_that_breaks_off_says_how_much_of_it_is_done(
    fresh: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebbtide.ingest.file_reader.CHUNK_BYTES", 10_000)
    monkeypatch.setattr("ebbtide.ingest.file_reader.BLOCK_BYTES", 10_000)
    plain = lines(tmp_path / "plain.jsonl", 5000)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(plain.read_bytes())[:-500])
    monkeypatch.setattr("ebbtide.ingest.file_reader._TextReader.content_digest", lambda self: "cut")

    for words in ([], ["--again"]):
        told = ebbtide(fresh, cut, *words)
        assert told.exit_code == 1
        *report, said = told.output.splitlines()
        assert report[0].startswith("cut.jsonl.gz: ")
        match = re.fullmatch(
            r"cut\.jsonl\.gz: cannot be read any further: [^:]+ "
            r"\(([0-9,]+) rows are done; the same command( without --again)? goes on after them\)",
            said,
        )
        assert match is not None, said
        assert (match[2] is None) == (words == [])
        num_done = int(match[1].replace(",", ""))
        assert 0 < num_done < 5000
        assert fresh.num_stored() >= num_done


def test_again_reads_a_file_once_more(fresh: Server, tmp_path: Path) -> None:
    path = lines(tmp_path / "some.jsonl", 4)
    ebbtide(fresh, path)

    told = ebbtide(fresh, path, "--again", "--json")

    assert told.exit_code == 0
    assert json.loads(told.stdout)["files"][0]["duplicate"] == 4


def test_a_mapping_that_is_wrong_is_told(server: Server, tmp_path: Path) -> None:
    mapping = tmp_path / "wrong.toml"
    mapping.write_text("[source]\nname = 'x'\n")
    told = ebbtide(server, lines(tmp_path / "some.jsonl", 1), "--mapping", mapping)

    assert told.exit_code == 1
    assert "wrong.toml" in str(told.exception)


def test_imports_beside_live_traffic(fresh: Server, tmp_path: Path) -> None:
    """Bulk appends and the writer's share one store; nothing of either is lost."""
    stop = threading.Event()
    sent = 0

    def live() -> None:
        nonlocal sent
        while not stop.is_set():
            body = {"tenant_id": "live", "timestamp": "2026-03-12T11:00:00Z",
                    "event_type": "LOGIN", "event_id": f"live-{sent}"}  # fmt: skip
            assert fresh.admin.post("/v1/events", body).results == ["stored"]
            sent += 1

    writer = threading.Thread(target=live)
    writer.start()
    told = ebbtide(fresh, lines(tmp_path / "some.jsonl", 3000), "--json")
    stop.set()
    writer.join()

    assert told.exit_code == 0
    assert json.loads(told.stdout)["files"][0]["stored"] == 3000
    counts = fresh.house.services.events.query(
        "SELECT tenant_id, SUM(num) FROM event_rollup GROUP BY tenant_id ORDER BY tenant_id"
    )
    assert counts == [("acme", 3000), ("live", sent)]
    assert sent > 0
