"""Recorded calls: only where it is wanted, without personal data, sealed, and for a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from guarded import NOON, PROVIDER_KEY, Guarded, guarded
from scripted_provider import says

from ebbtide.domain.call import Call, Message
from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import TimeWindow
from ebbtide.guard.recording import NO_KEY, Recorder, RecordingBroken, Vault

DAY = TimeWindow(NOON - timedelta(days=1), NOON + timedelta(days=1))
CANARY = "a canary sings in the mine"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("recorded")) as found:
        yield found


def record(house: Guarded, tenant: str, days: int = 30) -> Recorder:
    """Switch it on; returns what reads it."""
    body = {"is_on": True, "retention_days": days}
    assert house.ask("PUT", f"/ops/recording/{tenant}", body).status == 200
    return house.house.services.guard.recorder


def call(number: int = 1, tenant: str = "acme", **more: object) -> Call:
    """A call with everything that can be known of one."""
    given = Call(
        f"call-{number}", tenant, NOON + timedelta(seconds=number), "gpt-4o-mini", "local",
        (Message("system", "Be brief."), Message("user", CANARY)), {"paid_at": None, "n": 1.5},
        "It is paid.", {"temperature": 0.2, "stop": ["x"]}, 10, 2, Decimal("0.000123"), 40, 200,
        None, "stop",
    )  # fmt: skip
    return replace(given, **more)  # type: ignore[arg-type]


def test_nothing_is_recorded_that_nobody_switched_on(house: Guarded) -> None:
    answer = house.chat("off", CANARY)
    assert house.events("off")
    with pytest.raises(NotFound):
        house.house.services.guard.recorder.get(answer.headers["x-ebbtide-call-id"])


def test_a_call_comes_back_without_its_personal_data(house: Guarded) -> None:
    recorder = record(house, "on")
    house.without_blocks("on")
    house.provider.then(says(f"{CANARY}: write to ada@example.com"))
    context = {"mail": "bob@example.com", "paid_at": None}
    answer = house.chat("on", "I am carol@example.com", ebbtide={"context": context}, seed=7)
    assert b"ada@example.com" in answer.body  # what is recorded loses it, not the answer
    house.events("on")
    found = recorder.get(answer.headers["x-ebbtide-call-id"], "on")
    assert found.parameters == {"seed": 7} and found.is_redacted and found.is_whole
    assert (found.tokens_in, found.http_status, found.finish_reason) == (1000, 200, "stop")
    assert found.output is not None and found.output.startswith(CANARY)
    assert found.context is not None and found.context["paid_at"] is None
    assert "@example.com" not in repr(found)
    assert [one.call_id for one in recorder.of(DAY, policy_id="BUDGET")] == [found.call_id]
    assert not list(recorder.of(DAY, policy_id="PII_FILTER", tenant_id="on"))
    with pytest.raises(NotFound):
        recorder.get(found.call_id, "somebody-else")
    for file in Path(house.house.settings.data_dir).iterdir():
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file
            assert PROVIDER_KEY.encode() not in file.read_bytes(), file


def test_every_field_comes_back_as_it_was(house: Guarded) -> None:
    recorder = record(house, "fields")
    calls = [call(n, "fields") for n in range(1, 5)]
    assert recorder.keep((one, ["A", "B_1"]) for one in calls) == 4
    assert recorder.keep((replace(one, output="other"), []) for one in calls) == 0
    assert list(recorder.of(DAY, tenant_id="fields")) == calls
    until = TimeWindow(calls[0].at, calls[2].at)
    assert list(recorder.of(until, tenant_id="fields", policy_id="B_1")) == calls[1:3]
    assert not list(recorder.of(DAY, tenant_id="fields", policy_id="B%1"))
    assert recorder.count(DAY, tenant_id="fields") == 4


def test_only_its_own_key_opens_a_call_in_its_own_place(house: Guarded) -> None:
    recorder = record(house, "sealed")
    recorder.keep([(call(1, "sealed"), []), (call(2, "sealed"), [])])
    shelf = house.house.services.state.recordings
    found = shelf.get("call-1", "sealed")
    assert found is not None
    stranger = Recorder(shelf, Vault([b"x" * 32]))
    with pytest.raises(RecordingBroken, match="is not given"):
        stranger.get("call-1", "sealed")
    both = Recorder(shelf, Vault([b"x" * 32, b"k" * 32]))
    assert both.get("call-1", "sealed") == call(1, "sealed")
    moved = found._replace(tenant_uuid=to_uuid_text("thief"))
    bent = found._replace(call_id="bent", sealed=found.sealed[:-1] + b"\0")
    shelf.add([moved, bent])
    for call_id, tenant in (("call-1", "thief"), ("bent", "sealed")):
        with pytest.raises(RecordingBroken, match="does not open"):
            recorder.get(call_id, tenant)
    shelf.forget(to_uuid_text("sealed"))


def test_without_a_key_it_cannot_be_switched_on(house: Guarded) -> None:
    without = Recorder(house.house.services.state.recordings, Vault(()))
    with pytest.raises(WrongState) as caught:
        without.choose("acme", is_on=True, retention_days=1, at=NOON, by="test")
    assert str(caught.value) == NO_KEY
    without.choose("acme", is_on=False, retention_days=1, at=NOON, by="test")
    listed = house.ask("GET", "/ops/recording").json
    assert listed["is_possible"]
    assert {one["tenant_id"]: one["is_on"] for one in listed["items"]}["acme"] is False
    for body in ({"is_on": True, "retention_days": 0}, {"is_on": True, "retention_days": 731}):
        assert house.ask("PUT", "/ops/recording/acme", body).status == 422


def test_it_goes_at_its_end_of_life(house: Guarded) -> None:
    recorder = record(house, "short", days=2)
    record(house, "long", days=3)
    for tenant in ("short", "long"):
        recorder.keep([(call(n, tenant), []) for n in (1, 2)])
    later = NOON + timedelta(days=2, seconds=2)
    assert recorder.forget_expired(later, lambda: None) >= 1
    assert [one.call_id for one in recorder.of(DAY, tenant_id="short")] == ["call-2"]
    assert recorder.count(DAY, tenant_id="long") == 2
    record(house, "long", days=1)  # also for what was recorded before
    recorder.forget_expired(later, lambda: None)
    assert recorder.count(DAY, tenant_id="long") == 0
    run = house.ask("POST", "/ops/jobs/forget-recordings").json
    assert run["status"] == "completed"


def test_it_can_be_removed_at_once_and_goes_with_its_tenant(house: Guarded) -> None:
    recorder = record(house, "leaves")
    recorder.keep([(call(n, "leaves"), []) for n in (1, 2)])
    assert house.ask("DELETE", "/ops/recording/leaves").json["num_removed"] == 2
    recorder.keep([(call(3, "leaves"), [])])
    house.chat("leaves")
    house.events("leaves")
    gone = house.ask("DELETE", "/v1/tenants/leaves?confirm=leaves")
    assert gone.status == 200, gone.body
    assert recorder.count(DAY, tenant_id="leaves") == 0
    # What was still on its way when it went stays away, and so does what comes again.
    record(house, "leaves")
    assert recorder.keep([(call(4, "leaves", at=NOON - timedelta(hours=1)), [])]) == 0
    assert "leaves" not in json.dumps(house.ask("GET", "/ops/freeze").json)
