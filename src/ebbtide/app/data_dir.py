"""The data folder belongs to one process; beside it stands how to reach that process."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from ebbtide.domain.errors import DataDirInUse, SettingsError

LOCK_FILE = "ebbtide.lock"
SERVER_FILE = "server.json"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """How the command line reaches the server that owns a folder.

    ``key`` is an admin key of that process alone; the file can be read by its owner only.
    """

    pid: int
    url: str
    key: str


class DataDir:
    """A folder of embedded stores, held by an advisory lock that dies with its process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def take(self) -> None:
        """Create the folder when needed, and own it.

        Raises:
            DataDirInUse: another process owns it; the message says which.
            SettingsError: it cannot be created or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"cannot use the data folder {self.path}: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise SettingsError(
                    f"cannot lock the data folder {self.path}: {error.strerror}"
                ) from error
            running = find_server(self.path)
            where = f" at {running.url} (process {running.pid})" if running else ""
            raise DataDirInUse(
                f"another Ebbtide{where} uses the data folder {self.path}; stop it, or name "
                "another folder with EBBTIDE_DATA_DIR"
            ) from error
        self._lock = lock

    def announce(self, server: RunningServer) -> None:
        """Write down how this process is reached, readable by its owner only."""
        file = self.path / SERVER_FILE
        draft = file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(asdict(server), out)
        draft.replace(file)

    def __enter__(self) -> DataDir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            (self.path / SERVER_FILE).unlink(missing_ok=True)
            os.close(self._lock)  # closing gives the lock back
            self._lock = None


def is_owned(path: Path) -> bool:
    """Whether some process owns the folder now."""
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two lookers do not see each other.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def find_server(path: Path) -> RunningServer | None:
    """The server that owns a folder, or None when none has announced itself."""
    try:
        known = json.loads((path / SERVER_FILE).read_text())
        return RunningServer(int(known["pid"]), str(known["url"]), str(known["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
