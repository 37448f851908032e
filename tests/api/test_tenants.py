"""The tenant directory: entered, edited, cancelled once, erased for good."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pytest
from api_server import Server, event

from ebbtide.domain.ids import to_uuid_text


def show(server: Server, tenant: str) -> dict[str, Any]:
    answer = server.admin.get(f"/v1/tenants/{tenant}")
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = answer.json
    return shown


# -- entries -----------------------------------------------------------------------------------


def test_an_event_enters_its_tenant(server: Server) -> None:
    assert server.admin.get("/v1/tenants/newcomer").status == 404
    server.admin.send(event(tenant_id="newcomer"))
    assert show(server, "newcomer") == {
        "tenant_id": "newcomer",
        "tenant_uuid": to_uuid_text("newcomer"),
        "name": None,
        "plan": None,
        "price_usd": None,
        "started": None,
        "cancelled": None,
        "is_cancelled": None,
        "contacts": None,
        "first_seen_at": "2026-03-12T12:00:00Z",
        "updated_at": "2026-03-12T12:00:00Z",
        "provenance": {},
    }


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "Änne & Söhne <b>", "Änne & Söhne <b>"),
        ("plan", "pro", "pro"),
        ("price_usd", 99.5, 99.5),
        ("price_usd", "0.1", 0.1),
        ("price_usd", 0, 0.0),
        ("started", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"),
        ("started", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (
            "contacts",
            [{"name": "Ada", "email": "ada@example.com"}],
            [{"name": "Ada", "email": "ada@example.com", "role": None}],
        ),
        ("contacts", [], []),
    ],
)
def test_a_field_is_entered_and_taken_back(
    server: Server, field: str, value: Any, shown: Any
) -> None:
    server.admin.put("/v1/tenants/fields", {"name": "kept", "plan": "kept"})
    server.clock.advance(seconds=1)
    put = server.admin.put("/v1/tenants/fields", {field: value})
    assert put.status == 200
    assert put.json == show(server, "fields")
    assert put.json[field] == shown
    others = {"name": "kept", "plan": "kept"} | {field: shown}
    assert {name: put.json[name] for name in others} == others
    inner = {"started": "started_at"}.get(field, field)
    assert put.json["provenance"][inner] == {"origin": "api", "at": "2026-03-12T12:00:01Z"}
    server.clock.advance(seconds=1)
    assert server.admin.put("/v1/tenants/fields", {field: None}).json[field] is None
    assert server.admin.delete("/v1/tenants/fields", confirm="fields").status == 200


def test_a_subscription_event_fills_the_entry(server: Server) -> None:
    started = event(
        tenant_id="paying",
        event_type="SUBSCRIPTION_STARTED",
        timestamp="2026-01-01T00:00:00Z",
        metadata={"plan": "pro", "price_usd": 49.9},
    )
    server.admin.send(started)
    entry = show(server, "paying")
    assert (entry["plan"], entry["price_usd"], entry["is_cancelled"]) == ("pro", 49.9, False)
    assert entry["started"] == "2026-01-01T00:00:00Z"
    assert entry["provenance"]["plan"]["origin"] == "event"
    # An edit by hand is newer than the event, whatever comes late.
    server.admin.put("/v1/tenants/paying", {"plan": "team"})
    server.admin.send({**started, "event_id": "late", "metadata": {"plan": "old"}})
    assert show(server, "paying")["plan"] == "team"


def test_a_price_that_no_json_has_does_not_stop_the_listing(server: Server) -> None:
    server.admin.send(
        event(
            tenant_id="dear",
            event_type="SUBSCRIPTION_STARTED",
            metadata={"plan": "x", "price_usd": 1e300},
        )
    )
    entry = show(server, "dear")
    assert (entry["plan"], entry["price_usd"]) == ("x", None)
    assert server.admin.get("/v1/tenants").status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"price_usd": -1}, {"price_usd": "NaN"}, {"price_usd": "Infinity"}, {"price_usd": "1e999"},
        {"price_usd": 1e300}, {"price_usd": True}, {"price_usd": [1]}, {"price_usd": "n/a"},
        {"name": 5}, {"name": "x" * 501}, {"name": "a\0b"}, {"plan": "\0"}, {"plan": ["pro"]},
        {"name": "\ud800"}, {"started": "2026-01-01"}, {"started": "2026-01-01T00:00:00"},
        {"started": 1_767_225_600}, {"started": "soon"}, {"cancelled": "0001-01-01T00:00:00+10:00"},
        {"contacts": "ada"}, {"contacts": [5]}, {"contacts": [{"name": "a\0"}]},
        {"contacts": [{"phone": "1"}]}, {"contacts": [{}] * 101}, {"role": "admin"},
        {"tenant_id": "other"}, {"tenant_uuid": "x"}, {"cost_cap": 1}, {"id": 1}, [], "x", 5, None,
    ],
    ids=lambda body: str(body)[:50],
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(server: Server, body: Any) -> None:
    server.admin.put("/v1/tenants/steady", {"name": "S"})
    before, num = show(server, "steady"), server.num_stored()
    answer = server.admin.put("/v1/tenants/steady", body)
    assert answer.status == 422
    # Beside a good field, too: all or nothing.
    if isinstance(body, dict):
        both = {"cancelled": "2026-03-01T00:00:00Z", "name": "T"} | body
        assert server.admin.put("/v1/tenants/steady", both).status == 422
    assert show(server, "steady") == before
    assert server.num_stored() == num


@pytest.mark.parametrize("path", ["/v1/tenants/", "/v1/tenants/" + "x" * 201, "/v1/tenants/a%00b"])
def test_an_id_that_no_event_could_have_is_refused(server: Server, path: str) -> None:
    assert server.admin.ask("PUT", path, b"{}", {"Content-Type": "application/json"}).status == 422
    tenant = path.removeprefix("/v1/tenants/")
    for method, asked in (("GET", path), ("DELETE", f"{path}?confirm={tenant}")):
        answer = server.admin.ask(method, asked)
        assert (answer.status, answer.json["detail"]) == (404, "there is no such tenant")
    assert server.house.services.state.tenants.erased_at(to_uuid_text(unquote(tenant))) is None


def test_a_body_that_is_too_large_or_no_json_is_refused(server: Server) -> None:
    big = b'{"name": "' + b"x" * 2_000_000 + b'"}'
    assert server.admin.put("/v1/tenants/t", big).status == 413
    assert server.admin.put("/v1/tenants/t", b"{").status == 422
    deep = b'{"name":' * 50_000 + b"1" + b"}" * 50_000
    assert server.admin.put("/v1/tenants/t", deep).status in (400, 422)
    assert server.admin.get("/v1/tenants/t").status == 404


# -- cancellation ------------------------------------------------------------------------------


def test_a_cancellation_is_one_event_however_often_it_is_said(server: Server) -> None:
    server.admin.send(
        event(
            tenant_id="leaver",
            event_type="SUBSCRIPTION_STARTED",
            timestamp="2026-01-01T00:00:00Z",
            metadata={"plan": "pro"},
        )
    )
    for spelling in ("leaver", "leaver", to_uuid_text("leaver")):
        for moment in ("2026-03-01T09:00:00Z", "2026-03-01T10:00:00+01:00"):
            answer = server.admin.put(f"/v1/tenants/{spelling}", {"cancelled": moment})
            assert answer.status == 200
            assert answer.json["cancelled"] == "2026-03-01T09:00:00Z"
            assert answer.json["is_cancelled"] is True
            server.clock.advance(minutes=1)
    found = server.admin.get(
        "/v1/events", tenant_id="leaver", event_type="SUBSCRIPTION_CANCELLED"
    ).json["events"]
    assert [(one["timestamp"], one["source"]) for one in found] == [
        ("2026-03-01T09:00:00Z", "directory")
    ]
    # Another moment is another fact.
    server.admin.put("/v1/tenants/leaver", {"cancelled": "2026-03-02T00:00:00Z"})
    assert show(server, "leaver")["cancelled"] == "2026-03-02T00:00:00Z"
    server.clock.advance(minutes=1)
    taken_back = server.admin.put("/v1/tenants/leaver", {"cancelled": None}).json
    assert (taken_back["cancelled"], taken_back["is_cancelled"]) == (None, False)


def test_a_cancellation_in_the_future_is_refused_whole(server: Server) -> None:
    waiting = server.admin.get("/v1/quarantine").json["total"]
    answer = server.admin.put(
        "/v1/tenants/planner", {"cancelled": "2026-04-01T00:00:00Z", "name": "P"}
    )
    assert answer.status == 422
    assert "future_timestamp" in answer.json["detail"]
    assert server.admin.get("/v1/tenants/planner").status == 404
    assert server.admin.get("/v1/quarantine").json["total"] == waiting


# -- listing -----------------------------------------------------------------------------------


def test_pages_meet_every_tenant_once_in_order(fresh: Server) -> None:
    names = [f"t{i:02}" for i in range(12)] + ["Ä", "a/b", "😀"]
    fresh.admin.send(*[event(tenant_id=name) for name in names])
    met: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = fresh.admin.get("/v1/tenants", limit=4, **cursor).json
        met += [one["tenant_id"] for one in page["tenants"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert met == sorted(names)


def test_a_bound_key_sees_its_tenant_or_none(server: Server) -> None:
    server.admin.send(event(tenant_id="seen"))
    ours = server.client("read", tenant=to_uuid_text("seen"))
    assert [one["tenant_id"] for one in ours.get("/v1/tenants").json["tenants"]] == ["seen"]
    early = server.client("read", tenant="not-yet").get("/v1/tenants")
    assert (early.status, early.json) == (200, {"tenants": [], "next_cursor": None})


# -- erasure -----------------------------------------------------------------------------------


def fill(server: Server, tenant: str) -> list[dict[str, Any]]:
    """Events of a tenant of which one waits."""
    events = [event(tenant_id=tenant, user_id=f"person-of-{tenant}") for _ in range(5)]
    server.admin.send(*events, event(tenant_id=tenant, severity=99, user_id=f"person-of-{tenant}"))
    server.admin.put(f"/v1/tenants/{tenant}", {"name": f"person-of-{tenant}"})
    return events


def test_erasing_asks_twice(server: Server) -> None:
    fill(server, "careful")
    for wrong in ({}, {"confirm": ""}, {"confirm": "carefu"}, {"confirm": "CAREFUL"}):
        assert server.admin.delete("/v1/tenants/careful", **wrong).status == 422
    assert len(server.admin.get("/v1/events", tenant_id="careful").json["events"]) == 5


def test_an_erased_tenant_is_gone_and_its_past_stays_out(fresh: Server) -> None:
    gone, stays = fill(fresh, "gone"), fill(fresh, "stays")
    other = fresh.admin.get("/v1/events", tenant_id="stays").body
    fresh.clock.advance(minutes=1)
    answer = fresh.admin.delete("/v1/tenants/gone", confirm="gone")
    assert answer.json == {
        "tenant_id": "gone", "erased_events": 5, "erased_at": "2026-03-12T12:01:00Z",
    }  # fmt: skip
    assert fresh.admin.get("/v1/tenants/gone").status == 404
    assert fresh.admin.get("/v1/events", tenant_id="gone").json["events"] == []
    assert fresh.admin.get("/v1/quarantine", tenant_id="gone").json["total"] == 0
    for file in fresh.house.settings.data_dir.glob("state*"):
        assert b"person-of-gone" not in file.read_bytes(), file
    # The other tenant did not notice.
    assert fresh.admin.get("/v1/events", tenant_id="stays").body == other
    assert set(fresh.admin.send(*stays).results) == {"duplicate"}
    assert fresh.num_stored() == 5
    # Its past is refused in every spelling and by every door, and is not kept either.
    again = fresh.admin.send(*gone, gone[0] | {"tenant_id": to_uuid_text("gone")})
    assert set(again.results) == {"refused"}
    assert set(again.reasons) == {"erased_tenant"}
    call = {"event": "LOGIN", "userId": "u", "context": {"groupId": "gone"}}
    call |= {"timestamp": "2026-03-12T11:00:00Z"}
    assert fresh.admin.post("/v1/track", call).results == ["refused"]
    assert fresh.admin.get("/v1/tenants/gone").status == 404
    assert fresh.num_stored() == 5
    # Nor does the directory hear of it again, also not that there was such a tenant.
    fresh.clock.advance(minutes=5)
    past = {"groupId": "gone", "timestamp": "2026-03-12T12:01:00Z"}
    person = {"userId": "u", "context": {"groupId": "gone"}, "traits": {}}
    for call, body in (
        ("group", past | {"traits": {"name": "Gone Inc."}}),
        ("group", past),
        ("identify", person | {"timestamp": "2026-03-12T12:00:00Z"}),
        ("group", past | {"groupId": to_uuid_text("gone")}),
    ):
        told = fresh.admin.post(f"/v1/{call}", body)
        assert (told.results, told.reasons) == (["refused"], ["erased_tenant"]), (call, body)
    assert fresh.admin.get("/v1/tenants/gone").status == 404
    # What happens after the erasure is a new beginning.
    now = past | {"timestamp": "2026-03-12T12:01:00.000001Z"}
    assert fresh.admin.post("/v1/group", now).reasons == ["tenant_directory"]
    assert fresh.admin.get("/v1/tenants/gone").status == 200
    later = event(tenant_id="gone", timestamp="2026-03-12T12:01:00.000001Z")
    assert fresh.admin.send(later).results == ["stored"]
    assert show(fresh, "gone")["name"] is None
    fresh.check_identity()


def test_a_tenant_is_erased_by_its_uuid_too(fresh: Server) -> None:
    fill(fresh, "spelled")
    uuid = to_uuid_text("spelled")
    answer = fresh.admin.delete(f"/v1/tenants/{uuid}", confirm=uuid)
    assert (answer.json["tenant_id"], answer.json["erased_events"]) == ("spelled", 5)
    assert fresh.num_stored() == 0


def test_nobody_can_be_erased_without_harm(server: Server) -> None:
    answer = server.admin.delete("/v1/tenants/never-seen", confirm="never-seen")
    assert (answer.status, answer.json["erased_events"]) == (200, 0)


def test_events_that_wait_for_the_disk_do_not_outlive_an_erasure(fresh: Server) -> None:
    """An event that was checked before an erasure and written after it would be a leak."""
    fill(fresh, "racing")
    services = fresh.house.services
    with ThreadPoolExecutor(1) as pool:
        with services.writer.paused():
            answer = pool.submit(fresh.admin.send, event(tenant_id="racing"))
            time.sleep(0.3)  # by now it was checked, and waits for its turn
            assert not answer.done()
            services.events.erase_tenant("racing")
            services.directory.erase("racing", fresh.clock())
        assert answer.result(20).results == ["refused"]
    assert fresh.num_stored() == 0
