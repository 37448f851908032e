"""Probes of what lies on this machine's disk: the file system, and our own stores in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ebbtide.domain.errors import EbbtideError
from ebbtide.limits.probe import Reading, Unavailable


class DiskProbe:
    """How full the file system of a folder is."""

    name = "disk"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> list[Reading] | Unavailable:
        """Bytes in use, and bytes that an ordinary user can have in all."""
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError as error:
            return Unavailable(error.strerror or type(error).__name__)
        # What is kept back for the administrator is no room of ours.
        return [Reading("disk", usage.used, usage.used + usage.free, "bytes")]


class StoreProbe:
    """How large one of our own stores is."""

    def __init__(
        self, name: str, size_bytes: Callable[[], int | None], folder: Path | None
    ) -> None:
        """A probe.

        Args:
            size_bytes: its size now; None when the engine cannot say.
            folder: where it lies in this machine's file system; None: on a server elsewhere,
                whose room we do not know.
        """
        self.name = name
        self._size_bytes = size_bytes
        self._folder = folder

    def read(self) -> list[Reading] | Unavailable:
        """Its bytes; the limit is these and the room that is left beside them."""
        try:
            size = self._size_bytes()
            free = None if self._folder is None else shutil.disk_usage(self._folder).free
        except OSError as error:
            return Unavailable(error.strerror or type(error).__name__)
        except EbbtideError:
            return Unavailable("the store does not answer")
        if size is None:
            return Unavailable("the engine cannot say how large it is")
        limit = None if free is None else size + free
        return [Reading(self.name, size, limit, "bytes")]


def files_bytes(path: Path) -> int:
    """Bytes of a file and of the journals beside it."""
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*") if one.is_file())
