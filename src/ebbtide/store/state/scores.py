"""Facts, scores and segments on their shelf: how far they have come, and all that was found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ebbtide.store.state.columns import Instant
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import (
    CUSTOMER_SEGMENTS,
    FACTS_HEAD,
    JOB_RUNS,
    SCORES,
    SEGMENTS_VIEW,
    TENANT_CALLS,
    TENANT_FACTS,
)

MATTER = "facts"
_encode, _decode = msgspec.json.encode, msgspec.json.decode
_UUIDS_PER_QUERY = 10_000  # below the number of parameters that either engine takes

#: Columns of ``customer_segments`` in order; a segment is a tuple of such values.
SEGMENT_COLUMNS: tuple[str, ...] = tuple(column.name for column in CUSTOMER_SEGMENTS.c)


@dataclass(frozen=True, slots=True)
class FactsHead:
    """How far the stored facts have come.

    ``token`` grows with every change of them, erasures included. ``changes_since`` is what the
    event store is asked from next. ``definitions`` names the metrics and rules that were used.
    ``as_of`` is None before the first run.
    """

    token: int = 0
    as_of: datetime | None = None
    changes_since: int | None = None
    definitions: str | None = None
    run_id: int | None = None
    computed_at: datetime | None = None  # when that run began


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """The facts of one tenant as text, with what is needed to bring them forward.

    ``newest`` is JSON too: event types whose newest event is newer than the facts say.
    ``due_at``: the next moment at which time alone changes a score. ``unsettled_until``: it has
    events after the head's moment, up to this one. ``keys``: formula id -> inputs hash of its
    newest score row.
    """

    tenant_uuid: str
    tenant_id: str
    facts: str
    due_at: datetime | None
    unsettled_until: datetime | None
    keys: Mapping[str, str]
    newest: str = "{}"


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One result that differed from the one before it; texts are JSON with exact numbers.

    ``known_at`` is None where everything counted that was stored when it was computed.
    """

    tenant_uuid: str
    formula: str
    as_of: datetime
    inputs_hash: str
    known_at: datetime | None
    computed_at: datetime
    inputs: str
    result: str


@dataclass(slots=True)
class Advance:
    """Everything that one run changes, written together.

    ``segments`` are tuples in the order of :data:`SEGMENT_COLUMNS`. ``calls`` are (tenant_uuid,
    last_api_call, last_event_at, newest): of most tenants nothing else is different at a run.
    """

    as_of: datetime
    changes_since: int
    definitions: str
    run_id: int | None
    is_full: bool = False  # what is not named here is gone
    facts: list[StoredFacts] = field(default_factory=list)
    scores: list[ScoreRow] = field(default_factory=list)
    segments: list[tuple[Any, ...]] = field(default_factory=list)
    calls: list[tuple[str, datetime | None, datetime, str]] = field(default_factory=list)


class Scores:
    """What was computed about every tenant, now and at every earlier run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = _Statements(database)

    # -- what is current -----------------------------------------------------------------------

    def head(self, connection: sa.Connection | None = None) -> FactsHead:
        """How far the stored facts have come.

        Args:
            connection: a transaction to read in; None makes one.
        """
        with self._reading(connection) as reading:
            return _head(reading)

    def facts(self, connection: sa.Connection | None = None) -> tuple[FactsHead, list[StoredFacts]]:
        """All facts and the head that they belong to, seen at one moment, by tenant id.

        Returns:
            No facts before the first run.
        """
        with self._reading(connection) as reading:
            head = _head(reading)
            joined = TENANT_FACTS.outerjoin(
                TENANT_CALLS, TENANT_CALLS.c.tenant_uuid == TENANT_FACTS.c.tenant_uuid
            )
            rows = reading.execute(
                sa.select(TENANT_FACTS, TENANT_CALLS.c.newest)
                .select_from(joined)
                .order_by(TENANT_FACTS.c.tenant_id)
            )
            found = [
                StoredFacts(
                    row.tenant_uuid,
                    row.tenant_id,
                    row.facts,
                    row.due_at,
                    row.unsettled_until,
                    _decode(row.keys),
                    row.newest or "{}",
                )
                for row in rows
            ]
        return head, found

    def segments(self, tenant_uuids: Collection[str] | None = None) -> list[sa.RowMapping]:
        """Rows of ``ops_customer_segments`` by tenant id.

        Args:
            tenant_uuids: only these; None: all.
        """
        query = sa.select(SEGMENTS_VIEW).order_by(SEGMENTS_VIEW.c.tenant_id)
        if tenant_uuids is not None:
            wanted = sorted(tenant_uuids)[:_UUIDS_PER_QUERY]
            query = query.where(SEGMENTS_VIEW.c.tenant_uuid.in_(wanted))
        with self._database.read() as connection:
            return list(connection.execute(query).mappings())

    def silent(self, connection: sa.Connection | None = None) -> set[str]:
        """UUIDs of tenants that are silent now."""
        query = sa.select(CUSTOMER_SEGMENTS.c.tenant_uuid).where(
            CUSTOMER_SEGMENTS.c.is_silent_churn.is_(True)
        )
        with self._reading(connection) as reading:
            return set(reading.scalars(query))

    def take_turn(self, connection: sa.Connection) -> FactsHead:
        """Wait until nobody else changes facts, until this transaction ends; return their head."""
        self._database.take_turn(connection, MATTER)
        return _head(connection)

    def advance(self, connection: sa.Connection, step: Advance) -> FactsHead:
        """Write what one run changed; the caller has taken its turn.

        Returns:
            The new head.
        """
        if step.is_full:
            kept = {one.tenant_uuid for one in step.facts}
            for table in (TENANT_FACTS, TENANT_CALLS, CUSTOMER_SEGMENTS):
                there = set(connection.scalars(sa.select(table.c.tenant_uuid)))
                for part in _parts(sorted(there - kept)):
                    connection.execute(sa.delete(table).where(table.c.tenant_uuid.in_(part)))
        write = self._statements
        write.run(
            connection,
            write.facts,
            [
                (
                    one.tenant_uuid,
                    one.tenant_id,
                    one.facts,
                    write.instant(one.due_at),
                    write.instant(one.unsettled_until),
                    _encode(one.keys).decode(),
                )
                for one in step.facts
            ],
        )
        self.add(connection, step.scores)
        write.run(connection, write.segments, [write.segment(one) for one in step.segments])
        write.run(
            connection,
            write.calls,
            [
                (uuid, write.instant(call_at), write.instant(event_at), newest)
                for uuid, call_at, event_at, newest in step.calls
            ],
        )
        _move_head(self._database, connection, step)
        return _head(connection)

    # -- everything that ever was --------------------------------------------------------------

    def add(self, connection: sa.Connection, rows: Iterable[ScoreRow]) -> None:
        """Add results; one that is there already stays as it is."""
        write = self._statements
        write.run(
            connection,
            write.scores,
            [
                (
                    row.tenant_uuid,
                    row.formula,
                    write.instant(row.as_of),
                    row.inputs_hash,
                    write.instant(row.known_at),
                    write.instant(row.computed_at),
                    row.inputs,
                    row.result,
                )
                for row in rows
            ],
        )

    def newest_keys(
        self, as_of: datetime, connection: sa.Connection | None = None
    ) -> dict[str, dict[str, str]]:
        """Tenant UUID -> formula id -> inputs hash of the newest result up to a moment."""
        newest = (
            sa.select(
                SCORES.c.tenant_uuid,
                SCORES.c.formula,
                SCORES.c.inputs_hash,
                sa.func.row_number()
                .over(
                    partition_by=(SCORES.c.tenant_uuid, SCORES.c.formula),
                    order_by=_NEWEST_FIRST,
                )
                .label("place"),
            )
            .where(SCORES.c.as_of <= as_of, SCORES.c.known_at.is_(None))
            .subquery()
        )
        found: dict[str, dict[str, str]] = {}
        with self._reading(connection) as reading:
            for row in reading.execute(sa.select(newest).where(newest.c.place == 1)):
                found.setdefault(row.tenant_uuid, {})[row.formula] = row.inputs_hash
        return found

    def history(
        self,
        tenant_uuid: str,
        formula: str,
        *,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[ScoreRow]:
        """Results of one formula for one tenant, newest first.

        Args:
            until: only those with ``as_of`` up to this moment; None: all.
        """
        query = sa.select(*_ROW).where(
            SCORES.c.tenant_uuid == tenant_uuid, SCORES.c.formula == formula
        )
        if until is not None:
            query = query.where(SCORES.c.as_of <= until)
        query = query.order_by(*_NEWEST_FIRST).limit(limit)
        with self._database.read() as connection:
            return [ScoreRow(**row) for row in connection.execute(query).mappings()]

    def formulas(self, tenant_uuid: str, until: datetime) -> list[str]:
        """Ids of the formulas by which anything was kept of a tenant up to a moment, sorted."""
        query = (
            sa.select(SCORES.c.formula)
            .where(SCORES.c.tenant_uuid == tenant_uuid, SCORES.c.as_of <= until)
            .distinct()
            .order_by(SCORES.c.formula)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def between(self, formula: str, after: datetime | None, until: datetime) -> list[ScoreRow]:
        """Results of one formula, of all tenants, in a stretch ``(after, until]``, oldest first.

        Args:
            after: None means from the first one on.
        """
        query = sa.select(*_ROW).where(SCORES.c.formula == formula, SCORES.c.as_of <= until)
        if after is not None:
            query = query.where(SCORES.c.as_of > after)
        query = query.order_by(SCORES.c.as_of, SCORES.c.tenant_uuid, SCORES.c.id)
        with self._database.read() as connection:
            return [ScoreRow(**row) for row in connection.execute(query).mappings()]

    def has_between(
        self,
        formulas: Collection[str],
        after: datetime,
        until: datetime,
        connection: sa.Connection | None = None,
    ) -> bool:
        """Whether any result of these formulas is kept for a moment in ``(after, until]``."""
        query = (
            sa.select(SCORES.c.id)
            .where(
                SCORES.c.formula.in_(sorted(formulas)),
                SCORES.c.as_of > after,
                SCORES.c.as_of <= until,
            )
            .limit(1)
        )
        with self._reading(connection) as reading:
            return reading.execute(query).first() is not None

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction of its own, for what no run of a job writes."""
        with self._database.write() as connection:
            yield connection

    @contextmanager
    def _reading(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        if connection is not None:
            yield connection
            return
        with self._database.read() as own:
            yield own


#: Of several results for one moment the one that was kept last knows the most.
_NEWEST_FIRST = (SCORES.c.as_of.desc(), SCORES.c.id.desc())
_ROW = tuple(column for column in SCORES.c if column.name != "id")


def forget(connection: sa.Connection, database: Database, tenant_uuid: str) -> None:
    """Delete what is kept about a tenant; copies of facts in memory are out of date from now."""
    database.take_turn(connection, MATTER)
    for table in (TENANT_FACTS, TENANT_CALLS, SCORES, CUSTOMER_SEGMENTS):
        connection.execute(sa.delete(table).where(table.c.tenant_uuid == tenant_uuid))
    insert = database.insert(FACTS_HEAD).values(id=1, token=1)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[FACTS_HEAD.c.id], set_={"token": FACTS_HEAD.c.token + 1}
        )
    )


def _head(connection: sa.Connection) -> FactsHead:
    query = sa.select(FACTS_HEAD, JOB_RUNS.c.started_at).select_from(
        FACTS_HEAD.outerjoin(JOB_RUNS, JOB_RUNS.c.run_id == FACTS_HEAD.c.run_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return FactsHead()
    return FactsHead(
        row.token, row.as_of, row.changes_since, row.definitions, row.run_id, row.started_at
    )


def _move_head(database: Database, connection: sa.Connection, step: Advance) -> None:
    values = {
        "as_of": step.as_of,
        "changes_since": step.changes_since,
        "definitions": step.definitions,
        "run_id": step.run_id,
    }
    connection.execute(
        database.insert(FACTS_HEAD)
        .values(id=1, token=1, **values)
        .on_conflict_do_update(
            index_elements=[FACTS_HEAD.c.id],
            set_={"token": FACTS_HEAD.c.token + 1, **values},
        )
    )


def _parts(uuids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uuids), _UUIDS_PER_QUERY):
        yield uuids[start : start + _UUIDS_PER_QUERY]


class _Statements:
    """The statements that write many rows, compiled once, with values as the driver takes them.

    A run writes some hundred wide rows every few minutes; converting each value on its way
    through the expression layer would cost several times what the database takes.
    """

    def __init__(self, database: Database) -> None:
        self._dialect = database.engine.dialect
        self._takes_moments = self._dialect.name == "postgresql"
        insert = database.insert

        def upsert(table: sa.Table) -> Any:
            statement = insert(table)
            return statement.on_conflict_do_update(
                index_elements=list(table.primary_key),
                set_={
                    column.name: statement.excluded[column.name]
                    for column in table.c
                    if not column.primary_key
                },
            )

        self.facts = self._compile(upsert(TENANT_FACTS), TENANT_FACTS)
        self.segments = self._compile(upsert(CUSTOMER_SEGMENTS), CUSTOMER_SEGMENTS)
        self.scores = self._compile(insert(SCORES).on_conflict_do_nothing(), SCORES)
        self.calls = self._compile(upsert(TENANT_CALLS), TENANT_CALLS)
        self._instants = [
            place
            for place, column in enumerate(CUSTOMER_SEGMENTS.c)
            if isinstance(column.type, Instant)
        ]

    def _compile(self, statement: Any, table: sa.Table) -> str:
        named: dict[str, Any] = {
            column.name: sa.bindparam(column.name) for column in table.c if not _is_number(column)
        }
        return _positional(statement.values(named), self._dialect)

    def run(self, connection: sa.Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Execute for every row; nothing happens without rows."""
        if rows:
            connection.exec_driver_sql(statement, rows)

    def instant(self, moment: datetime | None) -> Any:
        """A moment as the driver takes it; the same as :class:`Instant` writes."""
        if moment is None:
            return None
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
        return moment if self._takes_moments else _in_text(moment)

    def segment(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A segment as the driver takes it."""
        taken = list(values)
        for place in self._instants:
            if taken[place] is not None:
                taken[place] = self.instant(taken[place])
        return tuple(taken)


@lru_cache(maxsize=65_536)
def _in_text(moment: datetime) -> str:
    """As SQLite keeps it; most moments of a run are those of the run before."""
    return moment.isoformat(" ", "microseconds")[:26]


def _is_number(column: sa.Column[Any]) -> bool:
    """Whether the engine counts this column by itself."""
    return column.primary_key and column.autoincrement is True


def _positional(statement: Any, dialect: sa.Dialect) -> str:
    """The text of a statement whose parameters come in order of their appearance."""
    if dialect.name == "postgresql":
        dialect = type(dialect)(paramstyle="format")  # type: ignore[call-arg]
    return str(statement.compile(dialect=dialect))
