"""The probes of this installation: its own stores and disk, and what the settings name."""

from __future__ import annotations

from pathlib import Path

from ebbtide.app.settings import Settings
from ebbtide.app.stores import path_of
from ebbtide.domain.errors import SettingsError
from ebbtide.limits.disk import DiskProbe, StoreProbe, files_bytes
from ebbtide.limits.probe import Probe
from ebbtide.limits.redis import RedisProbe
from ebbtide.store.events.base import EventStore

GB = 10**9


def make_probes(settings: Settings, events: EventStore) -> list[Probe]:
    """Every probe that these settings ask for.

    Raises:
        SettingsError: an address cannot be read; the message does not repeat it.
    """
    events_path = path_of(settings.effective_events_url)
    probes: list[Probe] = [
        DiskProbe(settings.data_dir),
        StoreProbe("event_store", events.storage_bytes, events_path and _folder(events_path)),
    ]
    state_path = path_of(settings.effective_state_url)
    if state_path is not None:
        file = state_path
        probes.append(StoreProbe("state_store", lambda: files_bytes(file), _folder(file)))
    postgres = _postgres_url(settings)
    if postgres is not None:
        # Its driver takes 8 MB, which a server without PostgreSQL need not hold.
        from ebbtide.limits.postgres import PostgresProbe

        max_gb = settings.probe_postgres_max_gb
        probes.append(PostgresProbe(postgres, None if max_gb is None else int(max_gb * GB)))
    if settings.probe_redis_url is not None:
        try:
            probes.append(RedisProbe(settings.probe_redis_url.get_secret_value()))
        except ValueError as error:
            raise SettingsError(f"EBBTIDE_PROBE_REDIS_URL: {error}") from None
    return probes


def _postgres_url(settings: Settings) -> str | None:
    """The server that is named for it, else the one that holds our own stores, if any does."""
    if settings.probe_postgres_url is not None:
        return settings.probe_postgres_url.get_secret_value()
    own = (settings.effective_events_url, settings.effective_state_url)
    return next((url for url in own if url.startswith("postgres")), None)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
