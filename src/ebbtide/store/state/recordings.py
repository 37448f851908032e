"""Recorded calls as sealed bytes, and for whom calls are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import TimeWindow
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import ERASURES, RECORDED_CALLS, RECORDING_CHOICES

PAGE = 2_000
FORGET_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class RecordingChoice:
    """Whether the calls of a tenant are recorded, and for how many days they are kept."""

    tenant_uuid: str
    tenant_id: str
    is_on: bool
    retention_days: int
    changed_at: datetime
    changed_by: str


class SealedCall(NamedTuple):
    """A recorded call that nobody can read without its key."""

    tenant_uuid: str
    call_id: str
    at: datetime
    policies: str
    key_id: str
    sealed: bytes


class Recordings:
    """Sealed calls by tenant and call, and the choices of tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def choose(self, choice: RecordingChoice) -> None:
        """Add what somebody said; it holds from now on."""
        with self._database.write() as connection:
            connection.execute(sa.insert(RECORDING_CHOICES), asdict(choice))

    def choices(self) -> dict[str, RecordingChoice]:
        """What holds for each tenant that anything was ever said of, by its UUID."""
        query = sa.select(RECORDING_CHOICES).order_by(RECORDING_CHOICES.c.id)
        with self._database.read() as connection:
            return {row.tenant_uuid: _choice(row) for row in connection.execute(query)}

    def choice(self, tenant_uuid: str) -> RecordingChoice | None:
        """What holds for a tenant; None when nothing was ever said."""
        table = RECORDING_CHOICES
        query = (
            sa.select(table)
            .where(table.c.tenant_uuid == tenant_uuid)
            .order_by(table.c.id.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _choice(row)

    def add(self, calls: Sequence[SealedCall]) -> int:
        """Keep calls; one that is there already stays as it is, and an erased past stays away.

        Returns:
            How many are new.
        """
        if not calls:
            return 0
        insert = self._database.insert(RECORDED_CALLS).on_conflict_do_nothing()
        insert = insert.returning(RECORDED_CALLS.c.call_id)
        with self._database.write() as connection:
            tenants = {one.tenant_uuid for one in calls}
            erased = {
                row.tenant_uuid: row.erased_at
                for row in connection.execute(
                    sa.select(ERASURES).where(ERASURES.c.tenant_uuid.in_(tenants))
                )
            }
            num = 0
            for one in calls:
                erased_at = erased.get(one.tenant_uuid)
                if erased_at is None or one.at > erased_at:
                    num += connection.execute(insert, one._asdict()).first() is not None
        return num

    def get(self, call_id: str, tenant_id: str | None = None) -> SealedCall | None:
        """A recorded call; None when there is none.

        Args:
            tenant_id: whose it has to be, in any spelling; None takes anybody's, the newest.
        """
        table = RECORDED_CALLS
        query = sa.select(table).where(table.c.call_id == call_id).order_by(table.c.at.desc())
        if tenant_id is not None:
            query = query.where(table.c.tenant_uuid == to_uuid_text(tenant_id))
        with self._database.read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else SealedCall(*row)

    def within(
        self,
        window: TimeWindow,
        *,
        tenant_id: str | None = None,
        policy_id: str | None = None,
    ) -> Iterator[list[SealedCall]]:
        """Calls in ``(start, as_of]``, oldest first, some at a time.

        Args:
            tenant_id: whose, in any spelling; None for everybody's.
            policy_id: only calls that this policy looked at.
        """
        table = RECORDED_CALLS
        query = (
            sa.select(table)
            .where(*_conditions(window, tenant_id, policy_id))
            .order_by(table.c.at, table.c.tenant_uuid, table.c.call_id)
            .limit(PAGE)
        )
        after = None
        while True:
            page = query if after is None else query.where(after)
            with self._database.read() as connection:
                found = [SealedCall(*row) for row in connection.execute(page)]
            if found:
                yield found
            if len(found) < PAGE:
                return
            last = found[-1]
            after = sa.tuple_(table.c.at, table.c.tenant_uuid, table.c.call_id) > sa.tuple_(
                sa.literal(last.at, table.c.at.type), last.tenant_uuid, last.call_id
            )

    def count(
        self,
        window: TimeWindow,
        *,
        tenant_id: str | None = None,
        policy_id: str | None = None,
    ) -> int:
        """How many calls :meth:`within` gives."""
        query = sa.select(sa.func.count()).where(*_conditions(window, tenant_id, policy_id))
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def tenants(self) -> list[str]:
        """The UUIDs of tenants of whom something is recorded."""
        query = sa.select(RECORDED_CALLS.c.tenant_uuid).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(query).scalars())

    def forget(self, tenant_uuid: str, before: datetime | None = None) -> int:
        """Remove calls of a tenant, some in a transaction; returns how many.

        Args:
            before: only those from before this moment; None removes all.
        """
        table = RECORDED_CALLS
        mine = [table.c.tenant_uuid == tenant_uuid]
        if before is not None:
            mine.append(table.c.at < before)
        some = sa.select(table.c.call_id).where(*mine).limit(FORGET_PAGE)
        num = 0
        while True:
            with self._database.write() as connection:
                ids = list(connection.execute(some).scalars())
                gone = sa.delete(table).where(*mine, table.c.call_id.in_(ids))
                num += connection.execute(gone).rowcount
            if len(ids) < FORGET_PAGE:
                break
        if num:
            self._database.forget_traces()
        return num


def recorded_policies(policy_ids: Iterable[str]) -> str:
    """Policies as ``|ONE|OTHER|``, so that each can be looked for."""
    return "".join(f"|{one}" for one in sorted(set(policy_ids))) + "|"


def forget_recordings(connection: sa.Connection, tenant_uuid: str) -> None:
    """Remove all calls of a tenant that is erased, and what was said about recording them."""
    for table in (RECORDED_CALLS, RECORDING_CHOICES):
        connection.execute(sa.delete(table).where(table.c.tenant_uuid == tenant_uuid))


def _conditions(
    window: TimeWindow, tenant_id: str | None, policy_id: str | None
) -> list[sa.ColumnElement[bool]]:
    table = RECORDED_CALLS
    conditions = [table.c.at > window.start, table.c.at <= window.as_of]
    if tenant_id is not None:
        conditions.append(table.c.tenant_uuid == to_uuid_text(tenant_id))
    if policy_id is not None:
        conditions.append(table.c.policies.contains(f"|{policy_id}|", autoescape=True))
    return conditions


def _choice(row: sa.Row[tuple[object, ...]]) -> RecordingChoice:
    return RecordingChoice(**{name: row._mapping[name] for name in _CHOICE_FIELDS})


_CHOICE_FIELDS = tuple(RecordingChoice.__dataclass_fields__)
