"""Empty stores with the newest schema as files: migrated once for a test process, and copied."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.sqlite import SQLiteStateStore


def lay_state_file(path: Path) -> None:
    """Put an empty, migrated state store there: a tenth of the time of migrating one."""
    _lay(path, _state_file())


def lay_events_file(path: Path) -> None:
    """Put an empty, migrated event store of DuckDB there."""
    _lay(path, _events_file())


def _lay(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


@cache
def _state_file() -> bytes:
    with TemporaryDirectory(prefix="ebbtide-ready-") as folder:
        path = Path(folder) / "state.db"
        store = SQLiteStateStore(path)
        store.migrate()
        store.close()
        return path.read_bytes()


@cache
def _events_file() -> bytes:
    with TemporaryDirectory(prefix="ebbtide-ready-") as folder:
        path = Path(folder) / "events.duckdb"
        store = DuckDBEventStore(path)
        store.migrate()
        store.close()
        return path.read_bytes()
