"""Every number of a screen opens its explanation, and every chart is a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

import pytest
from console_browser import Browser, Page

from api.api_server import NOON, Server, open_server
from api.whole_company import DAY, FORMULA, settle
from ebbtide.console.pages.tables import TABLES
from ebbtide.console.spreadsheet import to_csv
from ebbtide.domain.time import format_instant

SCREENS = ("/pulse", "/incidents", "/stickiness", "/revenue", "/infra")
#: Where numbers stand: whoever puts one there has it explained.
PLACES = {"big", "pct", "n"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for server in open_server(tmp_path_factory.mktemp("why")):
        settle(server)
        yield server


@pytest.fixture(scope="module")
def founder(server: Server) -> Browser:
    browser = Browser(server)
    assert browser.sign_in().status == 303
    return browser


class Places(HTMLParser):
    """What stands where numbers stand, and whether it opens something."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, bool]] = []
        self.why: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._text = ""
        self._has_why = False
        self._is_view = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = set((given.get("class") or "").split())
        if tag == "a" and "data-why" in given:
            self._has_why = True
            self.why.append(str(given["href"]))
        if tag == "details":
            self._is_view += 1
        if tag in ("p", "td", "span"):
            is_place = bool(classes & PLACES) and not any(place for _, place in self._open)
            if is_place:
                self._text, self._has_why = "", False
            self._open.append((tag, is_place))

    def handle_endtag(self, tag: str) -> None:
        if tag == "details":
            self._is_view -= 1
        if self._open and self._open[-1][0] == tag and self._open.pop()[1] and not self._is_view:
            self.found.append((self._text.strip(), self._has_why))

    def handle_data(self, data: str) -> None:
        self._text += data


@pytest.mark.parametrize("path", SCREENS)
def test_every_number_opens_its_explanation(founder: Browser, path: str) -> None:
    places = Places(founder.get(path).body.decode())
    told = [text for text, has_why in places.found if any(one.isdigit() for one in text)]
    assert len(told) >= 2, places.found
    silent = [text for text, has_why in places.found if not has_why and text not in ("", "0")]
    assert not silent, silent
    seen = set()
    for link in places.why:
        params = dict(parse_qsl(urlsplit(link).query))
        number = params.get("number", "")
        if number in seen or len(seen) == 8 or not link.startswith("/why?"):
            continue
        seen.add(number)
        page = founder.page("/why", **params)
        assert "Formula" in page.text and "Lineage" in page.text, link
    assert seen


def test_a_number_opens_as_its_own_page_of_its_moment(founder: Browser, server: Server) -> None:
    then = format_instant(NOON - DAY)
    asked = {"number": "pulse.exports_delta_pct", "as_of": then}
    said = server.admin.get("/ops/explain", **asked).json
    page = founder.page("/why", **asked)
    assert said["formula"]["text"] in page.text and "in the 24 hours before" in page.text
    assert all("as_of=" in link for link in page.links if link.startswith("/pulse"))


def test_the_events_of_a_cell_are_listed(founder: Browser) -> None:
    of = '["gpt-4o",""]'
    number = "heatmap.by_model_and_policy.num_incidents"
    page = founder.page("/why", number=number, of=of)
    assert "gpt-4o, not said" in page.text and "Why 1 incidents" in page.text
    listed = founder.page("/events", event_type="INCIDENT_CREATED", model="gpt-4o", policy_id="")
    assert "1 event" in listed.text and "policy id not said" in listed.text


@pytest.mark.parametrize("of", ["[", "7", "[7]", '{"a":1}', "[" * 5_000])
def test_a_row_that_is_none_is_said_to_be_none(founder: Browser, of: str) -> None:
    assert founder.get("/why", number="heatmap.by_model.num_incidents", of=of).status == 400
    assert founder.get("/why", number="luck").status == 422


@pytest.mark.parametrize("name", TABLES)
def test_a_chart_is_a_table_for_spreadsheets(founder: Browser, name: str) -> None:
    answer = founder.get(f"/tables/{name}.csv")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert len(rows) >= 2 and {len(row) for row in rows} == {len(rows[0])}
    assert founder.get("/tables/nothing.csv").status == 404


def test_no_customer_name_runs_in_a_spreadsheet(founder: Browser) -> None:
    rows = list(csv.reader(io.StringIO(founder.get("/tables/margins.csv").body.decode())))
    names = [row[0] for row in rows]
    assert "'" + FORMULA in names and FORMULA not in names
    assert to_csv(["a"], [['x"y\nz'], [None], [-1.5]]) == 'a\r\n"x""y\nz"\r\n""\r\n-1.5\r\n'


@pytest.mark.parametrize("path", SCREENS)
def test_every_chart_has_a_file(founder: Browser, path: str) -> None:
    files = [link for link in Page(founder.get(path).body.decode()).links if ".csv" in link]
    assert files and all(founder.get(urlsplit(link).path).status == 200 for link in files)


def test_a_change_for_everybody_is_marked_at_its_week(founder: Browser) -> None:
    page = founder.page("/stickiness")
    assert "changed: deploy <b>v7</b>" in page.text and "10 Mar 2026 deploy <b>v7</b>" in page.text
