"""Watches system calls: an fsync must lie between a request and its answer."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.server_process import KEY, ServerProcess

_CALLS = "trace=fsync,fdatasync,sync_file_range,recvfrom,read,sendto,write,writev,sendmsg"


def is_available() -> bool:
    """Whether strace is on this machine."""
    return shutil.which("strace") is not None


def check(
    server: ServerProcess, trace: Path, *, num_requests: int = 10, store: str = "events.duckdb"
) -> dict[str, int]:
    """Send single events to a running server under strace and look at each one's calls.

    Args:
        server: running; its process must be allowed to be traced.
        trace: file for strace's output.
        store: part of the path of the file that holds events until the next checkpoint.

    Returns:
        Requests sent, and how many had an fsync or fdatasync of the store that ended between
        the arrival of the request and the answer. Both are equal when the promise holds.
    """
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "2000", "-e", _CALLS, "-o", str(trace), "-p", str(server.pid)],
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1.0)  # until it has taken hold of every thread
        marks = [_send(server) for _ in range(num_requests)]
        time.sleep(0.5)
    finally:
        strace.terminate()
        strace.wait()
    lines = trace.read_text(errors="replace").splitlines()
    return {
        "requests": num_requests,
        "with_fsync_before_answer": sum(has_fsync(lines, mark, store) for mark in marks),
    }


def _send(server: ServerProcess) -> str:
    mark = uuid.uuid4().hex
    event = {
        "event_id": mark,
        "timestamp": datetime.now(UTC).isoformat(),
        "tenant_id": "strace",
        "event_type": "LOGIN",
    }
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    line.request(
        "POST",
        "/v1/events",
        json.dumps(event),
        {"X-API-Key": KEY, "Content-Type": "application/json"},
    )
    answer = line.getresponse()
    body = answer.read()
    line.close()
    if answer.status != 200:
        raise AssertionError(f"{answer.status}: {body[:200]!r}")
    return mark


def has_fsync(lines: list[str], mark: str, store: str) -> bool:
    """Whether a finished sync of the store stands between reading a mark and answering it.

    Args:
        lines: of strace, with process ids and file names.
        mark: a text that is in the request and in its answer, and nowhere else.
        store: part of the path of the file that must be synced.
    """
    arrived = synced = False
    syncing = set()  # threads whose sync of the store has begun
    for line in lines:
        thread = line.partition(" ")[0]
        if not arrived:
            arrived = mark in line and re.search(r"\b(recvfrom|read)\(|resumed>", line) is not None
            continue
        if re.search(r"\b(fsync|fdatasync)\(", line) and store in line:
            if line.endswith("= 0"):
                synced = True
            elif "unfinished" in line:
                syncing.add(thread)
        elif re.search(r"<\.\.\. (fsync|fdatasync) resumed>.*= 0$", line) and thread in syncing:
            synced = True
        if mark in line and re.search(r"\b(sendto|write|writev|sendmsg)\(", line):
            if "HTTP/1.1 200" in line or "results" in line:  # strace escapes the quotes
                return synced
    return False
