"""Quarantine on its shelf: raw events put in once, listed, released or discarded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ebbtide.domain.errors import NotFound
from ebbtide.domain.ids import ID_MAX_CHARS, to_uuid_text
from ebbtide.domain.quarantine import (
    REASON_MAX_CHARS,
    QuarantineEntry,
    QuarantineFilter,
    QuarantineRow,
    QuarantineStatus,
    ReleaseResult,
    printable,
)
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import QUARANTINE

EVERYTHING = QuarantineFilter()
LISTED_RAW_BYTES = 65_536  # per row: a page of huge bodies must not fill the memory
_IDS_PER_QUERY = 10_000  # below the number of parameters that either engine takes
_PENDING = QuarantineStatus.PENDING

_row = QUARANTINE.c


class Quarantine:
    """Everything that was received and could not be accepted.

    Requests are counted, rows are unique: the same thing sent again while it is pending
    raises ``num_seen`` of its row, so a client that repeats a request whose answer it did not
    get leaves one row and two counts. Two equal events without an id of their own cannot be
    told from a repeat; ``num_seen`` keeps how many there were.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entries: Sequence[QuarantineEntry]) -> None:
        """Keep entries, all or none, durable when this returns.

        What is pending already gets ``num_seen`` raised and the newest reason and mapping; its
        first ``received_at`` stays.

        Args:
            entries: in order of arrival; may be empty.
        """
        if not entries:
            return
        insert = self._database.insert(QUARANTINE)
        upsert = insert.on_conflict_do_update(
            index_elements=[_row.identity],
            index_where=_row.status == sa.literal_column("'pending'"),
            set_={
                "num_seen": _row.num_seen + insert.excluded.num_seen,
                "last_seen_at": insert.excluded.last_seen_at,
                "reason": insert.excluded.reason,
                "mapping": insert.excluded.mapping,
            },
        )
        with self._database.write() as connection:
            # One after another, so that row numbers follow the order of arrival and two
            # batches with the same events cannot wait for each other.
            self._database.take_turn(connection, "quarantine")
            connection.execute(upsert, _merge(entries))

    def get(self, row_id: int) -> QuarantineRow:
        """One row with all of its raw bytes.

        Raises:
            NotFound: there is no such row.
        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(QUARANTINE).where(_row.id == row_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no quarantine row {row_id}")
        return _from_row(row)

    def list_newest(
        self,
        meant: QuarantineFilter = EVERYTHING,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> list[QuarantineRow]:
        """A page of rows, newest first.

        Args:
            meant: which rows.
            before: the last row number of the page before; None for the first page.
            limit: rows per page.

        Returns:
            Rows whose raw bytes may be cut (see :attr:`QuarantineRow.is_cut`); empty at the end.
        """
        columns = [column for column in QUARANTINE.c if column.name != "raw"]
        query = sa.select(
            *columns,
            sa.func.substr(_row.raw, 1, LISTED_RAW_BYTES, type_=_row.raw.type).label("raw"),
        )
        if before is not None:
            query = query.where(_row.id < before)
        return self._select(query, meant, _row.id.desc(), limit, newest_first=True)

    def list_pending(
        self,
        meant: QuarantineFilter = EVERYTHING,
        *,
        after: int = 0,
        limit: int = 500,
    ) -> list[QuarantineRow]:
        """A chunk of pending rows to release, oldest first, with all of their raw bytes.

        Rows that stay pending are not met again when the next chunk starts after the last row
        of this one.

        Args:
            meant: which rows; its status is not looked at.
            after: the last row number of the chunk before; 0 for the first chunk.
            limit: rows per chunk.

        Returns:
            Rows; empty when all are done.
        """
        query = sa.select(QUARANTINE).where(_row.status == _PENDING, _row.id > after)
        return self._select(query, _without_status(meant), _row.id.asc(), limit)

    def count_by_reason(self, meant: QuarantineFilter = EVERYTHING) -> dict[str, int]:
        """How many rows there are for each reason, most frequent first; empty when none are."""
        query = sa.select(_row.reason, sa.func.count()).group_by(_row.reason)
        counts: dict[str, int] = {}
        with self._database.read() as connection:
            for part in _parts(query, meant):
                for reason, num in connection.execute(part):
                    counts[reason] = counts.get(reason, 0) + num
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def settle(self, results: Iterable[ReleaseResult], at: datetime) -> int:
        """Write down what a release gave, all or none; call it when its events are durable.

        Only pending rows change, so settling twice is harmless.

        Args:
            results: one per row that was tried.
            at: the moment of the release, UTC-aware.

        Returns:
            How many rows are released by this.
        """
        ordered = sorted(results, key=lambda one: one.id)
        released = [
            {"row_id": one.id, "outcome": one.outcome} for one in ordered if one.outcome is not None
        ]
        kept = [
            {"row_id": one.id, "because": printable(one.reason, REASON_MAX_CHARS)}
            for one in ordered
            if one.reason is not None
        ]
        attempt = (
            sa.update(QUARANTINE)
            .where(_row.id == sa.bindparam("row_id"), _row.status == _PENDING)
            .values(num_attempts=_row.num_attempts + 1)
        )
        with self._database.write() as connection:
            self._database.take_turn(connection, "quarantine")
            if kept:
                connection.execute(attempt.values(reason=sa.bindparam("because")), kept)
            if not released:
                return 0
            release = attempt.values(
                status=QuarantineStatus.RELEASED,
                released_at=at,
                released_outcome=sa.bindparam("outcome"),
            )
            return connection.execute(release, released).rowcount

    def discard(self, meant: QuarantineFilter, at: datetime) -> int:
        """Give pending rows up; they stay listed as discarded. Returns how many there were."""
        query = (
            sa.update(QUARANTINE)
            .where(_row.status == _PENDING)
            .values(status=QuarantineStatus.DISCARDED, released_at=at)
        )
        with self._database.write() as connection:
            return sum(
                connection.execute(part).rowcount for part in _parts(query, _without_status(meant))
            )

    def _select(
        self,
        query: sa.Select[Any],
        meant: QuarantineFilter,
        order: sa.ColumnElement[Any],
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[QuarantineRow]:
        rows: list[QuarantineRow] = []
        with self._database.read() as connection:
            for part in _parts(query, meant, newest_first=newest_first):
                found = connection.execute(part.order_by(order).limit(limit - len(rows)))
                rows.extend(_from_row(row) for row in found)
                if len(rows) >= limit:
                    break
        return rows


def _without_status(meant: QuarantineFilter) -> QuarantineFilter:
    return QuarantineFilter(None, meant.reason, meant.tenant_id, meant.door, meant.ids)


def _parts(query: Any, meant: QuarantineFilter, *, newest_first: bool = False) -> Iterable[Any]:
    """The query narrowed to what is meant; several ones when many row numbers are named."""
    if meant.status is not None:
        query = query.where(_row.status == meant.status)
    if meant.reason is not None:
        reason = printable(meant.reason, REASON_MAX_CHARS)
        family = reason + ":"
        in_family = sa.func.substr(_row.reason, 1, len(family)) == family
        query = query.where(sa.or_(_row.reason == reason, in_family))
    if meant.tenant_id is not None:
        query = query.where(_row.tenant_uuid == to_uuid_text(meant.tenant_id))
    if meant.door is not None:
        query = query.where(_row.door == printable(meant.door, ID_MAX_CHARS))
    if meant.ids is None:
        yield query
        return
    ids = sorted(meant.ids, reverse=newest_first)
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield query.where(_row.id.in_(ids[start : start + _IDS_PER_QUERY]))


def _merge(entries: Sequence[QuarantineEntry]) -> list[dict[str, Any]]:
    """Rows to insert, one per identity: the first entry with what the last one says anew."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        identity = entry.identity
        row = rows.get(identity)
        if row is None:
            rows[identity] = _to_row(entry, identity)
        else:
            row["num_seen"] += 1
            row["reason"] = entry.reason
            row["mapping"] = entry.mapping
            row["last_seen_at"] = entry.received_at
    return list(rows.values())


def _to_row(entry: QuarantineEntry, identity: str) -> dict[str, Any]:
    tenant_id = entry.tenant_id
    return {
        "identity": identity,
        "received_at": entry.received_at,
        "door": entry.door,
        "reason": entry.reason,
        "raw": entry.raw,
        "raw_sha256": entry.raw_sha256,
        "raw_bytes": len(entry.raw),
        "tenant_id": tenant_id,
        "tenant_uuid": None if tenant_id is None else to_uuid_text(tenant_id),
        "key_id": entry.key_id,
        "file": entry.file,
        "line": entry.line,
        "event_id": entry.event_id,
        "mapping": entry.mapping,
        "status": _PENDING,
        "num_seen": 1,
        "last_seen_at": entry.received_at,
        "num_attempts": 0,
    }


def _from_row(row: sa.Row[Any]) -> QuarantineRow:
    return QuarantineRow(
        id=row.id,
        entry=QuarantineEntry(
            received_at=row.received_at,
            door=row.door,
            reason=row.reason,
            raw=bytes(row.raw),
            tenant_id=row.tenant_id,
            key_id=row.key_id,
            file=row.file,
            line=row.line,
            event_id=row.event_id,
            mapping=row.mapping,
        ),
        status=QuarantineStatus(row.status),
        num_seen=row.num_seen,
        last_seen_at=row.last_seen_at,
        num_attempts=row.num_attempts,
        released_at=row.released_at,
        released_outcome=row.released_outcome,
        raw_sha256=row.raw_sha256,
        raw_bytes=row.raw_bytes,
    )
