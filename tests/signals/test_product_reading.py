"""What is put together from kept weeks equals what is read anew in one piece, whatever happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from company import START, Company

from ebbtide.signals.cohorts import Triangle
from ebbtide.signals.features import Features
from ebbtide.signals.funnel import Funnel
from ebbtide.signals.product import ProductReader
from ebbtide.signals.retention import Group
from ebbtide.signals.watch import Watch
from ebbtide.signals.weeks import KEPT, WEEK, Weeks
from ebbtide.store.events.base import Change, to_batch
from event_engines import chosen_engines, home_of

TYPES = (
    "INCIDENT_CREATED",
    "INCIDENT_VIEWED",
    "REPLAY_EXECUTED",
    "EXPORT_GENERATED",
    "CERT_VERIFIED",
    "LOGIN",
    "SUBSCRIPTION_STARTED",
    "SUBSCRIPTION_CANCELLED",
)
TENANTS = tuple(f"t{number}" for number in range(12))
SPAN = timedelta(days=100)
ALL_KNOWN = START + timedelta(days=9000)


def of_funnel(one: Funnel) -> Any:
    """What a funnel says, in an order of its own."""
    ways = {name: one.of(name) for name in sorted(one.tenants)}
    return one.loose, one.ordered, ways, one.freshness


def of_features(one: Features) -> Any:
    """What features say; of those that equally many use any order is right."""
    uses = sorted(one.uses, key=lambda use: use.feature.name)
    return one.num_active, uses, one.customers, one.kept, one.users, one.freshness


def of_cohorts(one: Triangle) -> Any:
    """What cohorts say."""
    return one.cohorts, one.overall, one.num_earlier, one.members, one.active, one.freshness


def test_what_is_kept_is_what_is_stored(company: Company) -> None:
    random_ = random.Random(1)
    reader = ProductReader(company.catalog, company.events, company.state)

    def moment() -> datetime:
        at = START - timedelta(seconds=random_.randrange(int(SPAN.total_seconds())))
        # Now and then the very edge of a day or a week.
        return at.replace(hour=0, minute=0, second=0) if random_.random() < 0.3 else at

    def some(num: int) -> None:
        events = [
            company.event(random_.choice(TYPES), moment(), random_.choice(TENANTS))
            for _ in range(num)
        ]
        assert not any(company.events.append(to_batch(events)))

    Question = Callable[[ProductReader, datetime, datetime | None], Any]
    asked: list[Question] = [
        lambda one, at, known_at: of_funnel(one.funnel.at(at, known_at=known_at)),
        lambda one, at, known_at: of_features(one.features.at(at, known_at=known_at)),
        lambda one, at, known_at: of_cohorts(
            one.cohorts.at(at, num_weeks=5, activity="investigation", known_at=known_at)
        ),
    ]
    some(300)
    for turn in range(4):
        for question in asked:
            at = moment() + timedelta(days=40)
            known_at = random_.choice([None, moment() + timedelta(days=40)])
            expected = question(without_memory(company), at, known_at or ALL_KNOWN)
            assert question(reader, at, known_at) == expected, (turn, at, known_at)
        if turn == 1:
            company.events.erase_tenant("t1")
            company.state.erase_tenant("t1", START)
        some(2)


def without_memory(company: Company) -> ProductReader:
    """A reader that asks the events themselves for every stretch as a whole."""
    reader = ProductReader(company.catalog, company.events, company.state)
    for weeks in (reader.funnel._weeks, reader.cohorts._activity._weeks):

        def over(
            start: datetime, end: datetime, weeks: Any = weeks, known_at: Any = None, **_: Any
        ) -> list[Any]:
            return [weeks._load(start, end, known_at or ALL_KNOWN)] if start < end else []

        def read(key: Any, known_at: Any = None, weeks: Any = weeks) -> Any:
            first, length = key
            tick = timedelta(microseconds=1)
            return weeks._load(first - tick, first + length - tick, known_at or ALL_KNOWN)

        weeks.over, weeks.read = over, read  # type: ignore[attr-defined]
    return reader


@pytest.fixture(params=chosen_engines())
def on_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Company]:
    """A company on each event store engine, with its state in SQLite."""
    for home in home_of(request, request.param, lambda: tmp_path, migrated=True):
        one = Company(tmp_path, open_events=home.open)
        yield one
        one.state.close()


def test_who_stayed_by_hand(on_engine: Company) -> None:
    """Twelve used exports and twelve did not; who counts as a customer, and who as kept."""
    company, days = on_engine, timedelta(days=1)
    middle = START - 30 * days
    tick = timedelta(microseconds=1)
    events = []

    def happens(event_type: str, tenant: str, at: datetime) -> None:
        events.append(company.event(event_type, at, tenant))

    for number in range(24):
        tenant = f"t{number:02}"
        # At the very moment 30 days ago it is still before; 60 days ago it is too long ago.
        kind = "EXPORT_GENERATED" if number < 12 else "LOGIN"
        happens(kind, tenant, middle if number % 2 else START - 60 * days + tick)
        if number not in (0, 12, 13):  # these have gone
            happens("LOGIN", tenant, START)
    happens("SUBSCRIPTION_CANCELLED", "t01", START)  # not kept
    happens("SUBSCRIPTION_CANCELLED", "t02", middle)  # was no customer any more
    happens("SUBSCRIPTION_CANCELLED", "t03", middle + tick)  # came back, so kept
    happens("SUBSCRIPTION_STARTED", "t03", START)
    happens("SUBSCRIPTION_CANCELLED", "t14", middle - tick)  # came back in time, so a customer
    happens("SUBSCRIPTION_STARTED", "t14", middle)
    happens("SUBSCRIPTION_CANCELLED", "t04", START + tick)  # nobody knows yet
    happens("EXPORT_GENERATED", "t20", middle + tick)  # used it too late to count
    happens("EXPORT_GENERATED", "old", START - 60 * days)  # and much too early
    happens("EXPORT_GENERATED", "new", START)  # was not there 30 days ago
    assert not any(company.events.append(to_batch(events)))
    reader = ProductReader(company.catalog, company.events, company.state)
    for known_at in (None, ALL_KNOWN):
        found = reader.features.at(START, known_at=known_at)
        use = next(one for one in found.uses if one.feature.name == "exports")
        # Of t00 to t11 all but t02 were customers; t00 has gone and t01 has cancelled.
        assert use.comparison.with_feature == Group(11, 9)
        # Of t12 to t23 all were; t12 and t13 have gone.
        assert use.comparison.without == Group(12, 10)
        assert use.comparison.verdict == "no_difference_shown"
        # t00 and the others at 60 days are out of the last 30 by now; t20 and new exported.
        assert (use.num_actions, use.num_tenants) == (2, 2)
        assert found.kept <= found.customers
        exports = reader.funnel.at(START, known_at=known_at)
        assert exports.who(3, in_order=False, stopped=False) == ["new", "t20"]
        assert exports.ordered.num_tenants == (0, 0, 0, 0, 0)
        cohorts = reader.cohorts.at(START, activity="exports", known_at=known_at)
        assert [one.num_tenants for one in cohorts.cohorts if one.num_tenants] == [7, 7, 1]


def test_nobody_waits_for_every_week_since_the_beginning(company: Company) -> None:
    """One event dated far back, and a question about the far future, cost no week in between."""
    far = datetime.max.replace(tzinfo=START.tzinfo, year=8999)
    event = company.event("LOGIN", START - timedelta(days=50 * 365))
    company.events.append(to_batch([event]))
    reader = ProductReader(company.catalog, company.events, company.state)
    for at in (START, far, START):
        found = reader.cohorts.at(at)
        assert (len(found.cohorts), found.num_earlier) == (12, 1)


class Stub:
    """Knows no events; counts what it is asked, and says what it is told to say of changes."""

    def __init__(self) -> None:
        self.late: list[Change] = []
        self.asked: list[tuple[datetime | None, datetime]] = []

    def newest_change(self) -> int:
        return 0

    def changes(self, since: int) -> tuple[list[Change], int]:
        late, self.late = self.late, []
        return late, since + 1

    def load(self, start: datetime | None, end: datetime, _: datetime | None) -> None:
        self.asked.append((start, end))


def test_a_past_week_is_read_once_until_something_is_stored_in_it() -> None:
    stub = Stub()
    erased = [0]
    weeks = Weeks(Watch(stub, lambda: erased[0]), stub.load, lambda _: None)  # type: ignore[arg-type]
    monday = datetime(2026, 3, 2, tzinfo=START.tzinfo)
    start, end = monday - timedelta(microseconds=1), monday + 3 * WEEK - timedelta(microseconds=1)

    def num_asked() -> int:
        stub.asked.clear()
        assert weeks.over(start, end) == [None] * 3
        return len(stub.asked)

    assert num_asked() == 3
    assert num_asked() == 0
    stub.late = [Change("acme", "LOGIN", monday + WEEK, monday + WEEK)]
    assert num_asked() == 1
    stub.late = [Change("acme", "LOGIN", monday, monday + WEEK)]
    assert num_asked() == 2
    erased[0] = 1
    assert num_asked() == 3
    # No more is kept than there is room for.
    many = KEPT + 10
    weeks.over(start, start + many * WEEK)
    stub.asked.clear()
    weeks.over(start + 10 * WEEK, start + many * WEEK)
    assert not stub.asked


def test_days_come_to_be_kept_a_few_at_a_time() -> None:
    stub = Stub()
    weeks = Weeks(Watch(stub, lambda: None), stub.load, lambda _: None)  # type: ignore[arg-type]
    tuesday = datetime(2026, 3, 3, 10, tzinfo=START.tzinfo)
    asked = []
    for _ in range(5):
        stub.asked.clear()
        weeks.over(tuesday, tuesday + timedelta(days=5))
        asked.append(len(stub.asked))
    # A day, and what is left on both sides of it; the first hours, and all days, are kept.
    assert asked == [3, 2, 2, 2, 0]
