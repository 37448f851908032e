"""The data folder belongs to one process; beside it stands how to reach that process."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType

from ebbtide.domain.errors import DataDirInUse, SettingsError

LOCK_FILE = "ebbtide.lock"
SERVER_FILE = "server.json"
LOOKERS_S = 0.5


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
            _lock(lock)
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise SettingsError(
                    f"cannot lock the data folder {self.path}: {error.strerror}"
                ) from error
            raise _in_use(self.path) from error
        self._lock = lock
        # A server that was killed has left its address; nobody is to knock there any more.
        (self.path / SERVER_FILE).unlink(missing_ok=True)

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


def _lock(handle: int) -> None:
    """Take the lock; a command that only looks whether it is taken holds it for an instant."""
    deadline = monotonic() + LOOKERS_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES) or monotonic() > deadline:
                raise
        sleep(LOOKERS_S / 20)


def _in_use(path: Path) -> DataDirInUse:
    running = find_server(path)
    where = f" at {running.url} (process {running.pid})" if running else ""
    return DataDirInUse(
        f"another Ebbtide{where} uses the data folder {path}; stop it, or name "
        "another folder with EBBTIDE_DATA_DIR"
    )


def check_free(path: Path) -> None:
    """Say early, and before anything else can go wrong, that a folder is taken.

    Raises:
        DataDirInUse: another process owns it.
    """
    if is_owned(path):
        raise _in_use(path)


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
