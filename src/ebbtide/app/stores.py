"""Picks the engines by their URLs: the only place that names a concrete one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

from ebbtide.app.settings import Settings
from ebbtide.domain.errors import SettingsError
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore

_FILES = frozenset({"duckdb", "sqlite", "chdb"})  # schemes of stores that lie in our file system


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
        if "?" in str(path):  # it takes what follows for options, and would write elsewhere
            raise SettingsError(f"DuckDB keeps no file at a path with a question mark: {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return DuckDBEventStore(path, memory_limit_mb=settings.duckdb_memory_mb)
    if scheme in ("postgresql", "postgres"):
        from ebbtide.store.events.postgres import PostgresEventStore

        return PostgresEventStore(url)
    if scheme in ("clickhouse", "chdb"):
        from ebbtide.store.events.clickhouse import ClickHouseEventStore

        if scheme == "chdb":  # the engine's own URLs hold the folder as it is, without our slash
            options = "".join(url.partition("?")[1:])
            url = f"chdb://{quote(str(_path(url).absolute()))}{options}"
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


def check_present(settings: Settings) -> None:
    """Say so when there is no store yet, for a command that would only find an empty new one.

    Stores on a server are not looked for: what is there is the server's to say.

    Raises:
        SettingsError: a store of files is missing; the message names the setting to look at.
    """
    for name, is_given, url in (
        ("EBBTIDE_EVENTS_URL", settings.events_url, settings.effective_events_url),
        ("EBBTIDE_STATE_URL", settings.state_url, settings.effective_state_url),
    ):
        if url.partition("://")[0] not in _FILES or (path := _path(url).absolute()).exists():
            continue
        if is_given:
            raise SettingsError(f"{name} names {path}, and there is no store")
        raise SettingsError(
            f"the data folder {settings.data_dir.absolute()} holds no {path.name}: set "
            f"EBBTIDE_DATA_DIR (or {name}) as your server has it, or start a new one with: "
            "ebbtide serve"
        )


def path_of(url: str) -> Path | None:
    """Where a store lies in this machine's file system; None for one on a server."""
    return _path(url) if url.partition("://")[0] in _FILES else None


def _path(url: str) -> Path:
    """The file or folder of ``scheme:///relative/path`` or ``scheme:////absolute/path``."""
    before, mark, _ = url.partition("?")
    scheme, _, rest = before.partition("://")
    if mark and scheme != "chdb":  # the one whose engine takes options
        raise SettingsError(f"{scheme}:/// takes a path and no options: leave the ? away")
    if not rest.startswith("/") or rest.strip("/") == "":
        raise SettingsError(
            f"{scheme}:/// needs a file path after it: {scheme}:///relative or {scheme}:////absolute"
        )
    return Path(unquote(rest[1:]))
