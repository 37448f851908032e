"""Replays and their samples; what was said in the calls is sealed, and opened elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.replay import Match, PolicyChoice, Replay, ReplayState, Sample
from ebbtide.store.state.database import Database
from ebbtide.store.state.spending import Spent, settle_lost, spent_by_sample
from ebbtide.store.state.tables import REPLAY_SAMPLES, REPLAYS

LOST = "interrupted"


@dataclass(frozen=True, slots=True)
class StoredReplay:
    """A replay as it is kept: its calls and verdicts are still sealed.

    Attributes:
        id: the row's number.
        replay: without what is sealed.
        match: the weakest level of its samples; None while there is none.
        content: sealed; None when it is not kept any more.
        samples: sealed content by number.
    """

    id: int
    replay: Replay
    match: Match | None
    content: bytes | None
    samples: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """Which replays; None does not narrow."""

    tenant_id: str | None = None
    incident_id: str | None = None
    state: ReplayState | None = None


class Replays:
    """Replays of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(
        self,
        one: Replay,
        content: bytes,
        *,
        due_at: datetime,
        keep_until: datetime | None,
        running_max: int,
    ) -> None:
        """Write a replay down before anything of it is done.

        Args:
            due_at: when it has ended, or its process is dead.
            keep_until: when its content goes; None keeps it.

        Raises:
            WrongState: too many are under way.
        """
        table = REPLAYS.c
        is_running = sa.select(sa.func.count()).where(table.state == ReplayState.RUNNING)
        with self._database.write() as connection:
            self._database.take_turn(connection, "replays")
            if int(connection.scalar(is_running) or 0) >= running_max:
                raise WrongState(f"{running_max} replays are under way, which is the most")
            connection.execute(
                sa.insert(REPLAYS).values(
                    replay_id=one.replay_id,
                    tenant_uuid=to_uuid_text(one.tenant_id),
                    tenant_id=one.tenant_id,
                    incident_id=one.incident_id,
                    call_id=one.call_id,
                    model=one.model,
                    is_model_changed=one.is_model_changed,
                    policies=json.dumps([[p.policy_id, p.version] for p in one.policies]),
                    num_samples=one.num_samples,
                    state=ReplayState.RUNNING,
                    asked_by=one.asked_by,
                    started_at=one.started_at,
                    due_at=due_at,
                    content=content,
                    keep_until=keep_until,
                )
            )

    def begin_sample(self, replay_id: str, number: int) -> bool:
        """Write down that a sample is begun; False when the replay is not under way any more."""
        table = REPLAYS.c
        with self._database.write() as connection:
            self._database.take_turn(connection, "replays")
            state = connection.scalar(sa.select(table.state).where(table.replay_id == replay_id))
            if state != ReplayState.RUNNING:
                return False
            connection.execute(
                sa.insert(REPLAY_SAMPLES).values(
                    replay_id=replay_id, number=number, state=ReplayState.RUNNING
                )
            )
        return True

    def end_sample(self, replay_id: str, sample: Sample, content: bytes | None) -> None:
        """Write down what came of a sample; nothing when its tenant was erased meanwhile."""
        table = REPLAY_SAMPLES.c
        level = None if sample.comparison is None else sample.comparison.determinism.level
        with self._database.write() as connection:
            connection.execute(
                sa.update(REPLAY_SAMPLES)
                .where(
                    table.replay_id == replay_id,
                    table.number == sample.number,
                    table.state == ReplayState.RUNNING,
                )
                .values(
                    state=sample.state,
                    match_level=level,
                    error_type=sample.error_type,
                    content=content,
                )
            )

    def end(
        self, replay_id: str, state: ReplayState, at: datetime, error_type: str | None = None
    ) -> bool:
        """End a replay; False when it had ended already, and nothing changes."""
        with self._database.write() as connection:
            self._database.take_turn(connection, "replays")
            return _end(connection, [replay_id], state, at, error_type) == 1

    def lapse(self, now: datetime) -> list[str]:
        """End the replays whose process is gone: what they set aside counts as spent.

        Returns:
            Ids of those that were ended now.
        """
        table = REPLAYS.c
        query = sa.select(table.replay_id).where(table.due_at <= now)
        with self._database.write() as connection:
            self._database.take_turn(connection, "replays")
            ids = list(connection.execute(query).scalars())
            _end(connection, ids, ReplayState.FAILED, now, LOST)
        return ids

    def get(self, replay_id: str) -> StoredReplay:
        """One replay with its samples.

        Raises:
            NotFound: there is none with this id.
        """
        query = sa.select(REPLAYS).where(REPLAYS.c.replay_id == replay_id)
        with self._database.read() as connection:
            found = _stored(connection, connection.execute(query).all())
        if not found:
            raise NotFound("there is no such replay")
        return found[0]

    def list_newest(
        self, meant: ReplayFilter, *, before: int | None = None, limit: int = 100
    ) -> list[StoredReplay]:
        """A page, newest first; empty at the end.

        Args:
            before: row number of the last one of the page before; None at first.
        """
        table = REPLAYS.c
        query = sa.select(REPLAYS).order_by(table.id.desc()).limit(limit)
        if meant.tenant_id is not None:
            query = query.where(table.tenant_uuid == to_uuid_text(meant.tenant_id))
        if meant.incident_id is not None:
            query = query.where(table.incident_id == meant.incident_id)
        if meant.state is not None:
            query = query.where(table.state == meant.state)
        if before is not None:
            query = query.where(table.id < before)
        with self._database.read() as connection:
            return _stored(connection, connection.execute(query).all())

    def forget_content(self, now: datetime) -> int:
        """Empty the content that is not to be kept any longer; returns of how many replays."""
        table = REPLAYS.c
        with self._database.write() as connection:
            ids = list(
                connection.execute(
                    sa.select(table.replay_id).where(
                        table.keep_until <= now, table.content.is_not(None)
                    )
                ).scalars()
            )
            if ids:
                connection.execute(
                    sa.update(REPLAYS).where(table.replay_id.in_(ids)).values(content=None)
                )
                connection.execute(
                    sa.update(REPLAY_SAMPLES)
                    .where(REPLAY_SAMPLES.c.replay_id.in_(ids))
                    .values(content=None)
                )
        return len(ids)


def forget_replays(connection: sa.Connection, tenant_uuid: str) -> None:
    """Delete a tenant's replays."""
    table = REPLAYS.c
    ids = sa.select(table.replay_id).where(table.tenant_uuid == tenant_uuid)
    connection.execute(sa.delete(REPLAY_SAMPLES).where(REPLAY_SAMPLES.c.replay_id.in_(ids)))
    connection.execute(sa.delete(REPLAYS).where(table.tenant_uuid == tenant_uuid))


def _end(
    connection: sa.Connection,
    ids: Sequence[str],
    state: ReplayState,
    at: datetime,
    error_type: str | None,
) -> int:
    """End those that are under way; returns how many were."""
    table, samples = REPLAYS.c, REPLAY_SAMPLES.c
    is_meant = (table.replay_id.in_(ids), table.state == ReplayState.RUNNING)
    if state is ReplayState.FAILED:
        ended = list(connection.execute(sa.select(table.replay_id).where(*is_meant)).scalars())
        connection.execute(
            sa.update(REPLAY_SAMPLES)
            .where(samples.replay_id.in_(ended), samples.state == ReplayState.RUNNING)
            .values(state=ReplayState.FAILED, error_type=error_type)
        )
        settle_lost(connection, ended, at)
    changed = connection.execute(
        sa.update(REPLAYS)
        .where(*is_meant)
        .values(state=state, ended_at=at, due_at=None, error_type=error_type)
    )
    return changed.rowcount


def _stored(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[StoredReplay]:
    ids = [row.replay_id for row in rows]
    table = REPLAY_SAMPLES
    query = sa.select(table).where(table.c.replay_id.in_(ids)).order_by(table.c.number)
    samples: dict[str, list[sa.Row[Any]]] = {}
    for row in connection.execute(query):
        samples.setdefault(row.replay_id, []).append(row)
    spent = spent_by_sample(connection, ids)
    return [_replay(row, samples.get(row.replay_id, []), spent) for row in rows]


def _replay(
    row: sa.Row[Any], samples: Sequence[sa.Row[Any]], spent: Mapping[tuple[str, int], Spent]
) -> StoredReplay:
    levels = [Match(one.match_level) for one in samples if one.match_level is not None]
    return StoredReplay(
        row.id,
        Replay(
            replay_id=row.replay_id,
            tenant_id=row.tenant_id,
            incident_id=row.incident_id,
            call_id=row.call_id,
            model=row.model,
            is_model_changed=row.is_model_changed,
            policies=tuple(PolicyChoice(*pair) for pair in json.loads(row.policies)),
            num_samples=row.num_samples,
            state=ReplayState(row.state),
            asked_by=row.asked_by,
            started_at=row.started_at,
            ended_at=row.ended_at,
            error_type=row.error_type,
            samples=tuple(_sample(one, spent.get((one.replay_id, one.number))) for one in samples),
        ),
        max(levels, key=list(Match).index, default=None),
        row.content,
        {one.number: one.content for one in samples if one.content is not None},
    )


def _sample(row: sa.Row[Any], spent: Spent | None) -> Sample:
    sample = Sample(row.number, ReplayState(row.state), error_type=row.error_type)
    if spent is None:
        return sample
    return replace(
        sample,
        reserved_usd=spent.reserved_usd,
        spent_usd=spent.spent_usd,
        is_spending_certain=spent.is_certain,
    )
