"""``send-alerts``: look at every rule, and write what has to be told into the outbox."""

from __future__ import annotations

from datetime import timedelta

from ebbtide.alerts.tell import tell
from ebbtide.alerts.watch import observe
from ebbtide.catalog.schedule import load_schedules
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.settings import SAMPLE_COMPANY

PRESENT = timedelta(minutes=10)  # who is told is told about now
RUNS_KEPT = timedelta(days=7)  # of this job, which runs every minute
DELIVERIES_KEPT = timedelta(days=30)


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return SendAlerts(stores)


class SendAlerts:
    """Watches. What it writes is sent by the sender, which is no part of any run."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._now = stores.clock or stores.state.runs.now
        self._jobs = tuple(load_schedules())

    def run(self, context: RunContext) -> JobOutcome:
        """Look now; a moment in the past is nothing to tell anybody about."""
        stores, now = self._stores, context.as_of
        if self._now() - now > PRESENT:
            return JobOutcome(message="Alerts are about the present; nothing was looked at")
        seen = observe(stores.catalog, stores.events, stores.state, self._jobs, now)
        context.check()
        state = stores.state
        is_simulated = state.settings.get(SAMPLE_COMPANY) is not None

        def write(transaction: Transaction) -> None:
            tell(state, transaction, seen, now, is_simulated=is_simulated)
            state.outbox.forget_ended(transaction, now - DELIVERIES_KEPT)
            state.alerts.forget_looks(transaction, context.job, now - RUNS_KEPT)

        return JobOutcome(
            {"num_rules": len(seen.observations), "num_blind": len(seen.blind)}, write=write
        )
