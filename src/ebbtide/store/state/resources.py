"""Resources on their shelf: samples, crossed lines, what was expected, and how probes fare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.resource import (
    Edge,
    EdgeKind,
    Origin,
    ProbeState,
    ResourceSample,
    StoredProjection,
)
from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import (
    RESOURCE_EDGES,
    RESOURCE_PROBES,
    RESOURCE_PROJECTIONS,
    RESOURCE_SAMPLES,
    RESOURCES,
)

_BATCH = 500  # rows of one statement; engines bound the number of parameters


class Resources:
    """Every resource that was ever sampled."""

    def __init__(self, database: Database, known_at: datetime | None = None) -> None:
        self._database = database
        self._known_at = known_at

    def as_known(self, known_at: datetime | None) -> Resources:
        """The same shelf without the samples that came after a moment; None means all of them."""
        return Resources(self._database, known_at)

    def _known(self, samples: sa.FromClause) -> sa.ColumnElement[bool]:
        if self._known_at is None:
            return sa.true()
        came_at = sa.func.coalesce(
            samples.c.received_at, samples.c.at, type_=RESOURCE_SAMPLES.c.at.type
        )
        return came_at <= self._known_at

    def add(self, samples: Sequence[ResourceSample]) -> int:
        """Keep samples; returns how many are new.

        A resource has one sample at a moment, the first that came: a repeat changes nothing.
        """
        with self._database.write() as connection:
            return self.write_samples(connection, samples)

    def write_samples(self, transaction: Transaction, samples: Sequence[ResourceSample]) -> int:
        """As :meth:`add`, inside a transaction of the caller."""
        num = 0
        rows = [_sample_row(one) for one in samples]
        for start in range(0, len(rows), _BATCH):
            insert = self._database.insert(RESOURCE_SAMPLES).values(rows[start : start + _BATCH])
            new = insert.on_conflict_do_nothing().returning(RESOURCE_SAMPLES.c.at)
            num += len(transaction.execute(new).all())
        newest: dict[str, dict[str, Any]] = {}
        for row in ({k: v for k, v in one.items() if k != "received_at"} for one in rows):
            known = newest.get(row["resource"])
            if known is None or row["at"] > known["at"]:
                newest[row["resource"]] = row
        for row in newest.values():
            insert = self._database.insert(RESOURCES).values(row)
            transaction.execute(
                insert.on_conflict_do_update(
                    index_elements=[RESOURCES.c.resource],
                    set_={name: insert.excluded[name] for name in row if name != "resource"},
                    where=insert.excluded.at > RESOURCES.c.at,
                )
            )
        return num

    def newest(self) -> list[ResourceSample]:
        """The newest sample of each resource, by name."""
        with self._database.read() as connection:
            query = sa.select(RESOURCES).order_by(RESOURCES.c.resource)
            return [_sample(row) for row in connection.execute(query)]

    def newest_at(self, as_of: datetime) -> list[ResourceSample]:
        """The newest sample of each resource at or before a moment, by name."""
        samples = RESOURCE_SAMPLES.alias("samples")
        last = (
            sa.select(sa.func.max(samples.c.at))
            .where(
                samples.c.resource == RESOURCES.c.resource,
                samples.c.at <= as_of,
                self._known(samples),
            )
            .scalar_subquery()
        )
        query = (
            sa.select(RESOURCE_SAMPLES)
            .join(RESOURCES, RESOURCES.c.resource == RESOURCE_SAMPLES.c.resource)
            .where(RESOURCE_SAMPLES.c.at == last)
            .order_by(RESOURCE_SAMPLES.c.resource)
        )
        with self._database.read() as connection:
            return [_sample(row) for row in connection.execute(query)]

    def num_resources(self) -> int:
        """How many there are."""
        with self._database.read() as connection:
            query = sa.select(sa.func.count()).select_from(RESOURCES)
            return int(connection.scalar(query) or 0)

    def _within(
        self, table: sa.Table, resource: str, since: datetime, as_of: datetime
    ) -> tuple[sa.ColumnElement[bool], ...]:
        here = (table.c.resource == resource, table.c.at > since, table.c.at <= as_of)
        return (*here, self._known(table))

    def window(self, resource: str, since: datetime, as_of: datetime) -> list[ResourceSample]:
        """Samples in ``(since, as_of]``, oldest first."""
        table = RESOURCE_SAMPLES
        query = (
            sa.select(table)
            .where(*self._within(table, resource, since, as_of))
            .order_by(table.c.at)
        )
        with self._database.read() as connection:
            return [_sample(row) for row in connection.execute(query)]

    def hourly_peaks(
        self, resource: str, since: datetime, as_of: datetime
    ) -> list[tuple[datetime, float]]:
        """The highest use in each hour that has samples in ``(since, as_of]``, oldest first.

        Returns:
            The moment of the hour's last sample, and its highest use.
        """
        table = RESOURCE_SAMPLES
        # What cuts an instant to its hour differs; text on SQLite begins with date and hour.
        hour = (
            sa.func.date_trunc("hour", table.c.at)
            if self._database.engine.dialect.name == "postgresql"
            else sa.func.substr(sa.cast(table.c.at, sa.Text), 1, 13)
        )
        last = sa.func.max(table.c.at, type_=table.c.at.type)
        query = (
            sa.select(last, sa.func.max(table.c.used))
            .where(*self._within(table, resource, since, as_of))
            .group_by(hour)
            .order_by(last)
        )
        with self._database.read() as connection:
            return [(at, used) for at, used in connection.execute(query)]

    def values(
        self, resource: str, since: datetime, as_of: datetime
    ) -> list[tuple[datetime, float]]:
        """Moments and values of the samples in ``(since, as_of]``, oldest first."""
        table = RESOURCE_SAMPLES
        query = (
            sa.select(table.c.at, table.c.used)
            .where(*self._within(table, resource, since, as_of))
            .order_by(table.c.at)
        )
        with self._database.read() as connection:
            return [(at, used) for at, used in connection.execute(query)]

    def first_at(self, resource: str, since: datetime) -> datetime | None:
        """When the first sample after a moment was taken; None without any."""
        table = RESOURCE_SAMPLES
        first = sa.func.min(table.c.at, type_=table.c.at.type)
        with self._database.read() as connection:
            found: datetime | None = connection.scalar(
                sa.select(first).where(
                    table.c.resource == resource, table.c.at > since, self._known(table)
                )
            )
        return found

    def edges(self, resource: str, as_of: datetime) -> list[Edge]:
        """Lines that a resource crossed up to a moment, oldest first."""
        table = RESOURCE_EDGES
        query = (
            sa.select(table)
            .where(table.c.resource == resource, table.c.at <= as_of)
            .order_by(table.c.at)
        )
        with self._database.read() as connection:
            return [_edge(row) for row in connection.execute(query)]

    def edges_by_resource(self, as_of: datetime) -> dict[str, list[Edge]]:
        """As :meth:`edges`, of every resource that has any."""
        table = RESOURCE_EDGES
        query = sa.select(table).where(table.c.at <= as_of).order_by(table.c.at)
        found: dict[str, list[Edge]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.resource, []).append(_edge(row))
        return found

    def daily_projections(
        self, since: datetime, as_of: datetime
    ) -> dict[str, list[StoredProjection]]:
        """What was said first on each day in ``(since, as_of]``, oldest first, by resource."""
        table = RESOURCE_PROJECTIONS
        query = (
            sa.select(table)
            .where(table.c.as_of > since, table.c.as_of <= as_of, table.c.is_first_of_day)
            .order_by(table.c.resource, table.c.as_of)
        )
        found: dict[str, list[StoredProjection]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.resource, []).append(_projection(row))
        return found

    def newest_projection(self, resource: str, as_of: datetime) -> StoredProjection | None:
        """What was said of a resource last, at or before a moment; None when nothing was."""
        table = RESOURCE_PROJECTIONS
        query = (
            sa.select(table)
            .where(table.c.resource == resource, table.c.as_of <= as_of)
            .order_by(table.c.as_of.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _projection(row)

    def peak(self, resource: str, since: datetime, as_of: datetime) -> ResourceSample | None:
        """The fullest sample in ``(since, as_of]``, the newest of equals; None without any."""
        table = RESOURCE_SAMPLES
        fill = sa.case((table.c.limit_value > 0, table.c.used / table.c.limit_value), else_=0.0)
        query = (
            sa.select(table)
            .where(*self._within(table, resource, since, as_of))
            .order_by(fill.desc(), table.c.used.desc(), table.c.at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _sample(row)

    def probes(self) -> dict[str, ProbeState]:
        """How the newest look of each probe went, by its name."""
        with self._database.read() as connection:
            query = sa.select(RESOURCE_PROBES).order_by(RESOURCE_PROBES.c.probe)
            return {row.probe: ProbeState(**row._mapping) for row in connection.execute(query)}

    def record(
        self,
        transaction: Transaction,
        edges: Iterable[Edge],
        projections: Iterable[StoredProjection],
        probes: Iterable[ProbeState],
        *,
        forget_before: datetime | None = None,
    ) -> None:
        """Keep what a run found, inside a transaction of the caller; a repeat changes nothing.

        Args:
            forget_before: samples and projections of the projected resources from before this
                moment go; None keeps all.
        """
        projections = list(projections)
        for one in projections if forget_before is not None else ():
            for table, moment in (
                (RESOURCE_SAMPLES, RESOURCE_SAMPLES.c.at),
                (RESOURCE_PROJECTIONS, RESOURCE_PROJECTIONS.c.as_of),
            ):
                old = sa.and_(table.c.resource == one.resource, moment < forget_before)
                transaction.execute(sa.delete(table).where(old))
        for edge in edges:
            insert = self._database.insert(RESOURCE_EDGES).values(_as_row(asdict(edge)))
            transaction.execute(insert.on_conflict_do_nothing())
        for one in projections:
            insert = self._database.insert(RESOURCE_PROJECTIONS).values(_as_row(asdict(one)))
            transaction.execute(insert.on_conflict_do_nothing())
        for probe in probes:
            row = asdict(probe)
            insert = self._database.insert(RESOURCE_PROBES).values(row)
            transaction.execute(
                insert.on_conflict_do_update(
                    index_elements=[RESOURCE_PROBES.c.probe],
                    set_={name: insert.excluded[name] for name in row if name != "probe"},
                    where=insert.excluded.checked_at >= RESOURCE_PROBES.c.checked_at,
                )
            )


def _as_row(fields: dict[str, Any]) -> dict[str, Any]:
    fields["limit_value"] = fields.pop("limit")
    return fields


def _sample_row(sample: ResourceSample) -> dict[str, Any]:
    return {
        "resource": sample.resource,
        "at": sample.at,
        "used": sample.used,
        "limit_value": sample.limit,
        "unit": sample.unit,
        "origin": sample.origin.value,
        "received_at": sample.received_at,
    }


def _sample(row: sa.Row[Any]) -> ResourceSample:
    # When it came decides what is read, and says nothing about the resource.
    return ResourceSample(
        row.resource, row.at, row.used, row.limit_value, row.unit, Origin(row.origin)
    )


def _edge(row: sa.Row[Any]) -> Edge:
    return Edge(row.resource, row.at, EdgeKind(row.kind), row.used, row.limit_value)


def _projection(row: sa.Row[Any]) -> StoredProjection:
    named = {name: value for name, value in row._mapping.items() if name != "limit_value"}
    return StoredProjection(**named, limit=row.limit_value)
