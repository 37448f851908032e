"""The job that removes recorded calls at the end of the time for which they are kept."""

from __future__ import annotations

from ebbtide.guard.recording import Recorder, Vault
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores


class ForgetRecordings:
    """Removes in small transactions of their own: a repeat finds less to do, and no harm."""

    def __init__(self, stores: Stores) -> None:
        self._recorder = Recorder(stores.state.recordings, Vault(()))

    def run(self, context: RunContext) -> JobOutcome:
        """Remove what is older than its tenant wants."""
        num = self._recorder.forget_expired(context.as_of, context.check)
        return JobOutcome({"num_removed": num})


def make_job(stores: Stores) -> Job:
    """The job over these stores."""
    return ForgetRecordings(stores)
