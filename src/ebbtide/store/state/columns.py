"""Column types that mean the same on SQLite and PostgreSQL: instants, ids and sortable text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


class Instant(sa.types.TypeDecorator[datetime]):
    """A moment in UTC with microseconds.

    PostgreSQL has a type for it; SQLite keeps sortable text in UTC, and the zone is put back
    when it is read.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The engine's own type."""
        has_zone = dialect.name == "postgresql"
        return dialect.type_descriptor(sa.DateTime(timezone=has_zone))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Write a moment; one without a zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the state store takes moments with a time zone only")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Read a moment, always in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)


#: Text that sorts by code point on both engines, whatever the server's locale.
SortableText = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

#: An ascending row number; SQLite counts by itself only in a plain INTEGER key.
RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
