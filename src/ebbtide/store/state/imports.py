"""Progress of imports: how far each file has come, so that an interrupted one goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from ebbtide.domain.event import Outcome
from ebbtide.domain.quarantine import FILE_MAX_CHARS, printable
from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import IMPORTS


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far one import has come.

    ``import_key`` names the content of the file together with the mapping (a hash of both), so
    a file that was renamed goes on and one that was changed starts anew. ``position`` is where
    the next chunk starts, in the reader's own unit (byte, row or row group). The counts add up
    to ``rows_done`` when every row gave one event. ``finished_at`` is None while it is unfinished.
    """

    import_key: str
    file: str
    started_at: datetime
    position: int = 0
    rows_done: int = 0
    num_stored: int = 0
    num_duplicate: int = 0
    num_conflict: int = 0
    num_quarantined: int = 0
    num_refused: int = 0
    finished_at: datetime | None = None

    def after(self, position: int, num_rows: int, counts: Mapping[Outcome, int]) -> ImportProgress:
        """The progress after one more chunk.

        Args:
            position: where the next chunk starts.
            num_rows: rows of the file in this chunk.
            counts: events by outcome; one that is left out counts 0.
        """
        more = {
            f"num_{outcome.word}": getattr(self, f"num_{outcome.word}") + counts.get(outcome, 0)
            for outcome in Outcome
        }
        return replace(self, position=position, rows_done=self.rows_done + num_rows, **more)


class Imports:
    """The progress of every import of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, import_key: str, file: str, at: datetime) -> ImportProgress:
        """Begin an import, or take up the one with this key where it stopped."""
        with self._database.write() as connection:
            connection.execute(
                self._database.insert(IMPORTS)
                .values(_to_row(ImportProgress(import_key, printable(file, FILE_MAX_CHARS), at)))
                .on_conflict_do_nothing()
            )
            return _from_row(
                connection.execute(
                    sa.select(IMPORTS).where(IMPORTS.c.import_key == import_key)
                ).one()
            )

    def find(self, import_key: str) -> ImportProgress | None:
        """The import with this key; None when it was never begun."""
        query = sa.select(IMPORTS).where(IMPORTS.c.import_key == import_key)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _from_row(row)

    def save(self, progress: ImportProgress) -> None:
        """Write down how far an import is; call it when the chunk's events are durable.

        A crash between the two repeats one chunk, whose events then come out as duplicates.
        """
        row = _to_row(progress)
        insert = self._database.insert(IMPORTS).values(row)
        with self._database.write() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=[IMPORTS.c.import_key], set_=row)
            )

    def list(self) -> list[ImportProgress]:
        """Every import, newest first; empty when there was none."""
        query = sa.select(IMPORTS).order_by(IMPORTS.c.started_at.desc(), IMPORTS.c.import_key)
        with self._database.read() as connection:
            return [_from_row(row) for row in connection.execute(query)]

    def forget(self, import_key: str) -> None:
        """Drop the progress, so that the next import of the file starts at its beginning."""
        with self._database.write() as connection:
            connection.execute(sa.delete(IMPORTS).where(IMPORTS.c.import_key == import_key))


def _to_row(progress: ImportProgress) -> dict[str, object]:
    return {column.name: getattr(progress, column.name) for column in IMPORTS.c}


def _from_row(row: sa.Row[tuple[object, ...]]) -> ImportProgress:
    return ImportProgress(**row._mapping)
