"""Interventions and playbooks over HTTP: answered by people, measured, summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from api_server import NOON, Answer, Client, Server, event

from ebbtide.domain.time import format_instant

DAY = timedelta(days=1)


def read(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json


def send_silent(server: Server, *tenants: str) -> None:
    """Customers that stopped looking ten days ago while their calls go on."""
    now = server.clock.now
    for tenant in tenants:
        server.admin.send(
            *[
                event(
                    tenant_id=tenant,
                    event_type="INCIDENT_VIEWED",
                    timestamp=format_instant(now - day * DAY),
                )
                for day in range(10, 40)
            ]
        )
    call(server, *tenants)


def call(server: Server, *tenants: str) -> None:
    """An API call of now."""
    for tenant in tenants:
        server.admin.send(
            event(
                tenant_id=tenant,
                event_type="API_CALL_RECEIVED",
                timestamp=format_instant(server.clock.now),
            )
        )


def look(server: Server, tenant: str) -> None:
    """Somebody there views an incident now."""
    server.admin.send(
        event(
            tenant_id=tenant,
            event_type="INCIDENT_VIEWED",
            timestamp=format_instant(server.clock.now),
        )
    )


def evaluate(server: Server) -> dict[str, Any]:
    """Run the jobs; what the last one counted."""
    for job in ("compute-stickiness", "detect-silent-churn"):
        read(server.admin.post(f"/ops/jobs/{job}", b""))
    ran: dict[str, Any] = read(server.admin.post("/ops/jobs/evaluate-playbooks", b""))
    assert ran["status"] == "completed"
    return ran


def rows(server: Server, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(server.admin.get("/ops/interventions", **asked))["items"]
    return found


def of_playbook(server: Server, tenant: str, playbook: str = "silent_churn") -> dict[str, Any]:
    """The newest row of a tenant and playbook."""
    return rows(server, tenant_id=tenant, playbook=playbook)[0]


@pytest.fixture
def silent(fresh: Server) -> Iterator[Server]:
    """A server with one silent customer, evaluated."""
    send_silent(fresh, "acme")
    evaluate(fresh)
    yield fresh


def answer(server: Server, number: int, step: str, body: Any = None) -> Answer:
    return server.admin.post(f"/ops/interventions/{number}/{step}", b"" if body is None else body)


# -- a life ------------------------------------------------------------------------------------


def test_a_suggestion_is_made_once_and_says_why(silent: Server) -> None:
    first = rows(silent)
    assert {row["state"] for row in first} == {"suggested"}
    assert all(row["triggering_signals"] for row in first)
    one = of_playbook(silent, "acme")
    assert one["suggested_at"] == format_instant(NOON)
    assert (one["outcome"], one["outcome_reason"]) == (None, "not_done")
    silent.clock.advance(minutes=15)
    evaluate(silent)
    assert rows(silent) == first
    listed = read(silent.admin.get("/ops/customers/at-risk"))["items"][0]["interventions"]
    assert {step["intervention_id"] for step in listed} <= {row["intervention_id"] for row in first}


def test_accept_do_and_the_window_closes_with_success(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    taken = read(answer(silent, number, "accept", {"note": "mine"}))
    assert (taken["state"], taken["note"]) == ("accepted", "mine")
    silent.clock.advance(hours=1)
    done = read(answer(silent, number, "done", {"note": "spoke to Ada"}))
    assert (done["state"], done["outcome_reason"]) == ("done", "window_open")
    assert done["outcome_closes_at"] == format_instant(NOON + timedelta(hours=1) + 7 * DAY)
    silent.clock.advance(days=1)
    call(silent, "acme")
    evaluate(silent)
    assert read(silent.admin.get(f"/ops/interventions/{number}"))["outcome"] is None
    look(silent, "acme")
    silent.clock.advance(minutes=15)
    evaluate(silent)
    closed = read(silent.admin.get(f"/ops/interventions/{number}"))
    assert (closed["outcome"], closed["is_open"]) == ("success", False)
    assert closed["outcome_closed_at"] == format_instant(silent.clock.now)
    assert closed["reason_ended_at"] == format_instant(silent.clock.now)


def test_without_an_effect_it_fails_at_the_end_and_is_suggested_again(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    read(answer(silent, number, "done"))
    silent.clock.advance(days=7)
    call(silent, "acme")
    evaluate(silent)
    failed = read(silent.admin.get(f"/ops/interventions/{number}"))
    assert (failed["outcome"], failed["is_open"]) == ("failure", False)
    silent.clock.advance(minutes=15)
    evaluate(silent)
    again = of_playbook(silent, "acme")
    assert again["intervention_id"] != number and again["state"] == "suggested"


def test_after_a_long_pause_the_window_is_measured_at_its_end(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    read(answer(silent, number, "done"))
    silent.clock.advance(days=8)
    look(silent, "acme")  # a day too late
    silent.clock.advance(days=3)
    evaluate(silent)
    late = read(silent.admin.get(f"/ops/interventions/{number}"))
    assert (late["outcome"], late["outcome_closed_at"]) == (
        "failure",
        format_instant(NOON + 7 * DAY),
    )


def test_what_was_turned_down_stays_away_until_its_reason_comes_back(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    dismissed = read(answer(silent, number, "dismiss", {"reason": "not_useful"}))
    assert (dismissed["state"], dismissed["dismiss_reason"]) == ("dismissed", "not_useful")
    silent.clock.advance(days=1)
    call(silent, "acme")
    evaluate(silent)
    assert of_playbook(silent, "acme")["intervention_id"] == number
    look(silent, "acme")
    silent.clock.advance(minutes=15)
    evaluate(silent)
    silent.clock.advance(days=8)
    call(silent, "acme")
    evaluate(silent)
    assert of_playbook(silent, "acme")["intervention_id"] != number


def test_undo(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    read(answer(silent, number, "dismiss", {"reason": "fixed"}))
    assert read(answer(silent, number, "undo"))["state"] == "suggested"
    read(answer(silent, number, "accept"))
    assert read(answer(silent, number, "undo"))["state"] == "suggested"
    refused = answer(silent, number, "undo")
    assert refused.status == 409 and refused.json["code"] == "wrong-state"


@pytest.mark.parametrize(
    ("step", "body", "status"),
    [
        ("dismiss", {}, 422),
        ("dismiss", {"reason": "because"}, 422),
        ("dismiss", b"", 422),
        ("accept", {"reason": "x"}, 422),
        ("accept", {"note": "x" * 2001}, 422),
        ("done", {"done_at": "2026-03-12T13:00:00Z"}, 422),
        ("done", {"done_at": "2026-03-11T13:00:00Z"}, 422),
        ("done", {"done_at": "today"}, 422),
        ("undo", None, 409),
        ("forget", None, 404),
    ],
)
def test_what_makes_no_sense_is_refused(silent: Server, step: str, body: Any, status: int) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    before = rows(silent)
    refused = answer(silent, number, step, body)
    assert refused.status == status, refused.body
    assert refused.headers["content-type"] == "application/problem+json"
    assert rows(silent) == before


@pytest.mark.parametrize("number", ["0", "-1", "99", "9" * 30, "x"])
def test_an_unknown_number_is_refused(silent: Server, number: str) -> None:
    assert silent.admin.get(f"/ops/interventions/{number}").status in (404, 422)
    assert silent.admin.post(f"/ops/interventions/{number}/accept", b"").status in (404, 422)


def test_filters_and_pages(fresh: Server) -> None:
    send_silent(fresh, "acme", "globex")
    evaluate(fresh)
    everything = rows(fresh)
    assert {row["tenant_id"] for row in everything} == {"acme", "globex"}
    page = read(fresh.admin.get("/ops/interventions", limit=2))
    seen = list(page["items"])
    while page["next_cursor"]:
        page = read(fresh.admin.get("/ops/interventions", limit=2, cursor=page["next_cursor"]))
        seen += page["items"]
    assert seen == everything and page["total"] == len(everything)
    assert len(rows(fresh, playbook="silent_churn")) == 2
    read(answer(fresh, seen[0]["intervention_id"], "accept"))
    assert len(rows(fresh, state="accepted")) == 1
    assert len(rows(fresh, is_open="true")) == len(everything)


def test_the_past_is_shown_as_it_stood(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    silent.clock.advance(hours=1)
    read(answer(silent, number, "accept"))
    silent.clock.advance(hours=1)
    read(answer(silent, number, "done"))
    path = f"/ops/interventions/{number}"

    def state(hours: float) -> str:
        at = format_instant(NOON + timedelta(hours=hours))
        found = read(silent.admin.get(path, as_of=at))
        listed = read(silent.admin.get("/ops/interventions", as_of=at, state=found["state"]))
        assert found in listed["items"] and listed["total"] is None
        return str(found["state"])

    assert [state(0), state(1), state(1.5), state(2)] == [
        "suggested", "accepted", "accepted", "done",
    ]  # fmt: skip
    early = format_instant(NOON - timedelta(seconds=1))
    assert silent.admin.get(path, as_of=early).status == 404
    assert silent.admin.get(path, as_of=format_instant(NOON), known_at=early).status == 404
    assert read(silent.admin.get("/ops/interventions", known_at=early))["items"] == []


# -- who may -----------------------------------------------------------------------------------


def test_a_past_answer_stays_what_it_was(silent: Server) -> None:
    """Lists, profiles and playbooks, asked as they were known then, whatever people did since."""
    paths = (
        "/ops/customers",
        "/ops/customers/at-risk",
        "/ops/customers/acme",
        "/ops/playbooks",
        "/ops/interventions",
    )
    number = of_playbook(silent, "acme")["intervention_id"]
    put = silent.admin.put

    def ask(moment: str) -> list[Any]:
        answers = [read(silent.admin.get(path, as_of=moment, known_at=moment)) for path in paths]
        return [{**one, "computed_at": None} for one in answers]

    contacts = [{"name": "Ada", "email": "ada@example.com"}]
    said: list[Callable[[], Answer]] = [
        lambda: put("/v1/tenants/acme", {"name": "Acme", "price_usd": 49}),
        lambda: answer(silent, number, "accept", {"note": "mine"}),
        lambda: put("/v1/tenants/acme", {"name": "Acme & Sons", "contacts": contacts}),
        lambda: answer(silent, number, "undo"),
        lambda: answer(silent, number, "dismiss", {"reason": "not_useful"}),
        lambda: put("/v1/tenants/acme", {"price_usd": 99}),
        lambda: answer(silent, number, "dismiss", {"reason": "fixed"}),
    ]
    then = {}
    for step in said:
        moment = format_instant(silent.clock.now)
        then[moment] = ask(moment)
        silent.clock.advance(minutes=1)
        read(step())
    call(silent, "acme")
    look(silent, "acme")
    evaluate(silent)
    assert {moment: ask(moment) for moment in then} == then
    # It is not only that nothing is shown of it.
    profiles = [answers[2] for answers in then.values()]
    assert [one["tenant_name"] for one in profiles] == [None] + 2 * ["Acme"] + 4 * ["Acme & Sons"]
    prices = [one["subscription"]["price_usd"] for one in profiles]
    assert prices == [None, *5 * [49.0], 99.0]
    steps = [
        next(step for step in one["interventions"] if step["intervention_id"] == number)
        for one in profiles
    ]
    assert [step["state"] for step in steps] == [
        "suggested", "suggested", "accepted", "accepted", "suggested", "dismissed", "dismissed",
    ]  # fmt: skip
    rows = [
        next(row for row in answers[4]["items"] if row["intervention_id"] == number)
        for answers in then.values()
    ]
    assert [row["note"] for row in rows] == [None, None, *5 * ["mine"]]
    assert rows[-1]["dismiss_reason"] == "not_useful"
    summaries = [
        next(one for one in answers[3]["items"] if one["id"] == "silent_churn")["summary"]
        for answers in then.values()
    ]
    assert [one["num_dismissed"] for one in summaries] == [0, 0, 0, 0, 0, 1, 1]


def test_a_past_profile_shows_no_suggestion_of_later(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    before = format_instant(NOON - timedelta(hours=1))
    steps = read(silent.admin.get("/ops/customers/acme", as_of=before))["interventions"]
    assert steps and all(step["intervention_id"] is None for step in steps)
    now = read(silent.admin.get("/ops/customers/acme"))["interventions"]
    assert number in {step["intervention_id"] for step in now}


def test_reading_is_not_answering(silent: Server) -> None:
    number = of_playbook(silent, "acme")["intervention_id"]
    may: dict[str, tuple[int, int]] = {
        "read": (200, 403),
        "interventions:write": (403, 200),
        "jobs:run": (403, 403),
        "ingest": (403, 403),
    }
    for scope, (reads, writes) in may.items():
        client = silent.client(scope)
        assert client.get("/ops/interventions").status == reads
        assert client.post(f"/ops/interventions/{number}/accept", b"").status == writes


def test_a_bound_key_answers_for_its_own_customer_only(fresh: Server) -> None:
    send_silent(fresh, "acme", "globex")
    evaluate(fresh)
    bound: Client = fresh.client("read", "interventions:write", tenant="acme")
    mine = of_playbook(fresh, "acme")["intervention_id"]
    other = of_playbook(fresh, "globex")["intervention_id"]
    assert bound.post(f"/ops/interventions/{mine}/accept", b"").status == 200
    assert bound.get(f"/ops/interventions/{other}").status == 404
    assert bound.post(f"/ops/interventions/{other}/accept", b"").status == 404
    assert of_playbook(fresh, "globex")["state"] == "suggested"


# -- playbooks ---------------------------------------------------------------------------------


def test_the_five_playbooks_with_all_their_fields(silent: Server) -> None:
    found = read(silent.admin.get("/ops/playbooks"))
    assert found["total"] == 5 and found["stored"] is True
    assert [book["risk_level"] for book in found["items"]] == [
        "critical", "high", "high", "medium", "medium",
    ]  # fmt: skip
    for book in found["items"]:
        assert book["trigger_conditions"] and book["actions"] and book["success_metric"]
        assert book["notes"] and book["name"] and book["false_positives"]
        assert [step["step"] for step in book["actions"]] == list(
            range(1, len(book["actions"]) + 1)
        )
        one = read(silent.admin.get(f"/ops/playbooks/{book['id']}"))
        assert {name: one[name] for name in book} == book
    refused = silent.admin.get("/ops/playbooks/silent_chrun")
    assert refused.status == 404 and "did you mean silent_churn?" in refused.json["detail"]


def test_matching_customers_follow_the_moment(silent: Server) -> None:
    now = read(silent.admin.get("/ops/playbooks/silent_churn"))
    assert (now["matching"], now["num_matching"]) == (["acme"], 1)
    early = format_instant(NOON - 5 * DAY)
    before = read(silent.admin.get("/ops/playbooks/silent_churn", as_of=early))
    assert (before["matching"], before["as_of"]) == ([], early)


def test_the_summary_waits_for_enough_and_then_compares(fresh: Server) -> None:
    done = [f"done-{n}" for n in range(11)]
    alone = [f"alone-{n}" for n in range(12)]
    send_silent(fresh, *done, *alone)
    evaluate(fresh)
    for tenant in done:
        read(answer(fresh, of_playbook(fresh, tenant)["intervention_id"], "done"))
    few = read(fresh.admin.get("/ops/playbooks/silent_churn"))["summary"]
    assert (few["num_suggested"], few["num_done"]) == (23, 11)
    assert few["done"]["success_rate_pct"] is None
    assert few["done"]["reason"] == few["verdict"] == "not enough data yet"
    fresh.clock.advance(days=1)
    for tenant in (*done[:10], alone[0]):
        look(fresh, tenant)
    fresh.clock.advance(days=6)
    evaluate(fresh)
    summed = read(fresh.admin.get("/ops/playbooks/silent_churn"))["summary"]
    assert (summed["done"]["num_measured"], summed["done"]["num_success"]) == (11, 10)
    assert summed["done"]["success_rate_pct"] == 90.9
    assert (summed["left_alone"]["num_measured"], summed["left_alone"]["num_success"]) == (12, 1)
    assert summed["left_alone"]["success_rate_pct"] == 8.3
    assert summed["done"]["success_rate_low_pct"] < 90.9 < summed["done"]["success_rate_high_pct"]
    assert summed["interval"] == "90 %, Wilson"
    assert summed["difference_low_pct"] > 0
    assert summed["verdict"] == "better than leaving them alone"
