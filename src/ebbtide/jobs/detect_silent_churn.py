"""``detect-silent-churn``: who still calls but has stopped looking, and who has come back."""

from __future__ import annotations

from ebbtide.domain.job_run import RunStatus
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.signals.refresh import refresher_of


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return DetectSilentChurn(stores)


class DetectSilentChurn:
    """Writes a row for each edge: when silence begins, and when it ends.

    It computes from the same facts as ``compute-stickiness`` and brings them forward itself where
    that has not been done, so neither job has to wait for the other.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._refresher = refresher_of(stores.catalog, stores.events, stores.state)

    def run(self, context: RunContext) -> JobOutcome:
        """Find everyone who is silent at ``as_of``, and say how many became so since last time."""
        stores, refresher = self._stores, self._refresher
        step = refresher.prepare(
            context.as_of,
            run_id=context.run_id,
            computed_at=stores.state.runs.get(context.run_id).started_at,
            check=context.check,
        )
        before = stores.state.runs.list_newest(job=context.job, status=RunStatus.COMPLETED, limit=1)
        begun = refresher.began_silence(step, before[0].as_of if before else None)
        return JobOutcome(
            {
                "num_tenants": step.num_tenants,
                "num_silent": step.num_silent,
                "num_newly_silent": len(begun),
            },
            step.failed,
            step.write_with(refresher),
        )
