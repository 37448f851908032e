"""Every event reaches the server once and in order, whatever the network does on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from event_server import EventServer, Request, cut_after, cut_before, status, too_large_above

from ebbtide import Emitter
from ebbtide.client.result import EventResult

MakeEmitter = Callable[..., Emitter]


def check_accounts(emitter: Emitter) -> None:
    s = emitter.stats
    assert s.emitted == s.invalid + s.queued + s.sent + s.dropped
    assert s.sent == s.stored + s.duplicate + s.conflict + s.quarantined + s.refused


def test_events_arrive_in_order_and_in_batches(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter(batch_size=10, flush_interval_s=5.0)
    ids = [emitter.emit("LOGIN", user_id=f"u-{i}") for i in range(95)]
    assert emitter.flush()
    assert server.stored_ids == ids
    assert [len(r.ids) for r in server.requests] == [10] * 9 + [5]
    assert {r.path for r in server.requests} == {"/v1/events"}
    assert emitter.stats.stored == emitter.stats.emitted == 95
    check_accounts(emitter)


def test_a_lone_event_is_sent_after_the_flush_interval(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter(flush_interval_s=0.15)
    started = time.monotonic()
    emitter.emit("LOGIN")
    wait_until(lambda: emitter.stats.stored == 1)
    assert server.requests[0].at - started >= 0.14


def test_a_batch_is_also_cut_by_bytes(server: EventServer, make_emitter: MakeEmitter) -> None:
    emitter = make_emitter(flush_interval_s=5.0, gzip_min_bytes=10**9)
    for _ in range(6):
        emitter.emit("LOGIN", metadata={"text": "x" * 400_000})
    assert emitter.flush()
    assert max(len(r.raw) for r in server.requests) < 1_000_100
    assert len(server.stored) == 6


@pytest.mark.parametrize("failure", [cut_before, cut_after, status(503), status(500), status(429)])
def test_a_repeated_attempt_carries_the_same_ids(
    server: EventServer, make_emitter: MakeEmitter, failure: Any
) -> None:
    server.script.extend([failure] * 3)
    emitter = make_emitter(flush_interval_s=5.0)
    ids = [emitter.emit("LOGIN") for _ in range(5)]
    assert emitter.flush()
    assert [r.ids for r in server.requests] == [ids] * 4
    assert [r.raw for r in server.requests] == [server.requests[0].raw] * 4
    assert server.stored_ids == ids
    lost_the_answer = failure is cut_after
    assert emitter.stats.duplicate == (5 if lost_the_answer else 0)
    assert emitter.stats.stored == (0 if lost_the_answer else 5)
    assert emitter.stats.retries == 3
    check_accounts(emitter)


def test_order_holds_across_failures(server: EventServer, make_emitter: MakeEmitter) -> None:
    server.script.extend([cut_after, status(503), cut_before, status(408)] * 5)
    emitter = make_emitter(batch_size=7)
    ids = [emitter.emit("LOGIN") for _ in range(60)]
    assert emitter.flush()
    assert server.stored_ids == ids
    check_accounts(emitter)


def test_pauses_grow_with_jitter_and_end_at_max_retries(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    server.always = status(503)
    pauses: list[float] = []
    dropped: list[tuple[str, str]] = []
    emitter = make_emitter(
        max_retries=12,
        sleep=pauses.append,
        on_drop=lambda event, reason: dropped.append((event["event_id"], reason)),
    )
    event_id = emitter.emit("LOGIN")
    assert not emitter.flush()
    assert len(server.requests) == 13
    assert len(pauses) == 12
    for attempt, pause in enumerate(pauses):
        full = min(60.0, 0.2 * 2**attempt)
        assert full / 2 <= pause <= full
    assert dropped == [(event_id, "HTTP 503")]
    assert emitter.stats.dropped == 1
    assert emitter.stats.last_error == "HTTP 503"
    check_accounts(emitter)


def test_retry_after_in_seconds_is_kept(server: EventServer, make_emitter: MakeEmitter) -> None:
    server.script.append(status(429, Retry_After="7"))
    pauses: list[float] = []
    emitter = make_emitter(sleep=pauses.append)
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert 7.0 <= pauses[0] <= 8.0


def test_retry_after_is_kept_on_the_clock(server: EventServer, make_emitter: MakeEmitter) -> None:
    server.script.append(status(503, Retry_After="1"))
    emitter = make_emitter(sleep=None)
    emitter.emit("LOGIN")
    assert emitter.flush()
    first, second = server.requests
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("soon", 0.0, 0.2),
        ("-5", 0.0, 0.2),
        ("99999999", 300.0, 301.0),
        (format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0.0, 1.0),
    ],
)
def test_odd_retry_after_values(
    server: EventServer, make_emitter: MakeEmitter, header: str, least: float, most: float
) -> None:
    server.script.append(status(503, Retry_After=header))
    pauses: list[float] = []
    emitter = make_emitter(sleep=pauses.append)
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert least <= pauses[0] <= most


def test_retry_after_as_a_date(server: EventServer, make_emitter: MakeEmitter) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    server.script.append(status(503, Retry_After=format_datetime(moment, usegmt=True)))
    pauses: list[float] = []
    emitter = make_emitter(sleep=pauses.append)
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert 90 <= pauses[0] <= 101


@pytest.mark.parametrize("code", [301, 308, 400, 401, 403, 404, 415, 422])
def test_what_no_retry_can_change_is_reported_and_not_repeated(
    server: EventServer, make_emitter: MakeEmitter, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.script.append(status(code, {"code": "some-code"}, Location=server.url + "/elsewhere"))
    dropped: list[dict[str, Any]] = []
    emitter = make_emitter(
        flush_interval_s=5.0, on_drop=lambda event, reason: dropped.append(event)
    )
    ids = [emitter.emit("LOGIN", metadata={"n": i}) for i in range(3)]
    assert not emitter.flush()
    assert len(server.requests) == 1
    assert [event["event_id"] for event in dropped] == ids
    assert f"HTTP {code}" in (emitter.stats.last_error or "")
    assert f"events dropped: 3 x HTTP {code}" in caplog.text
    check_accounts(emitter)

    # The same events, given back later, are stored under their first ids.
    assert emitter.emit_many(dropped) == ids
    assert emitter.flush()
    assert server.stored_ids == ids


def test_too_large_batches_are_halved_until_they_fit(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    server.always = too_large_above(3)
    emitter = make_emitter(flush_interval_s=5.0)
    ids = [emitter.emit("LOGIN") for _ in range(20)]
    assert emitter.flush()
    assert server.stored_ids == ids
    assert emitter.stats.dropped == 0


def test_one_event_that_is_too_large_is_dropped_alone(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    def refuse_big(handler: Any, events: list[dict[str, Any]]) -> bool:
        if any(event["severity"] == 5 for event in events):
            handler.answer(413, b"")
            return True
        return False

    server.always = refuse_big
    dropped: list[int] = []
    emitter = make_emitter(
        flush_interval_s=5.0, on_drop=lambda event, reason: dropped.append(event["severity"])
    )
    for i in range(9):
        emitter.emit("LOGIN", severity=5 if i == 4 else 1)
    assert not emitter.flush()
    assert dropped == [5]
    assert emitter.stats.stored == 8
    check_accounts(emitter)


def test_the_servers_words_are_counted_logged_and_handed_on(
    server: EventServer, make_emitter: MakeEmitter, caplog: pytest.LogCaptureFixture
) -> None:
    words = {
        1: ("stored", None),
        2: ("conflict", None),
        3: ("quarantined", "unknown_event_type"),
        4: ("refused", "tenant_mismatch"),
        5: ("quarantined", "bad\nline \x1b[31m" + "x" * 500),
    }
    server.verdict = lambda event: words[event["severity"]]
    results: list[EventResult] = []
    emitter = make_emitter(flush_interval_s=5.0, on_result=results.append)
    secret_payload = "payload-canary"
    with caplog.at_level(logging.WARNING):
        ids = [
            emitter.emit("LOGIN", severity=i, metadata={"text": secret_payload})
            for i in (1, 2, 3, 4, 5, 3)
        ]
        assert emitter.flush()
    assert [r.event_id for r in results] == ids
    assert [r.result for r in results] == [words[i][0] for i in (1, 2, 3, 4, 5, 3)]
    s = emitter.stats
    assert (s.stored, s.conflict, s.quarantined, s.refused) == (1, 1, 3, 1)
    assert "events quarantined: 2 x unknown_event_type, 1 x bad?line ?[31m" in caplog.text
    assert "events refused: 1 x tenant_mismatch" in caplog.text
    assert "events conflict: 1 x no reason given" in caplog.text
    assert secret_payload not in caplog.text
    assert all(len(record.getMessage()) < 400 for record in caplog.records)
    check_accounts(emitter)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>welcome to the guest network</html>",
        b"[]",
        b'{"results": 5}',
        b'{"results": []}',
        b'{"results": [{"event_id": "x", "result": "eaten"}]}',
        b'{"results": [null]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_an_answer_that_is_no_answer_is_asked_for_again(
    server: EventServer, make_emitter: MakeEmitter, body: bytes
) -> None:
    server.script.append(status(200, body))
    emitter = make_emitter()
    event_id = emitter.emit("LOGIN")
    assert emitter.flush()
    assert server.stored_ids == [event_id]
    assert len(server.requests) == 2


def test_bodies_are_compressed_from_a_size_on(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter(gzip_min_bytes=2000, source="shop")
    emitter.emit("LOGIN")
    assert emitter.flush()
    emitter.emit("LOGIN", metadata={"text": "y" * 2000})
    assert emitter.flush()
    small, large = server.requests
    assert "content-encoding" not in small.headers
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.raw) < 1000
    assert all(event["source"] == "shop" for event in server.stored.values())


def test_headers_are_few(server: EventServer, make_emitter: MakeEmitter) -> None:
    emitter = make_emitter(api_key="ebb_k1_abc")
    emitter.emit("LOGIN")
    assert emitter.flush()
    headers = server.requests[0].headers
    assert set(headers) == {"host", "content-type", "content-length", "user-agent", "x-api-key"}
    assert headers["x-api-key"] == "ebb_k1_abc"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("ebbtide-python/")


def test_many_threads_lose_and_double_nothing(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    server.script.extend([cut_after, cut_before, status(503)] * 4)
    emitter = make_emitter(batch_size=20)
    ids: list[list[str | None]] = [[] for _ in range(8)]

    def work(own: list[str | None]) -> None:
        for _ in range(100):
            own.append(emitter.emit("LOGIN"))

    threads = [threading.Thread(target=work, args=(own,)) for own in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert emitter.flush()
    arrived = server.stored_ids
    assert sorted(arrived) == sorted(i for own in ids for i in own if i)
    assert len(arrived) == 800
    for own in ids:  # each thread's own order is kept
        assert [i for i in arrived if i in set(own)] == own
    check_accounts(emitter)


def test_one_connection_serves_many_batches(server: EventServer, make_emitter: MakeEmitter) -> None:
    ports: list[int] = []

    def note_port(handler: Any, events: list[dict[str, Any]]) -> bool:
        ports.append(handler.client_address[1])
        return False

    server.always = note_port
    emitter = make_emitter(batch_size=1)
    for _ in range(5):
        emitter.emit("LOGIN")
    assert emitter.flush()
    assert len(ports) == 5
    assert len(set(ports)) == 1


def test_a_path_in_the_address_is_kept(server: EventServer, make_emitter: MakeEmitter) -> None:
    emitter = make_emitter(url=server.url + "/ebbtide/")
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert server.requests[0].path == "/ebbtide/v1/events"


def test_proxies_of_the_environment_are_ignored(
    server: EventServer, make_emitter: MakeEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    emitter = make_emitter()
    emitter.emit("LOGIN")
    assert emitter.flush()
    assert server.requests[0].path == "/v1/events"


def test_a_proxy_is_used_when_asked_for(server: EventServer, make_emitter: MakeEmitter) -> None:
    emitter = make_emitter(url="http://ebbtide.invalid:8321", proxy=server.url)
    emitter.emit("LOGIN")
    assert emitter.flush()
    request: Request = server.requests[0]
    assert request.path == "http://ebbtide.invalid:8321/v1/events"
    assert request.headers["host"] == "ebbtide.invalid:8321"


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
