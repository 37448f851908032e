"""Bring the state store's schema up to date, from code, with the revisions packaged here."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ebbtide.domain.errors import MigrationError, SchemaTooNew
from ebbtide.store.state.database import Database

VERSION_TABLE = "state_version"  # other programs may use Alembic in the same database
HEAD = "head"

# Alembic keeps the running migration in module globals.
_one_at_a_time = threading.Lock()


def revisions() -> list[str]:
    """All revisions this program knows, oldest first; they are numbered ``0001``, ``0002`` ..."""
    scripts = ScriptDirectory.from_config(_config())
    return sorted(script.revision for script in scripts.walk_revisions())


def migrate(database: Database, target: str = HEAD) -> list[str]:
    """Apply what is missing up to a revision, in one transaction.

    Args:
        database: where.
        target: a revision; the newest one by default.

    Returns:
        The revisions applied now, oldest first; empty when there was nothing to do.

    Raises:
        SchemaTooNew: the database has a newer revision than this program knows.
        MigrationError: the database has a revision that never was one of ours.
    """
    known = revisions()
    wanted = known if target == HEAD else [number for number in known if number <= target]
    with _one_at_a_time, database.write() as connection:
        # Whoever waited here finds the work done.
        database.take_turn(connection, "migrate")
        current = _current(connection)
        if current is not None and current not in known:
            if current.isdecimal() and current > known[-1]:
                raise SchemaTooNew(
                    f"the state store has schema {current}, this program knows {known[-1]}; "
                    "use a newer Ebbtide"
                )
            raise MigrationError(f"the state store has an unknown schema revision {current!r}")
        missing = [number for number in wanted if current is None or number > current]
        if missing:
            command.upgrade(_config(connection), missing[-1])
        return missing


def downgrade(database: Database, target: str) -> None:
    """Take revisions back until ``target`` is the newest (``base``: none is left).

    Tables of the revisions taken back go with their rows. For tests and for rescue by hand.
    """
    with _one_at_a_time, database.write() as connection:
        database.take_turn(connection, "migrate")
        command.downgrade(_config(connection), target)


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "ebbtide.store.state:migrations")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _current(connection: sa.Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()
