"""The daily brief: short, the same when asked again, honest about what it cannot know."""

from __future__ import annotations

import email
import email.policy
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_server import Client, Clock, Server, event

from alert_receivers import receiving_mail
from ebbtide.api.application import build_application
from ebbtide.app.demo import fill
from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ebbtide.domain.errors import StoreUnavailable

MORNING = datetime(2026, 3, 12, 6, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A house with a sample company and a mail server's address that a test fills in."""
    with receiving_mail() as mails:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("house"),
            smtp_url=f"smtp://127.0.0.1:{mails.port}?tls=off",
            mail_from="ebbtide@a.example",
        )
        clock = Clock(MORNING)
        with House(settings, clock) as house:
            fill(house, seed=7, num_tenants=20, num_days=12)
            assert house.first_key is not None
            assert build_application(house.services) is not None
            with serving_aside(house) as running:
                port = int(running.url.rpartition(":")[2])
                server = Server(house, port, clock, Client(port, house.first_key))
                server.mails = mails.mails  # type: ignore[attr-defined]
                yield server


def test_it_is_short_complete_and_the_same_when_asked_again(company: Server) -> None:
    moment = "2026-03-11T06:00:00Z"
    first = company.admin.get("/ops/brief", as_of=moment).json
    assert 4 <= len(first["lines"]) <= 20
    heads = [line for line in first["lines"] if not line.startswith(" ")]
    assert heads[0].endswith("as of 2026-03-11 06:00 UTC")
    assert heads[1:] == ["What changed", "Who to call", "What breaks first"]
    assert first["simulated"] is True
    again = company.admin.get("/ops/brief", as_of=moment).json
    assert again["lines"] == first["lines"]
    assert company.admin.get("/api/v1/ops/brief", as_of="2027-01-01T00:00:00Z").status == 422
    assert company.client("read", tenant="acme").get("/ops/brief").status == 403


def test_a_store_that_cannot_answer_makes_it_say_so(
    company: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    for name in ("query", "query_arrow"):
        monkeypatch.setattr(type(company.house.services.events), name, fail, raising=False)
    lines = company.admin.get("/ops/brief", as_of="2026-03-11T07:00:00Z").json["lines"]
    assert lines[0].startswith("UNKNOWN")
    assert sum("not known: a store cannot answer" in line for line in lines) == 3


def test_it_is_mailed_once_a_day_from_six_on(company: Server) -> None:
    mails: list[bytes] = company.mails  # type: ignore[attr-defined]
    body = {"name": "us", "kind": "email", "recipients": ["a@b.example"], "wants_brief": True}
    assert company.admin.post("/ops/channels", body).status == 201

    def run() -> int:
        answer = company.admin.post("/ops/jobs/send-brief", None)
        assert answer.status == 200, answer.body
        for thread in company.house.sender.tick():
            thread.join()
        return len(mails)

    company.clock.now = MORNING - timedelta(hours=1)
    assert run() == 0
    company.clock.now = MORNING
    assert run() == 1
    company.clock.advance(hours=5)
    assert run() == 1
    assert b"Subject: [Ebbtide] [simulated] Brief of 2026-03-12" in mails[0]
    mail = email.message_from_bytes(mails[0], policy=email.policy.default)
    plain, page = [part.get_content() for part in mail.iter_parts()]
    assert mail.get_content_type() == "multipart/alternative"
    assert len(plain.strip().splitlines()) <= 20 and "Who to call" in plain
    # The page says the same, and asks nobody for anything.
    for line in plain.removeprefix("[simulated] ").strip().splitlines()[1:]:
        assert line.strip() in html.unescape(page), line
    assert "<b>Simulated.</b>" in page
    assert not re.search(r"<(script|img|link|iframe|form|a)\b|https?:|url\(", page)
    company.admin.send(event(timestamp="2026-03-13T05:00:00Z"))
    company.clock.now = MORNING + timedelta(days=1)
    assert run() == 2


def test_every_line_of_foreign_text_is_inert(company: Server, tmp_path: Path) -> None:
    company.clock.now = MORNING + timedelta(days=2)
    company.admin.post("/v1/changes", {"kind": "deploy", "value": "v1\u202e\x1b[31m" + "x" * 150})
    lines = company.admin.get("/ops/brief").json["lines"]
    assert len(lines) <= 20
    assert all(line.isprintable() and len(line) <= 500 for line in lines)
