"""A real Ebbtide server in a process of its own, on a free loopback port; kill it as you like."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

KEY = "benchmark-key-for-loopback-only-0123456789"
START_DEADLINE_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now.

    It lies below those that systems give to outgoing connections: one of these could take the
    port between this call and the start of the server, or while the server is down.
    """
    for port in random.sample(range(10_000, 32_000), 1_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


class ServerProcess:
    """One server on one data folder; starts again after it was killed."""

    def __init__(
        self,
        data_dir: Path,
        *,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        log: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._env = dict(env or {})
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start and wait until it is ready; returns the seconds that took.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message holds its last words.
        """
        env = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE")}
        env |= {
            "EBBTIDE_DATA_DIR": str(self.data_dir),
            "EBBTIDE_PORT": str(self.port),
            "EBBTIDE_BOOTSTRAP_KEY": KEY,
        } | self._env
        began = time.monotonic()
        with (self._log or Path(os.devnull)).open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ebbtide", "serve"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        while time.monotonic() - began < START_DEADLINE_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}")
            if self.is_ready():
                return time.monotonic() - began
            time.sleep(0.02)
        raise RuntimeError("the server was not ready in time")

    def is_ready(self) -> bool:
        """Whether the server says that it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9: no handler runs, nothing is flushed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def rss_bytes(self) -> int:
        """Resident memory now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def cpu_s(self) -> float:
        """User and system time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
