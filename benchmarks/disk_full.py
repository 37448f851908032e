"""Fills a small disk under the server: it must refuse, lose nothing, and go on afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.server_process import KEY, ServerProcess


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A tmpfs of some megabytes while the block runs.

    Raises:
        PermissionError: this user may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise PermissionError(mounted.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_and_free(server: ServerProcess, disk: Path, *, rounds: int = 3) -> dict[str, Any]:
    """Fill the disk to the brim, write, free it, write again.

    Args:
        server: running on a folder of ``disk``.

    Returns:
        Acknowledged ids, the statuses seen while full, and how long recovery took.
    """
    acknowledged: list[str] = []
    refusals: dict[int, int] = {}
    recovery_s: list[float] = []
    retry_after = True
    reads_while_full = 0
    for _ in range(rounds):
        acknowledged += _must_store(server)
        ballast = disk / "ballast"
        # Without a buffer: what is left in one would be written, and fail, when the file closes.
        with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(b"\0" * 65536)
        pending: list[list[dict[str, Any]]] = []
        for _ in range(40):
            events = _events(200)
            status, _, headers = _post(server, events)
            if status == 200:
                acknowledged += [e["event_id"] for e in events]
                continue
            refusals[status] = refusals.get(status, 0) + 1
            retry_after &= "retry-after" in headers
            pending.append(events)
            if len(pending) >= 5:
                break
        reads_while_full += _can_read(server)
        ballast.unlink()
        began = time.monotonic()
        while True:
            status, _, _ = _post(server, _events(1))
            if status == 200:
                break
            if time.monotonic() - began > 30:
                raise AssertionError("the server does not accept again")
            time.sleep(0.1)
        recovery_s.append(round(time.monotonic() - began, 2))
        for events in pending:  # what a client does: the same ids again
            status, _, _ = _post(server, events)
            if status != 200:
                raise AssertionError(f"the retry was answered {status}")
            acknowledged += [e["event_id"] for e in events]
    return {
        "rounds": rounds,
        "acknowledged": acknowledged,
        "refusals_by_status": refusals,
        "every_refusal_had_retry_after": retry_after,
        "reads_while_full": reads_while_full,
        "recovery_s": recovery_s,
    }


def _events(number: int) -> list[dict[str, Any]]:
    return [
        {
            "event_id": uuid.uuid4().hex,
            "timestamp": datetime.now(UTC).isoformat(),
            "tenant_id": "full",
            "event_type": "LOGIN",
            "metadata": {"source": "guard", "padding": uuid.uuid4().hex * 40},
        }
        for _ in range(number)
    ]


def _must_store(server: ServerProcess) -> list[str]:
    events = _events(200)
    status, body, _ = _post(server, events)
    if status != 200:
        raise AssertionError(f"{status}: {body[:300]!r}")
    return [event["event_id"] for event in events]


def _post(server: ServerProcess, events: list[dict[str, Any]]) -> tuple[int, bytes, dict[str, str]]:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        line.request(
            "POST",
            "/v1/events",
            json.dumps(events),
            {"X-API-Key": KEY, "Content-Type": "application/json"},
        )
        answer = line.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        line.close()


def _can_read(server: ServerProcess) -> int:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        line.request("GET", "/v1/events?limit=1", headers={"X-API-Key": KEY})
        return int(line.getresponse().status == 200)
    finally:
        line.close()
