"""Everything outside is down: each is shown for what it is, and nothing else is affected."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_server import NOON, Server, event, open_server

from alert_receivers import Receiver, receiving


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass
class Receivers:
    """Three that are asked, two of them bad."""

    slack: Receiver
    lures: Receiver
    good: Receiver


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """One says 500, one sends on to the address that hands out credentials, one is well."""
    with receiving() as slack, receiving() as lures, receiving() as good:
        slack.status = 500
        lures.status, lures.headers = 302, {"Location": "http://169.254.169.254/latest/"}
        yield Receivers(slack, lures, good)


@pytest.fixture
def lonely(tmp_path: Path, receivers: Receivers) -> Iterator[Server]:
    """A server whose Redis, PostgreSQL and mail server are down."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "SLACK").write_text(receivers.slack.url)
    (secrets / "SIGNING").write_text("whsec_" + base64.b64encode(bytes(range(32))).decode())
    yield from open_server(
        tmp_path / "data",
        probe_redis_url=f"redis://:canary@127.0.0.1:{closed_port()}",
        probe_postgres_url=f"postgresql://watch:canary@127.0.0.1:{closed_port()}/shop",
        smtp_url=f"smtp://127.0.0.1:{closed_port()}?tls=off",
        mail_from="ebbtide@a.example",
        egress_allow="127.0.0.1",
        secrets_dir=secrets,
    )


def test_each_is_shown_for_what_it_is_and_nothing_else_is_affected(
    lonely: Server, receivers: Receivers
) -> None:
    failed = {"event_type": "LLM_CALL_FAILED", "metadata": {"model": "m", "error_type": "timeout"}}
    sent = [event(**failed, timestamp=NOON.isoformat()) for _ in range(10)]
    assert lonely.admin.send(*sent).results == ["stored"] * 10

    # What is watched: unknown and not zero, without its password, and the others have values.
    assert lonely.admin.post("/ops/jobs/sample-resources", None).status == 200
    answer = lonely.admin.get("/ops/infra")
    found = {one["resource"]: one for one in answer.json["resources"]}
    down = {name for name, one in found.items() if one["reason"] == "unavailable"}
    assert {name.partition("_")[0] for name in down} == {"redis", "db"}
    assert all(found[name]["used"] is None for name in down)
    assert all(found[name]["used"] > 0 for name in ("disk", "event_store", "state_store"))
    assert b"canary" not in answer.body

    # Who is told: four receivers, three of them bad, each with its own reason.
    channels: list[dict[str, Any]] = [
        {"name": "slack", "kind": "slack", "secret": "SLACK"},
        {"name": "lures", "kind": "webhook", "url": receivers.lures.url, "secret": "SIGNING"},
        {"name": "mail", "kind": "email", "recipients": ["ops@a.example"]},
        {"name": "good", "kind": "webhook", "url": receivers.good.url, "secret": "SIGNING"},
    ]
    names = {}
    for body in channels:
        made = lonely.admin.post("/ops/channels", body)
        assert made.status == 201, made.body
        names[made.json["channel_id"]] = body["name"]
    assert lonely.admin.post("/ops/jobs/send-alerts", None).status == 200
    for thread in lonely.house.sender.tick():
        thread.join()
    assert [len(one.seen) for one in (receivers.slack, receivers.lures, receivers.good)] == [1] * 3
    newest = lonely.house.services.state.outbox.list_newest()
    assert {names[one.channel_id]: (one.status.value, one.reason) for _, one in newest} == {
        "slack": ("pending", "http_500"),
        "lures": ("pending", "redirect"),
        "mail": ("pending", "connection_failed"),
        "good": ("delivered", None),
    }

    # Everything else answers as ever, and the pulse speaks of the calls alone.
    pulse = lonely.admin.get("/ops/pulse").json
    assert pulse["system_state"] == "ACTIVE_FAILURE"
    assert [one["name"] for one in pulse["alerts"]] == ["llm_failure_rate"]
    assert lonely.admin.send(event()).results == ["stored"]
    for path in ("/health/ready", "/ops/customers", "/ops/incidents", "/ops/revenue"):
        assert lonely.admin.get(path).status == 200, path
