"""Exits, forks and imports: what an emitter means to the process that it lives in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from event_server import EventServer, cut_before, status

import ebbtide
from ebbtide import Emitter

MakeEmitter = Callable[..., Emitter]
SOURCE_DIR = str(Path(ebbtide.__file__).parents[1])


def run_python(
    script: str, *arguments: str, timeout_s: float = 30
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EBBTIDE_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env={**environment, "PYTHONPATH": SOURCE_DIR},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


EMIT_AND_LEAVE = """
import sys
from ebbtide import Emitter
emitter = Emitter(sys.argv[1], tenant_id="acme", flush_interval_s=60)
for i in range(250):
    emitter.emit("LOGIN", user_id=f"u-{i}")
"""


@pytest.mark.parametrize(
    "leave",
    ["", "sys.exit(0)", "raise SystemExit", "raise RuntimeError('the host failed')"],
    ids=["end", "exit", "SystemExit", "exception"],
)
def test_the_rest_is_sent_at_exit(server: EventServer, leave: str) -> None:
    server.script.extend([cut_before, status(503)])
    done = run_python(EMIT_AND_LEAVE + leave, server.url)
    assert [event["user_id"] for event in server.stored.values()] == [f"u-{i}" for i in range(250)]
    assert done.returncode == (1 if "RuntimeError" in leave else 0)


def test_events_emitted_while_the_program_ends_are_sent(server: EventServer) -> None:
    script = """
import atexit, sys
from ebbtide import Emitter
emitter = Emitter(sys.argv[1])
atexit.register(emitter.emit, "LOGIN", "acme")   # runs before the emitter's own handler
"""
    done = run_python(script, server.url)
    assert done.stderr == ""
    assert len(server.stored) == 1


@pytest.mark.parametrize("trouble", ["nobody listens", "hangs", "fails"])
def test_exit_is_bounded_and_quiet_about_payload(server: EventServer, trouble: str) -> None:
    if trouble == "hangs":
        server.always = lambda handler, events: time.sleep(20) or True
    if trouble == "fails":
        server.always = status(503)
    url = "http://127.0.0.1:9" if trouble == "nobody listens" else server.url
    script = """
import sys, time
from ebbtide import Emitter
emitters = [Emitter(sys.argv[1], "key-canary", "acme", exit_timeout_s=1) for _ in range(4)]
for emitter in emitters:
    for i in range(300):
        emitter.emit("LOGIN", metadata={"text": "payload-canary"})
time.sleep(0.1)
"""
    before = time.monotonic()
    done = run_python(script, url)
    # Four emitters share the second; the rest is the interpreter's start on a busy machine.
    assert time.monotonic() - before < 4.0
    assert done.returncode == 0
    assert "canary" not in done.stdout + done.stderr
    assert "events dropped" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_empty_and_sends_its_own(server: EventServer) -> None:
    script = """
import os, sys, threading, time
from ebbtide import Emitter
emitter = Emitter(sys.argv[1], tenant_id="acme", flush_interval_s=60)
emitter.emit("LOGIN", user_id="warm-up")
assert emitter.flush()                      # thread and connection exist now
for i in range(20):
    emitter.emit("LOGIN", user_id=f"parent-{i}")
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        assert emitter.stats.emitted == emitter.stats.queued == 0
        assert emitter.stats.last_error is None
        for i in range(20):
            assert emitter.emit("LOGIN", user_id=f"child{number}-{i}")
        sent = emitter.flush(10)
        os._exit(0 if sent and emitter.stats.stored == 20 else 1)
    children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert emitter.flush(10)
assert emitter.stats.stored == 21
"""
    done = run_python(script, server.url)
    assert done.returncode == 0, done.stderr
    assert sorted(event["user_id"] for event in server.stored.values()) == sorted(
        [
            "warm-up",
            *(f"{who}-{i}" for who in ("parent", "child0", "child1", "child2") for i in range(20)),
        ]
    )
    assert sum(len(r.ids) for r in server.requests) == 81  # nothing was even sent twice


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_locks_are_held_does_not_lock_the_child(server: EventServer) -> None:
    script = """
import os, sys, threading
from ebbtide import Emitter
emitter = Emitter(sys.argv[1], tenant_id="acme")
held, release = threading.Event(), threading.Event()
def hold():
    with emitter._queue._changed, emitter._counters._lock, emitter._log._lock:
        with emitter._thread_lock, emitter._sending:
            held.set()
            release.wait()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    emitter.emit("LOGIN")
    os._exit(0 if emitter.close(10) else 1)
release.set()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    done = run_python(script, server.url)
    assert done.returncode == 0, done.stderr
    assert len(server.stored) == 1


def test_a_closed_emitter_stays_closed_in_the_child(server: EventServer) -> None:
    script = """
import os, sys
from ebbtide import Emitter
emitter = Emitter(sys.argv[1], tenant_id="acme")
emitter.close()
child = os.fork()
if child == 0:
    os._exit(0 if emitter.emit("LOGIN") is None else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    assert run_python(script, server.url).returncode == 0


def test_importing_the_client_is_light() -> None:
    script = """
import sys
before = set(sys.modules)
from ebbtide import Emitter
loaded = set(sys.modules) - before
assert Emitter.__module__ in loaded
# What takes time to import is of others, or is one of these; a clock would judge the machine.
foreign = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
not_ours = {name for name in foreign if not f"{name}.".startswith(
    ("ebbtide.client.", "ebbtide.domain."))} - {"ebbtide"}
assert not not_ours, not_ours
heavy = {"http.client", "ssl", "asyncio", "dataclasses", "inspect", "subprocess"} & loaded
assert not heavy, heavy
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr


def test_no_thread_runs_before_the_first_event(make_emitter: MakeEmitter) -> None:
    emitter = make_emitter()
    assert emitter._thread is None
    assert emitter.flush()
    assert emitter._thread is None
    emitter.emit("LOGIN")
    assert emitter._thread is not None
    assert emitter._thread.daemon
