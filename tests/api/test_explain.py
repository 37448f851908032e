"""``/ops/explain``: every number of an answer has an explanation, with the same value."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from api.api_server import NOON, Answer, Server, open_server
from api.whole_company import DAY, settle
from ebbtide.api.models.incidents import AttributionList, Heatmap, PatternList, RegressionList
from ebbtide.api.models.infra import InfraShown
from ebbtide.api.models.product import CohortTriangle, FeatureList, FunnelShown
from ebbtide.api.models.pulse import PulseShown
from ebbtide.api.models.revenue import RevenueShown, UnitPage
from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.number import load_numbers, spread
from ebbtide.domain.errors import CatalogError
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant
from ebbtide.store.state.tables import METADATA

NUMBERS = load_catalog().numbers
#: Answer -> (path, model).
ANSWERS: dict[str, tuple[str, type[BaseModel]]] = {
    "pulse": ("/ops/pulse", PulseShown),
    "heatmap": ("/ops/incidents/heatmap", Heatmap),
    "attribution": ("/ops/incidents/attribution", AttributionList),
    "patterns": ("/ops/incidents/patterns", PatternList),
    "regressions": ("/ops/incidents/regressions", RegressionList),
    "features": ("/ops/stickiness", FeatureList),
    "funnel": ("/ops/funnel", FunnelShown),
    "cohorts": ("/ops/cohorts", CohortTriangle),
    "revenue": ("/ops/revenue", RevenueShown),
    "revenue_tenants": ("/ops/revenue/tenants", UnitPage),
    "infra": ("/ops/infra", InfraShown),
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Something of everything; nobody writes to it."""
    for server in open_server(tmp_path_factory.mktemp("explain")):
        settle(server)
        yield server


def explain(server: Server, number: str, *of: str, **params: Any) -> Answer:
    return server.admin.get("/ops/explain", number=number, **params, **({"of": of} if of else {}))


def number_fields(model: type[BaseModel], path: str) -> Iterator[str]:
    """The places of all numbers in an answer, however deep."""
    for name, about in model.model_fields.items():
        yield from _of_type(about.annotation, f"{path}.{name}")


def _of_type(kind: Any, path: str) -> Iterator[str]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType, list):
        for one in typing.get_args(kind):
            yield from _of_type(one, path)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from number_fields(kind, path)
    elif kind in (int, float):
        yield path


def values_in(answer: Any, path: str, of: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    """Every value of an answer that is explained, with what names its rows."""
    fields = NUMBERS.rows.get(path)
    if isinstance(answer, list) and fields:
        for row in answer[:2]:
            yield from values_in(row, f"{path}[]", (*of, *(_text(row[one]) for one in fields)))
    elif isinstance(answer, dict):
        for name, value in answer.items():
            yield from values_in(value, f"{path.replace('[]', '')}.{name}", of)
    elif path in NUMBERS.by_name:
        yield path, of, answer


def _text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("name", ANSWERS)
def test_every_number_of_an_answer_is_explained(name: str) -> None:
    path, model = ANSWERS[name]
    found = set(number_fields(model, name))
    assert found, path
    assert found <= NUMBERS.by_name.keys(), (
        f"numbers/*.toml explain: {found - set(NUMBERS.by_name)}"
    )
    explained = {one for one in NUMBERS.by_name if one.startswith(f"{name}.")}
    # The state is a word, and what stands in free rows is not described.
    others = {"pulse.system_state", "patterns.patterns.top_tenants.count_7d"}
    assert explained <= found | others, "numbers/*.toml explain what is in no answer"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_explanation_has_the_value_of_the_answer(company: Server, name: str) -> None:
    answer = company.admin.get(ANSWERS[name][0]).json
    seen = {}
    for number, of, value in values_in(answer, name, ()):
        title = NUMBERS.by_name[number].title
        if title in seen:
            continue  # one of those that are explained alike
        said = explain(company, number, *of)
        assert said.status == 200, (number, of, said.body)
        body = said.json
        if not number.endswith(("age_s", "_per_minute")):
            assert body["value"] == value, (number, of)
        assert body["reason"] is None or body["value"] is None
        assert body["formula"]["id"] and body["formula"]["text"] and body["title"]
        assert body["lineage"] or body["kept"]
        assert all(one["comes_from"] for one in body["lineage"])
        adding = [one["contributes"] for one in body["inputs"] if one["contributes"] is not None]
        if adding and value is not None:
            assert sum(adding) == pytest.approx(value), number
        seen[title] = body
    assert len(seen) >= 2


def test_the_events_behind_a_number_are_those_that_count(company: Server) -> None:
    body = explain(company, "pulse.exports_generated_24h").json
    assert body["value"] == body["num_events"] == len(body["events"]) == 2
    listed = company.admin.get(body["events_url"]).json
    assert listed["total"] == 2 and listed["items"] == body["events"]


def test_a_cell_leads_to_its_incidents_also_where_nothing_was_said(company: Server) -> None:
    path = "heatmap.by_model_and_policy.num_incidents"
    for of, num in ((("gpt-4o", "PII"), 2), (("gpt-4o", ""), 1), (("", "PII"), 1)):
        body = explain(company, path, *of).json
        assert body["value"] == body["num_events"] == num, of
        assert company.admin.get(body["events_url"]).json["total"] == num


def test_a_sum_is_told_customer_by_customer(company: Server) -> None:
    body = explain(company, "revenue.mrr_usd").json
    assert body["value"] == 300
    assert [(one["name"], one["contributes"]) for one in body["inputs"][-1:]] == [("acme", 300)]
    one = explain(company, "revenue_tenants.items.margin_usd", to_uuid_text("acme")).json
    assert one["value"] == 300 - 0.75
    assert {event["tenant_id"] for event in one["events"]} == {"acme"}


def test_a_past_moment_tells_what_came_late(company: Server) -> None:
    then = format_instant(NOON - DAY)
    body = explain(company, "pulse.exports_generated_24h", as_of=then).json
    assert body["as_of"] == body["window_until"] == then
    assert body["num_late_events"] == body["num_events"] == 3  # all were sent today
    known = explain(company, "pulse.exports_generated_24h", as_of=then, known_at=then).json
    assert (known["num_events"], known["num_late_events"]) == (0, None)


@pytest.mark.parametrize(
    ("number", "of", "status", "said"),
    [
        ("pulse.exports", (), 422, "did you mean"),
        ("pulse.comparisons.current", (), 422, "of names a row, here by name"),
        ("pulse.comparisons.current", ("nothing",), 404, "no such row"),
        ("pulse.active_tenants_24h", ("x",), 422, "more rows"),
        ("heatmap.by_model.num_incidents", ("\0",), 404, "no such row"),
        ("revenue_tenants.items.margin_usd", ("' OR 1=1",), 404, "no such row"),
    ],
)
def test_a_question_that_makes_no_sense(
    company: Server, number: str, of: tuple[str, ...], status: int, said: str
) -> None:
    answer = explain(company, number, *of)
    assert answer.status == status and said in answer.body.decode().lower(), answer.body


def test_a_key_of_one_customer_sees_no_numbers_of_all(company: Server) -> None:
    bound = company.client("read", tenant="acme")
    assert bound.get("/ops/explain", number="revenue.mrr_usd").status == 403


def test_the_columns_of_the_state_store_exist() -> None:
    columns = {f"{table.name}.{one.name}" for table in METADATA.sorted_tables for one in table.c}
    assert {one for number in NUMBERS.by_name.values() for one in number.kept} <= columns


def test_names_with_choices() -> None:
    assert list(spread("a.{b,c}.{d,e}")) == ["a.b.d", "a.b.e", "a.c.d", "a.c.e"]
    assert list(spread("a.b")) == ["a.b"]


def test_a_definition_that_is_wrong_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"lineage: .* is no column of a metric"):
        load_numbers(load_catalog().event_types, {})
