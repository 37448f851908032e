"""Policies on their shelf: versions that never change, and who has which; rows are only added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.policy import DEFAULT, OFF, Assignment, StoredVersion
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import POLICY_ASSIGNMENTS, POLICY_VERSIONS

_MATTER = "policies"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody decides about a policy: for whom, which version, and why.

    Attributes:
        tenants: whom it is for; None for all who have no version of their own.
        version: a version, OFF, or for tenants DEFAULT: as all others have it.
        undoes: id of an earlier act that this takes back.
    """

    assignment_id: str
    policy_id: str
    tenants: tuple[str, ...] | None
    version: str
    at: datetime
    by: str
    reason: str
    undoes: str | None = None


class Policies:
    """Versions and assignments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_version(self, version: StoredVersion) -> bool:
        """Keep a version.

        Returns:
            Whether it is new; False when the same is there already.

        Raises:
            WrongState: another content is there under this name: a version never changes.
        """
        insert = self._database.insert(POLICY_VERSIONS).values(
            **{name: getattr(version, name) for name in StoredVersion.__dataclass_fields__}
        )
        with self._database.write() as connection:
            # By its key alone, so that two who add it at the same time both hear the truth.
            added = connection.execute(
                insert.on_conflict_do_nothing(index_elements=["policy_id", "version"]).returning(
                    POLICY_VERSIONS.c.id
                )
            )
            if added.first() is not None:
                return True
            there = _version(connection, version.policy_id, version.version)
        if there is None or there.digest != version.digest:
            raise WrongState(
                f"{version.policy_id} has a version {version.version} with other content; "
                "a version never changes, so give this one another name"
            )
        return False

    def versions(self, policy_id: str | None = None) -> list[StoredVersion]:
        """All versions, or those of one policy, in the order in which they came."""
        query = sa.select(POLICY_VERSIONS).order_by(POLICY_VERSIONS.c.id)
        if policy_id is not None:
            query = query.where(POLICY_VERSIONS.c.policy_id == policy_id)
        with self._database.read() as connection:
            return [_to_version(row) for row in connection.execute(query)]

    def assignments(
        self, policy_id: str | None = None, *, as_of: datetime | None = None
    ) -> list[Assignment]:
        """Every assignment, in the order in which they were made.

        Args:
            policy_id: of this policy alone.
            as_of: those up to a moment; None means now.
        """
        query = sa.select(POLICY_ASSIGNMENTS).order_by(POLICY_ASSIGNMENTS.c.id)
        if policy_id is not None:
            query = query.where(POLICY_ASSIGNMENTS.c.policy_id == policy_id)
        if as_of is not None:
            query = query.where(POLICY_ASSIGNMENTS.c.assigned_at <= as_of)
        with self._database.read() as connection:
            return [_to_assignment(row) for row in connection.execute(query)]

    def mark(self) -> tuple[int, int]:
        """Two numbers that differ after every change of assignments. Cheap to ask."""
        table = POLICY_ASSIGNMENTS.c
        query = sa.select(sa.func.coalesce(sa.func.max(table.id), 0), sa.func.count())
        with self._database.read() as connection:
            newest, num = connection.execute(query.select_from(POLICY_ASSIGNMENTS)).one()
            return newest, num

    def assign(self, act: Act) -> list[Assignment]:
        """Write down who has which version from now on, for all tenants of an act or for none.

        Returns:
            A row for each tenant, or the one for all others; ``previous`` says what held before.

        Raises:
            NotFound: there is no such policy, or no such version of it.
        """
        with self._database.write() as connection:
            # One at a time, so that row numbers follow one another in the order of the commits.
            self._database.take_turn(connection, _MATTER)
            return _assign(connection, act)

    def roll_back(self, act: Act) -> list[Assignment]:
        """Give everybody of an act the version that each of them had before the present one.

        Going back twice goes two versions back, and not back and forth.

        Args:
            act: its ``version`` is not read.

        Raises:
            WrongState: somebody had no version before; nothing was changed.
        """
        with self._database.write() as connection:
            self._database.take_turn(connection, _MATTER)
            made: list[Assignment] = []
            for tenant_id in (None,) if act.tenants is None else act.tenants:
                version = _before(connection, act.policy_id, tenant_id)
                tenants = None if tenant_id is None else (tenant_id,)
                made += _assign(connection, replace(act, tenants=tenants, version=version))
            return made

    def undo(
        self, act_id: str, *, new_id: str, at: datetime, by: str, reason: str
    ) -> list[Assignment]:
        """Take an act back: everybody it touched has again what was before it.

        Raises:
            NotFound: there is no such act.
            WrongState: for one of them something else was decided since, or it is undone already.
        """
        with self._database.write() as connection:
            self._database.take_turn(connection, _MATTER)
            query = sa.select(POLICY_ASSIGNMENTS).where(
                POLICY_ASSIGNMENTS.c.assignment_id == act_id
            )
            rows = [
                _to_assignment(row)
                for row in connection.execute(query.order_by(POLICY_ASSIGNMENTS.c.id))
            ]
            if not rows:
                raise NotFound("there is no such assignment")
            made: list[Assignment] = []
            for row in rows:
                now = _current(connection, row.policy_id, row.tenant_uuid)
                if now is None or now.number != row.number:
                    whom = "all others" if row.tenant_id is None else "one of its tenants"
                    raise WrongState(f"something else was decided since for {whom}")
            for row in rows:
                tenants = None if row.tenant_id is None else (row.tenant_id,)
                act = Act(new_id, row.policy_id, tenants, row.previous, at, by, reason, act_id)
                made += _assign(connection, act)
        return made


def effective(assignments: Iterable[Assignment]) -> dict[str, dict[str | None, Assignment]]:
    """What holds, from all assignments in their order: by policy, by UUID of the tenant.

    Under None stands what holds for all who have nothing of their own.
    """
    found: dict[str, dict[str | None, Assignment]] = {}
    for one in assignments:
        theirs = found.setdefault(one.policy_id, {})
        if one.version == DEFAULT and one.tenant_uuid is not None:
            theirs.pop(one.tenant_uuid, None)
        else:
            theirs[one.tenant_uuid] = one
    return found


def _assign(connection: sa.Connection, act: Act) -> list[Assignment]:
    if act.version not in (OFF, DEFAULT):
        if _version(connection, act.policy_id, act.version) is None:
            raise NotFound(f"{act.policy_id} has no version {act.version}")
    elif not _exists(connection, act.policy_id):
        raise NotFound(f"there is no policy {act.policy_id}")
    whom: Sequence[str | None] = (None,) if act.tenants is None else act.tenants
    by_uuid = {None if one is None else to_uuid_text(one): one for one in whom}
    made = []
    for tenant_uuid, tenant_id in by_uuid.items():
        before = _current(connection, act.policy_id, tenant_uuid)
        none_yet = OFF if tenant_uuid is None else DEFAULT
        version = OFF if tenant_uuid is None and act.version == DEFAULT else act.version
        row: dict[str, Any] = {
            "assignment_id": act.assignment_id,
            "policy_id": act.policy_id,
            "tenant_uuid": tenant_uuid,
            "tenant_id": tenant_id,
            "version": version,
            "previous": none_yet if before is None else before.version,
            "assigned_at": act.at,
            "assigned_by": act.by,
            "reason": act.reason,
            "undoes": act.undoes,
        }
        key = connection.execute(sa.insert(POLICY_ASSIGNMENTS), row).inserted_primary_key
        assert key is not None
        made.append(Assignment(number=key[0], **row))
    return made


def _before(connection: sa.Connection, policy_id: str, tenant_id: str | None) -> str:
    """The version that somebody had before the present one."""
    table = POLICY_ASSIGNMENTS.c
    uuid = None if tenant_id is None else to_uuid_text(tenant_id)
    query = (
        sa.select(table.version)
        .where(table.policy_id == policy_id, table.tenant_uuid.is_not_distinct_from(uuid))
        .order_by(table.id)
    )
    way: list[str] = []
    for version in connection.execute(query).scalars():
        if version in way:  # somebody went back to it: what came between is over
            del way[way.index(version) + 1 :]
        else:
            way.append(version)
    if len(way) < 2:
        raise WrongState(f"{tenant_id or 'the default'} had no version of {policy_id} before")
    return way[-2]


def _current(
    connection: sa.Connection, policy_id: str, tenant_uuid: str | None
) -> Assignment | None:
    table = POLICY_ASSIGNMENTS.c
    query = (
        sa.select(POLICY_ASSIGNMENTS)
        .where(table.policy_id == policy_id, table.tenant_uuid.is_not_distinct_from(tenant_uuid))
        .order_by(table.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else _to_assignment(row)


def _exists(connection: sa.Connection, policy_id: str) -> bool:
    query = sa.select(POLICY_VERSIONS.c.id).where(POLICY_VERSIONS.c.policy_id == policy_id)
    return connection.execute(query.limit(1)).first() is not None


def _version(connection: sa.Connection, policy_id: str, version: str) -> StoredVersion | None:
    table = POLICY_VERSIONS
    query = sa.select(table).where(table.c.policy_id == policy_id, table.c.version == version)
    row = connection.execute(query).first()
    return None if row is None else _to_version(row)


def _to_version(row: sa.Row[Any]) -> StoredVersion:
    return StoredVersion(**{name: getattr(row, name) for name in _VERSION_FIELDS})


def _to_assignment(row: sa.Row[Any]) -> Assignment:
    return Assignment(number=row.id, **{name: getattr(row, name) for name in _ASSIGNMENT_FIELDS})


_VERSION_FIELDS = tuple(StoredVersion.__dataclass_fields__)
_ASSIGNMENT_FIELDS = tuple(name for name in Assignment.__dataclass_fields__ if name != "number")
