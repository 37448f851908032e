"""The application is never stopped, slowed or surprised by its emitter."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from event_server import EventServer, status

from ebbtide import Emitter
from ebbtide.client.errors import (
    DeliveryFailed,
    EmitterClosed,
    EmitterSettingsError,
    InvalidEvent,
    QueueFull,
)

MakeEmitter = Callable[..., Emitter]


@pytest.fixture
def dead_url() -> Iterator[str]:
    """An address where nobody listens; held so that nobody else gets it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


class Gate:
    """Holds the server's answers back until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, handler: Any, events: list[dict[str, Any]]) -> bool:
        self.reached.set()
        self.opened.wait(10)
        return False


def test_a_dead_server_costs_the_application_nothing(
    make_emitter: MakeEmitter, dead_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = make_emitter(url=dead_url, sleep=None, max_queue=500)
    slowest_s = 0.0
    with caplog.at_level(logging.WARNING):
        for _ in range(2000):
            before = time.perf_counter()
            emitter.emit("LOGIN")
            slowest_s = max(slowest_s, time.perf_counter() - before)
    assert slowest_s < 0.25
    assert emitter.stats.queued == 500
    assert emitter.stats.dropped == 1500

    before = time.monotonic()
    assert not emitter.flush(0.3)
    assert time.monotonic() - before < 1.0
    before = time.monotonic()
    assert not emitter.close(0.5)
    assert time.monotonic() - before < 1.5
    assert emitter.stats.queued == 0
    assert emitter.stats.dropped == 2000
    assert "Connection refused" in (emitter.stats.last_error or "")
    # 1,500 drops, one line: the outage does not fill the host's logs.
    assert sum("queue is full" in r.getMessage() for r in caplog.records) == 1


def test_a_full_queue_drops_the_newest(server: EventServer, make_emitter: MakeEmitter) -> None:
    gate = server.always = Gate()
    dropped: list[tuple[int, str]] = []
    emitter = make_emitter(
        max_queue=5,
        batch_size=1,
        on_drop=lambda event, reason: dropped.append((event["severity"], reason)),
    )
    assert emitter.emit("LOGIN", severity=0) is not None
    gate.reached.wait(5)
    taken = [emitter.emit("LOGIN", severity=i) for i in range(1, 8)]
    assert [i is None for i in taken] == [False] * 4 + [True] * 3  # the one under way counts too
    assert dropped == [(n, "the queue is full") for n in (5, 6, 7)]
    gate.opened.set()
    assert emitter.flush()
    assert emitter.stats.stored == 5


def test_blocking_waits_for_room_but_not_for_ever(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    gate = server.always = Gate()
    emitter = make_emitter(max_queue=1, on_full="block", block_s=0.2)
    emitter.emit("LOGIN")
    gate.reached.wait(5)
    before = time.monotonic()
    assert emitter.emit("LOGIN") is None
    assert 0.19 <= time.monotonic() - before < 1.0

    opener = threading.Timer(0.05, gate.opened.set)
    opener.start()
    assert emitter.emit("LOGIN") is not None
    opener.join()
    assert emitter.flush()
    assert (emitter.stats.stored, emitter.stats.dropped) == (2, 1)


def test_large_events_are_bounded_in_memory(server: EventServer, make_emitter: MakeEmitter) -> None:
    gate = server.always = Gate()
    emitter = make_emitter(gzip_min_bytes=10**9)
    text = "x" * 8 * 2**20
    taken = [emitter.emit("LOGIN", metadata={"text": text}) is not None for _ in range(9)]
    gate.opened.set()
    assert taken == [True] * 7 + [False] * 2  # eight of them pass 64 MiB by their other fields


def test_naive_times_are_refused_counted_and_logged_once(
    server: EventServer, make_emitter: MakeEmitter, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = make_emitter()
    for _ in range(50):
        assert emitter.emit("LOGIN", timestamp=datetime(2026, 1, 1)) is None
    assert emitter.stats.invalid == 50
    assert [r.getMessage() for r in caplog.records] == [
        "an event was not taken: timestamp names no time zone; use datetime.now(UTC) or add tzinfo"
    ]
    assert emitter.emit("LOGIN")
    assert emitter.flush()
    assert len(server.stored) == 1


def test_objects_that_raise_when_read_do_not_reach_the_application(
    make_emitter: MakeEmitter,
) -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError("canary")

    emitter = make_emitter()
    assert emitter.emit("LOGIN", metadata={"a": Hostile(b=1)}) is None
    assert emitter.emit_many([None, 5, {"event_type": "LOGIN"}])[:2] == [None, None]  # type: ignore[list-item]
    assert emitter.stats.invalid == 3
    assert emitter.flush()
    assert emitter.stats.stored == 1


def test_the_application_may_change_its_objects_after_the_call(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter()
    metadata = {"list": [1]}
    emitter.emit("LOGIN", metadata=metadata)
    metadata["list"].append(2)
    assert emitter.flush()
    assert next(iter(server.stored.values()))["metadata"] == {"list": [1]}


def test_callbacks_that_raise_do_not_stop_the_sending(
    server: EventServer, make_emitter: MakeEmitter, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("canary")

    server.script.append(status(400))
    emitter = make_emitter(on_result=fail, on_drop=fail)
    emitter.emit("LOGIN")
    assert not emitter.flush()
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert emitter.stats.stored == 1
    assert "a callback raised RuntimeError" in caplog.text
    assert "canary" not in caplog.text


def test_callbacks_may_emit_flush_and_close(server: EventServer, make_emitter: MakeEmitter) -> None:
    flushed: list[bool] = []

    def on_result(result: Any) -> None:
        if not flushed:
            emitter.emit("LOGOUT")
            flushed.append(emitter.flush())
            emitter.close()

    emitter = make_emitter(on_result=on_result, max_queue=3, on_full="block", block_s=30)
    emitter.emit("LOGIN")
    assert emitter.flush(2)
    assert flushed == [False]  # it cannot wait for itself
    assert emitter.close(5)
    assert [event["event_type"] for event in server.stored.values()] == ["LOGIN", "LOGOUT"]


def test_the_sender_never_waits_for_itself(server: EventServer, make_emitter: MakeEmitter) -> None:
    taken: list[bool] = []

    def on_result(result: Any) -> None:
        if not taken:
            taken.extend(emitter.emit("LOGOUT") is not None for _ in range(3))

    emitter = make_emitter(on_result=on_result, max_queue=2, on_full="block", block_s=30)
    emitter.emit("LOGIN")
    assert not emitter.flush(5)  # at once: one event was dropped meanwhile
    assert taken == [True, True, False]


def test_a_callback_may_close_while_close_sends_the_rest(
    server: EventServer, make_emitter: MakeEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitter = make_emitter(batch_size=1, on_result=lambda result: emitter.close() and None)
    without_threads(monkeypatch, lambda: [emitter.emit("LOGIN") for _ in range(3)])
    closer = threading.Thread(target=emitter.close, args=(5,), daemon=True)
    closer.start()
    closer.join(8)
    assert not closer.is_alive()
    assert emitter.stats.stored == 3


def test_a_fault_in_the_client_costs_one_batch(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter()
    broken = emitter._delivery
    assert broken is not None
    deliver, broken.deliver = broken.deliver, lambda *a: 1 / 0  # type: ignore[assignment]
    emitter.emit("LOGIN")
    assert not emitter.flush()
    assert emitter.stats.last_error == "fault in the client: ZeroDivisionError"
    broken.deliver = deliver  # type: ignore[method-assign]
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert (emitter.stats.stored, emitter.stats.dropped) == (1, 1)


def test_emitting_while_emitting_does_not_lock_up(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    """A signal handler or a finaliser may emit while its own thread is inside emit."""
    emitter = make_emitter()
    queue = emitter._queue
    with queue._changed, emitter._counters._lock, emitter._log._lock:
        emitter.emit("LOGIN")
    assert emitter.flush()
    assert len(server.stored) == 1


def without_threads(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> Any:
    """Do something while the system gives no more threads."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        return action()


def test_without_a_thread_the_events_wait_for_close(
    server: EventServer, make_emitter: MakeEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitter = make_emitter()
    event_id = without_threads(monkeypatch, lambda: emitter.emit("LOGIN"))
    assert event_id is not None
    assert emitter.close()
    assert server.stored_ids == [event_id]


# ------------------------------------------------------------------ closing


def test_close_sends_the_rest_and_refuses_what_comes_after(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    with make_emitter(flush_interval_s=60.0) as emitter:
        ids = [emitter.emit("LOGIN") for _ in range(250)]
    assert server.stored_ids == ids
    assert emitter.emit("LOGIN") is None
    assert emitter.close()
    assert (emitter.stats.stored, emitter.stats.dropped) == (250, 1)
    assert not any(t.name == "ebbtide-emitter" for t in threading.enumerate())


def test_close_cuts_our_own_pause_short(server: EventServer, make_emitter: MakeEmitter) -> None:
    server.script.extend([status(503)] * 5)
    emitter = make_emitter(sleep=None)
    emitter.emit("LOGIN")
    while len(server.requests) < 5:
        time.sleep(0.01)
    before = time.monotonic()  # the pause begun now lasts 1.6 to 3.2 s
    assert emitter.close(5)
    assert time.monotonic() - before < 1.0
    assert emitter.stats.stored == 1


def test_close_gives_up_at_once_on_a_pause_it_cannot_wait_for(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    server.always = status(503, Retry_After="120")
    dropped: list[str] = []
    emitter = make_emitter(sleep=None, on_drop=lambda event, reason: dropped.append(reason))
    emitter.emit("LOGIN")
    while not server.requests:
        time.sleep(0.01)
    before = time.monotonic()
    emitter.close(30)
    assert time.monotonic() - before < 1.0
    assert len(server.requests) == 1  # the server's wish was respected
    assert dropped == ["HTTP 503"]


def test_close_is_bounded_when_the_server_hangs(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    gate = server.always = Gate()
    dropped: list[str] = []
    emitter = make_emitter(batch_size=2, on_drop=lambda event, reason: dropped.append(reason))
    for _ in range(6):
        emitter.emit("LOGIN")
    gate.reached.wait(5)
    before = time.monotonic()
    assert not emitter.close(0.2)
    assert time.monotonic() - before < 1.0
    assert dropped == ["closed before the server answered"] * 6
    gate.opened.set()
    emitter._thread.join(5)  # type: ignore[union-attr]
    assert emitter.stats.dropped == 6  # an answer after the end is not counted again
    assert emitter.stats.stored == 0


def test_a_flush_that_runs_out_of_time_loses_nothing(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    gate = server.always = Gate()
    emitter = make_emitter()
    emitter.emit("LOGIN")
    assert not emitter.flush(0.1)
    gate.opened.set()
    assert emitter.flush()
    assert emitter.stats.stored == 1


# ------------------------------------------------------------------ errors on request


def test_errors_are_raised_when_asked_for(server: EventServer, make_emitter: MakeEmitter) -> None:
    gate = server.always = Gate()
    emitter = make_emitter(raise_errors=True, max_queue=1)
    with pytest.raises(InvalidEvent, match="timestamp names no time zone"):
        emitter.emit("LOGIN", timestamp=datetime(2026, 1, 1))
    emitter.emit("LOGIN")
    gate.reached.wait(5)
    with pytest.raises(QueueFull):
        emitter.emit("LOGIN")
    gate.opened.set()
    assert emitter.flush()
    server.script.append(status(403, {"code": "forbidden"}))
    emitter.emit("LOGIN")
    with pytest.raises(DeliveryFailed, match=r"events dropped: 1 x HTTP 403 \(forbidden\)") as e:
        emitter.flush()
    assert e.value.status == 403
    emitter.close()
    with pytest.raises(EmitterClosed):
        emitter.emit("LOGIN")


UNUSABLE: list[dict[str, Any]] = [
    {"url": "127.0.0.1:8321"},
    {"url": "ftp://127.0.0.1"},
    {"url": "http://user:pa55word@127.0.0.1"},
    {"url": "http://127.0.0.1:99999"},
    {"url": "http://127.0.0.1/?q=1"},
    {"url": "http://127.0.0.1/a b"},
    {"url": "http://127.0.0.1\r\nX: y"},
    {"url": ""},
    {"api_key": "key\nX-Evil: 1"},
    {"api_key": "schl\u00fcssel"},
    {"api_key": "two words"},
    {"proxy": "socks5://127.0.0.1"},
    {"url": "https://127.0.0.1", "ca_file": "no-such-file.pem"},
    {"batch_size": 0},
    {"max_queue": -1},
    {"timeout_s": 0},
    {"flush_interval_s": "1"},
    {"on_full": "wait"},
]


@pytest.mark.parametrize("options", UNUSABLE)
def test_unusable_settings_disable_the_emitter_and_say_so_once(
    make_emitter: MakeEmitter, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emitter = make_emitter(**options)
    assert emitter.emit("LOGIN") is None
    assert not emitter.flush()
    assert emitter.stats.dropped == 1
    assert emitter.stats.last_error
    assert "no event will be sent" in caplog.text
    assert "pa55word" not in caplog.text + repr(emitter) + str(emitter.stats)
    emitter.close()
    with pytest.raises(EmitterSettingsError):
        make_emitter(**options, raise_errors=True)
