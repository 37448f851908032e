"""Probe of a PostgreSQL: the size of its database and the connections in use."""

from __future__ import annotations

from ebbtide.domain.errors import SettingsError, StoreUnavailable
from ebbtide.limits.probe import Reading, Unavailable
from ebbtide.store.postgres_usage import read_postgres_usage


class PostgresProbe:
    """Connects anew each time, so that a full server is seen as one."""

    name = "postgres"

    def __init__(self, url: str, limit_bytes: int | None) -> None:
        """A probe.

        Args:
            limit_bytes: what the plan or disk of that server allows; the server does not know.
        """
        self._url = url
        self._limit_bytes = limit_bytes

    def read(self) -> list[Reading] | Unavailable:
        """Ask the server."""
        try:
            usage = read_postgres_usage(self._url)
        except (SettingsError, StoreUnavailable) as error:
            return Unavailable(str(error))
        return [
            Reading("db_storage", usage.size_bytes, self._limit_bytes, "bytes"),
            Reading("db_connections", usage.connections, usage.connections_max, "connections"),
        ]
