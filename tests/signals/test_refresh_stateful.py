"""Whatever happens and however runs follow one another: what is stored equals a full reading."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from company import Company
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.signals.refresh import PAUSE_MAX

CATALOG = load_catalog()
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)

TENANTS = st.sampled_from(["acme", "bolt", "7c5d3c1e-0000-4000-8000-000000000001"])
# Types that scores look at more often than others; the rest stands for all that they do not.
TYPES = st.sampled_from(
    [
        "API_CALL_RECEIVED", "API_CALL_RECEIVED", "LLM_CALL_MADE", "LOGIN",
        "INCIDENT_CREATED", "INCIDENT_VIEWED", "INCIDENT_VIEWED", "REPLAY_EXECUTED",
        "EXPORT_GENERATED", "CERT_VERIFIED", "SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED",
        "REPLAY_ABORTED", "EXPORT_ABORTED", "REPLAY_FAILED", "EXPORT_FAILED",
        "POLICY_BLOCK_REPEAT", "SESSION_IDLE_TIMEOUT", "INCIDENT_VIEWED_NO_ACTION",
    ]
)  # fmt: skip
# Quarters of days and a microsecond beside them: edges of windows are met again and again.
NUDGES = st.sampled_from([-TICK, timedelta(0), timedelta(0), TICK, timedelta(minutes=20)])
AGES = st.one_of(
    st.integers(0, 8).map(lambda n: n * HOUR / 4),
    st.integers(0, 130).map(lambda n: n * 6 * HOUR),
    st.sampled_from([50, 400, 3000, 20_000]).map(lambda n: timedelta(days=n)),
)
PAUSES = st.one_of(
    st.sampled_from([0, 1, 4, 24, 96]).map(lambda n: n * HOUR / 4),
    st.integers(1, 30).map(lambda n: n * 6 * HOUR),
    st.sampled_from([8, 31, 60]).map(lambda n: timedelta(days=n)),
)


class Refreshing(RuleBasedStateMachine):
    """Events of every age come, go and come again, while runs follow one another."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ebbtide-refresh-"))
        self.company = Company(self.folder, catalog=CATALOG)
        self.sent: list[Event] = []
        self.is_settled = False  # a run has just been, and must have left what is right

    def teardown(self) -> None:
        self.company.close()
        shutil.rmtree(self.folder)

    def _send(self, *events: Event) -> None:
        self.sent += events
        self.company.store(*events)
        self.is_settled = False

    @rule(
        tenant=TENANTS,
        event_type=TYPES,
        age=AGES,
        nudge=NUDGES,
        session=st.sampled_from([None, "", "s-1", "s-2"]),
        num=st.sampled_from([1, 1, 1, 4, 12]),
    )
    def happens(
        self,
        tenant: str,
        event_type: str,
        age: timedelta,
        nudge: timedelta,
        session: str | None,
        num: int,
    ) -> None:
        """Now, late, or very late."""
        at = self.company.now - age + min(nudge, age)
        policy = "PII" if event_type == "POLICY_BLOCK_REPEAT" else None
        self._send(
            *(
                self.company.event(event_type, at, tenant, session_id=session, policy_id=policy)
                for _ in range(num)
            )
        )

    @rule(tenant=TENANTS, event_type=TYPES, ahead=st.integers(1, 40), nudge=NUDGES)
    def is_dated_ahead(self, tenant: str, event_type: str, ahead: int, nudge: timedelta) -> None:
        """A clock that runs ahead, or a run that is for a moment a little while ago."""
        at = self.company.now + ahead * HOUR / 2 + nudge
        self._send(self.company.event(event_type, at, tenant))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def comes_again(self, data: st.DataObject) -> None:
        """A repeat, perhaps of an event that was erased meanwhile."""
        self._send(data.draw(st.sampled_from(self.sent)))

    @rule(tenant=TENANTS)
    def is_erased(self, tenant: str) -> None:
        self.company.erase(tenant)
        self.is_settled = False

    @rule(pause=PAUSES)
    def runs(self, pause: timedelta) -> None:
        self.company.tick(pause)
        self.is_settled = True

    @rule(pause=PAUSES)
    def runs_in_another_process(self, pause: timedelta) -> None:
        self.company.tick(pause, self.company.new_refresher())
        self.is_settled = True

    @rule(pause=PAUSES)
    def runs_at_once_in_two_processes(self, pause: timedelta) -> None:
        """Both work on what they found; the second one to write finds it changed."""
        company, other = self.company, self.company.new_refresher()
        company.now += pause
        mine, theirs = company.prepare(company.now), company.prepare(company.now, other)
        company.write(theirs, other)
        company.write(mine)
        self.is_settled = True

    @rule(ahead=PAUSES)
    def fails_to_write(self, ahead: timedelta) -> None:
        """What a lost run had in mind must not stay in memory."""
        company = self.company
        step = company.prepare(company.now + ahead)
        with pytest.raises(RuntimeError), company.state.scores.writing() as connection:
            company.refresher.write(step, connection)
            raise RuntimeError("the transaction is undone")
        company.tick()
        self.is_settled = True

    @rule(back=st.integers(1, 60))
    def runs_for_the_past(self, back: int) -> None:
        """Rows of that moment are added; what is current stays."""
        company = self.company
        before = company.stored_segments(), company.state.scores.head()
        step = company.prepare(company.now - back * 6 * HOUR)
        company.write(step)
        if before[1].as_of is None:
            is_past = back * 6 * HOUR > PAUSE_MAX  # what is current is not begun so far back
        else:
            is_past = step.as_of < before[1].as_of
        if is_past:
            assert (company.stored_segments(), company.state.scores.head()) == before
        else:
            company.now, self.is_settled = step.as_of, True

    @rule()
    def restarts(self) -> None:
        self.company.close()
        self.company.open()

    @rule()
    def is_maintained(self) -> None:
        """Sums are folded, and say then what they said before."""
        self.company.events.maintain()

    @invariant()
    def equals_a_full_reading(self) -> None:
        if self.is_settled:
            self.company.check()
            self.is_settled = False  # until something happens that could change it


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Refreshing,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_what_is_brought_forward_equals_a_full_reading() -> None:
    _run(examples=12, steps=20)


@pytest.mark.slow
def test_it_does_so_for_long() -> None:
    _run(examples=600, steps=60)
