"""Weekly cohorts: what always holds of the triangle, and one computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.signals.cohorts import overall_of, triangle_of
from ebbtide.signals.weeks import WEEK, end_of, monday_of, pieces_of

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def weeks_of(*active: str) -> dict[datetime, frozenset[str]]:
    """Who was active week after week; a customer is a letter."""
    return {MONDAY + number * WEEK: frozenset(one) for number, one in enumerate(active)}


def test_by_hand() -> None:
    weeks = weeks_of("abc", "ad", "bd")
    cohorts, members = triangle_of({"c"}, weeks, end_of(MONDAY + 2 * WEEK) - TICK)
    assert [sorted(one) for one in members.values()] == [["a", "b"], ["d"], []]
    assert [[cell.num_active for cell in one.cells] for one in cohorts] == [[2, 1, 1], [1, 1], [0]]
    assert [cell.share for cell in cohorts[0].cells] == [1, Fraction(1, 2), Fraction(1, 2)]
    assert cohorts[2].cells[0].share is None
    # The last week is not over by a microsecond, so it says nothing of all cohorts together.
    assert [cell.is_complete for cell in cohorts[0].cells] == [True, True, False]
    assert [(one.week, one.share) for one in overall_of(cohorts)] == [(0, 1), (1, Fraction(1, 2))]


@given(
    st.lists(st.frozensets(st.sampled_from("abcdefgh")), min_size=1, max_size=6),
    st.frozensets(st.sampled_from("abcdefgh")),
)
def test_what_always_holds(active: list[frozenset[str]], earlier: frozenset[str]) -> None:
    weeks = {MONDAY + number * WEEK: one for number, one in enumerate(active)}
    cohorts, members = triangle_of(earlier, weeks, MONDAY + len(active) * WEEK)
    everybody = frozenset().union(*active) | earlier
    # Each customer belongs to one cohort, or began earlier.
    assert sum(len(one) for one in members.values()) + len(earlier) == len(everybody)
    assert [len(one.cells) for one in cohorts] == list(range(len(active), 0, -1))
    for cohort in cohorts:
        assert cohort.cells[0].num_active == cohort.num_tenants
        for cell in cohort.cells:
            assert (cell.share is None) == (cohort.num_tenants == 0)
            assert cell.share is None or 0 <= cell.share <= 1
    # The cells of one week are whoever was active in it, but for those that began earlier.
    for number, one in enumerate(active):
        diagonal = sum(
            cohort.cells[number - row].num_active
            for row, cohort in enumerate(cohorts[: number + 1])
        )
        assert diagonal == len(one - earlier)
    assert [cell.share for cell in overall_of(cohorts)][:1] in ([1], [None])


def test_a_week_is_of_the_calendar() -> None:
    assert monday_of(MONDAY) == MONDAY
    assert monday_of(MONDAY - TICK) == MONDAY - WEEK
    assert monday_of(end_of(MONDAY)) == MONDAY
    assert monday_of(datetime(1970, 1, 1, tzinfo=UTC)) == datetime(1969, 12, 29, tzinfo=UTC)


moments = st.datetimes(
    datetime(2025, 12, 20), datetime(2026, 2, 10), timezones=st.just(UTC)
) | st.integers(-30, 30).map(lambda days: datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days))


@given(moments, moments)
def test_pieces_lie_side_by_side_and_are_as_long_as_can_be(first: datetime, last: datetime) -> None:
    pieces = list(pieces_of(first, last))
    assert [piece[0] for piece in pieces] == ([first] + [piece[1] for piece in pieces])[
        :-1
    ] or not pieces
    if first < last:
        assert (pieces[0][0], pieces[-1][1]) == (first, last)
    for begin, end, key in pieces:
        assert begin < end
        if key is None:
            assert end - begin < timedelta(days=1)
        else:
            assert key == (begin, end - begin)
            assert begin.time().isoformat() == "00:00:00"
    whole = [key for _, _, key in pieces if key and key[1] == WEEK]
    mondays = [
        one
        for one in (monday_of(first) + number * WEEK for number in range(60))
        if first <= one and one + WEEK <= last
    ]
    assert [key[0] for key in whole] == mondays
