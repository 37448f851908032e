"""Makes the learners' tables for a demo or a back-test, and never among somebody's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ebbtide.domain.errors import SettingsError
from ebbtide.learners.schema import DDL
from ebbtide.learners.settings import LearnerSettings, read_learner_settings
from ebbtide.learners.throwaway import throwaway_postgres

if TYPE_CHECKING:
    import psycopg

    #: The learners' database, as rooms see it that know no driver.
    Connection = psycopg.Connection[Any]

MARK = "Ebbtide learners demo"
_OURS = (
    ("VIEW", "attempt"),
    ("TABLE", "exam_results"),
    ("TABLE", "features_topic_daily"),
    ("TABLE", "interest_goal"),
    ("TABLE", "weekly_kpi"),
    ("TABLE", "session"),
)

_STRANGERS = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
  AND COALESCE(obj_description(oid, 'pg_class'), '') NOT LIKE %s
ORDER BY relname
"""


@contextmanager
def own_database(settings: LearnerSettings) -> Iterator[tuple[Connection, bool]]:
    """A connection to the PostgreSQL of DATABASE_URL, or to one that lives for this block.

    Yields:
        The connection, and whether what is written stays.

    Raises:
        SettingsError: there is neither.
        StoreUnavailable: nobody answers.
    """
    from ebbtide.learners.database import connect

    stays = settings.database_url is not None
    with ExitStack() as stack:
        if not stays:
            url = stack.enter_context(throwaway_postgres())
            settings = read_learner_settings(database_url=url)
        connection = connect(settings)
        stack.callback(connection.close)
        connection.autocommit = True
        yield connection, stays


def make_demo_tables(connection: Connection, what: str) -> None:
    """Make empty tables; those of an earlier demo are dropped.

    Args:
        what: what is going to be in them; it stands in the comment of each.

    Raises:
        SettingsError: the database holds something else; nothing was touched.
    """
    with connection.transaction():
        strangers = [row[0] for row in connection.execute(_STRANGERS, [f"{MARK}%"])]
        if strangers:
            shown = ", ".join(strangers[:5]) + (" ..." if len(strangers) > 5 else "")
            raise SettingsError(
                f"DATABASE_URL holds tables that are not the demo's ({shown}); nothing was "
                "touched. The demo needs a database of its own"
            )
        for kind, name in _OURS:
            connection.execute(f"DROP {kind} IF EXISTS {name}")
        connection.execute(DDL)
        for kind, name in _OURS:
            text = f"{MARK}: {what}".replace("'", "''")
            connection.execute(f"COMMENT ON {kind} {name} IS '{text}'")


@contextmanager
def tables_aside(connection: Connection) -> Iterator[None]:
    """Empty tables in a schema of their own, which is dropped at the end."""
    name = f"ebbtide_backtest_{uuid4().hex}"
    connection.execute(f"CREATE SCHEMA {name}")
    try:
        connection.execute(f"SET search_path TO {name}, pg_temp")
        connection.execute(DDL)
        yield
    finally:
        if not connection.closed and not connection.broken:
            connection.rollback()
            connection.execute("RESET search_path")
            connection.execute(f"DROP SCHEMA {name} CASCADE")
