"""``tend-replays``: ends what lost its process, forgets in time, takes back what became worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ebbtide.domain.errors import JobFailed
from ebbtide.domain.event import Outcome
from ebbtide.domain.time import format_instant
from ebbtide.ingest.incoming import Incoming
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.replay.promotion import SOURCE, Promoter
from ebbtide.signals.incident_reading import IncidentReader
from ebbtide.signals.regressions import Comparison
from ebbtide.store.state.replays import LOST

EMIT_TIMEOUT_S = 30.0


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return TendReplays(stores)


class TendReplays:
    """Small transactions of their own: a repeat finds less to do, and no harm."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._now = stores.clock or stores.state.runs.now

    def run(self, context: RunContext) -> JobOutcome:
        """Look at replays and promotions as they stand now."""
        state, now = self._stores.state, self._now()
        lost = state.replays.lapse(now)
        for replay_id in lost:
            self._tell_lost(replay_id)
        num_lost = len(lost) + len(state.policy_replays.lapse(now))
        context.check()
        num_forgotten = state.replays.forget_content(now)
        context.check()

        def regressions() -> list[Comparison]:
            reader = IncidentReader(self._stores.catalog, self._stores.events, state, now)
            return [one.comparison for one in reader.regressions()[0]]

        num_back = Promoter(state, self._emit).watch(regressions, now)
        return JobOutcome(
            {
                "num_lost": num_lost,
                "num_forgotten": num_forgotten,
                "num_rolled_back": num_back,
            }
        )

    def _tell_lost(self, replay_id: str) -> None:
        one = self._stores.state.replays.get(replay_id).replay
        self._emit(
            {
                "event_id": f"{replay_id}:replay_failed",
                "timestamp": format_instant(self._now()),
                "tenant_id": one.tenant_id,
                "event_type": "REPLAY_FAILED",
                "entity_type": "replay",
                "entity_id": replay_id,
                "source": "replay",
                "metadata": {"incident_id": one.incident_id, "error_type": LOST},
            }
        )

    def _emit(self, fields: Mapping[str, Any]) -> None:
        ingestor = self._stores.ingestor
        if ingestor is None:
            return
        (result,) = ingestor.submit(
            [Incoming(dict(fields), msgspec.json.encode(fields), None)],
            door="replay",
            received_at=self._now(),
            default_source=SOURCE,
        ).result(EMIT_TIMEOUT_S)
        if result.outcome not in (Outcome.STORED, Outcome.DUPLICATE):
            raise JobFailed(f"an event was not stored: {result.reason}")
