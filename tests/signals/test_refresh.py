"""Runs one after another: what changes, what stays, and what one broken tenant does to others."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from company import START, Company

from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals import refresh
from ebbtide.signals.customer import Customer, assess
from ebbtide.signals.facts import Facts

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)


def test_the_first_run_keeps_a_row_for_each_formula_and_customer(company: Company) -> None:
    company.happens("API_CALL_RECEIVED", DAY, 3 * DAY)
    company.happens("EXPORT_GENERATED", DAY, tenant="bolt")
    step = company.tick()
    formulas = Counter(row.formula for row in step.rows)
    assert set(formulas.values()) == {2}
    assert set(formulas) == {
        "stickiness/2", "friction/1", "friction/2", "silent_churn/2", "intent/1", "risk_signal/1",
    }  # fmt: skip
    company.check()


def test_a_run_without_news_writes_nothing_about_anybody(company: Company) -> None:
    company.happens("API_CALL_RECEIVED", DAY)
    company.happens("INCIDENT_VIEWED", 40 * DAY, 50 * DAY)
    company.tick()
    step = company.tick(QUARTER)
    assert step.advance is not None
    assert (step.num_assessed, step.rows, step.advance.facts, step.advance.calls) == (0, [], [], [])
    assert company.state.scores.head().as_of == company.now
    company.check()


def test_the_work_of_a_run_follows_what_changed(company: Company) -> None:
    for number in range(50):
        company.happens("API_CALL_RECEIVED", DAY, 45 * DAY, tenant=f"tenant-{number}")
    company.tick()
    company.happens("API_CALL_RECEIVED", timedelta(0), tenant="tenant-1")
    company.happens("LOGIN", timedelta(0), tenant="tenant-2")
    company.happens("EXPORT_GENERATED", timedelta(0), tenant="tenant-3")
    step = company.tick(QUARTER)
    assert step.advance is not None
    assert [one.tenant_id for one in step.advance.facts] == ["tenant-2", "tenant-3"], "LOGIN is new"
    assert {row[0] for row in step.advance.calls} == {
        to_uuid_text(f"tenant-{number}") for number in (1, 2, 3)
    }
    assert {row.formula for row in step.rows if row.tenant_uuid == to_uuid_text("tenant-3")} == {
        "stickiness/2", "silent_churn/2", "intent/1", "risk_signal/1",
    }  # fmt: skip
    company.check()


def test_calls_alone_raise_nothing_but_the_newest_call(company: Company) -> None:
    company.happens("API_CALL_RECEIVED", DAY, 45 * DAY)
    company.tick()
    before = company.stored_segments()[0]
    company.happens("API_CALL_RECEIVED", timedelta(0))
    company.tick(HOUR)
    after = company.stored_segments()[0]
    assert after["last_api_call"] == after["last_event_at"] == START
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"as_of", "last_api_call", "last_event_at"}
    company.check()


def test_silence_begins_and_ends_at_the_microsecond(company: Company) -> None:
    company.happens("REPLAY_EXECUTED", 7 * DAY)
    company.happens("API_CALL_RECEIVED", timedelta(0))
    assert company.tick().num_silent == 0, "exactly seven days is not yet silence"
    assert company.tick(timedelta(microseconds=1)).num_silent == 1
    assert company.tick(2 * DAY - timedelta(microseconds=2)).num_silent == 1
    assert company.tick(timedelta(microseconds=1)).num_silent == 0, "a call 48 h old is outside"
    company.happens("API_CALL_RECEIVED", HOUR)
    assert company.tick(QUARTER).num_silent == 1
    company.happens("EXPORT_GENERATED", timedelta(0))
    assert company.tick().num_silent == 0
    edges = company.state.scores.history(to_uuid_text("acme"), "silent_churn/2")
    assert len(edges) == 5
    company.check()


def test_windows_lose_events_while_nothing_is_stored(company: Company) -> None:
    company.happens("EXPORT_GENERATED", DAY, 2 * DAY, 10 * DAY)
    company.happens("REPLAY_ABORTED", DAY, 5 * DAY, session_id="s")
    company.happens("API_CALL_RECEIVED", 90 * DAY)
    for _ in range(60):
        company.tick(DAY / 2)
        company.check()
    (row,) = company.stored_segments()
    assert (row["stickiness_7d"], row["friction_score"], row["friction_events_7d"]) == (0, 0, 0)


def test_the_peak_is_found_at_every_midnight_however_late_its_events_come(
    company: Company,
) -> None:
    company.happens("API_CALL_RECEIVED", 100 * DAY)
    company.tick()
    company.happens("EXPORT_GENERATED", *(3 * DAY + n * HOUR for n in range(6)))
    company.tick(QUARTER)
    company.happens("EXPORT_GENERATED", *(60 * DAY + n * HOUR for n in range(9)))
    company.tick(QUARTER)
    company.check()
    (row,) = company.stored_segments()
    assert row["peak_stickiness"] == 4.5
    company.tick(7 * DAY)
    company.check()


def test_a_late_event_before_sign_up_changes_no_first(company: Company) -> None:
    company.happens("SUBSCRIPTION_STARTED", 10 * DAY)
    company.happens("INCIDENT_CREATED", 8 * DAY)
    company.tick()
    company.happens("INCIDENT_CREATED", 20 * DAY)
    company.tick(QUARTER)
    (row,) = company.stored_segments()
    assert row["first_incident_at"] == START - 8 * DAY
    company.happens("SUBSCRIPTION_STARTED", 30 * DAY)
    company.tick(QUARTER)
    (row,) = company.stored_segments()
    assert row["signed_up_at"] == START + QUARTER - 30 * DAY
    assert row["first_incident_at"] == START - 20 * DAY
    company.check()


def test_events_ahead_of_a_run_wait_for_the_one_that_reaches_them(company: Company) -> None:
    company.happens("API_CALL_RECEIVED", DAY)
    company.tick()
    company.store(company.event("EXPORT_GENERATED", START + HOUR))
    company.store(company.event("EXPORT_GENERATED", START + HOUR, "born-ahead"))
    company.tick(QUARTER)
    assert [row["tenant_id"] for row in company.stored_segments()] == ["acme"]
    company.check()
    company.tick(QUARTER)
    company.check()
    company.tick(HOUR, company.new_refresher())
    assert {row["tenant_id"]: row["stickiness_7d"] for row in company.stored_segments()} == {
        "acme": 0.5,
        "born-ahead": 0.5,
    }
    company.check()


def test_a_clock_that_goes_back_adds_rows_and_leaves_what_is_current(company: Company) -> None:
    company.happens("EXPORT_GENERATED", DAY, 20 * DAY)
    company.tick()
    before = company.stored_segments(), company.state.scores.head()
    step = company.prepare(START - 2 * DAY)
    company.write(step)
    assert step.advance is None
    assert (company.stored_segments(), company.state.scores.head()) == before
    history = company.state.scores.history(to_uuid_text("acme"), "stickiness/2")
    assert [row.as_of for row in history] == [START, START - 2 * DAY]
    company.tick(QUARTER)
    company.check()


def test_a_clock_that_ran_ahead_holds_nobody_up(company: Company) -> None:
    company.happens("REPLAY_EXECUTED", HOUR)
    company.tick()
    here = company.now
    company.tick(400 * DAY)
    company.now = here
    company.happens("EXPORT_GENERATED", HOUR)
    company.tick(HOUR)
    assert company.state.scores.head().as_of == company.now
    assert company.stored_facts() == company.full()
    company.happens("EXPORT_GENERATED", HOUR)
    company.tick(HOUR)
    assert company.stored_facts() == company.full()


def test_a_run_for_the_same_moment_takes_up_what_came_since(company: Company) -> None:
    company.happens("EXPORT_GENERATED", DAY)
    company.tick()
    company.happens("EXPORT_GENERATED", DAY)
    step = company.tick()
    assert [row.as_of for row in step.rows] == [START] * len(step.rows)
    company.check()


def test_nothing_comes_back_of_an_erased_tenant(company: Company) -> None:
    company.happens("EXPORT_GENERATED", DAY)
    company.happens("EXPORT_GENERATED", DAY, tenant="bolt")
    company.tick()
    step = company.prepare(START + QUARTER)
    company.erase("acme")
    company.write(step)
    company.now += QUARTER
    assert [row["tenant_id"] for row in company.stored_segments()] == ["bolt"]
    assert company.state.scores.history(to_uuid_text("acme"), "stickiness/2") == []
    company.check()
    company.happens("LOGIN", timedelta(0))
    company.tick(QUARTER)
    company.check()


def test_a_restart_and_other_processes_go_on_where_the_facts_are(company: Company) -> None:
    company.happens("EXPORT_GENERATED", *(n * DAY for n in range(40)))
    company.happens("API_CALL_RECEIVED", DAY)
    company.tick()
    others = [company.new_refresher() for _ in range(3)]
    for number in range(12):
        company.happens("API_CALL_RECEIVED", timedelta(0))
        company.happens("REPLAY_ABORTED", HOUR, session_id="s")
        step = company.tick(5 * HOUR, others[number % 3])
        assert step.advance is not None
        assert not step.advance.is_full
        company.check()
    company.close()
    company.open()
    step = company.tick(QUARTER)
    assert step.advance is not None
    assert not step.advance.is_full
    company.check()


def test_other_definitions_compute_everything_anew(company: Company) -> None:
    company.happens("EXPORT_GENERATED", DAY)
    company.tick()
    other = company.new_refresher()
    other._definitions = "another weight"
    step = company.tick(QUARTER, other)
    assert step.advance is not None
    assert step.advance.is_full
    company.check()


# -- absurd data ---------------------------------------------------------------------------------


def test_a_flood_in_one_second_and_dates_of_1970_are_only_numbers(company: Company) -> None:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    second = START - DAY
    for start in range(0, 40_000, 20_000):
        company.store(
            *(
                company.event(
                    "REPLAY_ABORTED" if n % 2 else "EXPORT_GENERATED",
                    second + timedelta(microseconds=n),
                    "flood",
                    session_id=f"s-{n % 7}",
                )
                for n in range(start, start + 20_000)
            )
        )
    company.store(company.event("INCIDENT_VIEWED", first, "old"))
    company.happens("INCIDENT_VIEWED", DAY, tenant="plain")
    step = company.tick()
    assert (step.num_tenants, step.failed) == (3, {})
    company.happens("INCIDENT_VIEWED", DAY, tenant="plain")
    company.store(company.event("EXPORT_GENERATED", first, "old"))
    company.tick(QUARTER)
    company.check()
    rows = {row["tenant_id"]: row for row in company.stored_segments()}
    assert rows["flood"]["stickiness_7d"] == 10_000
    assert rows["flood"]["friction_score"] == 50
    assert rows["flood"]["friction_events_7d"] == 20_000
    assert rows["old"]["peak_stickiness"] == 0.7


@pytest.mark.parametrize("error", [OverflowError("date value out of range"), ValueError("odd")])
def test_one_broken_tenant_is_named_and_the_others_go_on(
    company: Company, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken = ["bolt"]

    def fails_for_some(facts: Facts, *rest: Any, **more: Any) -> Customer:
        if facts.tenant_id in broken:
            raise error
        return assess(facts, *rest, **more)

    monkeypatch.setattr(refresh, "assess", fails_for_some)
    for tenant in ("acme", "bolt", "core"):
        company.happens("EXPORT_GENERATED", DAY, tenant=tenant)
    for pause in (timedelta(0), QUARTER):
        step = company.tick(pause)
        assert step.failed == {"bolt": f"{type(error).__name__}: {error}"}
    assert [row["tenant_id"] for row in company.stored_segments()] == ["acme", "core"]
    assert set(company.stored_facts()) == {"acme", "core"}, "unknown is left out, not made up"
    past = company.refresher.prepare_past(START, computed_at=START)
    assert list(past.failed) == ["bolt"]
    broken.clear()
    assert company.tick(QUARTER).failed == {}
    company.check()


def test_a_fault_of_our_own_is_not_taken_for_a_broken_tenant(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Customer:
        raise TypeError("a mistake in the program")

    monkeypatch.setattr(refresh, "assess", fails)
    company.happens("EXPORT_GENERATED", DAY)
    with pytest.raises(TypeError):
        company.prepare(START)


def test_the_platform_and_recorded_changes_are_no_customer(company: Company) -> None:
    """The product's own events, and what is told of a customer, are no life of anybody."""
    company.happens("API_CALL_RECEIVED", DAY)
    company.happens("INFRA_LIMIT_HIT", HOUR, tenant="platform")
    company.happens("CHANGE_RECORDED", HOUR, tenant="platform")
    company.happens("CHANGE_RECORDED", HOUR, tenant="only told of")
    company.happens("CHANGE_RECORDED", 9 * DAY, timedelta(0))
    for _ in range(2):
        company.tick(HOUR)
        company.check()
        (row,) = company.stored_segments()
        assert (row["tenant_id"], row["last_event_at"]) == ("acme", START - DAY)
        company.happens("CHANGE_RECORDED", timedelta(0))
        company.happens("INFRA_LIMIT_HIT", timedelta(0), tenant="platform")
    assert list(company.full()) == ["acme"]
    assert company.full()["acme"].first_event_at == START - DAY


@pytest.mark.parametrize("year", [1969, 1970, 2022])
def test_a_first_run_of_long_ago_is_not_the_current_one(company: Company, year: int) -> None:
    company.happens("API_CALL_RECEIVED", 5 * 365 * DAY, HOUR)
    company.write(company.prepare(datetime(year, 1, 2, tzinfo=UTC)))
    assert company.state.scores.head().as_of is None
    assert company.stored_segments() == []
    company.tick()
    company.check()


def test_a_run_of_the_past_never_hides_what_is_current(company: Company) -> None:
    """Rows stand until the next one, so one of the past must not outlast its moment."""
    company.happens("INCIDENT_VIEWED", 60 * DAY, 60 * DAY, 60 * DAY)
    company.tick()
    company.tick(40 * DAY)
    # So late that it is out of all windows: then it counted, now it does not.
    company.happens("INCIDENT_VIEWED", 35 * DAY)
    company.tick()
    company.check()
    past = company.prepare(START + 6 * DAY)
    company.write(past)
    assert [row for row in past.rows if row.formula == "stickiness/2"]
    company.check()
    company.tick(HOUR)
    company.check()


def test_a_backfill_beyond_the_newest_run_does_not_outlast_its_moment(company: Company) -> None:
    company.happens("API_CALL_RECEIVED", 9 * DAY, HOUR)
    company.happens("INCIDENT_VIEWED", 6.5 * DAY)
    company.tick()
    company.now += DAY
    company.happens("API_CALL_RECEIVED", HOUR)
    past = company.refresher.prepare_past(company.now, computed_at=company.now)
    company.write(past)
    assert ['"is_silent_churn":true' in row.result for row in past.rows
            if row.formula == "silent_churn/2"] == [True]  # fmt: skip
    company.happens("INCIDENT_VIEWED", -HOUR)
    company.tick(2 * HOUR)
    company.check()
    company.refresher = company.new_refresher()
    company.tick(HOUR)
    company.check()
