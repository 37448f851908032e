"""What is particular to ClickHouse: fsync, the projection, the one writer, kills, and HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest

from ebbtide.domain.errors import QueryError, SettingsError, StorageFull, StoreUnavailable
from ebbtide.domain.event import Outcome
from ebbtide.store.events.base import bind, to_batch
from ebbtide.store.events.clickhouse import ClickHouseEventStore, _parameter, _placeholder
from ebbtide.store.events.relations import event_counts
from event_factory import NOON, make_event, make_many

chdb = pytest.importorskip("chdb")
driver = pytest.importorskip("clickhouse_connect.driver.exceptions")

HOUR = timedelta(hours=1)
STORED, DUPLICATE, CONFLICT = int(Outcome.STORED), int(Outcome.DUPLICATE), int(Outcome.CONFLICT)


@pytest.fixture
def url(chdb_folder: Path) -> Iterator[str]:
    """A database of its own in the session's engine."""
    name = f"own_{uuid4().hex}"
    yield f"chdb://{chdb_folder}?database={name}"
    with closing(chdb.connect(str(chdb_folder))) as con:
        con.query(f"DROP DATABASE IF EXISTS {name} SYNC")


@pytest.fixture
def store(url: str) -> Iterator[ClickHouseEventStore]:
    """A migrated, empty store."""
    opened = ClickHouseEventStore(url)
    opened.migrate()
    yield opened
    opened.close()


def total(store: ClickHouseEventStore) -> tuple[int, int]:
    """How many events the table and the roll-up hold."""
    rows = store.query("SELECT (SELECT COUNT(*) FROM events), (SELECT SUM(num) FROM event_rollup)")
    return rows[0][0], rows[0][1] or 0


def run_child(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, where it may own an engine of its own."""
    return subprocess.run(
        _child(script, *arguments), capture_output=True, text=True, timeout=120, env=_child_env()
    )


def _child(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]


def _child_env() -> dict[str, str]:
    paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


# -- the layout ----------------------------------------------------------------------------


def test_the_projection_answers_the_rollup(
    store: ClickHouseEventStore, chdb_folder: Path, url: str
) -> None:
    store.append(to_batch(make_many(500, seed=1)))
    relation, params = event_counts(NOON, NOON + 24 * HOUR, [NOON + 5 * HOUR])
    sql = (
        f"SELECT tenant_id, SUM(num), SUM(cost_usd) FROM {relation} counts"
        " WHERE event_type IN (:kinds) GROUP BY tenant_id ORDER BY tenant_id"
    )
    text, values = bind(sql, {**params, "kinds": ["LLM_CALL_MADE"]}, _placeholder)
    flat = {name: _parameter(value) for name, value in values.items()}
    forced = (
        " SETTINGS force_optimize_projection_name = 'rollup',"
        " aggregate_functions_null_for_empty = 1"
    )
    with closing(chdb.connect(str(chdb_folder))) as con:
        con.query(f"USE {url.rpartition('=')[2]}")
        answer = con.query(text + forced, "JSONCompactEachRow", params=flat).bytes()
        with pytest.raises(RuntimeError, match="projection"):  # the setting does refuse raw scans
            con.query("SELECT user_id, count() FROM events GROUP BY user_id" + forced, "Null")
    rows = [json.loads(line) for line in answer.splitlines()]
    expected = store.query(sql, {**params, "kinds": ["LLM_CALL_MADE"]})
    assert [(row[0], int(row[1])) for row in rows] == [(row[0], row[1]) for row in expected]
    assert len(rows) == 7


def test_a_batch_over_many_years_is_accepted(store: ClickHouseEventStore) -> None:
    events = [
        make_event(f"e{i}", timestamp=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=31 * i))
        for i in range(150)
    ]
    assert set(store.append(to_batch(events))) == {STORED}
    assert set(store.append(to_batch(events))) == {DUPLICATE}
    assert total(store) == (150, 150)
    parts = store.query(
        "SELECT COUNT(*) FROM system.parts WHERE database = :name AND table = 'events' AND active",
        {"name": store.query("SELECT currentDatabase()")[0][0]},
    )
    assert parts[0][0] > 140  # a partition a month, beyond the engine's usual limit of 100


def test_the_first_microseconds_of_1970_have_their_hour(store: ClickHouseEventStore) -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    store.append(
        to_batch(
            [
                make_event("at", timestamp=start),
                make_event("after", timestamp=start + timedelta(microseconds=1)),
            ]
        )
    )
    rows = store.query("SELECT hour_end, num FROM event_rollup ORDER BY hour_end")
    assert rows == [(start, 1), (start + HOUR, 1)]


def test_erased_bytes_leave_the_disk(store: ClickHouseEventStore, chdb_folder: Path) -> None:
    canary = f"canary-{uuid4().hex}"
    store.append(to_batch([make_event(canary, tenant_id=canary), make_event("other")]))
    assert _holding(chdb_folder, canary.encode())
    assert store.erase_tenant(canary) == 1
    assert _holding(chdb_folder, canary.encode()) == []
    assert total(store) == (1, 1)


def _holding(folder: Path, needle: bytes) -> list[Path]:
    """The files in which these bytes stand."""
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):
            if needle in path.read_bytes():
                found.append(path)
    return found


# -- durability ----------------------------------------------------------------------------

APPENDS_BETWEEN_MARKS = """
    import os, sys
    from event_factory import make_many
    from ebbtide.store.events.base import to_batch
    from ebbtide.store.events.clickhouse import ClickHouseEventStore
    store = ClickHouseEventStore("chdb://" + sys.argv[1])
    store.migrate()
    for i in range(3):
        batch = to_batch(make_many(20, seed=i))
        os.path.exists("/begin-append")
        store.append(batch)
        os.path.exists("/end-append")
    store.close()
"""


def test_an_fsync_of_data_and_folders_lies_before_every_answer(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace.log"
    calls = "trace=fsync,fdatasync,stat,newfstatat,access,faccessat,faccessat2,?statx"
    run = subprocess.run(
        [strace, "-f", "-y", "-e", calls, "-o", str(log),
         *_child(APPENDS_BETWEEN_MARKS, tmp_path / "data")],
        capture_output=True, text=True, timeout=120, env=_child_env(),
    )  # fmt: skip
    if "ptrace" in run.stderr and run.returncode:
        pytest.skip("this machine does not let strace trace")
    assert run.returncode == 0, run.stderr
    stretches = re.findall(r"/begin-append(.*?)/end-append", log.read_text(), re.S)
    assert len(stretches) == 3
    for stretch in stretches:
        synced = re.findall(r"f(?:data)?sync\(\d+<([^>]*)>", stretch)
        assert any(path.endswith("/data.bin") for path in synced), synced
        assert any(re.search(r"/\d{6}_\d+_\d+_0$", path) for path in synced), "the part's folder"
        assert any(re.search(r"/[0-9a-f-]{36}$", path) for path in synced), "the table's folder"


APPENDS_UNTIL_KILLED = """
    import sys
    from event_factory import make_many
    from ebbtide.store.events.base import to_batch
    from ebbtide.store.events.clickhouse import ClickHouseEventStore
    from datetime import timedelta
    folder, first = sys.argv[1], int(sys.argv[2])
    store = ClickHouseEventStore("chdb://" + folder)
    store.migrate()
    for seed in range(first, first + 100_000):
        # 70 days: several months, hence several parts, in one batch.
        store.append(to_batch(make_many(60, seed=seed, span=timedelta(days=70))))
        print(seed, flush=True)
"""

ACCOUNTS_AFTER_KILL = """
    import json, sys
    from datetime import timedelta
    from event_factory import make_many
    from ebbtide.store.events.base import to_batch
    from ebbtide.store.events.clickhouse import ClickHouseEventStore
    store = ClickHouseEventStore("chdb://" + sys.argv[1])
    store.migrate()
    lost = 0
    for seed in json.loads(sys.argv[2]):
        batch = to_batch(make_many(60, seed=seed, span=timedelta(days=70)))
        lost += int((store.append(batch) == 0).sum())
    unanswered = to_batch(make_many(60, seed=int(sys.argv[3]), span=timedelta(days=70)))
    store.append(unanswered)
    again = int((store.append(unanswered) == 1).sum())
    rows = store.query(
        "SELECT COUNT(*), COUNT(DISTINCT event_uuid), (SELECT SUM(num) FROM event_rollup),"
        " SUM(cost_usd) - (SELECT SUM(cost_usd) FROM event_rollup) FROM events"
    )
    print(json.dumps([lost, again, *map(int, rows[0])]))
    store.close()
"""


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    _kill_rounds(tmp_path, rounds=3)


@pytest.mark.slow
def test_many_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    _kill_rounds(tmp_path, rounds=40)


def _kill_rounds(folder: Path, *, rounds: int) -> None:
    """Kill a writing process, then count in a new one; unanswered batches are sent again."""
    answered: list[int] = []
    for i in range(rounds):
        first = i * 1_000_000
        child = subprocess.Popen(
            _child(APPENDS_UNTIL_KILLED, folder / "data", first),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_child_env(),
        )  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        seen = [int(child.stdout.readline() or -1)]
        killer = threading.Timer(0.2 + 0.137 * (i % 7), child.send_signal, [signal.SIGKILL])
        killer.start()
        seen += map(int, child.stdout.read().split())
        assert child.wait() == -signal.SIGKILL, child.stderr.read()
        child.stderr.close()
        child.stdout.close()
        assert seen[0] == first
        answered += seen
        run = run_child(ACCOUNTS_AFTER_KILL, folder / "data", answered, answered[-1] + 1)
        assert run.returncode == 0, run.stderr
        lost, again, events, distinct, rolled, cost_gap = json.loads(run.stdout)
        answered.append(answered[-1] + 1)
        assert (lost, again, cost_gap) == (0, 60, 0)
        assert events == distinct == rolled == 60 * len(answered)


REOPENS = """
    import json, sys
    from ebbtide.store.events.clickhouse import ClickHouseEventStore
    from ebbtide.store.events.base import to_batch
    from event_factory import make_many
    store = ClickHouseEventStore("chdb://" + sys.argv[1])
    store.migrate()
    if len(sys.argv) > 2:
        store.append(to_batch(make_many(300, seed=1)))
    rows = store.query(
        "SELECT (SELECT COUNT(*) FROM events), (SELECT SUM(num) FROM event_rollup),"
        " (SELECT COUNT(*) FROM system.projection_parts WHERE active AND is_broken),"
        " (SELECT COUNT(*) FROM system.projection_parts WHERE active)"
    )
    store.query(
        "SELECT SUM(num_cost), SUM(cost_usd), SUM(num_latency), SUM(latency_ms), MIN(first_at),"
        " MAX(last_at), MAX(last_received_at) FROM event_rollup"
    )
    print(json.dumps(rows[0]))
    store.close()
"""


@pytest.mark.parametrize(
    "damage",
    [
        "cut short",
        pytest.param("zeroes", marks=pytest.mark.slow),
        "zeroes at the end",
        pytest.param("gone", marks=pytest.mark.slow),
    ],
)
def test_a_torn_rollup_is_noticed_and_rebuilt(tmp_path: Path, damage: str) -> None:
    assert json.loads(run_child(REOPENS, tmp_path / "data", "fill").stdout)[:2] == [300, 300]
    (torn,) = (tmp_path / "data" / "store").glob("*/*/2026*/rollup.proj/data.bin")
    content = torn.read_bytes()
    torn.unlink()
    if damage == "cut short":
        torn.write_bytes(b"")
    elif damage.startswith("zeroes"):
        kept = content[:-40] if damage.endswith("end") else b""
        torn.write_bytes(kept.ljust(len(content), b"\0"))
    run = run_child(REOPENS, tmp_path / "data")
    assert run.returncode == 0, run.stderr
    events, rolled, broken, projections = json.loads(run.stdout)
    assert (events, rolled, broken) == (300, 300, 0)
    assert projections >= 1


def test_a_second_process_is_refused(store: ClickHouseEventStore, chdb_folder: Path) -> None:
    run = run_child(REOPENS, chdb_folder)
    assert run.returncode != 0
    assert "StoreUnavailable" in run.stderr
    store.append(to_batch([make_event()]))
    assert total(store) == (1, 1)


# -- one writer, retries ---------------------------------------------------------------------


def test_the_newer_writer_wins_and_the_older_one_is_told(
    store: ClickHouseEventStore, url: str
) -> None:
    store.append(to_batch([make_event("a")]))
    with closing(ClickHouseEventStore(url)) as newer:
        newer.migrate()
        with pytest.raises(StoreUnavailable, match="another process"):
            store.append(to_batch([make_event("b")]))
        assert list(newer.append(to_batch([make_event("a"), make_event("b")]))) == [
            DUPLICATE,
            STORED,
        ]
        assert total(store) == (2, 2)  # reading goes on


def test_an_insert_whose_answer_was_lost_is_recognised_on_retry(
    store: ClickHouseEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = make_many(30, seed=3)
    client = store._write_client()
    raw_insert = client.raw_insert

    def stores_but_fails(*arguments: Any, **named: Any) -> None:
        raw_insert(*arguments, **named)
        raise driver.OperationalError("the connection broke")

    monkeypatch.setattr(client, "raw_insert", stores_but_fails)
    with pytest.raises(StoreUnavailable):
        store.append(to_batch(events))
    monkeypatch.undo()
    more = [*events, make_event("new"), events[0]._replace(user_id="other")]
    assert list(store.append(to_batch(more))) == [DUPLICATE] * 30 + [STORED, CONFLICT]
    assert total(store) == (31, 31)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OSError(28, "No space left on device"), StorageFull),
        (OSError(5, "Input/output error"), StoreUnavailable),
    ],
)
def test_a_full_temporary_folder_is_no_lost_event(
    store: ClickHouseEventStore,
    monkeypatch: pytest.MonkeyPatch,
    fault: OSError,
    expected: type[StoreUnavailable],
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(store._write_client(), "raw_insert", fails)
    with pytest.raises(expected) as caught:
        store.append(to_batch([make_event()]))
    assert type(caught.value) is expected
    monkeypatch.undo()
    assert list(store.append(to_batch([make_event()]))) == [STORED]


def test_thousands_of_repeats_are_looked_up_in_pieces(store: ClickHouseEventStore) -> None:
    events = make_many(5_000, seed=8)
    store.append(to_batch(events))
    moved = [event._replace(timestamp=event.timestamp - 900 * HOUR) for event in events[:2_500]]
    assert set(store.append(to_batch(events))) == {DUPLICATE}
    assert set(store.append(to_batch(moved))) == {CONFLICT}
    assert total(store) == (5_000, 5_000)


def test_the_index_is_read_in_stretches(
    store: ClickHouseEventStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = make_many(3_000, seed=9, tenants=40)
    store.append(to_batch(events))
    monkeypatch.setattr("ebbtide.store.events.clickhouse.LOAD_ROWS", 100)
    with closing(ClickHouseEventStore(url)) as again:
        again.migrate()
        assert set(again.append(to_batch(events))) == {DUPLICATE}


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "clickhouse:///database",
        "clickhouse://host:notaport/db",
        "clickhouse://host/a-b",
        "clickhouse://host/db?unknown=1",
        "chdb://",
        "chdb:///folder?database=a;b",
        "chdb:///folder?database=",
        "http://host/db",
    ],
)
def test_a_wrong_address_is_refused_at_once(wrong: str) -> None:
    if wrong.endswith("database="):
        assert ClickHouseEventStore(wrong).engine == "chdb"  # an empty name is the usual one
        return
    with pytest.raises(SettingsError):
        ClickHouseEventStore(wrong)


def test_an_unreachable_server_is_said_quickly_and_without_the_password() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    store = ClickHouseEventStore(f"clickhouse://me:pass-word@127.0.0.1:{port}/db")
    start = time.monotonic()
    for call in (store.ping, store.migrate):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert "pass-word" not in str(caught.value)
    assert time.monotonic() - start < 5
    store.close()


# -- over HTTP: the real engine behind a small server that speaks ClickHouse's HTTP ------------


class Server(ThreadingHTTPServer):
    """The HTTP interface of ClickHouse as far as the driver uses it, in front of chDB."""

    daemon_threads = True

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.folder = folder
        self.scratch = scratch
        self.statements: list[tuple[str, dict[str, str]]] = []
        #: called with a statement before and after it ran; may wait, or raise to cut the line
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.fault: tuple[int, str] | None = None

    @property
    def url(self) -> str:
        return f"clickhouse://user:secret@127.0.0.1:{self.server_address[1]}"

    def run(self, sql: str, options: dict[str, str], body: bytes) -> bytes:
        """Run one statement with the settings and parameters of the request."""
        scratch = self.scratch / f"body-{uuid4().hex}"
        with closing(chdb.connect(str(self.folder))) as con:
            if options.get("database"):
                con.query(f"USE {options['database']}")
            last = {"readonly": options["readonly"]} if "readonly" in options else {}
            settings = {k: v for k, v in options.items() if k not in _TRANSPORT} | last
            for name, value in settings.items():
                if not name.startswith("param_"):
                    con.query(f"SET {name} = '{value}'")
            if "FROM input(" in sql:  # in process, the body of an insert comes from a file
                scratch.write_bytes(body)
                source = f"FROM file('{scratch}', 'ArrowStream', "
                sql = sql.replace("FROM input(", source).replace(" FORMAT ArrowStream", "")
            params = {k[6:]: v for k, v in options.items() if k.startswith("param_")}
            form = "Native" if "system.settings" in sql else "TabSeparated"
            try:
                answer: bytes = con.query(sql, form, params=params).bytes() or b""
            finally:
                scratch.unlink(missing_ok=True)
            return answer


_TRANSPORT = frozenset(
    "database query query_id wait_end_of_query client_protocol_version session_id compress"
    " send_progress_in_http_headers http_headers_progress_interval_ms readonly"
    " enable_http_compression cancel_http_readonly_queries_on_client_close".split()
)


class _Door(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        options = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):  # how long parameters travel
            form = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
            for part in form.get_payload():
                value = part.get_payload(decode=True)
                options[part.get_param("name", header="Content-Disposition")] = value.decode()
        sql = options["query"] if "query" in options else body.decode()
        self.server.statements.append((sql, options))
        try:
            self.server.before(sql)
            fault = self.server.fault
            if fault is not None and sql.startswith("INSERT INTO events"):
                self._answer(500, f"Code: {fault[0]}. DB::Exception: {fault[1]}".encode(), fault[0])
                return
            answer = self.server.run(sql, options, body)
            self.server.after(sql)
        except ConnectionAbortedError:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._answer(500, str(error).encode(), int(code[1]) if code else 1000)
        else:
            self._answer(200, answer)

    def _answer(self, status: int, body: bytes, code: int | None = None) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the client gave up
            self.send_response(status)
            if code is not None:
                self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.send_header("X-ClickHouse-Format", "TabSeparated")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@pytest.fixture
def server(chdb_folder: Path, tmp_path: Path) -> Iterator[Server]:
    with Server(chdb_folder, tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(server: Server, url: str) -> Iterator[ClickHouseEventStore]:
    """A migrated store that speaks HTTP."""
    opened = ClickHouseEventStore(f"{server.url}/{url.rpartition('=')[2]}", query_timeout_s=2)
    opened.migrate()
    yield opened
    opened.close()


def inserts(server: Server) -> list[str]:
    return [sql for sql, _ in server.statements if sql.startswith("INSERT INTO events")]


def test_no_proxy_of_the_environment_is_used(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with closing(ClickHouseEventStore(f"{server.url}/{url.rpartition('=')[2]}")) as store:
        assert store.migrate()


def test_over_http_everything_works_too(remote: ClickHouseEventStore, server: Server) -> None:
    assert remote.engine == "clickhouse"
    remote.ping()
    events = [*make_many(200, seed=5), make_event("tab\tquote'back\\slash\n", user_id="ä🦀")]
    assert set(remote.append(to_batch(events))) == {STORED}
    changed = [*events[:-1], events[-1]._replace(user_id="x"), make_event("new")]
    assert list(remote.append(to_batch(changed))) == [DUPLICATE] * 200 + [CONFLICT, STORED]
    assert total(remote) == (202, 202)
    assert remote.query("SELECT event_id FROM events WHERE user_id = :who", {"who": "ä🦀"}) == [
        ("tab\tquote'back\\slash\n",)
    ]
    moment = remote.query("SELECT timestamp FROM events WHERE timestamp = :t", {"t": NOON})
    assert moment == [(NOON,), (NOON,)]
    with pytest.raises(QueryError):
        remote.query("SELECT nothing FROM events")
    assert remote.erase_tenant("acme") == 2
    assert total(remote) == (200, 200)
    assert len(inserts(server)) == 2


def test_every_statement_carries_the_pinned_settings(
    remote: ClickHouseEventStore, server: Server
) -> None:
    server.statements.clear()
    remote.append(to_batch([make_event()]))
    remote.query("SELECT COUNT(*) FROM events")
    assert len(server.statements) >= 2
    for sql, options in server.statements:
        if "database" not in options:
            continue  # the handshake of a new connection
        assert (options["async_insert"], options["wait_for_async_insert"]) == ("0", "1"), sql
        assert options["aggregate_functions_null_for_empty"] == "1", sql
        assert options["session_timezone"] == "UTC", sql
        assert options["database"].startswith("own_"), sql
        assert (options.get("readonly") == "2") == sql.startswith("SELECT COUNT"), sql


def test_a_line_cut_after_the_insert_stores_once(
    remote: ClickHouseEventStore, server: Server
) -> None:
    def cut(sql: str) -> None:
        if sql.startswith("INSERT INTO events"):
            raise ConnectionAbortedError

    server.after = cut
    events = make_many(40, seed=6)
    with pytest.raises(StoreUnavailable):
        remote.append(to_batch(events))
    assert len(inserts(server)) == 1  # the driver sent it once, and did not repeat it by itself
    server.after = lambda _: None
    assert set(remote.append(to_batch(events))) == {DUPLICATE}
    assert total(remote) == (40, 40)


def test_an_insert_that_comes_late_is_refused_by_the_server(
    remote: ClickHouseEventStore, server: Server
) -> None:
    held, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    def hold(sql: str) -> None:
        if sql.startswith("INSERT INTO events") and not held.is_set():
            held.set()
            go_on.wait(30)

    server.before = hold
    events = make_many(40, seed=7)
    with pytest.raises(StoreUnavailable):  # after the time-out of two seconds
        remote.append(to_batch(events))
    assert held.is_set()
    assert set(remote.append(to_batch(events))) == {STORED}
    late: list[str] = []
    run = server.run

    def watched(sql: str, options: dict[str, str], body: bytes) -> bytes:
        try:
            return run(sql, options, body)
        except RuntimeError as error:
            late.append(str(error))
            raise
        finally:
            finished.set()

    server.run = watched  # type: ignore[method-assign]
    go_on.set()
    assert finished.wait(30)
    assert len(late) == 1 and "throwIf" in late[0]
    assert total(remote) == (40, 40)


def test_the_newer_writer_wins_over_http(
    remote: ClickHouseEventStore, server: Server, url: str
) -> None:
    with closing(ClickHouseEventStore(f"{server.url}/{url.rpartition('=')[2]}")) as newer:
        newer.migrate()
        with pytest.raises(StoreUnavailable, match="another process"):
            remote.append(to_batch([make_event()]))
        assert list(newer.append(to_batch([make_event()]))) == [STORED]
        assert total(newer) == (1, 1)


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (243, "Cannot reserve 1.00 MiB, not enough space", StorageFull),
        (75, "Cannot write to file: errno: 28, No space left on device", StorageFull),
        (252, "Too many parts", StoreUnavailable),
        (242, "Table is in readonly mode", StoreUnavailable),
    ],
)
def test_a_server_that_cannot_store_is_no_lost_event(
    remote: ClickHouseEventStore,
    server: Server,
    code: int,
    text: str,
    expected: type[StoreUnavailable],
) -> None:
    server.fault = (code, text)
    with pytest.raises(expected) as caught:
        remote.append(to_batch([make_event()]))
    assert type(caught.value) is expected
    assert remote.query("SELECT COUNT(*) FROM events") == [(0,)]  # reading goes on
    server.fault = None
    assert list(remote.append(to_batch([make_event()]))) == [STORED]
