"""Takes what was erased off the disk: DuckDB only marks rows as gone, and their bytes stay.

Rows are written anew, oldest first and a piece at a time, so that their old blocks fall free;
then the free blocks are overwritten. A piece is one transaction and how far it came is part of
it: a process that dies goes on where it stopped. What may stay is the statistics of blocks that
are gone: the first eight characters of the least and the greatest text of a column.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb

# Well below a second on two slow cores. From about 140,000 rows on a commit goes straight into
# the file and not through the log.
PIECE_ROWS = 147_456
# DuckDB drops a group of rows, and frees its blocks, once all of its rows are gone.
GROUP_ROWS = 122_880
# A checkpoint makes the old blocks free, and its cost does not depend on how many there are.
_PIECES_PER_CHECKPOINT = 8
# Numbers of 8 bytes that nothing can compress, for 64 MB of blocks at a time.
_FILL_ROWS = 8_000_000


def begin_scrub(con: duckdb.DuckDBPyConnection) -> None:
    """Note, within the transaction of an erasure, that every row has to be written anew."""
    con.execute("DELETE FROM scrub")
    # The first rows written anew may share a group with the last that were there before, and
    # are written once more.
    con.execute("INSERT INTO scrub SELECT count(*) + $more FROM events", {"more": GROUP_ROWS})


def is_scrub_due(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are blocks left that may hold erased bytes."""
    return bool(con.execute("SELECT count(*) > 0 FROM scrub").fetchall()[0][0])


def scrub_piece(con: duckdb.DuckDBPyConnection) -> bool:
    """Do one piece of what is due.

    Args:
        con: on the store's file, with no transaction open, and with nobody else who writes.

    Returns:
        Whether that was the last one: now no erased byte is left.
    """
    rows_left = con.execute("SELECT max(rows_left) FROM scrub").fetchall()[0][0]
    if rows_left:
        if _num_events(con) <= PIECE_ROWS:
            _rebuild(con)
            return False
        _move(con, min(rows_left, PIECE_ROWS))
        if rows_left // PIECE_ROWS % _PIECES_PER_CHECKPOINT == 0:
            con.execute("CHECKPOINT")
        return False
    if not _overwrite_free_blocks(con):
        return False
    con.execute("DELETE FROM scrub")
    con.execute("CHECKPOINT")
    return True


def _num_events(con: duckdb.DuckDBPyConnection) -> int:
    return int(con.execute("SELECT count(*) FROM events").fetchall()[0][0])


def _rebuild(con: duckdb.DuckDBPyConnection) -> None:
    """Write a small table anew at once: moved rows would stay in its only groups."""
    (table,) = con.execute(
        "SELECT sql FROM duckdb_tables() WHERE table_name = 'events'"
    ).fetchall()[0]
    with _transaction(con):
        con.execute("ALTER TABLE events RENAME TO events_before")
        con.execute(table)
        con.execute("INSERT INTO events SELECT * FROM events_before")
        con.execute("DROP TABLE events_before")
        con.execute("UPDATE scrub SET rows_left = 0")


def _move(con: duckdb.DuckDBPyConnection, num: int) -> None:
    """Write the oldest rows of a large table anew, behind all others."""
    with _transaction(con):
        last = con.execute(
            "SELECT max(rowid) FROM (SELECT rowid FROM events ORDER BY rowid LIMIT $num)",
            {"num": num},
        ).fetchall()[0][0]
        up_to = {"last": last}
        con.execute("INSERT INTO events SELECT * FROM events WHERE rowid <= $last", up_to)
        con.execute("DELETE FROM events WHERE rowid <= $last", up_to)
        con.execute("UPDATE scrub SET rows_left = rows_left - $num", {"num": num})


def _overwrite_free_blocks(con: duckdb.DuckDBPyConnection) -> bool:
    """Fill the free blocks with noise, a piece at a time; whether all of them are full."""
    con.execute("CHECKPOINT")
    con.execute("CREATE TABLE IF NOT EXISTS scrub_noise (noise UBIGINT NOT NULL)")
    if _free_blocks(con):
        con.execute(
            "INSERT INTO scrub_noise SELECT hash(range + $seed) FROM range($num)",
            {"seed": _free_blocks(con), "num": min(_FILL_ROWS, _free_blocks(con) * 32_768)},
        )
        con.execute("CHECKPOINT")
    if _free_blocks(con):
        return False
    con.execute("DROP TABLE scrub_noise")
    return True


def _free_blocks(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("SELECT free_blocks FROM pragma_database_size()").fetchall()[0]
    return int(row[0])


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.begin()
    try:
        yield
        con.commit()
    except BaseException:
        with suppress(duckdb.Error):  # DuckDB may have ended it itself; the first error is told
            con.rollback()
        raise
