"""The mappings in use, and reading their files again when someone has mended one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ebbtide.catalog.mapping import SourceMapping, load_mappings


class Mappings:
    """Packaged mappings and the user's own, by source name."""

    def __init__(self, folder: Path, *, is_required: bool = False) -> None:
        """Read them.

        Args:
            folder: the user's files; it need not exist.
            is_required: whether a missing folder is an error, because someone named it.

        Raises:
            MappingError: a file is wrong; the message names it and the key.
        """
        self._folder = folder
        self._is_required = is_required
        self.current: Mapping[str, SourceMapping] = {}
        self.reload()

    def reload(self) -> Mapping[str, SourceMapping]:
        """Read the files as they are now; when one is wrong, the old ones stay in use.

        Raises:
            MappingError: as above.
        """
        folder = self._folder if self._is_required or self._folder.is_dir() else None
        self.current = load_mappings(folder)
        return self.current
