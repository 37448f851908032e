"""Policy-only replays and their results, a row for each tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.replay import PolicyReplay, ReplayState, TenantDifference
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import ERASURES, POLICY_REPLAY_TENANTS, POLICY_REPLAYS

LOST = "interrupted"


class PolicyReplays:
    """Policy-only replays of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, one: PolicyReplay, *, due_at: datetime, running_max: int) -> None:
        """Write a run down before anything of it is done.

        Args:
            due_at: when it has ended, or its process is dead.

        Raises:
            WrongState: too many are under way.
        """
        table = POLICY_REPLAYS.c
        is_running = sa.select(sa.func.count()).where(table.state == ReplayState.RUNNING)
        named = None if one.tenant_ids is None else json.dumps(one.tenant_ids)
        with self._database.write() as connection:
            self._database.take_turn(connection, "policy replays")
            if int(connection.scalar(is_running) or 0) >= running_max:
                raise WrongState(f"{running_max} policy replays are under way, which is the most")
            connection.execute(
                sa.insert(POLICY_REPLAYS).values(
                    policy_replay_id=one.policy_replay_id,
                    policy_id=one.policy_id,
                    version_before=one.before,
                    version_after=one.after,
                    start=one.start,
                    as_of=one.as_of,
                    tenant_ids=named,
                    state=ReplayState.RUNNING,
                    asked_by=one.asked_by,
                    started_at=one.started_at,
                    due_at=due_at,
                    num_done=0,
                )
            )

    def tell(self, policy_replay_id: str, num_done: int) -> bool:
        """Say how far a run is; False when it is not under way any more."""
        table = POLICY_REPLAYS.c
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(POLICY_REPLAYS)
                .where(
                    table.policy_replay_id == policy_replay_id,
                    table.state == ReplayState.RUNNING,
                )
                .values(num_done=num_done)
            )
        return changed.rowcount == 1

    def end(
        self,
        policy_replay_id: str,
        at: datetime,
        *,
        num_done: int,
        tenants: Sequence[TenantDifference] = (),
        digest: str | None = None,
        error_type: str | None = None,
    ) -> bool:
        """End a run with its result, or with what went wrong.

        Returns:
            False when it had ended already; nothing changes then.
        """
        table = POLICY_REPLAYS.c
        state = ReplayState.DONE if error_type is None else ReplayState.FAILED
        with self._database.write() as connection:
            self._database.take_turn(connection, "policy replays")
            started_at = connection.scalar(
                sa.select(table.started_at).where(
                    table.policy_replay_id == policy_replay_id,
                    table.state == ReplayState.RUNNING,
                )
            )
            if started_at is None:
                return False
            connection.execute(
                sa.update(POLICY_REPLAYS)
                .where(table.policy_replay_id == policy_replay_id)
                .values(
                    state=state,
                    ended_at=at,
                    due_at=None,
                    num_done=num_done,
                    digest=digest,
                    error_type=error_type,
                )
            )
            # Who was erased while it ran stays away.
            erased = set(
                connection.execute(
                    sa.select(ERASURES.c.tenant_uuid).where(ERASURES.c.erased_at >= started_at)
                ).scalars()
            )
            rows = [
                {
                    "policy_replay_id": policy_replay_id,
                    "tenant_uuid": to_uuid_text(one.tenant_id),
                    "tenant_id": one.tenant_id,
                    "difference": json.dumps(asdict(one)),
                }
                for one in tenants
            ]
            rows = [row for row in rows if row["tenant_uuid"] not in erased]
            if rows:
                connection.execute(sa.insert(POLICY_REPLAY_TENANTS), rows)
        return True

    def lapse(self, now: datetime) -> list[str]:
        """End the runs whose process is gone; returns their ids."""
        table = POLICY_REPLAYS.c
        query = sa.select(table.policy_replay_id).where(table.due_at <= now)
        with self._database.read() as connection:
            ids = list(connection.execute(query).scalars())
        return [
            one
            for one in ids
            if self.end(one, now, num_done=self.get(one).num_done, error_type=LOST)
        ]

    def get(self, policy_replay_id: str) -> PolicyReplay:
        """One run with its result so far.

        Raises:
            NotFound: there is none with this id.
        """
        query = sa.select(POLICY_REPLAYS).where(
            POLICY_REPLAYS.c.policy_replay_id == policy_replay_id
        )
        theirs = POLICY_REPLAY_TENANTS.c
        results = (
            sa.select(theirs.difference)
            .where(theirs.policy_replay_id == policy_replay_id)
            .order_by(theirs.tenant_id)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise NotFound("there is no such policy replay")
            return _policy_replay(row, list(connection.execute(results).scalars()))

    def list_newest(
        self, *, before: int | None = None, limit: int = 100
    ) -> list[tuple[int, PolicyReplay]]:
        """A page with row numbers, newest first, without results; empty at the end."""
        table = POLICY_REPLAYS.c
        query = sa.select(POLICY_REPLAYS).order_by(table.id.desc()).limit(limit)
        if before is not None:
            query = query.where(table.id < before)
        with self._database.read() as connection:
            return [(row.id, _policy_replay(row, [])) for row in connection.execute(query)]


def forget_differences(connection: sa.Connection, tenant_uuid: str) -> None:
    """Take a tenant out of every result, and out of what was asked for."""
    theirs, table = POLICY_REPLAY_TENANTS.c, POLICY_REPLAYS.c
    connection.execute(sa.delete(POLICY_REPLAY_TENANTS).where(theirs.tenant_uuid == tenant_uuid))
    query = sa.select(table.id, table.tenant_ids).where(table.tenant_ids.is_not(None))
    for row in connection.execute(query).all():
        named = json.loads(row.tenant_ids)
        left = [one for one in named if to_uuid_text(one) != tenant_uuid]
        if len(left) < len(named):
            connection.execute(
                sa.update(POLICY_REPLAYS)
                .where(table.id == row.id)
                .values(tenant_ids=json.dumps(left))
            )


def _policy_replay(row: sa.Row[Any], differences: Sequence[str]) -> PolicyReplay:
    return PolicyReplay(
        policy_replay_id=row.policy_replay_id,
        policy_id=row.policy_id,
        before=row.version_before,
        after=row.version_after,
        start=row.start,
        as_of=row.as_of,
        tenant_ids=None if row.tenant_ids is None else tuple(json.loads(row.tenant_ids)),
        state=ReplayState(row.state),
        asked_by=row.asked_by,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error_type=row.error_type,
        num_done=row.num_done,
        digest=row.digest,
        tenants=tuple(_difference(one) for one in differences),
    )


def _difference(text: str) -> TenantDifference:
    fields = json.loads(text)
    for name in ("newly_blocked", "let_through"):
        fields[name] = tuple(fields[name])
    return TenantDifference(**fields)
