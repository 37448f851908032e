"""Interventions on their shelf: what was suggested, what people did with it, what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import NullType

from ebbtide.domain.errors import NotFound, WrongState
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.intervention import (
    DismissReason,
    Effect,
    Intervention,
    State,
    Suggestion,
)
from ebbtide.domain.time import format_instant, parse_instant
from ebbtide.store.state.database import Database, Transaction
from ebbtide.store.state.tables import (
    ERASURES,
    INTERVENTION_STEPS,
    INTERVENTIONS,
    SETTINGS,
)

ID_MAX = 2**63 - 1
_SCANNED = 1000  # rows that are looked at together for an earlier moment
_EVALUATED_AT = "interventions.evaluated_at"


@dataclass(frozen=True, slots=True)
class InterventionFilter:
    """Which rows are meant; None means any."""

    tenant_id: str | None = None
    states: Collection[State] | None = None
    playbook_id: str | None = None
    is_open: bool | None = None

    def takes(self, row: Intervention) -> bool:
        """Whether a row, as it was at some moment, is in one of these states."""
        return (self.states is None or row.state in self.states) and (
            self.is_open is None or row.is_open is self.is_open
        )


class Interventions:
    """Every suggestion that was ever made to any tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lasting: dict[int, tuple[tuple[Any, ...], Intervention]] = {}

    def get(self, intervention_id: int) -> Intervention:
        """One row.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.read() as connection:
            return _get(connection, intervention_id)

    def get_as_of(self, intervention_id: int, at: datetime) -> Intervention:
        """One row as it stood at an earlier moment.

        Raises:
            NotFound: there was none with this id yet.
        """
        with self._database.read() as connection:
            rows = _as_they_were(connection, [_get(connection, intervention_id)], at)
        if not rows:
            raise NotFound("there was no such intervention yet")
        return rows[0]

    def list_newest(
        self, meant: InterventionFilter, *, before: int | None = None, limit: int = 100
    ) -> list[Intervention]:
        """A page of rows, newest first.

        Args:
            before: id of the last row of the page before; None at first.
            limit: rows per page.

        Returns:
            Rows; empty at the end.
        """
        query = sa.select(INTERVENTIONS).where(*_conditions(meant))
        if before is not None:
            query = query.where(INTERVENTIONS.c.id < before)
        query = query.order_by(INTERVENTIONS.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [_from_row(row) for row in connection.execute(query)]

    def list_as_of(
        self,
        meant: InterventionFilter,
        at: datetime,
        *,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Intervention]:
        """The same page as the rows stood at an earlier moment."""
        anything = replace(meant, states=None, is_open=None)
        found: list[Intervention] = []
        while len(found) < limit:
            rows = self.list_newest(anything, before=before, limit=_SCANNED)
            with self._database.read() as connection:
                found += [one for one in _as_they_were(connection, rows, at) if meant.takes(one)]
            if len(rows) < _SCANNED:
                break
            before = rows[-1].id
        return found[:limit]

    def count(self, meant: InterventionFilter) -> int:
        """How many rows are meant."""
        query = sa.select(sa.func.count()).select_from(INTERVENTIONS).where(*_conditions(meant))
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def holding(
        self, tenant_uuids: Collection[str] | None = None, at: datetime | None = None
    ) -> list[Intervention]:
        """Rows whose reason held when it was last looked at, oldest first.

        Args:
            tenant_uuids: only of these, a page of them at most; None means all.
            at: as all of that stood at this earlier moment; None means now.
        """
        holds: sa.ColumnElement[bool] = INTERVENTIONS.c.ended_at.is_(None)
        if at is not None:
            holds = sa.or_(holds, INTERVENTIONS.c.ended_at > at)
        if tenant_uuids is not None:
            holds = sa.and_(INTERVENTIONS.c.tenant_uuid.in_(sorted(tenant_uuids)), holds)
        return self._all(holds, at)

    def lasting(self) -> list[Intervention]:
        """Rows whose reason held when it was last looked at, or of which a window is open.

        Those that are as they were when this was asked before are the same objects: a run asks
        for hundreds, and nearly none of them is different.

        Returns:
            Rows, oldest first; empty before anything was suggested.
        """
        known = self._lasting
        found: dict[int, Intervention] = {}
        with self._database.read() as connection:
            rows: Sequence[Any] = connection.execute(_LASTING).all()
            plain = {row.id: tuple(row) for row in rows}
            for number, row in plain.items():
                if number in known and known[number][0] == row:
                    found[number] = known[number][1]
            new = [number for number in plain if number not in found]
            for start in range(0, len(new), _SCANNED):
                some = INTERVENTIONS.c.id.in_(new[start : start + _SCANNED])
                for one in connection.execute(sa.select(INTERVENTIONS).where(some)):
                    found[one.id] = _from_row(one)
        # What went between the two questions is not there any more.
        self._lasting = {
            number: (row, found[number]) for number, row in plain.items() if number in found
        }
        return [row for _, row in self._lasting.values()]

    def of_playbooks(self, at: datetime | None = None) -> list[Intervention]:
        """Every row of any playbook, oldest first: what summaries are made of.

        Args:
            at: as they stood at this earlier moment; None means now.
        """
        return self._all(INTERVENTIONS.c.playbook_id.is_not(None), at)

    def evaluated_at(self) -> datetime | None:
        """The newest moment that was evaluated; None before the first."""
        with self._database.read() as connection:
            return _evaluated_at(connection)

    def change(
        self, intervention_id: int, step: Callable[[Intervention], Intervention]
    ) -> Intervention:
        """Read one row, let ``step`` say how it goes on, and keep that; all in one transaction.

        Raises:
            NotFound: there is none with this id.
            WrongState: the step is not possible; or the row would be open again beside a newer
                one that says the same.
        """
        with self._database.write() as connection:
            # Two people may answer at once: the second one sees what the first one did.
            self._database.take_turn(connection, "interventions")
            before = _get(connection, intervention_id)
            after = step(before)
            if after.is_open and not before.is_open and _open_ones(connection, after):
                raise WrongState("the same was suggested again since, and that is open")
            if after != before:
                assert after.changed_at is not None  # every step says when it was taken
                past = {"tenant_uuid": to_uuid_text(before.tenant_id), "before": _to_past(before)}
                connection.execute(
                    sa.insert(INTERVENTION_STEPS),
                    {"intervention_id": before.id, "recorded_at": after.changed_at} | past,
                )
                save(connection, [after])
        return after

    def record(
        self,
        transaction: Transaction,
        new: Iterable[tuple[Suggestion, datetime]],
        changed: Iterable[Intervention],
        as_of: datetime,
        now: datetime | None = None,
    ) -> int:
        """Add suggestions and keep what time did to others, inside a transaction of the caller.

        Args:
            new: suggestions with the moment from which they are made. One whose like is open
                already is left out, and so is one for a tenant that was erased since ``as_of``.
            changed: rows as time left them; what people did to them since they were read stays.
            as_of: the moment that was evaluated. Nothing is written when a later one was.
            now: the present; what was evaluated for a moment after it came of a wrong clock, and
                holds nobody up. None: not known.

        Returns:
            How many suggestions were added.
        """
        self._database.take_turn(transaction, "interventions")
        evaluated_at = _evaluated_at(transaction)
        is_honest = evaluated_at is not None and (now is None or evaluated_at <= now)
        if evaluated_at is not None and is_honest and as_of < evaluated_at:
            return 0
        setting = self._database.insert(SETTINGS).values(
            name=_EVALUATED_AT, value=format_instant(as_of)
        )
        transaction.execute(
            setting.on_conflict_do_update(
                index_elements=[SETTINGS.c.name], set_={"value": setting.excluded.value}
            )
        )
        for row in changed:
            stored = _find(transaction, row.id)
            if stored is not None:
                save(transaction, [merge(stored, row)])
        insert = self._database.insert(INTERVENTIONS)
        erased = set(
            transaction.scalars(
                sa.select(ERASURES.c.tenant_uuid).where(ERASURES.c.erased_at >= as_of)
            )
        )
        num_added = 0
        for suggestion, at in new:
            if to_uuid_text(suggestion.tenant_id) in erased:
                continue
            values = _to_row(Intervention(0, suggestion, at))
            del values["id"]
            statement = insert.values(values).on_conflict_do_nothing()
            added = transaction.scalar(statement.returning(INTERVENTIONS.c.id))
            num_added += added is not None
        return num_added

    def _all(
        self, condition: sa.ColumnElement[bool], at: datetime | None = None
    ) -> list[Intervention]:
        if at is not None:
            condition = sa.and_(condition, INTERVENTIONS.c.suggested_at <= at)
        query = sa.select(INTERVENTIONS).where(condition).order_by(INTERVENTIONS.c.id)
        with self._database.read() as connection:
            rows = [_from_row(row) for row in connection.execute(query)]
            return rows if at is None else _as_they_were(connection, rows, at)


#: Every column as the driver gives it: good for telling whether a row is still the same.
_LASTING = (
    sa.select(*(sa.type_coerce(column, NullType()) for column in INTERVENTIONS.c))
    .where(sa.or_(INTERVENTIONS.c.ended_at.is_(None), INTERVENTIONS.c.is_measured.is_(False)))
    .order_by(INTERVENTIONS.c.id)
)


def merge(now: Intervention, seen: Intervention) -> Intervention:
    """What time did to a row, on top of what people may have done to it meanwhile."""
    merged = now if seen.ended_at is None else now.end(seen.ended_at)
    if seen.effect is not None and merged.done_at == seen.done_at:
        merged = replace(merged, effect=seen.effect, effect_closed_at=seen.effect_closed_at)
    if seen.alone_effect is not None and merged.was_left_alone:
        merged = replace(
            merged, alone_effect=seen.alone_effect, alone_closed_at=seen.alone_closed_at
        )
    return merged


def save(connection: sa.Connection, rows: Iterable[Intervention]) -> None:
    """Write rows that exist as they are now."""
    for row in rows:
        values = _to_row(row)
        del values["id"]
        connection.execute(
            sa.update(INTERVENTIONS).where(INTERVENTIONS.c.id == row.id).values(values)
        )


def _evaluated_at(connection: sa.Connection) -> datetime | None:
    query = sa.select(SETTINGS.c.value).where(SETTINGS.c.name == _EVALUATED_AT)
    text = connection.scalar(query)
    return None if text is None else parse_instant(text)


def _conditions(meant: InterventionFilter) -> list[sa.ColumnElement[bool]]:
    table = INTERVENTIONS.c
    conditions: list[sa.ColumnElement[bool]] = []
    if meant.tenant_id is not None:
        conditions.append(table.tenant_uuid == to_uuid_text(meant.tenant_id))
    if meant.states is not None:
        conditions.append(table.state.in_(sorted(meant.states)))
    if meant.playbook_id is not None:
        conditions.append(table.playbook_id == meant.playbook_id)
    if meant.is_open is not None:
        conditions.append(table.is_open.is_(meant.is_open))
    return conditions


def _find(connection: sa.Connection, intervention_id: int) -> Intervention | None:
    query = sa.select(INTERVENTIONS).where(INTERVENTIONS.c.id == intervention_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _from_row(row)


def _get(connection: sa.Connection, intervention_id: int) -> Intervention:
    found = _find(connection, intervention_id) if 0 < intervention_id <= ID_MAX else None
    if found is None:
        raise NotFound("there is no such intervention")
    return found


def _open_ones(connection: sa.Connection, row: Intervention) -> int:
    query = (
        sa.select(sa.func.count())
        .select_from(INTERVENTIONS)
        .where(
            INTERVENTIONS.c.is_open.is_(True),
            INTERVENTIONS.c.tenant_uuid == to_uuid_text(row.tenant_id),
            INTERVENTIONS.c.rule == row.suggestion.rule,
            INTERVENTIONS.c.id != row.id,
        )
    )
    return int(connection.scalar(query) or 0)


#: Columns that stand in the suggestion, by the same name.
_OF_SUGGESTION = (
    "tenant_id",
    "rule",
    "playbook_id",
    "window_days",
    "intervention_type",
    "priority",
    "suggested_action",
    "context",
    "expected_outcome",
)
#: Columns that stand in the row itself, by the same name.
_OF_ROW = (
    "id",
    "suggested_at",
    "state",
    "accepted_at",
    "dismissed_at",
    "dismiss_reason",
    "done_at",
    "note",
    "changed_at",
    "changed_by",
    "ended_at",
    "effect",
    "effect_closed_at",
    "alone_effect",
    "alone_closed_at",
)


#: What a step may change, by the same name in the row and in the JSON of its past.
_OF_PAST = _OF_ROW[2:]
_MOMENTS = frozenset(name for name in _OF_PAST if name.endswith("_at"))


def _as_they_were(
    connection: sa.Connection, rows: Sequence[Intervention], at: datetime
) -> list[Intervention]:
    """Rows as they stood at an earlier moment, in the same order; those made later are left out."""
    table = INTERVENTION_STEPS.c
    pasts: dict[int, str] = {}
    for start in range(0, len(rows), _SCANNED):
        ids = [row.id for row in rows[start : start + _SCANNED]]
        query = (
            sa.select(table.intervention_id, table.before)
            .where(table.intervention_id.in_(ids), table.recorded_at > at)
            .order_by(table.id.desc())  # so that the first step after the moment stays
        )
        pasts.update((row.intervention_id, row.before) for row in connection.execute(query))
    stood = [_from_past(row, pasts[row.id]) if row.id in pasts else row for row in rows]
    return [was for row in stood if (was := row.as_it_was(at)) is not None]


def _to_past(one: Intervention) -> str:
    values = {name: getattr(one, name) for name in _OF_PAST}
    return json.dumps(
        {
            name: format_instant(value) if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None
        },
        ensure_ascii=False,
    )


def _from_past(row: Intervention, text: str) -> Intervention:
    said = json.loads(text)
    values = {
        name: parse_instant(said[name]) if name in _MOMENTS and name in said else said.get(name)
        for name in _OF_PAST
    }
    return replace(row, **_in_words(values))


def _to_row(one: Intervention) -> dict[str, Any]:
    said = one.suggestion
    return (
        {name: getattr(said, name) for name in _OF_SUGGESTION}
        | {name: getattr(one, name) for name in _OF_ROW}
        | {
            "tenant_uuid": to_uuid_text(said.tenant_id),
            "triggering_signals": json.dumps(said.triggering_signals, ensure_ascii=False),
            "evidence": json.dumps(dict(said.evidence), ensure_ascii=False, sort_keys=True),
            "is_open": one.is_open,
            "is_measured": not one.open_windows,
        }
    )


def _from_row(row: sa.Row[Any]) -> Intervention:
    known = row._mapping
    values = {name: known[name] for name in _OF_ROW}
    return Intervention(
        suggestion=Suggestion(
            **{name: known[name] for name in _OF_SUGGESTION},
            triggering_signals=tuple(json.loads(row.triggering_signals)),
            evidence=json.loads(row.evidence),
        ),
        **_in_words(values),
    )


def _in_words(values: dict[str, Any]) -> dict[str, Any]:
    """Stored texts as the words that they stand for."""
    kinds: dict[str, type[StrEnum]] = {
        "state": State,
        "dismiss_reason": DismissReason,
        "effect": Effect,
        "alone_effect": Effect,
    }
    return values | {
        name: None if values[name] is None else kind(values[name]) for name, kind in kinds.items()
    }
