"""The run log: one running run per job, one result per slot, and alerts beside them.

A run goes on only as long as its row says ``running``. Whoever takes its place changes that row
first, and every write of results begins with it: so a runner that was overtaken finds its row
changed, in the same transaction that would have written its results. No clock decides that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import AlreadyRunning, NotFound, StaleRun
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.job_run import RESULTS, Alert, AlertKind, JobRun, RunEnd, RunStatus
from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import (
    ERASURES,
    FACTS_HEAD,
    JOB_ALERTS,
    JOB_FAILED_TENANTS,
    JOB_RUNS,
)

ID_MAX = 2**63 - 1
VANISHED = "vanished"  # the error of a run whose runner is gone: such attempts are counted
_RESULTS = sorted(RESULTS)
#: Runs and alerts are kept for a quarter of a year: long enough to look back on any incident, and
#: some ten thousand rows for each job of every quarter of an hour, however long it runs.
KEPT = timedelta(days=100)
FORGET_EVERY = 100  # runs; old ones are looked for that often
ERASING = "interventions"  # what an erasure takes its turn at


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run that wants to begin; ``every`` is the job's period, for slots that were missed.

    Without a ``slot`` it is a run by hand, and there is no ``every``.
    """

    job: str
    as_of: datetime
    at: datetime
    asked_by: str
    runner: str
    slot: datetime | None = None
    every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs and alerts of one job so far. ``last_result_at`` is None when none came through."""

    runs: Mapping[RunStatus, int]
    alerts: Mapping[AlertKind, int]
    last_result_at: datetime | None


class Runs:
    """Every run of every job of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> datetime:
        """The clock that all processes share: the server's, or the machine's with SQLite."""
        with self._database.read() as connection:
            return self._database.now(connection)

    def begin(self, start: RunStart) -> JobRun | None:
        """Begin a run, unless one is running or the slot has its result already.

        Returns:
            The run; None when the slot is settled. A slot after a gap covers the gap.

        Raises:
            AlreadyRunning: a run of the job is under way, by hand or not.
        """
        with self._database.write() as connection:
            self._database.take_turn(connection, f"job {start.job}")
            running = connection.execute(
                sa.select(JOB_RUNS.c.run_id).where(
                    JOB_RUNS.c.job == start.job, JOB_RUNS.c.status == RunStatus.RUNNING
                )
            ).scalar()
            if running is not None:
                raise AlreadyRunning(f"{start.job} runs already: run {running}", run_id=running)
            covers, covers_from, attempt = 0, None, 1
            if start.slot is not None:
                if self._is_settled(connection, start.job, start.slot):
                    return None
                assert start.every is not None
                covers = self._num_covered(connection, start.job, start.slot, start.every)
                covers_from = start.slot - (covers - 1) * start.every
                attempt += self._num_vanished(connection, start.job, start.slot)
            inserted = connection.execute(
                sa.insert(JOB_RUNS).values(
                    job=start.job,
                    slot=start.slot,
                    as_of=start.as_of,
                    covers=covers,
                    covers_from=covers_from,
                    attempt=attempt,
                    asked_by=start.asked_by,
                    runner=start.runner,
                    beat=0,
                    status=RunStatus.RUNNING,
                    started_at=start.at,
                    counts="{}",
                )
            )
            assert inserted.inserted_primary_key is not None
            return _get(connection, inserted.inserted_primary_key[0])

    def beat(self, run_id: int) -> bool:
        """Say that a run is alive; False when it is not running any more."""
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(JOB_RUNS)
                .where(JOB_RUNS.c.run_id == run_id, JOB_RUNS.c.status == RunStatus.RUNNING)
                .values(beat=JOB_RUNS.c.beat + 1)
            )
        return changed.rowcount == 1

    def settle(
        self,
        run_id: int,
        end: RunEnd,
        *,
        alerts: Iterable[tuple[AlertKind, str]] = (),
        write: Callable[[Transaction], None] | None = None,
    ) -> JobRun:
        """End a run, and write its results and alerts, in one transaction.

        Args:
            write: writes the results; called only while the run is still in its place.

        Raises:
            StaleRun: it is not; nothing was written.
        """
        with self._database.write() as connection:
            # First of all: on PostgreSQL this holds the row against a successor until the end.
            changed = connection.execute(
                sa.update(JOB_RUNS)
                .where(JOB_RUNS.c.run_id == run_id, JOB_RUNS.c.status == RunStatus.RUNNING)
                .values(_ending(end))
            )
            if changed.rowcount != 1:
                raise StaleRun(f"run {run_id} lost its place to another one")
            left_out = self._left_out(connection, run_id, end)
            if left_out:
                insert = self._database.insert(JOB_FAILED_TENANTS).on_conflict_do_nothing()
                connection.execute(insert, left_out)
            _add_alerts(connection, run_id, end.at, alerts)
            if run_id % FORGET_EVERY == 0:
                _forget_old(connection, end.at - KEPT)
            if write is not None:
                write(connection)
            return _get(connection, run_id)

    def _left_out(
        self, connection: sa.Connection, run_id: int, end: RunEnd
    ) -> list[dict[str, object]]:
        """Rows of tenants that a run left out, but for those that were erased since it began."""
        if not end.failed_tenants:
            return []
        # An erasure that is under way must be over, or see what is written here.
        self._database.take_turn(connection, ERASING)
        began = sa.select(JOB_RUNS.c.started_at).where(JOB_RUNS.c.run_id == run_id)
        erased = set(
            connection.scalars(
                sa.select(ERASURES.c.tenant_uuid).where(
                    ERASURES.c.erased_at >= began.scalar_subquery()
                )
            )
        )
        by_uuid = {to_uuid_text(name): name for name in end.failed_tenants}
        return [
            {
                "run_id": run_id,
                "tenant_uuid": uuid,
                "tenant_id": name,
                "reason": end.failed_tenants[name],
            }
            for uuid, name in by_uuid.items()
            if uuid not in erased
        ]

    def abandon(
        self,
        run_id: int,
        at: datetime,
        message: str,
        error: str,
        *,
        seen_beat: int | None = None,
        alerts: Iterable[tuple[AlertKind, str]] = (),
    ) -> bool:
        """Take a run out of its place, so that its slot is free again.

        Args:
            error: :data:`VANISHED`, or the code of what ended it.
            seen_beat: only when it did not move on from this beat; None: in any case.

        Returns:
            False when it had ended, or moved on.
        """
        conditions = [JOB_RUNS.c.run_id == run_id, JOB_RUNS.c.status == RunStatus.RUNNING]
        if seen_beat is not None:
            conditions.append(JOB_RUNS.c.beat == seen_beat)
        end = RunEnd(RunStatus.ABANDONED, at, message, error)
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(JOB_RUNS).where(*conditions).values(_ending(end))
            )
            if changed.rowcount == 1:
                _add_alerts(connection, run_id, at, alerts)
        return changed.rowcount == 1

    def running(self) -> list[JobRun]:
        """The runs under way, oldest first; empty when none is."""
        return self._list(JOB_RUNS.c.status == RunStatus.RUNNING, newest_first=False)

    def get(self, run_id: int) -> JobRun:
        """One run.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.read() as connection:
            return _get(connection, run_id)

    def list_newest(
        self,
        *,
        job: str | None = None,
        status: RunStatus | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[JobRun]:
        """A page of runs, newest first; empty at the end.

        Args:
            before: id of the last run of the page before; None at first.
        """
        conditions: list[sa.ColumnElement[bool]] = []
        if job is not None:
            conditions.append(JOB_RUNS.c.job == job)
        if status is not None:
            conditions.append(JOB_RUNS.c.status == status)
        if before is not None:
            conditions.append(JOB_RUNS.c.run_id < before)
        return self._list(*conditions, limit=limit)

    def list_alerts(
        self, *, job: str | None = None, before: int | None = None, limit: int = 100
    ) -> list[Alert]:
        """A page of alerts, newest first; empty at the end."""
        query = sa.select(JOB_ALERTS).order_by(JOB_ALERTS.c.id.desc()).limit(limit)
        if job is not None:
            query = query.where(JOB_ALERTS.c.job == job)
        if before is not None:
            query = query.where(JOB_ALERTS.c.id < before)
        with self._database.read() as connection:
            return [
                Alert(**{**row._mapping, "kind": AlertKind(row.kind)})
                for row in connection.execute(query)
            ]

    def tally(self) -> dict[str, Tally]:
        """Runs and alerts by job; a job that never ran has none."""
        runs = JOB_RUNS.c
        with self._database.read() as connection:
            by_status = connection.execute(
                sa.select(runs.job, runs.status, sa.func.count(), sa.func.max(runs.finished_at))
                .group_by(runs.job, runs.status)
                .order_by(runs.job, runs.status)
            ).all()
            by_kind = connection.execute(
                sa.select(JOB_ALERTS.c.job, JOB_ALERTS.c.kind, sa.func.count())
                .group_by(JOB_ALERTS.c.job, JOB_ALERTS.c.kind)
                .order_by(JOB_ALERTS.c.job, JOB_ALERTS.c.kind)
            ).all()
        came_through = (RunStatus.COMPLETED, RunStatus.PARTIAL)
        return {
            job: Tally(
                {RunStatus(status): num for of, status, num, _ in by_status if of == job},
                {AlertKind(kind): num for of, kind, num in by_kind if of == job},
                max(
                    (at for of, status, _, at in by_status if of == job and status in came_through),
                    default=None,
                ),
            )
            for job in dict.fromkeys(row.job for row in by_status)
        }

    def _list(
        self,
        *conditions: sa.ColumnElement[bool],
        newest_first: bool = True,
        limit: int | None = None,
    ) -> list[JobRun]:
        order = JOB_RUNS.c.run_id.desc() if newest_first else JOB_RUNS.c.run_id
        query = sa.select(JOB_RUNS).where(*conditions).order_by(order).limit(limit)
        with self._database.read() as connection:
            return _from_rows(connection, connection.execute(query).all())

    def _is_settled(self, connection: sa.Connection, job: str, slot: datetime) -> bool:
        query = sa.select(JOB_RUNS.c.run_id).where(
            JOB_RUNS.c.job == job, JOB_RUNS.c.slot == slot, JOB_RUNS.c.status.in_(_RESULTS)
        )
        return connection.execute(query).first() is not None

    def _num_covered(
        self, connection: sa.Connection, job: str, slot: datetime, every: timedelta
    ) -> int:
        previous = connection.execute(
            sa.select(JOB_RUNS.c.slot)
            .where(JOB_RUNS.c.job == job, JOB_RUNS.c.slot < slot, JOB_RUNS.c.status.in_(_RESULTS))
            .order_by(JOB_RUNS.c.slot.desc())
            .limit(1)
        ).scalar()
        # Rounded up: after a change of the period the last slot may lie between two of today's.
        return 1 if previous is None else -((previous - slot) // every)

    def _num_vanished(self, connection: sa.Connection, job: str, slot: datetime) -> int:
        query = (
            sa.select(sa.func.count())
            .select_from(JOB_RUNS)
            .where(
                JOB_RUNS.c.job == job,
                JOB_RUNS.c.slot == slot,
                JOB_RUNS.c.status == RunStatus.ABANDONED,
                JOB_RUNS.c.error == VANISHED,
            )
        )
        return int(connection.execute(query).scalar_one())


def _ending(end: RunEnd) -> dict[str, Any]:
    return {
        "status": end.status,
        "finished_at": end.at,
        "message": end.message,
        "error": end.error,
        "counts": json.dumps(dict(end.counts), sort_keys=True),
    }


def _add_alerts(
    connection: sa.Connection, run_id: int, at: datetime, alerts: Iterable[tuple[AlertKind, str]]
) -> None:
    job = sa.select(JOB_RUNS.c.job).where(JOB_RUNS.c.run_id == run_id).scalar_subquery()
    for kind, message in alerts:
        connection.execute(
            sa.insert(JOB_ALERTS).values(at=at, kind=kind, job=job, run_id=run_id, message=message)
        )


def _forget_old(connection: sa.Connection, before: datetime) -> None:
    """Delete runs and alerts from before a moment, but for those that still say something.

    The newest result of each job tells which slots are settled, and the run of the stored facts
    when they were computed.
    """
    newest = (
        sa.select(sa.func.max(JOB_RUNS.c.run_id))
        .where(JOB_RUNS.c.status.in_(_RESULTS))
        .group_by(JOB_RUNS.c.job)
    )
    told = sa.select(FACTS_HEAD.c.run_id).where(FACTS_HEAD.c.run_id.is_not(None))
    old = sa.and_(
        JOB_RUNS.c.finished_at < before,
        JOB_RUNS.c.run_id.not_in(newest),
        JOB_RUNS.c.run_id.not_in(told),
    )
    ids = list(connection.scalars(sa.select(JOB_RUNS.c.run_id).where(old)))
    for start in range(0, len(ids), 1000):
        some = ids[start : start + 1000]
        for table in (JOB_FAILED_TENANTS, JOB_RUNS):
            connection.execute(sa.delete(table).where(table.c.run_id.in_(some)))
    connection.execute(sa.delete(JOB_ALERTS).where(JOB_ALERTS.c.at < before))


def _get(connection: sa.Connection, run_id: int) -> JobRun:
    if 0 < run_id <= ID_MAX:
        query = sa.select(JOB_RUNS).where(JOB_RUNS.c.run_id == run_id)
        found = _from_rows(connection, connection.execute(query).all())
        if found:
            return found[0]
    raise NotFound("there is no such run")


def _from_rows(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[JobRun]:
    ids = [row.run_id for row in rows if row.status == RunStatus.PARTIAL]
    left_out: dict[int, dict[str, str]] = {}
    if ids:
        query = (
            sa.select(JOB_FAILED_TENANTS)
            .where(JOB_FAILED_TENANTS.c.run_id.in_(ids))
            .order_by(JOB_FAILED_TENANTS.c.run_id, JOB_FAILED_TENANTS.c.tenant_id)
        )
        for row in connection.execute(query):
            left_out.setdefault(row.run_id, {})[row.tenant_id] = row.reason
    return [
        JobRun(
            **{
                **row._mapping,
                "status": RunStatus(row.status),
                "counts": json.loads(row.counts),
                "failed_tenants": left_out.get(row.run_id, {}),
            }
        )
        for row in rows
    ]
