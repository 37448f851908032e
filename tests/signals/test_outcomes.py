"""Suggestions: made once, answered by people, measured by a window, summed up with a caveat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.domain.errors import Unprocessable, WrongState
from ebbtide.domain.intervention import DismissReason, Effect, Intervention, State, Suggestion
from ebbtide.signals.outcomes import (
    ENOUGH,
    close,
    difference,
    happened,
    has_fallen,
    plan,
    settle,
    summarise,
    to_rate,
    wilson,
)

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = 7 * DAY


def suggestion(tenant: str = "acme", rule: str = "silent_churn", **more: Any) -> Suggestion:
    values: dict[str, Any] = {
        "tenant_id": tenant,
        "rule": rule,
        "intervention_type": "call",
        "priority": "today",
        "suggested_action": "Call.",
        "context": "Silent.",
        "expected_outcome": "They look again.",
        "triggering_signals": ("no investigation in 9 days",),
        "playbook_id": "silent_churn",
        "window_days": 7,
    }
    return Suggestion(**(values | more))


def key(tenant: str = "acme", rule: str = "silent_churn") -> tuple[str, str]:
    return suggestion(tenant, rule).key


def row(number: int = 1, at: datetime = T0, **more: Any) -> Intervention:
    return Intervention(number, suggestion(**more), at)


# -- what is suggested anew ----------------------------------------------------------------------


def test_a_reason_that_goes_on_is_suggested_once() -> None:
    first = plan([key()], [], T0)
    assert first.new == (key(),) and first.changed == ()
    again = plan([key()], [row()], T0 + DAY)
    assert again.new == () and again.changed == ()


def test_two_rules_of_one_tenant_and_two_tenants_are_four_suggestions() -> None:
    four = [key(t, r) for t in ("acme", "globex") for r in ("a", "b")]
    assert list(plan(four + four, [], T0).new) == four


def test_spellings_of_one_tenant_are_one() -> None:
    uuid = "6F1F4F4E-9C5B-5D0E-8F0A-2B7D3C9A1E55"
    assert plan([key(uuid), key(uuid.lower())], [], T0).new == (key(uuid),)
    assert plan([key(uuid)], [row(tenant=uuid.lower())], T0).new == ()


def test_an_unanswered_suggestion_lapses_with_its_reason_and_may_come_back() -> None:
    (ended,) = plan([], [row()], T0 + DAY).changed
    assert (ended.state, ended.ended_at, ended.is_open) == (State.LAPSED, T0 + DAY, False)
    assert len(plan([key()], [], T0 + 2 * DAY).new) == 1


def test_what_somebody_took_on_stays_when_its_reason_goes() -> None:
    (ended,) = plan([], [row().accept(T0, "k")], T0 + DAY).changed
    assert ended.state is State.ACCEPTED and ended.is_open and ended.ended_at == T0 + DAY


def test_what_was_turned_down_does_not_come_back_while_its_reason_goes_on() -> None:
    dismissed = row().dismiss(DismissReason.NOT_USEFUL, T0, "k")
    for days in (1, 30, 300):
        assert plan([key()], [dismissed], T0 + days * DAY).new == ()
    (ended,) = plan([], [dismissed], T0 + DAY).changed
    assert ended.state is State.DISMISSED
    assert ended.may_be_suggested_again(T0 + 2 * DAY)


def test_what_was_done_comes_back_after_its_window_when_it_did_not_help() -> None:
    done = row().do(T0 + DAY, T0 + DAY, "k")
    assert plan([key()], [done], T0 + 5 * DAY).new == ()
    failed = close(done, "effect", (Effect.FAILURE, T0 + 8 * DAY))
    assert len(plan([key()], [failed], T0 + 8 * DAY).new) == 1


def test_what_was_done_without_a_playbook_is_left_in_peace_for_a_week() -> None:
    plain = {"playbook_id": None, "window_days": None}
    done = row(**plain).do(T0, T0, "k")
    assert not done.is_open and done.open_windows == ()
    assert plan([key()], [done], T0 + WEEK).new == ()
    assert len(plan([key()], [done], T0 + WEEK + timedelta(microseconds=1)).new) == 1


def test_of_two_rows_that_say_the_same_the_newer_one_counts() -> None:
    old = close(row().do(T0, T0, "k"), "effect", (Effect.FAILURE, T0 + WEEK))
    assert plan([key()], [old, row(2, T0 + WEEK)], T0 + 8 * DAY).new == ()


# -- what people do -------------------------------------------------------------------------------


def test_a_life_from_suggestion_to_success() -> None:
    done = row().accept(T0 + DAY, "k1").do(T0 + 2 * DAY, T0 + 3 * DAY, "k2", "spoke to Ada")
    assert (done.state, done.done_at, done.note) == (State.DONE, T0 + 2 * DAY, "spoke to Ada")
    assert (done.changed_at, done.changed_by) == (T0 + 3 * DAY, "k2")
    assert done.open_windows == (("effect", T0 + 2 * DAY),)
    ended = close(done, "effect", (Effect.SUCCESS, T0 + 4 * DAY))
    assert not ended.is_open and ended.open_windows == ()


def test_answering_twice_is_answering_once() -> None:
    accepted = row().accept(T0, "k")
    assert accepted.accept(T0 + DAY, "k").accepted_at == T0
    done = accepted.do(T0, T0, "k")
    assert done.do(T0 + DAY, T0 + DAY, "k").done_at == T0
    first = row().dismiss(DismissReason.FIXED, T0, "k")
    second = first.dismiss(DismissReason.USEFUL, T0 + DAY, "k")
    assert (second.dismissed_at, second.dismiss_reason) == (T0, DismissReason.USEFUL)


def test_steps_that_make_no_sense_are_refused() -> None:
    dismissed = row().dismiss(DismissReason.FIXED, T0, "k")
    done = row().do(T0, T0, "k")
    for step in (
        lambda: dismissed.accept(T0, "k"),
        lambda: dismissed.do(T0, T0, "k"),
        lambda: done.accept(T0, "k"),
        lambda: done.dismiss(DismissReason.FIXED, T0, "k"),
        lambda: row().undo(T0, "k"),
        lambda: row().end(T0).undo(T0, "k"),
        lambda: close(done, "effect", (Effect.SUCCESS, T0)).undo(T0, "k"),
    ):
        with pytest.raises(WrongState):
            step()


@pytest.mark.parametrize("done_at", [T0 - timedelta(microseconds=1), T0 + 2 * DAY])
def test_it_was_done_between_its_suggestion_and_now(done_at: datetime) -> None:
    with pytest.raises(Unprocessable):
        row().do(done_at, T0 + DAY, "k")


def test_undo_takes_the_last_step_back() -> None:
    accepted = row().accept(T0, "k")
    for changed, before in (
        (accepted, State.SUGGESTED),
        (row().dismiss(DismissReason.FIXED, T0, "k"), State.SUGGESTED),
        (accepted.dismiss(DismissReason.FIXED, T0, "k"), State.ACCEPTED),
        (accepted.do(T0, T0, "k"), State.ACCEPTED),
        (row().do(T0, T0, "k"), State.SUGGESTED),
        (row().end(T0).dismiss(DismissReason.FIXED, T0, "k"), State.LAPSED),
    ):
        undone = changed.undo(T0 + DAY, "k")
        assert undone.state is before
        assert undone.dismissed_at is undone.dismiss_reason is undone.done_at is None
    assert accepted.undo(T0, "k").accepted_at is None


# -- how a window closes ---------------------------------------------------------------------------


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    tick = timedelta(microseconds=1)
    assert not happened(T0, T0) and happened(T0 + tick, T0) and not happened(None, T0)
    assert settle(T0, WEEK, T0 + WEEK - tick, False) is None
    assert settle(T0, WEEK, T0 + WEEK, False) == (Effect.FAILURE, T0 + WEEK)
    assert settle(T0, WEEK, T0 + WEEK, True) == (Effect.SUCCESS, T0 + WEEK)


@pytest.mark.parametrize(
    ("num", "before", "fallen"),
    [(1, 5, True), (2, 10, True), (2, 9, False), (0, 1, True), (0, 0, False), (3, 2, False)],
)
def test_a_fall_by_exactly_80_percent_is_enough(num: int, before: int, fallen: bool) -> None:
    assert has_fallen(num, before, 80) is fallen


def test_who_was_left_alone_is_measured_from_the_suggestion_on() -> None:
    assert row().open_windows == (("alone_effect", T0),)
    soon, late = row().do(T0 + DAY, T0 + DAY, "k"), row().do(T0 + 8 * DAY, T0 + 8 * DAY, "k")
    assert [name for name, _ in soon.open_windows] == ["effect"]
    assert [name for name, _ in late.open_windows] == ["effect", "alone_effect"]
    assert row().dismiss(DismissReason.FIXED, T0, "k").open_windows == ()
    assert len(row().dismiss(DismissReason.NOT_USEFUL, T0, "k").open_windows) == 1


# -- rates ----------------------------------------------------------------------------------------


def test_below_ten_there_is_no_rate() -> None:
    nine = to_rate([Effect.SUCCESS] * (ENOUGH - 1))
    assert (nine.num, nine.num_success, nine.rate, nine.low, nine.high) == (9, 9, None, None, None)
    ten = to_rate([Effect.SUCCESS] * ENOUGH)
    assert ten.rate == ten.high == 1.0
    assert difference(nine, ten) is None


def test_the_interval_is_wilsons() -> None:
    # By hand, z2 = 2.705543: 0.835277 / 1.270554 -+ 1.644854 x 0.166625 / 1.270554.
    low, high = wilson(7, 10)
    assert (round(low, 4), round(high, 4)) == (0.4417, 0.8731)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate_and_is_mirrored(drawn: tuple[int, int]) -> None:
    num_success, num = drawn
    low, high = wilson(num_success, num)
    assert 0 <= low <= num_success / num <= high <= 1
    mirrored = wilson(num - num_success, num)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_the_summary_counts_every_state_and_compares() -> None:
    rows = []
    for n in range(12):  # done; nine of twelve helped
        done = row(n, T0, tenant=f"done-{n}").do(T0, T0, "k")
        rows.append(close(done, "effect", (Effect.SUCCESS if n < 9 else Effect.FAILURE, T0)))
    for n in range(20):  # left alone; five of twenty came back by themselves
        alone = row(n, T0, tenant=f"alone-{n}").end(T0 + DAY)
        rows.append(close(alone, "alone_effect", (Effect.SUCCESS if n < 5 else Effect.FAILURE, T0)))
    rows.append(row(50, T0, tenant="no").dismiss(DismissReason.INCORRECTLY_FLAGGED, T0, "k"))
    rows.append(row(51, T0, tenant="yes").accept(T0, "k"))
    found = summarise("silent_churn", rows)
    assert (found.num_suggested, found.num_done, found.num_lapsed) == (34, 12, 20)
    assert (found.num_dismissed, found.num_accepted, found.num_open) == (1, 1, 1)
    assert found.dismissed_by_reason == {"incorrectly_flagged": 1}
    assert (found.done.num, found.done.rate) == (12, 0.75)
    assert (found.left_alone.num, found.left_alone.rate) == (20, 0.25)
    assert found.difference is not None
    middle, low, high = found.difference
    assert middle == 0.5 and 0.2 < low < 0.5 < high < 0.75
    assert found.verdict == "better than leaving them alone"


def test_the_verdict_says_no_more_than_the_bounds() -> None:
    def verdict(num_success: int) -> str:
        rows = []
        for n in range(20):
            effect = Effect.SUCCESS if n < num_success else Effect.FAILURE
            done = row(n, T0, tenant=f"done-{n}").do(T0, T0, "k")
            rows.append(close(done, "effect", (effect, T0)))
            effect = Effect.SUCCESS if n < 10 else Effect.FAILURE
            rows.append(close(row(n, T0, tenant=f"alone-{n}"), "alone_effect", (effect, T0)))
        return summarise("silent_churn", rows).verdict

    assert verdict(11) == "no clear difference"
    assert verdict(0) == "worse than leaving them alone"
    assert summarise("silent_churn", []).verdict == "not enough data yet"


def test_a_customer_who_goes_back_and_forth_counts_once() -> None:
    rows = [
        close(row(n, T0 + n * DAY).end(T0 + n * DAY), "alone_effect", (Effect.FAILURE, T0))
        for n in range(15)
    ]
    assert summarise("silent_churn", rows).left_alone.num == 3  # days 0, 7 and 14
