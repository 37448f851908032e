"""Small facts about this installation, by name, such as its id."""

from __future__ import annotations

import sqlalchemy as sa

from ebbtide.store.state.database import Database
from ebbtide.store.state.tables import SETTINGS

#: Set where the sample company lives: everything there is simulated, and says so.
SAMPLE_COMPANY = "demo.plan"


class Settings:
    """Names and values, both text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str | None:
        """The value, or None when nobody set it."""
        with self._database.read() as connection:
            return connection.scalar(sa.select(SETTINGS.c.value).where(SETTINGS.c.name == name))

    def set(self, name: str, value: str) -> None:
        """Set or replace the value."""
        insert = self._database.insert(SETTINGS).values(name=name, value=value)
        with self._database.write() as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[SETTINGS.c.name], set_={"value": insert.excluded.value}
                )
            )

    def get_or_set(self, name: str, value: str) -> str:
        """The value that stands; the one given when there was none. All callers get the same."""
        standing = self.get(name)
        if standing is not None:
            return standing
        with self._database.write() as connection:
            connection.execute(
                self._database.insert(SETTINGS)
                .values(name=name, value=value)
                .on_conflict_do_nothing()
            )
            kept = sa.select(SETTINGS.c.value).where(SETTINGS.c.name == name)
            return str(connection.execute(kept).scalar_one())
