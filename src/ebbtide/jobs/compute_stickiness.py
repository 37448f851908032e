"""``compute-stickiness``: brings every customer's facts and scores to the moment of the run."""

from __future__ import annotations

from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.signals.current import current_of
from ebbtide.signals.refresh import refresher_of


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return ComputeStickiness(stores)


class ComputeStickiness:
    """Writes score rows, and the newest segment of each customer that is due or changed."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._refresher = refresher_of(stores.catalog, stores.events, stores.state)
        self._current = current_of(stores.catalog, stores.events, stores.state)

    def run(self, context: RunContext) -> JobOutcome:
        """Compute everything that may be different at ``as_of``.

        A moment before the newest one that was computed gets score rows only; what is current
        stays.
        """
        stores, refresher = self._stores, self._refresher
        step = refresher.prepare(
            context.as_of,
            run_id=context.run_id,
            computed_at=stores.state.runs.get(context.run_id).started_at,
            check=context.check,
        )
        if step.advance is not None:
            # Money is asked for next, by who suggests calls.
            self._current.expect(context.as_of, step.advance.changes_since)
        return JobOutcome(
            {
                "num_tenants": step.num_tenants,
                "num_assessed": step.num_assessed,
                "num_scores": len(step.rows),
            },
            step.failed,
            step.write_with(refresher),
        )
