"""Who is frozen: tenants and keys whose calls to models are stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import FREEZES


@dataclass(frozen=True, slots=True)
class Freeze:
    """A stop of all calls of one tenant or one key.

    Attributes:
        tenant_uuid, tenant_id: the tenant that is stopped; None when a key is.
        key_id: the key that is stopped; None when a tenant is.
        lifted_at: when it ended; None while it holds.
    """

    freeze_id: str
    tenant_uuid: str | None
    tenant_id: str | None
    key_id: str | None
    reason: str
    frozen_at: datetime
    frozen_by: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None


class Freezes:
    """Freezes are added and lifted; none is ever removed but with its tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, freeze: Freeze) -> None:
        """Stop somebody; durable when this returns."""
        with self._database.write() as connection:
            connection.execute(sa.insert(FREEZES), asdict(freeze))

    def lift(self, freeze_id: str, at: datetime, by: str, reason: str | None) -> Freeze:
        """End a freeze.

        Raises:
            NotFound: there is no such freeze.
            WrongState: it was lifted already.
        """
        mine = FREEZES.c.freeze_id == freeze_id
        change = (
            sa.update(FREEZES)
            .where(mine, FREEZES.c.lifted_at.is_(None))
            .values(lifted_at=at, lifted_by=by, lift_reason=reason)
        )
        with self._database.write() as connection:
            changed = connection.execute(change).rowcount
            row = connection.execute(sa.select(FREEZES).where(mine)).first()
        if row is None:
            raise NotFound("there is no such freeze")
        if not changed:
            raise WrongState("this freeze was lifted already")
        return _freeze(row)

    def list(self, *, is_active_only: bool = False) -> list[Freeze]:
        """All freezes, newest first."""
        query = sa.select(FREEZES).order_by(FREEZES.c.frozen_at.desc(), FREEZES.c.freeze_id)
        if is_active_only:
            query = query.where(FREEZES.c.lifted_at.is_(None))
        with self._database.read() as connection:
            return [_freeze(row) for row in connection.execute(query)]


def _freeze(row: sa.Row[tuple[object, ...]]) -> Freeze:
    return Freeze(**dict(row._mapping))
