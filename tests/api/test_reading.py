"""What is stored can be read back page by page, as of any moment and as it was known then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_server import Server, event, open_server


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Twelve events of three tenants, an hour apart; the last came in a day late."""
    for server in open_server(tmp_path_factory.mktemp("data")):
        for i in range(12):
            if i == 11:
                server.clock.advance(days=1)
            server.admin.send(
                event(
                    event_id=f"h-{i}",
                    tenant_id=f"t{i % 3}",
                    timestamp=f"2026-03-12T{i:02}:00:00Z",
                    event_type=("LOGIN", "SESSION_STARTED")[i % 2],
                    user_id=f"u{i % 4}",
                    cost_usd="0.0000005",
                )
            )
        yield server
        server.check_identity()


def found(server: Server, **which: Any) -> list[str]:
    answer = server.admin.get("/v1/events", **which)
    assert answer.status == 200, answer.body
    return [one["event_id"] for one in answer.json["events"]]


def h(*numbers: int) -> list[str]:
    return [f"h-{i}" for i in numbers]


def test_newest_first(history: Server) -> None:
    assert found(history) == h(*range(11, -1, -1))


def test_pages_meet_every_event_once(history: Server) -> None:
    met: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = history.admin.get("/v1/events", limit=5, **cursor).json
        met += [one["event_id"] for one in page["events"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert met == h(*range(11, -1, -1))


def test_a_page_stays_where_it_is_while_new_events_come(fresh: Server) -> None:
    times = [f"2026-03-12T{hour:02}:00:00Z" for hour in range(4)]
    fresh.admin.send(*[event(event_id=f"h-{i}", timestamp=t) for i, t in enumerate(times)])
    first = fresh.admin.get("/v1/events", limit=2).json
    fresh.admin.send(event(timestamp="2026-03-12T09:00:00Z"))
    assert found(fresh, cursor=first["next_cursor"]) == h(1, 0)


def test_events_of_one_instant_are_not_lost_between_pages(fresh: Server) -> None:
    fresh.admin.send(*[event(event_id=f"same-{i}") for i in range(7)])
    met: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = fresh.admin.get("/v1/events", limit=2, **cursor).json
        met += [one["event_id"] for one in page["events"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(met) == sorted(f"same-{i}" for i in range(7))


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        ({"tenant_id": "t0"}, (9, 6, 3, 0)),
        ({"event_type": "LOGIN", "limit": 2}, (10, 8)),
        ({"user_id": "u3"}, (11, 7, 3)),
        ({"event_id": "h-4"}, (4,)),
        ({"tenant_id": "t1", "event_id": "h-5"}, ()),
        ({"tenant_id": "t0", "user_id": "u1"}, (9,)),
        ({"event_type": "EXPORT_FAILED"}, ()),
        # Half-open on the left: since is outside, as_of is inside.
        ({"since": "2026-03-12T03:00:00Z", "as_of": "2026-03-12T05:00:00Z"}, (5, 4)),
        ({"as_of": "2026-03-12T02:59:59.999999Z"}, (2, 1, 0)),
        ({"as_of": "2026-03-12T03:45:00+01:00"}, (2, 1, 0)),
        ({"since": "2026-03-12T10:59:59.999999Z"}, (11,)),
        # The last event was not known on its own day.
        ({"known_at": "2026-03-13T11:59:59Z", "since": "2026-03-12T08:00:00Z"}, (10, 9)),
        ({"known_at": "2026-03-13T12:00:00Z", "since": "2026-03-12T08:00:00Z"}, (11, 10, 9)),
        ({"known_at": "2026-03-12T11:00:00Z"}, ()),
    ],
    ids=str,
)
def test_a_question_finds_its_events(
    history: Server, which: dict[str, Any], numbers: tuple[int, ...]
) -> None:
    assert found(history, **which) == h(*numbers)


def test_a_plus_sign_in_a_query_may_arrive_as_a_space(history: Server) -> None:
    for wire in (
        "2026-03-12T03:45:00+01:00",
        "2026-03-12T03:45:00%2B01:00",
        "2026-03-12%2002:45:00Z",
    ):
        answer = history.admin.ask("GET", f"/v1/events?as_of={wire}")
        assert [one["event_id"] for one in answer.json["events"]] == h(2, 1, 0), wire


def test_an_event_is_shown_whole(fresh: Server) -> None:
    whole = {
        "event_id": "order/7",
        "timestamp": "2026-03-12T11:00:00.123456+01:00",
        "tenant_id": "Acme",
        "user_id": "u",
        "session_id": "s",
        "event_type": "LLM_CALL_MADE",
        "entity_type": "incident",
        "entity_id": "i-1",
        "severity": 2,
        "latency_ms": 1200,
        "cost_usd": 0.0000005,
        "source": "proxy",
        "metadata": {"model": "m", "tokens_in": 3, "deep": {"a": [1, None, "ä"]}},
    }
    assert fresh.admin.send(whole).results == ["stored"]
    (shown,) = fresh.admin.get("/v1/events").json["events"]
    assert shown == whole | {
        "event_uuid": shown["event_uuid"],
        "timestamp": "2026-03-12T10:00:00.123456Z",
        "received_at": "2026-03-12T12:00:00Z",
        "tenant_uuid": shown["tenant_uuid"],
        "cost_usd": 0.000001,  # half away from zero at the sixth decimal
    }


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=1e9", "limit=", "as_of=", "as_of=yesterday",
     "as_of=2026-03-12", "as_of=2026-03-12T12:00:00", "as_of=1773316800",
     "as_of=9999-12-31T23:59:59-14:00", "since=0001-01-01T00:00:00%2B14:00", "known_at=x",
     "as_of=2026-02-30T00:00:00Z"],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(history: Server, query: str) -> None:
    answer = history.admin.ask("GET", f"/v1/events?{query}")
    assert answer.status == 422
    assert answer.json["errors"][0]["where"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "cursor",
    ["x", "!", "%", "AAAA", "MjAyNg==", "a" * 1000, "ä", "MjAyNi0wMy0xMlQwMDowMDowMFog", ""],
)
def test_a_cursor_that_is_not_ours_is_refused(history: Server, cursor: str) -> None:
    answer = history.admin.get("/v1/events", cursor=cursor)
    assert answer.status == 400
    assert answer.json["detail"] == "this cursor is not one of ours"


def test_a_range_of_many_years_is_answered(history: Server) -> None:
    which = {"since": "0001-01-02T00:00:00Z", "as_of": "9999-12-30T00:00:00Z"}
    assert len(found(history, **which)) == 12
