"""Past moments: the same twice, nothing current changed, and late events told apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from company import START, Company

from ebbtide.domain.ids import to_uuid_text
from ebbtide.jobs.backfill import FilledMoment, fill_moment
from ebbtide.jobs.job import Stores

DAY = timedelta(days=1)
WEEKS = [START - n * 7 * DAY for n in range(12, -1, -1)]
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def live(company: Company) -> None:
    """A year in which one stays, one falls silent, and one comes late."""
    days = [day * DAY for day in range(120)]
    company.happens("API_CALL_RECEIVED", *days, tenant="stays")
    company.happens("INCIDENT_VIEWED", *(day + timedelta(hours=3) for day in days), tenant="stays")
    company.happens("API_CALL_RECEIVED", *days, tenant="silent")
    company.happens("REPLAY_EXECUTED", *days[41:], tenant="silent", session_id="s")
    company.happens("REPLAY_ABORTED", *(day / 2 for day in days[:20]), tenant="late")


def fill(company: Company, moments: list[datetime] = WEEKS, now: datetime = START) -> Any:
    stores = Stores(company.catalog, company.events, company.state)
    return [fill_moment(stores, moment, now) for moment in moments]


def rows(company: Company) -> list[tuple[Any, ...]]:
    """Every score row, without when it was computed."""
    found = []
    for formula in (
        "stickiness/2", "friction/1", "friction/2", "silent_churn/2", "intent/1", "risk_signal/1",
    ):  # fmt: skip
        for row in company.state.scores.between(formula, None, LATER):
            found.append((row.formula, row.tenant_uuid, row.as_of, row.inputs_hash,
                          row.inputs, row.result))  # fmt: skip
    return found


def test_two_installations_with_the_same_events_keep_the_same_rows(tmp_path: Path) -> None:
    kept = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        company = Company(folder)
        live(company)
        fill(company)
        kept.append(rows(company))
        company.close()
    assert kept[0] == kept[1]
    assert len(kept[0]) > 30


def test_a_second_backfill_adds_nothing_and_says_the_same_of_each_moment(
    company: Company,
) -> None:
    live(company)
    first = fill(company)
    before = rows(company)
    second = fill(company)
    assert rows(company) == before
    assert sum(one.num_scores for one in first) == len(before)
    assert [one.num_scores for one in second] == [0] * len(WEEKS)

    def seen(filled: list[FilledMoment]) -> list[tuple[int, int, int]]:
        return [(one.num_tenants, one.num_at_risk, one.num_silent) for one in filled]

    assert seen(first) == seen(second)
    assert seen(first)[-1] == (3, 2, 1)


def test_what_is_current_stays_as_it_is(company: Company) -> None:
    live(company)
    company.tick()
    before = company.stored_segments(), company.state.scores.head()
    fill(company, WEEKS[:-1])
    assert (company.stored_segments(), company.state.scores.head()) == before
    company.tick(timedelta(hours=1))
    company.check()


def test_backfill_before_the_first_run_makes_nothing_current(company: Company) -> None:
    live(company)
    fill(company)
    assert company.state.scores.head().as_of is None
    assert company.stored_segments() == []
    company.tick()
    company.check()


def test_both_edges_of_silence_are_kept(company: Company) -> None:
    """Silence began 7 days after the last replay; it ended with the next one."""
    live(company)
    fill(company)
    company.happens("REPLAY_EXECUTED", timedelta(0), tenant="silent")
    company.tick(timedelta(minutes=1))
    edges = company.state.scores.history(to_uuid_text("silent"), "silent_churn/2")
    assert ['"is_silent_churn":true' in row.result for row in edges] == [False, True, False]
    assert edges[1].as_of == WEEKS[-5]


def test_a_late_event_gives_that_moment_another_row_beside_the_first(company: Company) -> None:
    live(company)
    moment = WEEKS[6]
    fill(company, [moment])
    company.store(company.event("EXPORT_GENERATED", moment - DAY, "stays"))
    (filled,) = fill(company, [moment], now=START + DAY)
    assert filled.num_scores >= 1
    history = company.state.scores.history(to_uuid_text("stays"), "stickiness/2")
    assert [row.as_of for row in history] == [moment, moment]
    assert history[0].computed_at == START + DAY, "the one that knows more comes first"
    assert history[0].inputs_hash != history[1].inputs_hash


def test_an_erasure_while_a_moment_is_computed_is_not_undone(company: Company) -> None:
    live(company)
    step = company.refresher.prepare_past(START, computed_at=START)
    company.erase("silent")
    company.write(step)
    assert company.state.scores.history(to_uuid_text("silent"), "risk_signal/1") == []
    assert company.state.scores.history(to_uuid_text("stays"), "risk_signal/1") != []


@pytest.mark.parametrize("age", [0, 200])
def test_an_empty_past_has_nobody(company: Company, age: int) -> None:
    company.happens("API_CALL_RECEIVED", timedelta(0))
    (filled,) = fill(company, [START - age * DAY - DAY])
    assert (filled.num_tenants, filled.num_scores, filled.failed_tenants) == (0, 0, {})
