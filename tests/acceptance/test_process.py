"""One process owns a folder: how it starts, who else is refused, and how it stops."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.server_process import KEY, ServerProcess, free_port

EVENT = {
    "timestamp": "2026-03-12T11:00:00Z",
    "tenant_id": "acme",
    "event_type": "LOGIN",
}


def ask(
    server: ServerProcess, method: str, path: str, body: Any = None, key: str = KEY
) -> tuple[int, Any]:
    """One request; status and parsed body."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        line.request(method, path, text, {"X-API-Key": key, "Content-Type": "application/json"})
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def send(server: ServerProcess, *ids: str) -> list[str]:
    """Store events with these ids; the result words."""
    status, body = ask(server, "POST", "/v1/events", [EVENT | {"event_id": one} for one in ids])
    assert status == 200, body
    return [one["result"] for one in body["results"]]


def ebbtide(
    *words: str, folder: Path, timeout_s: float = 60, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with nothing from outside but the folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE")}
    return subprocess.run(
        [sys.executable, "-m", "ebbtide", *words],
        env=clean | {"EBBTIDE_DATA_DIR": str(folder), "COLUMNS": "200"} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class Terminal:
    """A server started as a person does it, whose words are read while it runs."""

    def __init__(self, folder: Path, port: int, *words: str, **env: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ebbtide", "serve", "--port", str(port), *words],
            env=clean | {"EBBTIDE_DATA_DIR": str(folder)} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.words = ""
        for line in self.process.stdout:
            self.words += line
            if "key" in line:
                return

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=30)
        self.words += rest
        return self.process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


# -- starting ----------------------------------------------------------------------------------


def test_the_first_key_is_shown_once_and_the_data_stays(tmp_path: Path) -> None:
    folder, port = tmp_path / "data", free_port()
    reach = ServerProcess(folder, port=port)
    events = [EVENT | {"event_id": f"e-{i}"} for i in range(10)]
    with Terminal(folder, port, "--show-key") as first:
        assert f"http://127.0.0.1:{port}" in first.words
        (line,) = [line for line in first.words.splitlines() if "Admin key" in line]
        key = line.rpartition(" ")[2]
        status, made = ask(reach, "POST", "/v1/keys", {"name": "n", "scopes": ["read"]}, key)
        assert status == 201
        assert ask(reach, "POST", "/v1/events", events, key)[1]["stored"] == 10
        assert first.stop() == 0
    with Terminal(folder, port, "--show-key") as second:
        assert key not in second.words
        assert "Admin key" not in second.words
        status, found = ask(reach, "GET", "/v1/events", key=made["key"])
        assert (status, len(found["events"])) == (200, 10)
        assert ask(reach, "POST", "/v1/events", events, key)[1]["duplicate"] == 10
        assert second.stop() == 0
    for file in folder.rglob("*"):
        assert key.rpartition("_")[2].encode() not in file.read_bytes(), file


def test_a_key_is_not_printed_where_a_journal_keeps_it(tmp_path: Path) -> None:
    folder, port = tmp_path / "data", free_port()
    with Terminal(folder, port) as terminal:
        assert "ebb_" not in terminal.words
        hint = terminal.words.rpartition("make one with: ")[2].strip()
        assert f"EBBTIDE_DATA_DIR={folder}" in hint
        made = subprocess.run(["sh", "-c", hint], cwd="/", capture_output=True, text=True)
        key = made.stdout.split()[0]
        assert ask(ServerProcess(folder, port=port), "GET", "/v1/keys", key=key)[0] == 200
        assert terminal.stop() == 0
        assert "ebb_" not in terminal.words
    with Terminal(folder, port, "--show-key") as again:
        assert "It has an admin key already; make more with: EBBTIDE_DATA_DIR=" in again.words


def test_a_person_at_a_terminal_sees_the_key(tmp_path: Path) -> None:
    mine, theirs = os.openpty()
    server = subprocess.Popen(
        [sys.executable, "-m", "ebbtide", "serve", "--port", str(free_port())],
        env={k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE_")}
        | {"EBBTIDE_DATA_DIR": str(tmp_path / "data")},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        words = b""
        while b"Admin key" not in words:
            words += os.read(mine, 65536)
        assert b"shown this once: ebb_" in words
    finally:
        server.terminate()
        server.wait(30)
        os.close(mine)


def test_the_start_says_what_an_answer_is_worth(tmp_path: Path) -> None:
    with Terminal(tmp_path / "data", free_port()) as terminal:
        (line,) = [one for one in terminal.words.splitlines() if one.startswith("Events are kept")]
    assert "duckdb" in line and "fsynced before append returns" in line


def test_a_key_from_the_environment_is_the_first_key(tmp_path: Path) -> None:
    folder, port = tmp_path / "data", free_port()
    own = "a-key-for-this-test-only-0123456789"
    with Terminal(folder, port, EBBTIDE_BOOTSTRAP_KEY=own) as terminal:
        assert "Admin key" not in terminal.words
        status, body = ask(ServerProcess(folder, port=port), "GET", "/v1/keys", key=own)
        assert status == 200
        assert [(k["name"], k["scopes"]) for k in body["keys"]] == [("bootstrap", ["admin"])]
        command_line = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes()
        assert own.encode() not in command_line
        assert terminal.stop() == 0
    assert own not in terminal.words


def test_a_setting_that_cannot_be_used_ends_in_one_sentence(tmp_path: Path) -> None:
    ended = ebbtide("serve", folder=tmp_path / "data", EBBTIDE_BOOTSTRAP_KEY="canary-too-short")
    assert ended.returncode == 1
    assert "EBBTIDE_BOOTSTRAP_KEY" in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout
    assert len(ended.stderr.strip().splitlines()) == 1


# -- one folder, one process -------------------------------------------------------------------


def test_a_second_server_on_the_folder_is_refused_and_does_no_harm(
    standing: ServerProcess,
) -> None:
    assert send(standing, "before") == ["stored"]
    for port in (standing.port, free_port()):
        ended = ebbtide("serve", "--port", str(port), folder=standing.data_dir)
        assert ended.returncode == 1
        assert f"another Ebbtide at {standing.url} (process {standing.pid})" in ended.stderr
        assert "EBBTIDE_DATA_DIR" in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
        assert ended.stdout == ""
    assert send(standing, "before", "after") == ["duplicate", "stored"]


def test_a_file_of_another_server_is_not_shared(standing: ServerProcess, tmp_path: Path) -> None:
    """Two folders, one file: the lock of the folder does not see it, the engine does."""
    ended = ebbtide(
        "serve",
        folder=tmp_path / "other",
        EBBTIDE_PORT=str(free_port()),
        EBBTIDE_EVENTS_URL=f"duckdb:///{standing.data_dir}/events.duckdb",
    )
    assert ended.returncode == 1
    assert "events.duckdb" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert send(standing, "a") == ["stored"]


def test_a_taken_port_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = ebbtide("serve", "--port", str(port), folder=tmp_path / "data")
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr
    # A first key made now would have been shown to nobody.
    assert not (tmp_path / "data").exists()


def test_after_a_kill_the_folder_is_free_and_the_old_address_forgotten(
    process: ServerProcess,
) -> None:
    process.start()
    assert send(process, "a") == ["stored"]
    process.kill()
    assert (process.data_dir / "server.json").exists()  # nobody was left to remove it
    listed = ebbtide("events", "--json", folder=process.data_dir)
    assert listed.returncode == 0, listed.stderr
    assert [one["event_id"] for one in json.loads(listed.stdout)["events"]] == ["a"]
    assert not (process.data_dir / "server.json").exists()
    process.start()
    assert send(process, "a") == ["duplicate"]


def test_files_are_for_their_owner_alone(standing: ServerProcess) -> None:
    assert standing.data_dir.stat().st_mode & 0o077 == 0
    for name in ("server.json", "state.sqlite", "ebbtide.lock"):
        assert (standing.data_dir / name).stat().st_mode & 0o077 == 0, name


# -- stopping ----------------------------------------------------------------------------------


@pytest.fixture
def half_sent(process: ServerProcess) -> Iterator[tuple[socket.socket, bytes]]:
    """A request whose body has not yet arrived whole, and the rest of it."""
    process.start()
    body = json.dumps([EVENT | {"event_id": "late"}]).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as line:
        line.sendall(head + body[:10])
        time.sleep(0.3)
        yield line, body[10:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_under_way_and_leaves_order(
    process: ServerProcess, half_sent: tuple[socket.socket, bytes], number: signal.Signals
) -> None:
    line, rest = half_sent
    os.kill(process.pid, number)
    time.sleep(0.5)
    with pytest.raises(OSError):  # nobody new is let in
        socket.create_connection(("127.0.0.1", process.port), timeout=5).close()
    line.sendall(rest)
    answer = b""
    while part := line.recv(65536):
        answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"result":"stored"' in answer
    assert process.wait(20) == 0
    assert not (process.data_dir / "server.json").exists()
    process.start()
    assert send(process, "late") == ["duplicate"]


def test_a_stop_under_load_loses_nothing_that_was_answered(process: ServerProcess) -> None:
    process.start()
    acknowledged: list[str] = []
    stopping = threading.Event()

    def keep_sending(sender: int) -> None:
        number = 0
        while not stopping.is_set():
            ids = [f"s{sender}-{number}-{i}" for i in range(20)]
            number += 1
            try:
                status, body = ask(
                    process, "POST", "/v1/events", [EVENT | {"event_id": one} for one in ids]
                )
            except (OSError, http.client.HTTPException, ValueError):
                return
            if status != 200:
                return
            acknowledged.extend(one["event_id"] for one in body["results"])

    senders = [threading.Thread(target=keep_sending, args=(i,)) for i in range(4)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while len(acknowledged) <= 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.stop() == 0
    stopping.set()
    for sender in senders:
        sender.join(30)
    assert len(acknowledged) > 100
    process.start()
    for start in range(0, len(acknowledged), 5000):
        assert set(send(process, *acknowledged[start : start + 5000])) == {"duplicate"}


def test_a_stop_has_nothing_to_complain_about(tmp_path: Path, process: ServerProcess) -> None:
    process.start()
    assert send(process, "a") == ["stored"]
    assert len(ask(process, "GET", "/v1/events")[1]["events"]) == 1
    started = len((tmp_path / "log").read_text().splitlines())
    assert process.stop() == 0
    said = (tmp_path / "log").read_text().splitlines()[started:]
    assert [line for line in said if '"level": "info"' not in line] == []  # jobs may run meanwhile


@pytest.mark.slow
def test_a_caller_that_never_ends_does_not_hold_up_a_stop(
    process: ServerProcess, half_sent: tuple[socket.socket, bytes]
) -> None:
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 20
    assert not (process.data_dir / "server.json").exists()


# -- what it says ------------------------------------------------------------------------------


def test_the_log_is_json_whoever_writes_it(tmp_path: Path, process: ServerProcess) -> None:
    process.start()
    started = len((tmp_path / "log").read_text().splitlines())
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as line:
        line.sendall(b"no HTTP at all\r\n\r\n")
        while line.recv(65536):
            pass
    assert process.stop() == 0
    said = [json.loads(one) for one in (tmp_path / "log").read_text().splitlines()[started:]]
    assert [(one["level"], one["event"]) for one in said if one["level"] != "info"] == [
        ("warning", "Invalid HTTP request received.")
    ]


def test_no_secret_gets_into_the_log(tmp_path: Path, process: ServerProcess) -> None:
    process.start()
    status, made = ask(process, "POST", "/v1/keys", {"name": "n", "scopes": ["ingest"]})
    assert status == 201
    ask(process, "GET", f"/v1/events?key={made['key']}", key="wrong-key-canary")
    ask(process, "POST", "/v1/track", {"writeKey": made["key"], "event": "x\r\nforged line"})
    ask(process, "POST", "/v1/events", [EVENT | {"user_id": "person-canary", "severity": 99}])
    assert process.stop() == 0
    log = (tmp_path / "log").read_text()
    for secret in (KEY, made["key"].rpartition("_")[2], "canary", "forged line"):
        assert secret not in log.replace("--bootstrap", "")
