"""Quarantine: listed page by page, released after a fix, given up by a person; never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from api_server import Server, event

MAPPING = """
[source]
name = "segment"

[columns]
event_id  = "messageId"
timestamp = "timestamp"
tenant_id = "context.groupId"
user_id   = "userId"

[[events]]
type = "EXPORT_GENERATED"
when = { event = "Report Downloaded" }
"""


def waiting(server: Server, **which: Any) -> list[dict[str, Any]]:
    """Rows that wait, newest first."""
    items: list[dict[str, Any]] = server.admin.get("/v1/quarantine", **which).json["items"]
    return items


def release(server: Server, **which: Any) -> dict[str, Any]:
    """Release what is meant and return the report."""
    answer = server.admin.post("/v1/quarantine/release", which)
    assert answer.status == 200, answer.body
    report: dict[str, Any] = answer.json
    return report


def write_mapping(server: Server, text: str) -> Path:
    """Put a mapping file where the server looks for the user's own."""
    folder = server.house.settings.effective_sources_dir
    folder.mkdir(exist_ok=True)
    file = folder / "segment.toml"
    file.write_text(text)
    return file


# -- release -----------------------------------------------------------------------------------


def test_an_unmapped_call_is_released_after_a_mapping_file_names_it(fresh: Server) -> None:
    call = {
        "event": "Report Downloaded",
        "userId": "u-1",
        "messageId": "m-1",
        "timestamp": "2026-03-12T10:00:00Z",
        "context": {"groupId": "acme"},
    }
    assert fresh.admin.post("/v1/track", call).reasons == ["unmapped_event"]
    fresh.clock.advance(hours=1)
    assert release(fresh) | {"results": None} == {
        "tried": 1, "released": 0, "remaining": 1, "reasons": {"unmapped_event": 1},
        "missing_mappings": {}, "results": None,
    }  # fmt: skip
    write_mapping(fresh, MAPPING)
    report = release(fresh, reason="unmapped_event")
    assert (report["released"], report["remaining"]) == (1, 0)
    assert report["results"][0]["result"] == "stored"
    (kept,) = fresh.admin.get("/v1/events").json["events"]
    assert (kept["event_type"], kept["tenant_id"], kept["event_id"]) == (
        "EXPORT_GENERATED", "acme", "m-1",
    )  # fmt: skip
    assert kept["timestamp"] == "2026-03-12T10:00:00Z"
    assert kept["received_at"] == "2026-03-12T13:00:00Z"  # known only since its release
    assert not waiting(fresh)
    (row,) = waiting(fresh, status="released")
    assert (row["released_result"], row["num_attempts"]) == ("stored", 2)
    assert row["released_at"] == "2026-03-12T13:00:00Z"
    # From now on such calls are events at once, and the first one is known.
    assert fresh.admin.post("/v1/track", call).results == ["duplicate"]
    assert fresh.admin.post("/v1/track", call | {"messageId": "m-2"}).results == ["stored"]
    fresh.check_identity()


def test_a_broken_mapping_file_is_named_and_nothing_is_tried(fresh: Server) -> None:
    fresh.admin.post("/v1/track", {"event": "X", "context": {"groupId": "acme"}})
    file = write_mapping(fresh, "[source]\nname = 5\n")
    answer = fresh.admin.post("/v1/quarantine/release", {})
    assert answer.status == 422
    assert answer.json["code"] == "mapping-error"
    assert file.name in answer.json["detail"]
    assert waiting(fresh)[0]["num_attempts"] == 0
    good = {"event": "LOGIN", "userId": "u", "context": {"groupId": "acme"}}
    assert fresh.admin.post("/v1/track", good).results == ["stored"]  # the old files stay in use


def test_what_was_said_of_an_erased_past_is_not_called_stored(fresh: Server) -> None:
    """Also where the erasure could not know whose the waiting call is."""
    nameless = MAPPING.replace("context.groupId", "context.company")
    write_mapping(fresh, nameless.replace('event = "Report Downloaded"', 'type = "identify"'))
    release(fresh)  # reads the file
    for hour in (11, 15):
        fresh.clock.advance(hours=hour - 11)
        call = {
            "userId": "u",
            "messageId": f"m-{hour}",
            "timestamp": f"2026-03-12T{hour}:00:00Z",
            "context": {"groupId": "acme"},
            "traits": {"company": {"name": f"Acme at {hour}"}},
        }
        assert fresh.admin.post("/v1/identify", call).reasons == ["missing_tenant_id"]
        if hour == 11:
            fresh.clock.advance(hours=1)
            assert fresh.admin.delete("/v1/tenants/acme", confirm="acme").status == 200
    write_mapping(fresh, MAPPING)
    report = release(fresh)
    assert (report["released"], report["reasons"]) == (1, {"erased_tenant": 1})
    assert [row["reason"] for row in waiting(fresh)] == ["erased_tenant"]
    assert fresh.admin.get("/v1/tenants/acme").json["name"] == "Acme at 15"


def test_an_event_of_the_future_is_released_when_its_time_has_come(fresh: Server) -> None:
    later = event(timestamp="2026-03-13T12:00:00Z", user_id="traveller")
    assert fresh.admin.send(later).reasons == ["future_timestamp"]
    fresh.clock.advance(hours=23)
    assert release(fresh)["released"] == 0
    assert waiting(fresh)[0]["num_attempts"] == 1
    fresh.clock.advance(hours=1)
    assert release(fresh)["released"] == 1
    assert release(fresh)["tried"] == 0
    assert fresh.admin.send(later).results == ["duplicate"]
    (kept,) = fresh.admin.get("/v1/events").json["events"]
    assert kept["user_id"] == "traveller"
    assert kept["source"] == "api"  # as if it had been let in at once


def test_a_row_that_waits_for_a_new_reason_is_counted_as_waiting(fresh: Server) -> None:
    call = {"event": "Report Downloaded", "timestamp": "2026-03-12T10:00:00Z"}
    other = call | {"context": {"groupId": "acme"}, "messageId": "m-2"}
    assert set(fresh.admin.post("/v1/batch", {"batch": [
        one | {"type": "track"} for one in (call, call | {"messageId": "m-1"}, other)
    ]}).reasons) == {"unmapped_event"}  # fmt: skip
    write_mapping(fresh, MAPPING)
    report = release(fresh, reason="unmapped_event")
    assert (report["tried"], report["released"], report["remaining"]) == (3, 1, 2)
    assert report["reasons"] == {"missing_tenant_id": 2}
    assert fresh.admin.get("/v1/quarantine").json["by_reason"] == {"missing_tenant_id": 2}
    assert release(fresh, reason="unmapped_event")["tried"] == 0


def test_a_conflict_stays_a_conflict(fresh: Server) -> None:
    one = event(user_id="first")
    fresh.admin.send(one)
    fresh.admin.send({**one, "user_id": "second"})
    report = release(fresh)
    assert (report["tried"], report["released"], report["remaining"]) == (1, 0, 1)
    assert report["results"][0]["reason"] == "conflict"
    (kept,) = fresh.admin.get("/v1/events").json["events"]
    assert kept["user_id"] == "first"
    # The first one gone, the second is no contradiction any more.
    assert fresh.admin.delete("/v1/tenants/acme", confirm="acme").status == 200
    assert not waiting(fresh)


def test_an_event_without_an_id_is_released_once(fresh: Server) -> None:
    one = event(event_id=None, timestamp="2026-03-12T13:00:00Z")
    for _ in range(3):
        fresh.admin.send(one)
    assert waiting(fresh)[0]["num_seen"] == 3
    fresh.clock.advance(hours=2)
    assert release(fresh)["released"] == 1
    assert fresh.num_stored() == 1


def test_hopeless_rows_stay_with_their_reason(fresh: Server) -> None:
    body = (
        b'[5, "x", [' + json.dumps(event()).encode() + b'], {"events": ['
        + json.dumps(event()).encode() + b']}, {"a": NaN}, {"a": 1, "a": 2}]'
    )  # fmt: skip
    assert set(fresh.admin.post("/v1/events", body).results) == {"quarantined"}
    before = [(row["reason"], row["raw"]) for row in waiting(fresh)]
    report = release(fresh)
    assert (report["tried"], report["released"], report["remaining"]) == (6, 0, 6)
    assert [(row["reason"], row["raw"]) for row in waiting(fresh)] == before
    assert fresh.num_stored() == 0


def test_a_release_takes_many_rows_and_only_those_that_are_meant(fresh: Server) -> None:
    fresh.admin.send(*[event(timestamp="2026-03-12T13:00:00Z") for _ in range(1_200)])
    fresh.admin.send(*[event(timestamp="2026-03-12T13:00:00Z", tenant_id="b") for _ in range(3)])
    fresh.admin.send(event(severity=99))
    fresh.clock.advance(hours=2)
    ids = [row["id"] for row in waiting(fresh, tenant_id="b")][:2]
    assert release(fresh, ids=ids)["released"] == 2
    assert release(fresh, tenant_id="acme", reason="future_timestamp")["released"] == 1_200
    assert {row["tenant_id"] for row in waiting(fresh)} == {"acme", "b"}
    report = release(fresh)
    assert (report["tried"], report["released"], report["remaining"]) == (2, 1, 1)
    assert fresh.num_stored() == 1_203
    fresh.check_identity()


def test_what_was_fixed_in_the_record_by_hand_is_another_event(fresh: Server) -> None:
    """Nobody edits a row: the producer sends the event again, and a person gives the row up."""
    one = event(severity=99)
    fresh.admin.send(one)
    assert fresh.admin.send({**one, "severity": 3}).results == ["stored"]
    (row,) = waiting(fresh)
    answer = fresh.admin.post("/v1/quarantine/discard", {"ids": [row["id"]]})
    assert answer.json == {"discarded": 1}
    assert not waiting(fresh)
    (gone,) = waiting(fresh, status="discarded")
    assert gone["raw"] == row["raw"]
    assert release(fresh)["tried"] == 0


def test_discard_asks_what_is_meant(server: Server) -> None:
    server.admin.send(event(severity=99))
    for nothing in ({}, {"ids": None}):
        assert server.admin.post("/v1/quarantine/discard", nothing).status == 422
    assert waiting(server)
    assert server.admin.post("/v1/quarantine/discard", {"ids": []}).json == {"discarded": 0}


# -- listing -----------------------------------------------------------------------------------


def test_pages_go_from_new_to_old_and_meet_every_row_once(fresh: Server) -> None:
    fresh.admin.send(*[event(severity=99, tenant_id=f"t{i % 3}") for i in range(23)])
    met, cursor = [], {}
    while True:
        page = fresh.admin.get("/v1/quarantine", limit=5, **cursor).json
        assert page["total"] == 23
        assert page["by_reason"] == {"invalid_severity": 23}
        met += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert met == sorted(met, reverse=True)
    assert len(set(met)) == 23
    assert fresh.admin.get("/v1/quarantine", tenant_id="t1").json["total"] == 8


def test_a_family_of_reasons_and_a_door_are_found(fresh: Server) -> None:
    fresh.admin.send(event(colour=1), event(shape=1), event(severity=9))
    fresh.admin.post("/v1/track", {"event": "X", "context": {"groupId": "acme"}})
    assert fresh.admin.get("/v1/quarantine", reason="unknown_field").json["total"] == 2
    assert fresh.admin.get("/v1/quarantine", reason="unknown_field:shape").json["total"] == 1
    assert fresh.admin.get("/v1/quarantine", door="segment").json["total"] == 1
    assert fresh.admin.get("/v1/quarantine", reason="unknown").json["total"] == 0


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=1e9", "limit=x", "cursor=0", "cursor=-1",
     "cursor=99999999999999999999999", "cursor=x", "status=gone"],
)  # fmt: skip
def test_a_listing_refuses_what_makes_no_sense(server: Server, query: str) -> None:
    answer = server.admin.get(f"/v1/quarantine?{query}")
    assert answer.status == 422
    assert answer.json["errors"][0]["where"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "body",
    [{"ids": [0]}, {"ids": [10**30]}, {"ids": "all"}, {"ids": ["x"]}, {"who": 1}, [], 5, "x",
     {"ids": list(range(1, 100_002))}],
    ids=lambda body: str(body)[:30],
)  # fmt: skip
@pytest.mark.parametrize("what", ["release", "discard"])
def test_a_selection_refuses_what_makes_no_sense(server: Server, what: str, body: Any) -> None:
    assert server.admin.post(f"/v1/quarantine/{what}", body).status == 422
