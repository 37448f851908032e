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


def check(server: ServerProcess, trace: Path, *, num_requests: int = 10) -> dict[str, int]:
    """Send single events to a running server under strace and look at each one's calls.

    Args:
        server: running; its process must be allowed to be traced.
        trace: file for strace's output.

    Returns:
        Requests sent, and how many had an fsync or fdatasync that ended between the arrival of
        the request and the answer. Both are equal when the promise holds.
    """
    strace = subprocess.Popen(
        ["strace", "-f", "-tt", "-s", "2000", "-e", _CALLS, "-o", str(trace), "-p", str(server.pid)],
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
        "with_fsync_before_answer": sum(_has_fsync(lines, mark) for mark in marks),
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
        "POST", "/v1/events", json.dumps(event), {"X-API-Key": KEY, "Content-Type": "application/json"}
    )
    answer = line.getresponse()
    body = answer.read()
    line.close()
    if answer.status != 200:
        raise AssertionError(f"{answer.status}: {body[:200]!r}")
    return mark


def _has_fsync(lines: list[str], mark: str) -> bool:
    """Whether a finished sync stands between the line that reads a mark and the one that sends it."""
    arrived = synced = False
    for line in lines:
        if not arrived:
            arrived = mark in line and re.search(r"\b(recvfrom|read)\(|resumed>", line) is not None
            continue
        if re.search(r"\b(fsync|fdatasync)\(.*= 0|<\.\.\. (fsync|fdatasync) resumed>.*= 0", line):
            synced = True
        if mark in line and re.search(r"\b(sendto|write|writev|sendmsg)\(", line):
            if "HTTP/1.1 200" in line or "results" in line:  # strace escapes the quotes
                return synced
    return False
