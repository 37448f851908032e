"""The daily brief of the console: the lines that the API answers, on a page and in a mail."""

from __future__ import annotations

from datetime import UTC, datetime

from console_browser import Browser, Page
from console_company import HOSTILE

from api.api_server import Server
from ebbtide.alerts.brief import Brief
from ebbtide.console.brief import Section, to_sections, write_mail

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def test_what_is_indented_belongs_to_the_line_above() -> None:
    lines = ["STABLE as of now", "  fine", "Who to call", "  a", "  b", "What breaks first"]
    assert to_sections(lines) == [
        Section("STABLE as of now", ("fine",)),
        Section("Who to call", ("a", "b")),
        Section("What breaks first", ()),
    ]
    assert to_sections([]) == []


def test_a_mail_holds_foreign_text_as_text() -> None:
    brief = Brief(
        NOON, "ACTIVE_FAILURE", ("ACTIVE FAILURE", f"  {HOSTILE}", HOSTILE, f"  {HOSTILE}")
    )
    page = Page(write_mail(brief, is_simulated=True))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "a", "link", "form"})
    assert page.text.count("<script>alert(1)</script>") == 3
    assert "\u202e" not in page.text and "Simulated." in page.text
    assert "Simulated." not in write_mail(brief, is_simulated=False)


def test_the_page_says_what_the_api_says(founder: Browser, server: Server) -> None:
    for as_of in ("2026-03-12T12:00:00Z", "2026-03-05T12:00:00Z"):
        lines = server.admin.get("/ops/brief", as_of=as_of).json["lines"]
        text = founder.page("/brief", as_of=as_of).text
        for line in lines[1:]:
            assert line.strip() in text or "\u202e" in line, line
