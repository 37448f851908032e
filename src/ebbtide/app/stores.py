"""Picks the engines by their URLs: the only place that names a concrete one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from ebbtide.app.settings import Settings
from ebbtide.domain.errors import SettingsError
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore


def open_events(settings: Settings) -> EventStore:
    """The event store that the settings name; its schema may still be old.

    Raises:
        SettingsError: the URL names no engine of ours.
        StoreUnavailable: the store cannot be reached, or another process owns it.
    """
    url = settings.effective_events_url
    scheme = url.partition("://")[0]
    if scheme == "duckdb":
        from ebbtide.store.events.duckdb import DuckDBEventStore

        path = _path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        return DuckDBEventStore(path, memory_limit_mb=settings.duckdb_memory_mb)
    if scheme in ("postgresql", "postgres"):
        from ebbtide.store.events.postgres import PostgresEventStore

        return PostgresEventStore(url)
    if scheme in ("clickhouse", "chdb"):
        from ebbtide.store.events.clickhouse import ClickHouseEventStore

        return ClickHouseEventStore(url)
    raise SettingsError(
        "EBBTIDE_EVENTS_URL must start with duckdb://, postgresql://, clickhouse:// or chdb://"
    )


def open_state(settings: Settings) -> StateStore:
    """The state store that the settings name; its schema may still be old."""
    url = settings.effective_state_url
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from ebbtide.store.state.sqlite import SQLiteStateStore

        return SQLiteStateStore(_path(url))
    if scheme in ("postgresql", "postgres"):
        from ebbtide.store.state.postgres import PostgresStateStore

        return PostgresStateStore(url)
    raise SettingsError("EBBTIDE_STATE_URL must start with sqlite:// or postgresql://")


def _path(url: str) -> Path:
    """The file of ``scheme:///relative/path`` or ``scheme:////absolute/path``."""
    scheme, _, rest = url.partition("://")
    if not rest.startswith("/") or rest.strip("/") == "":
        raise SettingsError(f"{scheme}:/// needs a file path after it")
    return Path(unquote(rest[1:]))
