"""The Redis probe against a server of scripted answers, and against a real Redis where present."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebbtide.limits.probe import Reading, Unavailable
from ebbtide.limits.redis import RedisProbe

MEMORY = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:268435456\r\n"
CLIENTS = "# Clients\r\nconnected_clients:33\r\nmaxclients:10000\r\n"


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends one answer after each thing it reads."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            for answer in answers:
                heard.append(peer.recv(4096))
                peer.sendall(answer)
            peer.settimeout(2)
            try:
                peer.recv(4096)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", heard
    finally:
        listener.close()
        thread.join(5)


def test_memory_and_clients_are_read() -> None:
    with answering(bulk(MEMORY), bulk(CLIENTS)) as (address, heard):
        found = RedisProbe(f"redis://{address}").read()
    assert found == [
        Reading("redis_memory", 1048576, 268435456, "bytes"),
        Reading("redis_clients", 32, 10000, "connections"),
    ]
    assert heard[0] == b"*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n"


def test_without_maxmemory_there_is_no_limit() -> None:
    memory = MEMORY.replace("268435456", "0")
    with answering(bulk(memory), bulk(CLIENTS)) as (address, _):
        found = RedisProbe(f"redis://{address}").read()
    assert isinstance(found, list)
    assert found[0].limit is None


def test_it_logs_in_with_user_and_password() -> None:
    with answering(b"+OK\r\n", bulk(MEMORY), bulk(CLIENTS)) as (address, heard):
        port = address.rpartition(":")[2]
        found = RedisProbe(f"redis://me:p%40ss@127.0.0.1:{port}").read()
    assert isinstance(found, list)
    assert heard[0] == b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\np@ss\r\n"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        pytest.param([b"-NOAUTH secret words\r\n"], "it refused: NOAUTH", id="refused"),
        pytest.param([b"HTTP/1.1 400 Bad\r\n\r\n"], "it does not speak as Redis does", id="http"),
        pytest.param([b"$999999999999\r\n"], "it does not speak as Redis does", id="huge"),
        pytest.param([b"$10\r\nabc"], "no answer within 0.3 s", id="half an answer"),
        pytest.param([b""], "no answer within 0.3 s", id="silence"),
        pytest.param([bulk("nothing"), bulk("here")], "its answer has no figures", id="empty"),
        pytest.param(
            [bulk("used_memory:many\r\n"), bulk(CLIENTS)], "its answer has no figures", id="words"
        ),
    ],
)
def test_what_cannot_be_read_says_why(answers: list[bytes], reason: str) -> None:
    with answering(*answers) as (address, _):
        assert RedisProbe(f"redis://{address}", 0.3).read() == Unavailable(reason)


def test_nobody_there_is_unavailable_and_not_zero() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = RedisProbe(f"redis://:geheim@127.0.0.1:{port}").read()
    assert found == Unavailable("Connection refused")


@pytest.mark.parametrize("url", ["http://host", "redis://", "host:6379", "unix:///x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="redis://"):
        RedisProbe(url)


def test_a_real_redis(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here; Debian has it: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    words += ["--maxmemory", "64mb", "--requirepass", "geheim"]
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL) as server:
        try:
            probe = RedisProbe(f"redis://:geheim@127.0.0.1:{port}")
            until = time.monotonic() + 10
            found = probe.read()
            while isinstance(found, Unavailable) and time.monotonic() < until:
                time.sleep(0.05)
                found = probe.read()
            assert isinstance(found, list)
            memory, clients = found
            assert memory.limit == 64 * 2**20
            assert 100_000 < memory.used < 64 * 2**20
            assert (clients.used, clients.limit) == (0, pytest.approx(10_000, rel=0.9))
            wrong = RedisProbe(f"redis://:falsch@127.0.0.1:{port}").read()
            assert wrong == Unavailable("it refused: WRONGPASS")
        finally:
            server.terminate()
