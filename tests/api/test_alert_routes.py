"""Alerts from the event to the receiver: rules, states, channels, deliveries, people."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import NOON, Server, event, open_server

from alert_receivers import Receiver, receiving

SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """A server that may call this machine, with two secrets."""
    secrets = tmp_path_factory.mktemp("secrets")
    (secrets / "SIGNING").write_text(SIGNING + "\n")
    (secrets / "SLACK").write_text(receiver.url)
    folder = tmp_path_factory.mktemp("house")
    yield from open_server(folder, egress_allow="127.0.0.1", secrets_dir=secrets)


@pytest.fixture
def calm(alerting: Server, receiver: Receiver) -> Iterator[Server]:
    """The same without channels and alerts of the test before, one day later."""
    receiver.seen.clear()
    receiver.status = 200
    yield alerting
    for one in alerting.admin.get("/ops/channels").json["items"]:
        alerting.admin.delete(f"/ops/channels/{one['channel_id']}")
    alerting.clock.now += timedelta(days=1)


def add(server: Server, **body: Any) -> dict[str, Any]:
    answer = server.admin.post("/ops/channels", body)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


def look(server: Server) -> dict[str, dict[str, Any]]:
    """Run the job and the sender; alerts by rule."""
    answer = server.admin.post("/ops/jobs/send-alerts", None)
    assert answer.status == 200, answer.body
    for thread in server.house.sender.tick():
        thread.join()
    return {one["rule"]: one for one in server.admin.get("/ops/alerts").json["items"]}


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in receiver.seen]


def at(server: Server, hours: float = 0) -> str:
    return (server.clock.now - timedelta(hours=hours)).isoformat()


def send_calls(server: Server, num_failed: int, num: int = 10) -> None:
    server.admin.send(
        *(
            event(
                event_type="LLM_CALL_FAILED" if number < num_failed else "LLM_CALL_MADE",
                timestamp=at(server, 0.1),
                metadata={"model": "m", "provider": "p", "error_type": "timeout"},
            )
            for number in range(num)
        )
    )


def test_an_alert_goes_out_once_is_taken_on_and_ends(calm: Server, receiver: Receiver) -> None:
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    slack = add(calm, name="ops", kind="slack", secret="SLACK")
    assert slack["has_secret"] and slack["url"] is None
    send_calls(calm, num_failed=5)
    found = look(calm)["pulse:llm_failure_rate"]
    assert (found["status"], found["told"]) == ("alert", "alert")
    assert "5 of 10 LLM calls failed" in found["text"]
    webhook = next(one for one in bodies(receiver) if "alerts" in one)
    assert (webhook["version"], webhook["status"], webhook["receiver"]) == ("4", "firing", "pager")
    fired = {one["labels"]["rule"]: one for one in webhook["alerts"]}["pulse:llm_failure_rate"]
    assert fired["labels"]["severity"] == "critical" and fired["status"] == "firing"
    assert fired["fingerprint"] == found["alert_id"]
    assert fired["endsAt"] == "0001-01-01T00:00:00Z"
    (text,) = (one["blocks"][0]["text"]["text"] for one in bodies(receiver) if "blocks" in one)
    assert "ALERT: LLM failures: 5 of 10 LLM calls failed" in text
    receiver.seen.clear()
    calm.clock.advance(minutes=1)
    look(calm)
    assert receiver.seen == [], "the edge alone is told"
    taken = calm.admin.post(f"/ops/alerts/{found['alert_id']}/acknowledge", {"note": "mine"})
    assert taken.status == 200 and taken.json["note"] == "mine"
    send_calls(calm, num_failed=0, num=200)
    look(calm)
    calm.clock.advance(minutes=6)
    assert "pulse:llm_failure_rate" not in look(calm)
    over = next(one for one in bodies(receiver) if one.get("status") == "resolved")
    assert [one["labels"]["rule"] for one in over["alerts"]] == ["pulse:llm_failure_rate"]
    assert over["alerts"][0]["endsAt"] > over["alerts"][0]["startsAt"]


def test_the_first_channel_hears_what_is_wrong_already_and_a_snooze_keeps_it_quiet(
    calm: Server, receiver: Receiver
) -> None:
    send_calls(calm, num_failed=5)
    found = look(calm)["pulse:llm_failure_rate"]
    assert found["told"] is None and receiver.seen == []
    path = f"/ops/alerts/{found['alert_id']}/snooze"
    assert calm.admin.post(path, {"until": at(calm, 1)}).status == 422
    assert calm.admin.post(path, {"until": at(calm, -1)}).json["snoozed_until"] is not None
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    assert look(calm)["pulse:llm_failure_rate"]["told"] is None
    assert calm.admin.post(path, {"until": None}).json["snoozed_until"] is None
    assert look(calm)["pulse:llm_failure_rate"]["told"] == "alert"
    assert len(receiver.seen) == 1
    assert calm.admin.post("/ops/alerts/nobody/snooze", {"until": None}).status == 404


def test_silence_of_everybody_is_no_data_and_told_once(calm: Server, receiver: Receiver) -> None:
    calm.clock.advance(days=3)
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING", least="alert")
    found = look(calm)
    assert found["pulse:state"]["status"] == "no_data"
    (body,) = bodies(receiver)
    assert [one["labels"]["rule"] for one in body["alerts"]] == ["pulse:state"]
    assert "No event in 24 hours" in body["alerts"][0]["annotations"]["description"]


def test_a_failed_job_and_a_lost_channel_are_told(
    calm: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm.admin.send(event(timestamp=at(calm)))
    with receiving() as gone:
        gone.status = 410
        lost = add(calm, name="lost", kind="webhook", url=gone.url, secret="SIGNING")
        tried = calm.admin.post(f"/ops/channels/{lost['channel_id']}/test", None).json
    assert (tried["status"], tried["reason"], tried["num_attempts"]) == ("dead", "http_410", 1)
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    body = calm.house.services.runner.jobs["compute-stickiness"].body

    def fail(_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(type(body), "run", fail)
    calm.admin.post("/ops/jobs/compute-stickiness", None)
    monkeypatch.undo()
    found = look(calm)
    assert found["job:compute-stickiness"]["status"] == "alert"
    assert found["channel:lost"]["status"] == "warning"
    (told,) = bodies(receiver)
    rules = [one["labels"]["rule"] for one in told["alerts"]]
    assert {"job:compute-stickiness", "channel:lost"} <= set(rules)


def test_a_store_that_cannot_answer_is_told_and_ends_nothing(
    calm: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ebbtide.domain.errors import StoreUnavailable

    send_calls(calm, num_failed=5)
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    assert look(calm)["pulse:llm_failure_rate"]["told"] == "alert"
    receiver.seen.clear()

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(type(calm.house.services.events), "query", fail)
        away.setattr(type(calm.house.services.events), "query_arrow", fail, raising=False)
        calm.clock.advance(minutes=1)
        found = look(calm)
    assert found["pulse:state"]["status"] == "no_data"
    failing = found["pulse:llm_failure_rate"]
    assert (failing["status"], failing["told"]) == ("no_data", "alert")
    (body,) = bodies(receiver)
    assert [one["labels"]["rule"] for one in body["alerts"]] == ["pulse:state"]


def test_secrets_are_named_and_never_shown_or_kept(calm: Server, receiver: Receiver) -> None:
    made = add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    missing = add(calm, name="other", kind="webhook", url=receiver.url, secret="NOBODY")
    assert made["has_secret"] and not missing["has_secret"]
    tried = calm.admin.post(f"/ops/channels/{missing['channel_id']}/test", None).json
    assert (tried["status"], tried["reason"]) == ("pending", "no_secret")
    assert calm.admin.post(f"/ops/channels/{made['channel_id']}/test", None).json["reason"] is None
    page = calm.admin.get("/ops/deliveries", limit=1)
    assert page.json["next_cursor"] is not None and "body" not in page.json["items"][0]
    assert SIGNING.encode() not in b"".join(calm.admin.seen)
    files = Path(calm.house.settings.data_dir).glob("state.sqlite*")
    assert all(SIGNING.encode() not in one.read_bytes() for one in files)
    assert SIGNING not in repr(calm.house.sender.transport.secrets)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n", "kind": "webhook", "url": "http://10.0.0.1/", "secret": "S"},
        {"name": "n", "kind": "webhook", "url": "https://169.254.169.254/", "secret": "S"},
        {"name": "n", "kind": "webhook", "url": "https://2130706434/", "secret": "S"},
        {"name": "n", "kind": "webhook", "url": "file:///etc/passwd", "secret": "S"},
        {"name": "n", "kind": "webhook", "url": "http://8.8.8.8/", "secret": "S"},
        {"name": "n", "kind": "webhook", "url": "https://8.8.8.8/"},
        {"name": "n", "kind": "webhook", "url": "https://8.8.8.8/", "secret": "whsec_abc"},
        {"name": "n", "kind": "webhook", "secret": "S"},
        {"name": "n", "kind": "slack", "url": "https://8.8.8.8/", "secret": "S"},
        {"name": "n", "kind": "slack"},
        {"name": "n", "kind": "email"},
        {"name": "n", "kind": "email", "recipients": ["a@b.example\r\nBcc: c@d.example"]},
        {"name": "n", "kind": "email", "recipients": ["Ada <a@b.example>"]},
        {"name": "n", "kind": "email", "recipients": ["a@b.example"], "least": "ok"},
        {"name": "n\n", "kind": "email", "recipients": ["a@b.example"]},
        {"name": "n", "kind": "pigeon"},
    ],
)
def test_a_channel_with_a_fault_is_not_made(calm: Server, body: dict[str, Any]) -> None:
    assert calm.admin.post("/ops/channels", body).status == 422
    assert calm.admin.get("/ops/channels").json["items"] == []


def test_a_channel_is_switched_and_deleted_and_a_bound_key_sees_nothing(
    calm: Server, receiver: Receiver
) -> None:
    made = add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    path = f"/ops/channels/{made['channel_id']}"
    assert calm.admin.post("/ops/channels", {**_body(made)}).status == 409
    assert calm.admin.put(path, {"is_enabled": False}).json["disabled_reason"] == "switched_off"
    assert calm.admin.post(f"{path}/test", None).json["reason"] == "channel_off"
    assert calm.admin.put(path, {"is_enabled": True}).json["is_enabled"]
    assert calm.admin.delete(path).status == 200 and calm.admin.delete(path).status == 404
    bound = calm.client("read", tenant="acme")
    for name in ("alerts", "deliveries"):
        assert bound.get(f"/ops/{name}").status == 403


def _body(channel: dict[str, Any]) -> dict[str, Any]:
    return {name: channel[name] for name in ("name", "kind", "url", "secret")}


def test_new_critical_customers_are_told_in_a_message_of_their_own(
    calm: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm.admin.send(event(timestamp=at(calm)))
    add(calm, name="pager", kind="webhook", url=receiver.url, secret="SIGNING")
    look(calm)
    receiver.seen.clear()
    row = {"tenant_uuid": "u-1", "tenant_id": "a\u202eb<script>", "risk_reason": "silent"}
    shelf = calm.house.services.state.alerts
    monkeypatch.setattr(shelf, "critical_customers", lambda: [row])
    look(calm)
    (body,) = bodies(receiver)
    assert body["groupKey"] == "ebbtide:customers"
    assert body["alerts"][0]["labels"]["tenant"] == "a b<script>"
    assert NOON < calm.clock.now
